"""Blocks of a masked value's bits: compared with a public number without a round.

The dealer knows the mask r and shares all products of the bits of a block of r. Then g = [r_b > c_b] and
p = [r_b = c_b], for a public c, are sums of those products with public coefficients.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpcnode.mpc.correlations import Array, Field
from mpcnode.mpc.openings import Opening
from mpcnode.mpc.products import monomials, products, several
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import FULL, ZERO, Lanes, Words


@dataclass(frozen=True, kw_only=True)
class AgainstPublic:
    """Values that are opened under masks and compared with public numbers, block by block.

    The i-th comparison is of value `of[i]` with the i-th number.
    """

    label: str
    bits: int
    """k, 1 to 64."""
    values: int
    of: tuple[int, ...]
    subjects: int
    leaf: int = 4
    """Bits of a block."""
    fan: int = 4
    """Blocks or groups that a layer combines, 2 or more."""

    @cached_property
    def lanes_in(self) -> Lanes:
        """Where the bits of a value are."""
        return Lanes(self.values, self.subjects)

    @cached_property
    def lanes_out(self) -> Lanes:
        """Where the bits of a public number, and of what comes out, are."""
        return Lanes(len(self.of), self.subjects)

    def opening(self, shares: Array, mask: Array) -> Opening:
        """What is opened: shares [V, N], in the ring of their type, masked and mod 2^k.

        Raises:
            ValueError: that ring has fewer than k bits, so the shares do not say what the values are mod 2^k.
        """
        ring = 8 * shares.dtype.itemsize
        if ring < self.bits:
            raise ValueError(f"{self.label}: expected shares mod 2^{self.bits} or more, got shares mod 2^{ring}")
        return Opening(np.add(shares, mask, dtype=np.uint64), self.bits)


@dataclass(frozen=True, slots=True)
class Leaf:
    """The low `bits` bits of a number in blocks of `width`, padded with zeros at the top."""

    bits: int
    width: int
    blocks: int

    def field(self, words: int) -> Field:
        """The products of two and more bits of each block."""
        return Field("leaf", (self.blocks, len(several(self.width)), words))

    def derive(self, rows: Words) -> Words:
        """Compute that field from the bits of r; the dealer's part."""
        return products(self.arrange(rows))[:, several(self.width)]

    def shares(self, party: Party, rows: Words, dealt: Array) -> Words:
        """Shares of the products of all sets of a block's bits [blocks, 2^width, W]."""
        return monomials(party, self.arrange(rows), dealt)

    def inverted(self, rows: Words) -> Words:
        """The public number's bits, each inverted before, by block [blocks, width, W]."""
        return self.arrange(rows, FULL)

    def arrange(self, rows: Words, padding: np.uint64 = ZERO) -> Words:
        """Rows of bits by block [blocks, width, W], the lowest block first."""
        blocks = np.full((self.blocks * self.width, rows.shape[-1]), padding)
        blocks[: self.bits] = rows[: self.bits]
        return blocks.reshape(self.blocks, self.width, -1)


def fold_equal(products: Words, inverted: Words) -> Words:
    """Fold the bits of every block, the lowest first.

    Args:
        products: shares of the products of a block's bits [blocks, 2^width, W], by set of bits.
        inverted: the public number's bits, each inverted [blocks, width, W].

    Returns:
        Shares of [r_b = c_b], [blocks, W].
    """
    for i in range(inverted.shape[1]):
        products = products[:, 1::2] ^ (inverted[:, i : i + 1] & products[:, 0::2])
    return products[:, 0]
