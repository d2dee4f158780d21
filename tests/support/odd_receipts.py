"""Receipt files with keys and signatures at the edges of Ed25519: in votes, transactions and sets of validators."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ledger.encoding import (
    block_hash,
    decode_certificate,
    decode_transaction,
    encode_certificate,
    encode_receipt,
    encode_transaction,
    transaction_id,
    transaction_statement,
    validators_hash,
)
from ledger.types import Certificate, Height, PublicKey, Signature, Transaction, View, VoteKind
from tests.support.chains import member_key, sign
from tests.support.odd_keys import (
    FORGED,
    NON_CANONICAL,
    SMALL_ORDER,
    bad_signature,
    mixed_order_key,
    signed_twice,
)
from tests.support.proofs import executed
from tests.support.receipt_cases import NEVER, SOMETIMES, Case, header_in, only_block, resigned

ODD_KEYS = [PublicKey(key) for key in (*SMALL_ORDER.values(), *NON_CANONICAL.values(), mixed_order_key(5))]


def bad_vote(document: Case, rng: random.Random) -> None:
    """One signature of a certificate in another encoding, or as somebody without the key could make it."""
    entry = rng.choice(document["blocks"] + document["handovers"])
    found = decode_certificate(bytes.fromhex(entry["certificate"]))
    signatures, at = list(found.signatures), rng.randrange(len(found.signatures))
    signatures[at] = Signature(bad_signature(signatures[at], rng))
    entry["certificate"] = encode_certificate(replace(found, signatures=tuple(signatures))).hex()


def bad_sender(document: Case, rng: random.Random) -> None:
    """A block of a quorum with a transaction whose sender did not sign it, but for signatures of odd encodings."""
    _in_block(document, rng, _with_odd_sender)


def bad_cosigner(document: Case, rng: random.Random) -> None:
    """The same with a cosigner's bytes, which the sender's signature does not cover."""
    _in_block(document, rng, _with_odd_cosigner)


def signed_again(document: Case, rng: random.Random) -> None:
    """A transaction with other valid signatures: the same id, and as good where the block holds these bytes."""

    def again(tx: Transaction, rng: random.Random) -> Transaction:
        return signed_twice(tx, rng.randrange(1, 1 << 64))

    _in_block(document, rng, again)
    if rng.random() < 0.5:  # not the bytes that are in the block
        entry = document["transactions"][0]
        tx = decode_transaction(bytes.fromhex(entry["transaction"]))
        entry["transaction"] = encode_transaction(signed_twice(tx, 5)).hex()


def odd_validators(document: Case, rng: random.Random) -> None:
    """A quorum hands over to keys that everybody can sign with, and somebody does."""
    header = document.made.headers[1]
    old = document.made.sets[1]
    keys = sorted({*rng.sample(ODD_KEYS, rng.randint(1, 4)), *(each.key for each in old[: rng.randint(0, 2)])})
    named = replace(header, next_validators_hash=validators_hash(keys))
    document["handovers"] = [resigned(document, named, old) | {"validators": [key.hex() for key in keys]}]
    block = replace(
        header_in(document["blocks"][0]),
        height=Height(2),
        validators_hash=validators_hash(keys),
        next_validators_hash=validators_hash(keys),
    )
    forged = Certificate(
        kind=VoteKind.FINALIZE,
        height=block.height,
        view=View(1),
        block_hash=block_hash(block),
        signers=tuple(range(len(keys))),
        signatures=(Signature(FORGED),) * len(keys),
    )
    document["blocks"] = [resigned(document, block, old) | {"certificate": encode_certificate(forged).hex()}]
    for entry in document["transactions"]:
        entry["block"] = 0


def _with_odd_sender(tx: Transaction, rng: random.Random) -> Transaction:
    if rng.random() < 0.5:
        return replace(tx, sender=rng.choice(ODD_KEYS), signature=Signature(FORGED))
    return replace(tx, signature=Signature(bad_signature(tx.signature, rng)))


def _with_odd_cosigner(tx: Transaction, rng: random.Random) -> Transaction:
    """Of the transaction and its id nothing else changes where the signature alone does; else the sender signs it."""
    first, *others = tx.cosigners
    if rng.random() < 0.5:
        changed = replace(
            tx, cosigners=(replace(first, signature=Signature(bad_signature(first.signature, rng))), *others)
        )
        assert transaction_id(changed) == transaction_id(tx)
        return changed
    odd = replace(first, key=rng.choice(ODD_KEYS), signature=Signature(FORGED))
    changed = replace(tx, cosigners=(odd, *others))
    return replace(changed, signature=sign(member_key(_sender(tx)), transaction_statement(changed)))


def _in_block(document: Case, rng: random.Random, change: Callable[[Transaction, random.Random], Transaction]) -> None:
    """Prove a changed transaction that has cosigners, in a block with two others."""
    numbers = [number for number in range(len(document.made.pool)) if number % 3 == 2]
    chosen = rng.choice(numbers)
    txs: Sequence[bytes] = [document.made.pool[chosen], *document.made.pool[:2]]
    changed = encode_transaction(change(decode_transaction(txs[0]), rng))
    only_block(document, [changed, *txs[1:]], [encode_receipt(executed(n)) for n in range(3)])


def _sender(tx: Transaction) -> int:
    return next(index for index in range(3) if bytes(member_key(index).verify_key) == tx.sender)


ODD_SIGNATURES: list[tuple[Callable[[Any, random.Random], bytes | None], int, set[bool]]] = [
    (bad_vote, 150, NEVER),
    (bad_sender, 150, NEVER),
    (bad_cosigner, 150, NEVER),
    (signed_again, 100, SOMETIMES),
    (odd_validators, 150, NEVER),
]
