"""Rows: what a participant shares with the committee, and the bytes in which it does (docs/protocol.md 4).

A row holds int64 values, shared additively mod 2^64, and bits (*known*, then a presence bit for each value), shared by
XOR. With N subjects it holds each value, then each bit, for all of them; with one subject that is the protocol's row.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mpcnode.errors import ShareError
from mpcnode.mpc.prg import CHUNK_BYTES, SEED_BYTES, keystream
from mpcnode.mpc.ring import Bits, Words
from mpcnode.types import Attempt, MemberIndex, QueryId


@dataclass(frozen=True, slots=True)
class Row:
    """A row or a share of one, as numbers."""

    values: Words = field(repr=False)
    """[values, subjects], mod 2^64"""
    bits: Bits = field(repr=False)
    """[values + 1, subjects]; *known* first, then the presence of each value"""


@dataclass(frozen=True, slots=True)
class RowShape:
    """How many values of how many subjects a row holds."""

    values: int
    subjects: int = 1

    @property
    def value_bytes(self) -> int:
        """Bytes of the values."""
        return 8 * self.values * self.subjects

    @property
    def bit_count(self) -> int:
        """Number of bits."""
        return (self.values + 1) * self.subjects

    @property
    def size(self) -> int:
        """Bytes of a row, and of each share of it."""
        return self.value_bytes + -(-self.bit_count // 8)

    def encode(self, row: Row) -> bytes:
        """Encode a row in clear; padding bits are 0."""
        packed = np.packbits(row.bits.reshape(-1), bitorder="little")
        return row.values.astype(np.uint64, copy=False).tobytes() + packed.tobytes()

    def decode(self, data: bytes) -> Row:
        """Decode a row or a share, whose padding bits say nothing.

        Raises:
            ShareError: another length.
        """
        if len(data) != self.size:
            raise ShareError(f"row: expected {self.size} bytes, got {len(data)}")
        values = np.frombuffer(data, np.uint64, self.values * self.subjects).reshape(self.values, self.subjects)
        packed = np.frombuffer(data, np.uint8, offset=self.value_bytes)
        bits = np.unpackbits(packed, bitorder="little", count=self.bit_count)
        return Row(values, bits.reshape(self.values + 1, self.subjects))

    def zero(self) -> Row:
        """The row of an absent participant, and every node's share of it."""
        return Row(
            np.zeros((self.values, self.subjects), np.uint64), np.zeros((self.values + 1, self.subjects), np.uint8)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowContext:
    """What a row's seeds are for: no other attempt, participant or chunk shares its streams."""

    query: QueryId
    attempt: Attempt
    participant: MemberIndex
    chunk: int = 0
    """Of the query's subjects whose row it is."""

    def stream(self, seed: bytes, node: MemberIndex, size: int) -> bytes:
        """Share of the node that was given this seed."""
        if len(seed) != SEED_BYTES:
            raise ShareError(f"share: expected a seed of {SEED_BYTES} bytes, got {len(seed)}")
        data = self.query + bytes((self.attempt, self.participant, node)) + self.chunk.to_bytes(CHUNK_BYTES, "big")
        return keystream(hashlib.blake2b(data, digest_size=32, key=seed, person=b"mpc-input").digest(), size).tobytes()


def split_row(
    row: bytes, shape: RowShape, context: RowContext, nodes: Sequence[MemberIndex], seeds: Sequence[bytes]
) -> tuple[bytes, ...]:
    """Split a row: what to send to each node.

    Args:
        row: its encoding.
        shape: its shape.
        context: what it is for.
        nodes: the committee in rank order.
        seeds: 32 random bytes for every node but the last.

    Returns:
        In rank order: a seed for every node but the last, for that one the correction.

    Raises:
        ShareError: a length is wrong.
    """
    if len(seeds) != len(nodes) - 1 or not seeds:
        raise ShareError(f"share: expected a seed for all of {len(nodes)} nodes but one, got {len(seeds)}")
    correction = _Sum(shape, row)
    for seed, node in zip(seeds, nodes, strict=False):
        correction.subtract(context.stream(seed, node, shape.size))
    return (*seeds, correction.encoded())


def expand_share(sent: bytes, shape: RowShape, context: RowContext, node: MemberIndex, *, is_last: bool) -> bytes:
    """Return a node's share of a row from the bytes it was sent.

    Raises:
        ShareError: another length.
    """
    if not is_last:
        return context.stream(sent, node, shape.size)
    if len(sent) != shape.size:
        raise ShareError(f"share: expected a correction of {shape.size} bytes, got {len(sent)}")
    return sent


def join_row(shares: Sequence[bytes], shape: RowShape) -> bytes:
    """Put the shares of all nodes together.

    Raises:
        ShareError: another length.
    """
    joined = _Sum(shape, bytes(shape.size))
    for share in shares:
        joined.add(share)
    return joined.encoded()


class _Sum:
    """A running sum of rows, in one place: values mod 2^64, bits by XOR."""

    def __init__(self, shape: RowShape, row: bytes) -> None:
        self._size, self._value_bytes = shape.size, shape.value_bytes
        self._check(row)
        self._sum = np.frombuffer(row, np.uint8).copy()
        self._values, self._bits = self._parts(self._sum)

    def add(self, row: bytes) -> None:
        self._check(row)
        values, bits = self._parts(np.frombuffer(row, np.uint8))
        self._values += values
        self._bits ^= bits

    def subtract(self, row: bytes) -> None:
        self._check(row)
        values, bits = self._parts(np.frombuffer(row, np.uint8))
        self._values -= values
        self._bits ^= bits

    def encoded(self) -> bytes:
        return self._sum.tobytes()

    def _parts(self, row: Bits) -> tuple[Words, Bits]:
        return row[: self._value_bytes].view(np.uint64), row[self._value_bytes :]

    def _check(self, row: bytes) -> None:
        if len(row) != self._size:
            raise ShareError(f"row: expected {self._size} bytes, got {len(row)}")


def join_output(shares: Sequence[bytes]) -> bytes:
    """XOR the output shares of all nodes.

    Raises:
        ShareError: their lengths differ, or there is none.
    """
    if len({len(share) for share in shares}) != 1:
        raise ShareError(f"output: expected shares of one length, got {sorted(len(share) for share in shares)}")
    joined: Bits = np.bitwise_xor.reduce([np.frombuffer(share, np.uint8) for share in shares])
    return joined.tobytes()
