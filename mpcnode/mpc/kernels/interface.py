"""What a set of kernels is: the loops in which a joint computation spends its time.

Shapes: W words of 64 bits hold one bit of each of 64·W subjects; V values, T thresholds of which the i-th is about
value `of[i]`, B blocks of `width` bits. Arrays may be read-only and need not be contiguous; results are new arrays.
Every set gives the same bits for the same arguments, so nodes with different ones compute together.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
"""Unsigned 64-bit integers: ring elements, or 64 bits each."""

Bits = NDArray[np.uint8]
"""One bit in each byte, or 8."""

Integers = NDArray[np.unsignedinteger[Any]]
"""Shares mod 2^16, 2^32 or 2^64."""

Places = NDArray[np.int64]
"""Indices."""

FULL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
"""64 ones."""

ZERO = np.uint64(0)


class Kernels(Protocol):
    """One implementation of all of them."""

    @property
    def name(self) -> str:
        """As it is chosen and reported: numpy or numba."""
        ...

    def slice_bits(self, values: Words, bits: int) -> Words:
        """Turn integers [64·W] into rows of bits [bits, W], row i holding bit i of every value; for 1 to 64 bits."""
        ...

    def join_bits(self, rows: Words) -> Bits:
        """Turn rows of bits [items, W] into bytes [64·W, items/8 rounded up]: those of one subject side by side.

        Item i is bit i mod 8, from the lowest, of byte i/8; bits without an item are 0.
        """
        ...

    def subtract_public(self, rows: Words, of: Places, thresholds: Words, size: int) -> Words:
        """Subtract public thresholds from sliced values, and invert.

        Args:
            rows: bits of x mod 2^k, the lowest first [k, V, W].
            of: for each threshold the value it is about [T].
            thresholds: t mod 2^64 [T].
            size: rows of the result, k or more.

        Returns:
            Bits of x - t mod 2^k, each inverted [size, T, W]; ones in the rows from k on.
        """
        ...

    def fold_leaf(self, table: Words, inverted: Words, of: Places) -> tuple[Words, Words]:
        """Compare blocks of a shared number r with those of public numbers c, given all products of a block's bits.

        Args:
            table: shares of the products of the bits of r, by block and set of bits [B, 2^width, V, W].
            inverted: bits of c, each inverted [B, width, T, W].
            of: for each c the r it is compared with [T].

        Returns:
            Shares of [r_b > c_b] and of [r_b = c_b], [B, T, W] each.
        """
        ...

    def combine_wires(
        self, opened: Words, greater_mask: Words, table: Words, products: Words, *, is_last: bool
    ) -> tuple[Words, Words]:
        """Combine the wires of groups of blocks lexicographically: F = g_f + p_f g_(f-1) + ..., P = p_f p_(f-1) ...

        Args:
            opened: wires under their masks [G, f + e, W]: g ^ a of every wire, the lowest first, then p ^ b; e = f, but
                f - 1 if `is_last`, without the lowest p, which F does not need.
            greater_mask: shares of the masks a [G, f, W].
            table: shares of the products of the masks b, by set [G, 2^e, W].
            products: shares of the products of each a with those b's above it, by set but the empty one
                [G, 2^f - 1 - f, W].
            is_last: whether P is not wanted.

        Returns:
            Shares of F and of P [G, W]; of P any if `is_last`.
        """
        ...

    def flip(self, opened: Words, stride: int, integers: Integers, *, is_first: bool) -> Integers:
        """Turn shares of masking bits d into shares of u = e + (1 - 2e) d, with e = u ^ d opened.

        Args:
            opened: bits e; that of (item, subject) is bit item·stride + subject of the words.
            stride: bits from one item to the next.
            integers: shares of d as integers [items, subjects].
            is_first: whether this share takes the public e.
        """
        ...

    def weigh(self, weights: Integers, shares: Integers) -> Integers:
        """Sum up weights [items] times shares [items, subjects], of one type; the result is [subjects]."""
        ...
