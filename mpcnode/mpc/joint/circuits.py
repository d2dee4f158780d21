"""Circuits on shared bits that joint derivations are made of: a sum's bits, and products of sets of bits.

Both are XOR shares in, XOR shares out, and every AND is a bit triple's, so they are right and private as those are.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpcnode.mpc.bits import AndBits
from mpcnode.mpc.correlations import Correlation
from mpcnode.mpc.joint.scaling import BitTimesBits
from mpcnode.mpc.openings import Protocol
from mpcnode.mpc.products import several
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import Words


@dataclass(frozen=True, kw_only=True)
class SumBits:
    """The bits of a sum of numbers mod 2^k, each of them given by the shares of its bits.

    Three numbers become two, a sum and a carry, in one round (carry-save); the last two are added bit after bit
    (ripple-carry): parties - 2 + k - 1 rounds in all, one fewer for more than two numbers. ANDs: k - 1 for each number
    but one, the fewest there are, one fewer for more than two. (Both: folklore; carry = (x ^ z)(y ^ z) ^ z has one AND:
    Boyar, Peralta and Pochuev, 2000.)
    """

    label: str
    numbers: int
    """2 or more."""
    bits: int
    """k"""
    words: int
    """Of a row of bits."""

    @cached_property
    def saves(self) -> tuple[AndBits, ...]:
        """One for each number that carry-save adders take away."""
        count = self.numbers - 2 if self.bits > 1 else 0
        words = (self.bits - 1) * self.words
        return tuple(AndBits(label=f"{self.label}.save{i}", words=words) for i in range(count))

    @cached_property
    def carries(self) -> dict[int, AndBits]:
        """One for each bit that may carry; a carry-save adder's carry has no lowest bit."""
        lowest = 0 if self.numbers == 2 else 1
        return {i: AndBits(label=f"{self.label}.carry{i}", words=self.words) for i in range(lowest, self.bits - 1)}

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """What it needs."""
        return (*self.saves, *self.carries.values())

    def run(self, party: Party, numbers: Words) -> Protocol[Words]:
        """Add up numbers [numbers, k, W]; the result is [k, W]."""
        left = list(numbers)
        for save in self.saves:
            x, y, z = left[:3]
            carry = np.zeros_like(x)
            carry[1:] = yield from _carry(party, save, x[:-1], y[:-1], z[:-1])
            left = [*left[3:], x ^ y ^ z, carry]
        if self.bits == 1:
            total: Words = np.bitwise_xor.reduce(numbers)
            return total
        x, y = left
        carries = np.zeros_like(x)
        for i, triple in self.carries.items():
            carries[i + 1] = yield from _carry(party, triple, x[i], y[i], carries[i])
        added: Words = x ^ y ^ carries
        return added


def _carry(party: Party, triple: AndBits, x: Words, y: Words, z: Words) -> Protocol[Words]:
    """The bit that at least two of three are."""
    product = yield from triple.run(party, (x ^ z).reshape(-1), (y ^ z).reshape(-1))
    return product.reshape(x.shape) ^ z


@dataclass(frozen=True, kw_only=True)
class BitProducts:
    """Products of all sets of two and more bits of a group, for many groups.

    Each bit is multiplied with the products of those before it: a round for every bit but the first, and one multiple
    triple. (Folklore.)
    """

    label: str
    groups: int
    members: int
    words: int
    """Of a row of bits."""

    @cached_property
    def triples(self) -> tuple[BitTimesBits, ...]:
        """For every bit but the first."""
        words = self.groups * self.words
        return tuple(
            BitTimesBits(label=f"{self.label}.{i}", rows=(1 << i) - 1, words=words) for i in range(1, self.members)
        )

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """What it needs."""
        return self.triples

    def run(self, party: Party, rows: Words) -> Protocol[Words]:
        """Multiply bits [groups, members, W]; the result, [groups, sets, W], is ordered as `several` is."""
        table = np.zeros((self.groups, 1 << self.members, self.words), np.uint64)
        table[:, [1 << i for i in range(self.members)]] = rows
        for i, triple in enumerate(self.triples, start=1):
            known = table[:, 1 : 1 << i].swapaxes(0, 1).reshape(triple.rows, triple.words)
            product = yield from triple.run(party, rows[:, i].reshape(-1), known)
            found = product.reshape(triple.rows, self.groups, self.words).swapaxes(0, 1)
            table[:, (1 << i) + 1 : 2 << i] = found
        return table[:, several(self.members)]
