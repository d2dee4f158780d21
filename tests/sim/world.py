"""What every replica of a simulated network agrees on: keys, the consortium document, transactions, execution.

The symbolic world knows no cryptography and no EVM. A signature is a keyed hash: only code that was handed the key's
`Key` makes one, and the adversaries hold their own keys and no others, so signatures are unforgeable by construction.
Execution hashes transactions onto the state, which also holds who votes; a transaction may change that.
`tests.sim.reality` has the same with Ed25519, the contracts and SQLite. Bytes, checks and the engine are real in both.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ledger.chain import faults_tolerated
from ledger.consensus import Signer
from ledger.encoding import encode_transaction, transaction_id, transaction_statement
from ledger.errors import StorageError
from ledger.ports import Executor
from ledger.replica.items import Item, decode_item
from ledger.store.rows import keccak256
from ledger.types import (
    Address,
    ChainId,
    Digest,
    EpochRecord,
    Genesis,
    Height,
    Log,
    MemberRecord,
    Millis,
    PublicKey,
    Receipt,
    ReplicaId,
    Signature,
    Transaction,
    Validator,
)
from tests.sim.disk import Disk, JournalDisk

CHAIN = ChainId(hashlib.sha256(b"simulated").digest())
EPOCH_MS = 100_000_000
"""Simulated time at which a run begins, so that clocks that jump back hours stay above 0."""

CLIENT = ReplicaId(1_000)
"""Number of the key that signs all transactions."""

VALIDATORS_MIN = 4
"""No transaction makes the set smaller."""


@dataclass(frozen=True, slots=True)
class Key:
    """A vote key."""

    replica: ReplicaId

    @property
    def key(self) -> PublicKey:
        return public_key(self.replica)

    def sign(self, statement: bytes) -> Signature:
        return _signature(self.key, statement)


@functools.lru_cache(maxsize=256)
def public_key(replica: ReplicaId) -> PublicKey:
    return PublicKey(hashlib.sha256(b"vote key %d" % replica).digest())


@functools.lru_cache(maxsize=50_000)
def _signature(key: PublicKey, statement: bytes) -> Signature:
    return Signature(hashlib.blake2b(statement, key=key, digest_size=64).digest())


def verify(key: PublicKey, statement: bytes, signature: Signature) -> bool:
    return _signature(key, statement) == signature


@functools.lru_cache(maxsize=20_000)
def decode(data: bytes) -> Item:
    """Decode as a peer would; values are frozen, so equal bytes may share one."""
    return decode_item(data)


class World(Protocol):
    """What a network is made of."""

    genesis: Genesis

    def signer(self, replica: ReplicaId) -> Signer:
        """The vote key of a replica, in the set or not."""

    def verify(self, key: PublicKey, statement: bytes, signature: Signature) -> bool:
        """Check a signature."""

    def executor(self, read_node: Callable[[bytes], bytes | None]) -> Executor:
        """A contract on the state that can be read."""

    def disk(self) -> Disk:
        """The empty disk of a replica that is new to the world."""

    def transaction(self, number: int, now: Millis, expiry_ms: Millis) -> bytes:
        """One of a client's transactions; `now` is the time at which it is made."""

    def change(self, number: int, replica: ReplicaId, expiry_ms: Millis) -> bytes:
        """A transaction that takes a replica out of the validators, or in."""

    def close(self) -> None:
        """Give everything back."""


class Symbolic:
    """The first `replicas` replicas vote at first, `spare` more may join."""

    def __init__(self, replicas: int, spare: int = 0) -> None:
        members = (
            MemberRecord(
                name=f"member-{number}",
                company=number,
                roles=1,
                identity=public_key(ReplicaId(CLIENT + 1 + number)),
                vote_key=public_key(ReplicaId(number)) if number < replicas else None,
            )
            for number in range(replicas + spare)
        )
        self.genesis = Genesis(
            chain=CHAIN,
            companies=tuple(f"company {number}" for number in range(replicas + spare)),
            members=tuple(members),
            models=(),
            inquirers=(),
            epoch=EpochRecord(epoch=1, audit_key=b"\x01" * 32, archive_key=b"\x02" * 32),
        )

    def signer(self, replica: ReplicaId) -> Signer:
        return Key(replica)

    def verify(self, key: PublicKey, statement: bytes, signature: Signature) -> bool:
        return verify(key, statement, signature)

    def executor(self, read_node: Callable[[bytes], bytes | None]) -> Executor:
        return HashingExecutor(read_node)

    def disk(self) -> Disk:
        return JournalDisk()

    def transaction(self, number: int, now: Millis, expiry_ms: Millis) -> bytes:
        return _signed("sim.put", number, number.to_bytes(32, "big"), expiry_ms)

    def change(self, number: int, replica: ReplicaId, expiry_ms: Millis) -> bytes:
        return _signed("sim.change", number, replica.to_bytes(32, "big"), expiry_ms)

    def close(self) -> None:
        """Nothing to give back."""


def _signed(method: str, number: int, args: bytes, expiry_ms: Millis) -> bytes:
    tx = Transaction(
        chain=CHAIN,
        sender=public_key(CLIENT),
        expiry_ms=expiry_ms,
        unique=number.to_bytes(16, "big"),
        method=method,
        args=args,
        signature=Signature(bytes(64)),
    )
    return encode_transaction(replace(tx, signature=Key(CLIENT).sign(transaction_statement(tx))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """`ledger.ports.Execution`."""

    state_root: Digest
    receipts: tuple[Receipt, ...]
    nodes: Mapping[bytes, bytes]
    validators: tuple[Validator, ...]


@dataclass(frozen=True, slots=True)
class HashingExecutor:
    """A state is one node: a hash over all transactions so far, then the numbers of the validators as a bitmap.

    `sim.change` flips one bit of it, as the contract of a consortium would: at most max(1, f) in a block, and never
    below four validators; else it reverts.
    """

    read_node: Callable[[bytes], bytes | None]

    def genesis(self, genesis: Genesis) -> Executed:
        return _state(genesis.chain, sum(1 << validator.replica for validator in genesis.validators()), ())

    def execute(
        self, parent_root: Digest, height: Height, timestamp_ms: Millis, txs: Sequence[Transaction]
    ) -> Executed:
        past, members = self._load(parent_root)
        changes_left = max(1, faults_tolerated(members.bit_count()))
        receipts = []
        for tx in txs:
            past = hashlib.sha256(past + transaction_id(tx)).digest()
            changed = members ^ 1 << int.from_bytes(tx.args, "big") if tx.method == "sim.change" else members
            if changed != members and (not changes_left or changed.bit_count() < VALIDATORS_MIN):
                receipts.append(Receipt(ok=False, gas=500, reason="VALIDATORS"))
                continue
            changes_left -= changed != members
            members = changed
            log = Log(address=Address(bytes(19) + b"\x01"), topics=(transaction_id(tx),), data=tx.args)
            receipts.append(Receipt(ok=True, gas=1_000, reason="", logs=(log,)))
        return _state(past, members, tuple(receipts))

    def view(
        self, root: Digest, height: Height, timestamp_ms: Millis, method: str, *args: object
    ) -> tuple[object, ...]:
        return (self._load(root)[1],)

    def call(self, root: Digest, height: Height, timestamp_ms: Millis, tx: Transaction) -> Receipt:
        return self.execute(root, height, timestamp_ms, [tx]).receipts[0]

    def children(self, node: bytes) -> tuple[bytes, ...]:
        return ()

    def _load(self, root: Digest) -> tuple[bytes, int]:
        node = self.read_node(root)
        if node is None:
            raise StorageError(f"expected the state {root.hex()}, got none")
        return node[:32], int.from_bytes(node[32:], "big")


def _state(past: bytes, members: int, receipts: tuple[Receipt, ...]) -> Executed:
    node = past + members.to_bytes(16, "big")
    root = keccak256(node)
    validators = _validators(members)
    return Executed(state_root=Digest(root), receipts=receipts, nodes={root: node}, validators=validators)


@functools.lru_cache(maxsize=512)
def _validators(members: int) -> tuple[Validator, ...]:
    return validators_of(number for number in range(members.bit_length()) if members >> number & 1)


def validators_of(numbers: Iterable[int]) -> tuple[Validator, ...]:
    """The set of some replicas, sorted by key."""
    return tuple(sorted(Validator(public_key(ReplicaId(number)), ReplicaId(number)) for number in numbers))
