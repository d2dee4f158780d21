"""Rows: what a participant shares with the committee, and the bytes in which it does (docs/protocol.md 4).

A row holds signed values, shared additively mod 2^64 or 2^32, and bits (*known*, then a presence bit for each value),
shared by XOR. With N subjects it holds each value, then each bit, for all of them; with one subject that is the
protocol's row.

Shares mod 2^32 take half the bytes, and they do where a program asks no more of a value than its residue mod 2^k, for
k <= 32. Reduction mod 2^32 is a ring homomorphism from Z to Z_2^32, and reduction mod 2^k one from there to Z_2^k, as
2^k divides 2^32. So a linear form of shares, computed mod 2^32 and reduced mod 2^k, gives shares mod 2^k of that form
of the values, whatever the shares are and however often sums wrap. The converse fails: shares mod 2^32 say nothing of
a value mod 2^64. So values keep their type, forms are computed in it, and a comparison refuses a type that is narrower
than what it opens. In clear a residue stands for the one signed number of its width, as two's complement has it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpcnode.errors import ShareError
from mpcnode.mpc.kernels import Integers
from mpcnode.mpc.prg import CHUNK_BYTES, SEED_BYTES, keystream
from mpcnode.mpc.ring import RINGS, Bits
from mpcnode.types import Attempt, MemberIndex, QueryId


@dataclass(frozen=True, slots=True)
class Row:
    """A row or a share of one, as numbers."""

    values: Integers = field(repr=False)
    """[values, subjects], in the ring that their type is: mod 2^32 or 2^64"""
    bits: Bits = field(repr=False)
    """[values + 1, subjects]; *known* first, then the presence of each value"""


@dataclass(frozen=True, slots=True)
class RowShape:
    """How many values of how many subjects a row holds, and in which ring. It follows from model and panel alone."""

    values: int
    subjects: int = 1
    ring: int = 64
    """Width of a value in bits, 32 or 64: they are shared mod 2^ring. Gadgets but linear forms, `Comparison` and
    `Equality` take 64."""

    @property
    def dtype(self) -> type[np.unsignedinteger[Any]]:
        """Type of the values."""
        return RINGS[self.ring]

    @property
    def value_bytes(self) -> int:
        """Bytes of the values."""
        return self.ring // 8 * self.values * self.subjects

    @property
    def bit_count(self) -> int:
        """Number of bits."""
        return (self.values + 1) * self.subjects

    @property
    def size(self) -> int:
        """Bytes of a row, and of each share of it."""
        return self.value_bytes + -(-self.bit_count // 8)

    def encode(self, row: Row) -> bytes:
        """Encode a row in clear, its values reduced to the ring; padding bits are 0."""
        data = np.empty(self.size, np.uint8)
        data[: self.value_bytes].view(self.dtype).reshape(self.values, self.subjects)[...] = row.values
        data[self.value_bytes :] = np.packbits(row.bits.reshape(-1), bitorder="little")
        return data.tobytes()

    def decode(self, data: bytes) -> Row:
        """Decode a row or a share, whose padding bits say nothing.

        Raises:
            ShareError: another length.
        """
        if len(data) != self.size:
            raise ShareError(f"row: expected {self.size} bytes, got {len(data)}")
        values = np.frombuffer(data, self.dtype, self.values * self.subjects).reshape(self.values, self.subjects)
        packed = np.frombuffer(data, np.uint8, offset=self.value_bytes)
        bits = np.unpackbits(packed, bitorder="little", count=self.bit_count)
        return Row(values, bits.reshape(self.values + 1, self.subjects))

    def zero(self) -> Row:
        """The row of an absent participant, and every node's share of it."""
        return Row(
            np.zeros((self.values, self.subjects), self.dtype), np.zeros((self.values + 1, self.subjects), np.uint8)
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
    """A running sum of rows, in one place: values in the shape's ring, bits by XOR."""

    def __init__(self, shape: RowShape, row: bytes) -> None:
        self._size, self._value_bytes, self._dtype = shape.size, shape.value_bytes, shape.dtype
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

    def _parts(self, row: Bits) -> tuple[Integers, Bits]:
        return row[: self._value_bytes].view(self._dtype), row[self._value_bytes :]

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
