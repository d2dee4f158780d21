"""What a committee computes of one model for one panel: a score, compared with the grades, if enough know the subject.

With bins, six rounds; seven if scores need more than 17 bits: (1) open the masked values, and turn presence and *known*
bits into integers; (2, 3) compare values with the bins' starts, and the count of contributors with the model's minimum
and bands; (4) turn the bits found into integers; (5, 6) compare the score with the grades. If attributes earn their
values, one more: the gate, below. If all do, the score is a linear form of what is shared and compared at once: four
rounds, the gate's included; five if a missing value earns anything and scores need more than 17 bits.

A multiplication that one might expect is not there: a missing value is 0, so its points are those of 0, a public
number, and the presence bit corrects them linearly.

An insufficient query says nothing whatever its contributors share, those that break the rules included:

- *Points only.* The score is a sum over bits and bounded for all values of them. So *offset*, a public number larger
  than its distance from the lowest cut, is subtracted times the *insufficient* bit, and no grade is reached. It costs
  no round.
- *Values.* They are any numbers of their ring, so the score is; no offset is large enough, since a contributor can
  share its value with the offset added. So each grade bit is multiplied by the *sufficient* bit: 0 whatever the
  comparison found, which says nothing anyhow of a score out of range. The *sufficient* bit rests on the count of
  *known* bits, at most 128, whatever they are.

Values are shared mod 2^32 where no comparison that they enter opens more bits, else mod 2^64 (`Ranges.row_bits`). The
score is computed in the ring of the values that it is a form of, so that `grades` sees in which it is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpcnode.mpc import (
    AndBits,
    Array,
    Bits,
    BitsToIntegers,
    Comparison,
    Correlation,
    Lanes,
    OutputMask,
    Party,
    Protocol,
    Row,
    RowShape,
    Words,
    ZeroShares,
    linear,
    parallel,
    weighted,
)
from mpcnode.scorecard.panel import Source

_WORD_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Binned:
    """The attributes with bins that are supplied: compared with T thresholds, at each of which the score changes."""

    sources: tuple[Source, ...]
    steps: tuple[int, ...]
    """Weighted change of the score at each threshold of `values`."""
    values: Comparison
    points: BitsToIntegers
    """The bits that `values` finds."""

    def run(self, party: Party, rows: Sequence[Row]) -> Protocol[Array]:
        """Compare the values; what the bits found add to the score [N], in the ring of `points`."""
        values = np.stack([rows[source.seat].values[source.slot] for source in self.sources])
        reached = yield from self.values.run(party, values)
        points = yield from self.points.run(party, reached)
        return weighted(self.steps, points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """Withhold the grade of an insufficient query by its score, which is bounded for whatever is shared."""

    amount: int
    """Subtracted from the score: then it reaches no grade but the last."""
    sufficient: BitsToIntegers

    def run(self, party: Party, sufficient: Words) -> Protocol[Array]:
        """Shares [N] of amount times the *sufficient* bit."""
        integers = yield from self.sufficient.run(party, sufficient)
        return weighted((self.amount,), integers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorecardBody:
    """The computation of one model for one panel; A presence bits matter, K contributors are counted."""

    rows: tuple[RowShape, ...]
    factors: tuple[tuple[int, ...], ...]
    """By row, what each of its values is multiplied with in the score; 0 for one with bins."""
    binned: Binned | None
    """None if no supplied attribute has bins."""
    constant: int
    """Score if all values are 0 and below every bin's start, and nothing is missing but what nobody supplies."""
    asked: tuple[Source, ...]
    """Of the attributes whose presence bits matter: with bins, or with a value and something earned without one."""
    absences: tuple[int, ...]
    """Weighted change of the score if such an attribute's value, which is then 0, is missing."""
    counted: tuple[int, ...]
    """Seats of the contributors that count for coverage."""
    flags: BitsToIntegers
    """Presence of the A values, then *known* of the K contributors."""
    coverage: Comparison
    """Count of contributors with minimum_coverage, then with each band."""
    withheld: Offset | AndBits
    """By the offset, or each grade bit by an AND: what an insufficient query does not say."""
    grades: Comparison
    output: OutputMask | ZeroShares

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """One-time randomness, in program order."""
        items: list[Correlation] = []
        if self.binned:
            items.append(self.binned.values)
        items += (self.flags, self.coverage)
        if isinstance(self.withheld, Offset):
            items.append(self.withheld.sufficient)
        if self.binned:
            items.append(self.binned.points)
        items.append(self.grades)
        if isinstance(self.withheld, AndBits):
            items.append(self.withheld)
        return (*items, self.output)

    @property
    def output_bytes(self) -> int:
        """Bytes of one subject's output."""
        return -(-self._output_lanes.items // 8)

    @property
    def _output_lanes(self) -> Lanes:
        return Lanes(len(self.coverage.thresholds) + len(self.grades.thresholds), self.grades.subjects)

    def run(self, party: Party, rows: Sequence[Row]) -> Protocol[Bits]:
        """Run the program; the result is an XOR share of the output, docs/protocol.md 3.1."""
        score = self._base(party, rows)
        if self.binned:
            points, (corrections, coverage) = yield from parallel(
                self.binned.run(party, rows), self._corrections(party, rows)
            )
            score += (points + corrections).astype(score.dtype)
            grades = yield from self.grades.run(party, score)
        elif self.asked:
            presence, count = yield from self._integers(party, rows)
            score -= weighted(self.absences, presence).astype(score.dtype)
            grades, coverage = yield from parallel(self.grades.run(party, score), self.coverage.run(party, count))
        else:
            grades, coverage = yield from parallel(self.grades.run(party, score), self._coverage(party, rows))
        if isinstance(self.withheld, AndBits):
            sufficient = self.coverage.lanes_out.pick(coverage, [0] * len(self.grades.thresholds))
            grades = yield from self.withheld.run(party, grades, sufficient)
        return self._output(party, grades, coverage)

    def _base(self, party: Party, rows: Sequence[Row]) -> Array:
        """Shares [1, N] of what no round is needed for: the values that are earned, and the constant.

        In the ring of the values; mod 2^64 if none is earned.
        """
        constant = self.constant + sum(self.absences)
        if isinstance(self.withheld, Offset):
            constant -= self.withheld.amount
        earning = [(factors, row.values) for factors, row in zip(self.factors, rows, strict=True) if any(factors)]
        if not earning:
            return np.full((1, self.grades.subjects), constant & _WORD_MASK if party.is_first else 0, np.uint64)
        score = linear(party, *earning[0], constant)
        for factors, values in earning[1:]:
            score += weighted(factors, values)
        return score[None]

    def _corrections(self, party: Party, rows: Sequence[Row]) -> Protocol[tuple[Array, Words]]:
        """What bits add to the score, in the ring of `flags` [N], and the bits of `coverage`."""
        presence, count = yield from self._integers(party, rows)
        coverage = yield from self.coverage.run(party, count)
        corrections = -weighted(self.absences, presence)
        if isinstance(self.withheld, Offset):
            corrections += yield from self.withheld.run(party, self.coverage.lanes_out.pick(coverage, [0]))
        return corrections, coverage

    def _coverage(self, party: Party, rows: Sequence[Row]) -> Protocol[Words]:
        """Count contributors: the bits of `coverage`."""
        _, count = yield from self._integers(party, rows)
        coverage = yield from self.coverage.run(party, count)
        return coverage

    def _integers(self, party: Party, rows: Sequence[Row]) -> Protocol[tuple[Array, Words]]:
        """Turn bits into integers: presence [A, N], and the count of contributors [1, N]."""
        bits = [rows[source.seat].bits[1 + source.slot] for source in self.asked]
        bits += [rows[seat].bits[0] for seat in self.counted]
        flags = yield from self.flags.run(party, self.flags.lanes.pack(np.stack(bits)))
        presence, known = flags[: len(self.asked)], flags[len(self.asked) :]
        return presence, known.sum(axis=0, dtype=known.dtype).astype(np.uint64)[None]

    def _output(self, party: Party, grades: Words, coverage: Words) -> Bits:
        """Bytes [N, output_bytes]: the sufficient bit, grade bits by ascending cut, coverage bits by ascending band."""
        lanes = self.coverage.lanes_out
        if lanes.stride % 64 == 0:  # whole words for each item
            sufficient, bands = np.split(coverage, [lanes.stride // 64])
            return self._masked(party, np.concatenate([sufficient, grades, bands]))
        coverage_bits = lanes.unpack(coverage)
        bits = np.concatenate([coverage_bits[:1], self.grades.lanes_out.unpack(grades), coverage_bits[1:]])
        return self._masked(party, self._output_lanes.pack(bits))

    def mask(self, party: Party) -> Bits:
        """An XOR share of what the output is masked with, as bytes [N, output_bytes]."""
        return self._masked(party, np.zeros(self._output_lanes.words, np.uint64))

    def _masked(self, party: Party, row: Words) -> Bits:
        return self._output_lanes.join(self.output.mask(party, row))
