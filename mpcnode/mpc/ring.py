"""Integers mod 2^64 and bit-sliced bits, for N subjects at once.

A *word* row holds one bit of many (item, subject) pairs, 64 to a word; `Lanes` says which bit is whose. Everything is
little-endian.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpcnode.mpc import kernels
from mpcnode.mpc.kernels import FULL, ZERO, Bits, Words

__all__ = ["FULL", "RINGS", "ZERO", "Bits", "Lanes", "Words", "low_bits", "slice_bits"]

_Integer = TypeVar("_Integer", bound=np.unsignedinteger[Any])

RINGS: dict[int, type[np.unsignedinteger[Any]]] = {16: np.uint16, 32: np.uint32, 64: np.uint64}
"""Integer types by their width in bits."""

_WORD_BITS = 64


def low_bits(values: Words, bits: int) -> Words:
    """Reduce integers mod 2^bits, for 1 to 64 bits."""
    return values & np.uint64((1 << bits) - 1)


def slice_bits(values: Words, bits: int) -> Words:
    """Turn integers into rows of bits: uint64[64·W] becomes uint64[bits, W], row i holding bit i of every value."""
    return kernels.chosen().slice_bits(values, bits)


@dataclass(frozen=True, slots=True)
class Lanes:
    """Where the bit of an (item, subject) pair sits in a row of words.

    Fewer than 64 subjects are packed without gaps; more begin a new word for each item, so that items can be picked
    by whole words.
    """

    items: int
    subjects: int

    @property
    def stride(self) -> int:
        """Bits from one item to the next."""
        if self.subjects < _WORD_BITS:
            return self.subjects
        return -(-self.subjects // _WORD_BITS) * _WORD_BITS

    @property
    def words(self) -> int:
        """Words of a row."""
        return -(-self.items * self.stride // _WORD_BITS)

    def pack(self, bits: Bits) -> Words:
        """Pack bits [..., items, subjects] into rows [..., words]; unused bits are 0."""
        lead = bits.shape[:-2]
        padded = np.zeros((*lead, self.words * _WORD_BITS), np.uint8)
        used = padded[..., : self.items * self.stride].reshape(*lead, self.items, self.stride)
        used[..., : self.subjects] = bits
        return np.packbits(padded, axis=-1, bitorder="little").view(np.uint64)

    def unpack(self, rows: Words) -> Bits:
        """Unpack rows [..., words] into bits [..., items, subjects]."""
        flat = np.unpackbits(np.ascontiguousarray(rows).view(np.uint8), axis=-1, bitorder="little")
        used = flat[..., : self.items * self.stride].reshape(*rows.shape[:-1], self.items, self.stride)
        return used[..., : self.subjects]

    def join(self, row: Words) -> Bits:
        """Put the bits of each subject together, from a row [words]: bytes [subjects, items/8 rounded up].

        Item i is bit i mod 8, from the lowest, of byte i/8; bits without an item are 0.
        """
        if self.stride % _WORD_BITS:
            return np.packbits(self.unpack(row), axis=0, bitorder="little").T
        return kernels.chosen().join_bits(row.reshape(self.items, -1))[: self.subjects]

    def slice(self, values: Words, bits: int) -> Words:
        """Slice the low bits of integers [items, subjects] into rows [bits, words]."""
        return slice_bits(self.spread(values), bits)

    def spread(self, values: Words) -> Words:
        """Put integers [items, subjects] where their bits would be, zeros elsewhere: [64 · words]."""
        spread = np.zeros(self.words * _WORD_BITS, np.uint64)
        spread[: self.items * self.stride].reshape(self.items, self.stride)[:, : self.subjects] = values
        return spread

    def gather(self, spread: NDArray[_Integer]) -> NDArray[_Integer]:
        """Take integers from where `spread` puts them: [64 · words] becomes [items, subjects]."""
        return spread[: self.items * self.stride].reshape(self.items, self.stride)[:, : self.subjects]

    def pick(self, rows: Words, items: Sequence[int]) -> Words:
        """Take items, repeats allowed, out of rows [..., words]; the result has `Lanes(len(items), subjects)`."""
        taken = np.asarray(items)
        if self.stride % _WORD_BITS:
            return Lanes(len(items), self.subjects).pack(self.unpack(rows)[..., taken, :])
        by_item = rows.reshape(*rows.shape[:-1], self.items, self.stride // _WORD_BITS)
        return by_item[..., taken, :].reshape(*rows.shape[:-1], -1)
