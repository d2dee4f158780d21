"""What every replica of a simulated network agrees on: keys, committees, execution. No cryptography, no EVM.

A signature is a keyed hash: only code that was handed the key's `Key` makes one, and the adversaries hold their own
keys and no others, so signatures are unforgeable by construction. Execution hashes the transactions onto the state.
"""

import functools
import hashlib
import random
from dataclasses import dataclass

from ledger.chain import Head, build_header, genesis_head
from ledger.consensus import Message, decode_message
from ledger.types import (
    Block,
    ChainId,
    Digest,
    Height,
    Millis,
    PublicKey,
    ReplicaId,
    Signature,
    Validator,
)

CHAIN = ChainId(hashlib.sha256(b"simulated").digest())
GENESIS_STATE = Digest(hashlib.sha256(b"genesis state").digest())
EPOCH_MS = 1_000_000
"""Simulated time at which a run begins, so that block times are above 0."""

TXS_PER_BLOCK_MAX = 5
CLOCK_SKEW_MS_MAX = 3_000


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
def decode(data: bytes) -> Message:
    """Decode as a peer would; values are frozen, so equal bytes may share one."""
    return decode_message(data)


@dataclass(frozen=True, slots=True)
class Committees:
    """Which replicas decide which height."""

    replicas: int
    """Replicas that have a vote key."""
    rotating: int = 0
    """Size of a committee drawn anew every second height; 0: always everybody."""

    def at(self, height: int) -> tuple[Validator, ...]:
        members = list(range(self.replicas))
        if self.rotating:
            members = random.Random(height // 2 * 7919 + 1).sample(members, self.rotating)
        return tuple(sorted(Validator(public_key(ReplicaId(i)), ReplicaId(i)) for i in members))

    def genesis(self) -> Head:
        return genesis_head(CHAIN, GENESIS_STATE, self.at(1))


def make_block(
    head: Head, committees: Committees, txs: tuple[bytes, ...], proposer: PublicKey, timestamp_ms: int
) -> Block:
    """Execute and build the block of these transactions on a head."""
    header = build_header(
        head,
        timestamp_ms=Millis(max(timestamp_ms, head.header.timestamp_ms + 1)),
        proposer=proposer,
        txs=txs,
        state_root=execute(head.header.state_root, txs),
        receipts=(),
        validators=committees.at(head.header.height + 2),
    )
    return Block(header=header, txs=txs)


def execute(state: Digest, txs: tuple[bytes, ...]) -> Digest:
    return Digest(hashlib.sha256(state + b"".join(txs)).digest())


def next_head(head: Head, block: Block, committees: Committees) -> Head:
    return head.follow(block.header, committees.at(block.header.height + 1))


def height_after(head: Head) -> Height:
    return Height(head.header.height + 1)
