"""Ratios and weighted means against public thresholds, without a division: a/b >= p/q if and only if qa - pb >= 0.

Rounds: those of a comparison; a mean needs one more, in which absent values become 0. Bytes to each other node for a
subject: those of one comparison with one threshold for every threshold; for a mean also ceil(k/8) and a bit for each
value. Right if b >= 0, q > 0 and every |qa - pb| < 2^(k-1); with b = 0, hence a = 0, every threshold counts as reached,
so gate the result by a count. Private since it consists of private parts, each with masks of its own. (Folklore; the
point is that division, the dearest gadget of all, is never needed to decide.)
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from mpcnode.mpc.arithmetic import BitTimesValue
from mpcnode.mpc.comparison import Comparison
from mpcnode.mpc.correlations import Correlation
from mpcnode.mpc.linear import linear
from mpcnode.mpc.openings import Protocol
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import Words


@dataclass(frozen=True, kw_only=True)
class RatioComparison:
    """[a/b >= t] for shared a and b >= 0 and each public t."""

    label: str
    thresholds: tuple[Fraction, ...]
    subjects: int
    bits: int = 64
    """k, 2 to 64."""

    @cached_property
    def comparison(self) -> Comparison:
        """Of each qa - pb with 0."""
        count = len(self.thresholds)
        of, zeros = tuple(range(count)), (0,) * count
        return Comparison(
            label=self.label, bits=self.bits, values=count, of=of, thresholds=zeros, subjects=self.subjects
        )

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """What is dealt for it."""
        return (self.comparison,)

    def run(self, party: Party, numerator: Words, denominator: Words) -> Protocol[Words]:
        """Compare additive shares [N] of a and b; XOR shares, a row of `comparison.lanes_out`."""
        both = np.stack([numerator, denominator])
        sides = [linear(party, (t.denominator, -t.numerator), both) for t in self.thresholds]
        result = yield from self.comparison.run(party, np.stack(sides))
        return result


@dataclass(frozen=True, kw_only=True)
class MeanComparison:
    """[sum(w v p) / sum(w p) >= t] for shared values v, shared presence bits p, public weights w >= 0 and each t."""

    label: str
    weights: tuple[int, ...]
    thresholds: tuple[Fraction, ...]
    subjects: int
    bits: int = 64
    """k, 2 to 64."""

    @cached_property
    def present(self) -> BitTimesValue:
        """The products of presence and value."""
        items = len(self.weights)
        return BitTimesValue(label=f"{self.label}.present", items=items, subjects=self.subjects, bits=self.bits)

    @cached_property
    def ratio(self) -> RatioComparison:
        """Of the two sums."""
        label = f"{self.label}.ratio"
        return RatioComparison(label=label, thresholds=self.thresholds, subjects=self.subjects, bits=self.bits)

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """What is dealt for it."""
        return (self.present, *self.ratio.correlations)

    def run(self, party: Party, presence: Words, values: Words) -> Protocol[Words]:
        """Compare: XOR shares of p, a row of `present.lanes`, and additive shares of v [items, N].

        Returns:
            XOR shares, a row of `ratio.comparison.lanes_out`.
        """
        counted, products = yield from self.present.run(party, presence, values)
        numerator, denominator = linear(party, self.weights, products), linear(party, self.weights, counted)
        result = yield from self.ratio.run(party, numerator, denominator)
        return result
