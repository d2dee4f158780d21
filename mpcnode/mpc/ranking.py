"""Which of a few shared integers are the largest: reason codes, as a set without an order.

All pairs are compared in one batch; rank_i is the number of items that item i beats, of equal ones the first wins, so
the ranks are 0, 1, ... in some order. An item is in the top set if its rank is at least items - top and its value is
positive. Nothing but the set's bits can be opened: neither ranks nor values nor an order within the set.

Rounds: those of the comparison in k bits, 1, those of a comparison of ranks, and 1. Bytes to each other node for a
subject: items · (items + 1) / 2 comparisons in k bits, a bit for each pair, a comparison for each rank, and 2 bits for
each item. Right if all |x_i - x_j| and |x_i - 1| < 2^(k-1). Private since it consists of private parts, each with masks
of its own. (Ranks by comparison of all pairs: folklore.)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpcnode.mpc.bits import AndBits, BitsToIntegers
from mpcnode.mpc.comparison import Comparison
from mpcnode.mpc.correlations import Correlation
from mpcnode.mpc.extreme import Pairs
from mpcnode.mpc.openings import Protocol, parallel
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import Words


@dataclass(frozen=True, kw_only=True)
class TopSet:
    """The `top` largest positive ones of `items` shared integers [items, N]."""

    label: str
    items: int
    """2 or more."""
    top: int
    """1 to items."""
    subjects: int
    bits: int = 64
    """k, 2 to 64."""

    @cached_property
    def pairs(self) -> Pairs:
        """All comparisons of two items."""
        return Pairs(label=f"{self.label}.pairs", items=self.items, subjects=self.subjects, bits=self.bits)

    @cached_property
    def positive(self) -> Comparison:
        """Of each item with 1."""
        return self._each("positive", self.bits, 1)

    @cached_property
    def integers(self) -> BitsToIntegers:
        """The bits of the pairs as integers."""
        items = len(self.pairs.pairs)
        return BitsToIntegers(label=f"{self.label}.integers", items=items, subjects=self.subjects, ring=16)

    @cached_property
    def ranks(self) -> Comparison:
        """Of each rank with the least one of the set."""
        return self._each("ranks", self.items.bit_length() + 1, self.items - self.top)

    @cached_property
    def both(self) -> AndBits:
        """High and positive."""
        return AndBits(label=f"{self.label}.both", words=self.ranks.lanes_out.words)

    def _each(self, name: str, bits: int, threshold: int) -> Comparison:
        every, label = tuple(range(self.items)), f"{self.label}.{name}"
        thresholds = (threshold,) * self.items
        return Comparison(
            label=label, bits=bits, values=self.items, of=every, thresholds=thresholds, subjects=self.subjects
        )

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """What is dealt for it."""
        return (self.pairs.comparison, self.positive, self.integers, self.ranks, self.both)

    def run(self, party: Party, shares: Words) -> Protocol[Words]:
        """Rank; XOR shares of "is in the set", a row of `Lanes(items, subjects)`."""
        won, positive = yield from parallel(self.pairs.run(party, shares), self.positive.run(party, shares))
        integers = yield from self.integers.run(party, self.integers.lanes.pack(won))
        ranks = self._ranks(party, integers.astype(np.uint64))
        high = yield from self.ranks.run(party, ranks)
        result = yield from self.both.run(party, high, positive)
        return result

    def _ranks(self, party: Party, won: Words) -> Words:
        """Additive shares of the ranks [items, N], from those of [x_i >= x_j] for every pair i < j; mod 2^16."""
        ranks = np.zeros((self.items, self.subjects), np.uint64)
        for bits, (low, high) in zip(won, self.pairs.pairs, strict=True):
            ranks[low] += bits
            ranks[high] += np.uint64(party.is_first) - bits
        return ranks
