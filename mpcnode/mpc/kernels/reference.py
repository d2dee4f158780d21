"""Kernels in numpy: the definition of what all kernels compute, and what runs where numba is not installed.

What thresholds of one value share is not copied for each of them: copies cost more than the arithmetic.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from mpcnode.mpc.kernels.interface import FULL, ZERO, Bits, Integers, Places, Words

_WORD_BITS = 64
# masks and shifts that transpose an 8x8 bit matrix held in one word (Warren, Hacker's Delight, section 7-3)
_SWAPS = tuple(
    (np.uint64(shift), np.uint64(mask))
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0))
)


class Reference:
    """Kernels in numpy."""

    name = "numpy"

    def slice_bits(self, values: Words, bits: int) -> Words:
        """Turn integers into rows of bits."""
        words = len(values) // _WORD_BITS
        size = -(-bits // 8)
        by_byte = np.ascontiguousarray(np.ascontiguousarray(values).view(np.uint8).reshape(-1, 8)[:, :size].T)
        matrices = _transposed(by_byte.view(np.uint64))  # each word: one byte of eight neighbouring values
        rows = matrices.view(np.uint8).reshape(size, 8 * words, 8).transpose(0, 2, 1)
        return np.ascontiguousarray(rows).view(np.uint64).reshape(8 * size, words)[:bits]

    def join_bits(self, rows: Words) -> Bits:
        """Turn rows of bits into bytes."""
        items, words = rows.shape
        size = -(-items // 8)
        padded = np.zeros((8 * size, words), np.uint64)
        padded[:items] = rows
        by_subject = padded.view(np.uint8).reshape(size, 8, 8 * words).transpose(0, 2, 1)
        matrices = _transposed(np.ascontiguousarray(by_subject).view(np.uint64).reshape(-1))
        return np.ascontiguousarray(matrices.view(np.uint8).reshape(size, _WORD_BITS * words).T)

    def subtract_public(self, rows: Words, of: Places, thresholds: Words, size: int) -> Words:
        """Subtract public thresholds, and invert: not (x - t) = not x + t."""
        bits, _, words = rows.shape
        result = np.empty((size, len(of), words), np.uint64)
        result[bits:] = FULL
        sums = result[:bits]
        # of not x and t that differ in a bit, the carry goes on; of equal ones it is what they are
        thresholds_sliced = np.where(
            thresholds[None] >> np.arange(bits, dtype=np.uint64)[:, None] & np.uint64(1), FULL, ZERO
        )
        np.bitwise_xor(rows[:, of], ~thresholds_sliced[:, :, None], out=sums)
        carry = np.zeros((len(of), words), np.uint64)
        passed = np.empty_like(carry)
        for i, t in enumerate(thresholds_sliced[:, :, None]):
            np.bitwise_xor(carry, t, out=passed)
            passed &= sums[i]
            passed ^= t
            sums[i] ^= carry
            carry, passed = passed, carry
        return result

    def fold_leaf(self, table: Words, inverted: Words, of: Places) -> tuple[Words, Words]:
        """Fold the bits of every block, the lowest first."""
        blocks, _, count, words = inverted.shape
        if np.array_equal(of, np.arange(table.shape[2])):
            return _fold(table, inverted)
        greater = np.empty((blocks, count, words), np.uint64)
        equal = np.empty_like(greater)
        for start, end in _runs(of):
            shared = table[:, :, of[start] : of[start] + 1]
            greater[:, start:end], equal[:, start:end] = _fold(shared, inverted[:, :, start:end])
        return greater, equal

    def combine_wires(
        self, opened: Words, greater_mask: Words, table: Words, products: Words, *, is_last: bool
    ) -> tuple[Words, Words]:
        """Fold the wires of every group, the lowest first."""
        fan = greater_mask.shape[1]
        unused = int(is_last)
        above = table if is_last else table[:, 0::2]
        total = product = table
        at = 0
        for i in range(fan):
            # places: sets of wires above i; total holds those of the wires up to i - 1
            found = opened[:, i : i + 1] & above
            found[:, 0] ^= greater_mask[:, i]
            found[:, 1:] ^= products[:, at : at + above.shape[1] - 1]
            at += above.shape[1] - 1
            if i:
                found ^= total[:, 1::2]
            if i >= unused:
                p_i = opened[:, fan + i - unused, None]
                if i:
                    found ^= p_i & total[:, 0::2]
                if not is_last:
                    product = product[:, 1::2] ^ (p_i & product[:, 0::2])
            total = found
            above = above[:, 0::2]
        return total[:, 0], product[:, 0]

    def flip(self, opened: Words, stride: int, integers: Integers, *, is_first: bool) -> Integers:
        """Change the sign of the shares where e is 1, and add it."""
        items, subjects = integers.shape
        ring = integers.dtype.type
        flat = np.unpackbits(np.ascontiguousarray(opened).view(np.uint8), bitorder="little", count=items * stride)
        e = flat.reshape(items, stride)[:, :subjects].astype(ring)
        shares: Integers = integers ^ (ring(0) - e)  # -d = (d ^ -1) + 1
        shares += e << ring(1) if is_first else e
        return shares

    def weigh(self, weights: Integers, shares: Integers) -> Integers:
        """Sum up weights times shares."""
        total: Integers = np.einsum("i,in->n", weights, shares)
        return total


def _transposed(matrices: Words) -> Words:
    """Transpose 8x8 bit matrices, one in each word."""
    for shift, mask in _SWAPS:
        swap = (matrices ^ (matrices >> shift)) & mask
        matrices = matrices ^ swap ^ (swap << shift)
    return matrices


def _runs(of: Places) -> Iterator[tuple[int, int]]:
    """Where stretches of equal neighbours begin and end."""
    starts = [0, *(np.flatnonzero(np.diff(of)) + 1).tolist(), len(of)]
    yield from pairwise(starts)


def _fold(products: Words, inverted: Words) -> tuple[Words, Words]:
    """Fold blocks: products [B, 2^width, V, W] with V = T or 1, inverted bits [B, width, T, W]."""
    not_c = inverted[:, :1]
    greater = not_c & products[:, 1::2]
    equal = not_c & products[:, 0::2]
    equal ^= products[:, 1::2]
    for i in range(1, inverted.shape[1]):
        not_c = inverted[:, i : i + 1]
        products = products[:, 0::2]
        # even places: sets of higher bits without this one, odd ones: with it
        folded = products[:, 1::2] ^ greater[:, 0::2]
        folded &= not_c
        folded ^= greater[:, 1::2]
        greater = folded
        folded = equal[:, 0::2] & not_c
        folded ^= equal[:, 1::2]
        equal = folded
    return greater[:, 0], equal[:, 0]
