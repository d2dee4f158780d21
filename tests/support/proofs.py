"""Chains whose validators change, as proof files see them: headers, certificates, handovers."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ledger.chain import build_header, faults_tolerated, genesis_head, hands_over
from ledger.consistency import encode_consistency_file
from ledger.encoding import block_hash, encode_certificate, encode_header
from ledger.handovers import Handover
from ledger.receipts import encode_receipt_file, prove
from ledger.types import (
    Block,
    Certificate,
    ChainId,
    FinalBlock,
    Genesis,
    Header,
    Millis,
    PublicKey,
    Receipt,
    ReplicaId,
    Validator,
    VoteKind,
)
from tests.support.chains import (
    NOW,
    STATE,
    certificate_of,
    genesis_of,
    member_key,
    public_key,
    receipt,
    transaction,
    vote_key,
)

Document = dict[str, Any]
KEYS = 14
"""Vote keys that sets are drawn from."""


@dataclass(frozen=True)
class Consortium:
    """A document and the genesis that it describes."""

    document: bytes
    genesis: Genesis

    @property
    def chain(self) -> ChainId:
        return self.genesis.chain


def consortium(name: str, members: int) -> Consortium:
    genesis = genesis_of(members)
    tables = [f'[[member]]\nname = "{m.name}"\nvote = "{m.vote_key.hex()}"\n' for m in genesis.members if m.vote_key]
    tables.append('[[member]]\nname = "votes not"\n')
    document = "".join((f'[consortium]\nname = "{name}"\n', *tables)).encode()
    return Consortium(document, replace(genesis, chain=ChainId(hashlib.sha256(document).digest())))


def validator(number: int) -> Validator:
    return Validator(public_key(vote_key(number)), ReplicaId(number))


def changed_set(validators: Sequence[Validator], rng: random.Random) -> tuple[Validator, ...]:
    """Another set, with at most max(1, f) changes: added, removed, or with another key."""
    before: set[int] = {each.replica for each in validators}
    chosen = set(before)
    for _ in range(rng.randint(1, max(1, faults_tolerated(len(validators))))):
        out = rng.choice(sorted(chosen & before))
        new = rng.choice([number for number in range(KEYS) if number not in chosen | before])
        match rng.randrange(3):
            case 0 if len(chosen) < 7:
                chosen |= {new}
            case 1 if len(chosen) > 4:
                chosen -= {out}
            case _:
                chosen = chosen - {out} | {new}
    return tuple(sorted(validator(number) for number in chosen))


def transactions(chain: ChainId, count: int) -> list[bytes]:
    stated = [bytes([n]) * 64 for n in range(3)]
    return [
        transaction(
            number,
            sender=number % 3,
            chain=chain,
            cosigners=[(member_key(n), stated[n]) for n in range(number % 3)],
        )
        for number in range(count)
    ]


def executed(number: int) -> Receipt:
    return Receipt(ok=False, gas=number, reason="WRONG_STATE") if number % 3 == 1 else receipt(number)


@dataclass
class Chronicle:
    """Blocks of a chain with the sets that decided them; certificates are signed when they are asked for."""

    side: Consortium
    pool: Sequence[bytes]
    """Transactions; blocks take them in turn."""
    sets: list[tuple[Validator, ...]] = field(default_factory=list)
    """By height, the set that decides it."""
    blocks: list[Block] = field(default_factory=list)
    receipts: list[list[Receipt]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._head = genesis_head(self.side.chain, STATE, self.side.genesis.validators())
        self.blocks.append(Block(header=self._head.header, txs=()))
        self.receipts.append([])
        self.sets += [self._head.validators] * 2

    def add(self, size: int, validators: tuple[Validator, ...] | None = None) -> Header:
        """A block of some transactions; `validators` decide from the next height on."""
        first = sum(len(block.txs) for block in self.blocks) % (len(self.pool) - size)
        txs = tuple(self.pool[first : first + size])
        receipts = [executed(first + n) for n in range(size)]
        after = validators or self._head.validators
        header = build_header(
            self._head,
            timestamp_ms=Millis(NOW + len(self.blocks)),
            proposer=self._head.validators[0].key,
            txs=txs,
            state_root=STATE,
            receipts=receipts,
            validators=after,
        )
        self._head = self._head.follow(header, after)
        self.blocks.append(Block(header=header, txs=txs))
        self.receipts.append(receipts)
        self.sets.append(after)
        return header

    @property
    def headers(self) -> list[Header]:
        return [block.header for block in self.blocks]

    def certificate(self, header: Header, **options: Any) -> Certificate:
        """FINALIZE of a header by the set of its height, or of the height in the file."""
        validators = self.sets[min(header.height, len(self.sets) - 1)]
        return certificate_of(
            self.side.chain, validators, VoteKind.FINALIZE, header.height, 1, block_hash(header), **options
        )

    def final(self, height: int) -> FinalBlock:
        block = self.blocks[height]
        return FinalBlock(block=block, certificate=self.certificate(block.header))

    def keys(self, height: int) -> tuple[PublicKey, ...]:
        return tuple(each.key for each in self.sets[height])

    def handovers(self) -> list[Handover]:
        return [
            Handover(header=header, certificate=self.certificate(header), validators=self.keys(header.height + 1))
            for header in self.headers
            if hands_over(header)
        ]

    def receipt_file(self, wanted: Sequence[tuple[int, int]]) -> bytes:
        """Of the transactions at these heights and places."""
        proofs = [prove(self.final(height), self.receipts[height], index) for height, index in wanted]
        return encode_receipt_file(proofs, self.handovers())

    def consistency_file(self, older: int, newer: int) -> bytes:
        hashes = [block_hash(header) for header in self.headers[:newer]]
        return encode_consistency_file(
            self.headers[older], self.keys(older + 1), self.final(newer), self.handovers(), hashes
        )


def chronicle(side: Consortium, rng: random.Random, pool: Sequence[bytes], changes: int, height: int) -> Chronicle:
    """A random chain of so many blocks, some of which change the set."""
    made = Chronicle(side, pool)
    at = set(rng.sample(range(1, height + 1), changes))
    for number in range(1, height + 1):
        made.add(rng.choice((1, 2, 3, 4, 5, 7, 8, 9)), changed_set(made.sets[number], rng) if number in at else None)
    return made


def decided(header: Header, certificate: Certificate) -> Document:
    """A final header's entry."""
    return {"header": encode_header(header).hex(), "certificate": encode_certificate(certificate).hex()}


def loaded(data: bytes) -> Document:
    found: Document = json.loads(data)
    return found
