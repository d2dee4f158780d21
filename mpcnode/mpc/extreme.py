"""Largest or least of shared integers, and which one it is.

All pairs are compared in one batch: beats(i, j) = [x_i - x_j >= 0] for i < j, its complement the other way round, so
of equal values the first wins. Exactly one value beats all others; its bit is multiplied with it, and the products' sum
is the result. The least is the largest of the negatives.

Rounds: those of the comparison, of an AND of items - 1 bits, and 1. Bytes to each other node for a subject: those of
items · (items - 1) / 2 comparisons in k bits, of `items` such ANDs, and of `items` products. Right if all |x_i - x_j| <
2^(k-1). Private since it consists of private parts, each with masks of its own. (Choice by comparison of all pairs:
folklore.)
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from mpcnode.mpc.arithmetic import BitTimesValue
from mpcnode.mpc.comparison import Comparison
from mpcnode.mpc.conjunction import AllBits
from mpcnode.mpc.correlations import Correlation
from mpcnode.mpc.openings import Protocol
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import Bits, Words


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Every two of `items` shared integers compared: who beats whom, a strict order even of equal values."""

    label: str
    items: int
    """2 or more."""
    subjects: int
    bits: int
    """k, 2 to 64."""

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The two items of each pair, the lower first."""
        return tuple(combinations(range(self.items), 2))

    @cached_property
    def comparison(self) -> Comparison:
        """Of each difference with 0."""
        count = len(self.pairs)
        of, zeros = tuple(range(count)), (0,) * count
        return Comparison(
            label=self.label, bits=self.bits, values=count, of=of, thresholds=zeros, subjects=self.subjects
        )

    def run(self, party: Party, shares: Words) -> Protocol[Bits]:
        """Compare shares [items, N]; XOR shares of [x_i >= x_j] for every pair, a bit in each byte [pairs, N]."""
        low, high = np.array(self.pairs).T
        found = yield from self.comparison.run(party, shares[low] - shares[high])
        return self.comparison.lanes_out.unpack(found)

    def losses(self, party: Party, won: Bits) -> Bits:
        """XOR shares of "j beats i" for every i and every other j [items, items - 1, N], from what `run` found."""
        lost = won ^ np.uint8(party.is_first)
        by_pair = {pair: place for place, pair in enumerate(self.pairs)}
        places = [
            [by_pair[i, j] if i < j else len(self.pairs) + by_pair[j, i] for j in range(self.items) if j != i]
            for i in range(self.items)
        ]
        losses: Bits = np.concatenate([lost, won])[np.array(places)]
        return losses


@dataclass(frozen=True, kw_only=True)
class Extreme:
    """The largest, or the least, of `items` shared integers [items, N]."""

    label: str
    items: int
    """2 or more."""
    subjects: int
    bits: int = 64
    """k, 2 to 64; the result is right mod 2^64 even so."""
    least: bool = False

    @cached_property
    def pairs(self) -> Pairs:
        """All comparisons."""
        return Pairs(label=f"{self.label}.pairs", items=self.items, subjects=self.subjects, bits=self.bits)

    @cached_property
    def unbeaten(self) -> AllBits:
        """Whether an item loses to none."""
        return AllBits(label=f"{self.label}.unbeaten", inputs=self.items - 1, words=self.choice.lanes.words)

    @cached_property
    def choice(self) -> BitTimesValue:
        """The winner's value."""
        return BitTimesValue(label=f"{self.label}.choice", items=self.items, subjects=self.subjects)

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """What is dealt for it."""
        return (self.pairs.comparison, self.unbeaten, self.choice)

    def run(self, party: Party, shares: Words) -> Protocol[tuple[Words, Words]]:
        """Choose; additive shares of the result [N], and XOR shares of whose it is, a row of `choice.lanes`."""
        values = -shares if self.least else shares
        won = yield from self.pairs.run(party, values)
        wins = self.pairs.losses(party, won).swapaxes(0, 1) ^ np.uint8(party.is_first)
        winner = yield from self.unbeaten.all(party, self.choice.lanes.pack(wins))
        _, products = yield from self.choice.run(party, winner, shares)
        return products.sum(axis=0, dtype=np.uint64), winner
