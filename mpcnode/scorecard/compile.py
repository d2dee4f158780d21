"""From a model and a panel to the program that the committee runs.

Six rounds; seven if scores need more than 17 bits: (1) open the masked values, and turn presence and *known* bits into
integers; (2, 3) compare values with the bins' starts, and the count of contributors with the model's minimum and bands;
(4) turn the bits found into integers; (5, 6) compare the score with the grades.

Two multiplications that one might expect are not there. A missing value is 0, so its points are those of 0, a public
number, and the presence bit corrects them linearly. And an insufficient query's grade is withheld by subtracting a
public number, large enough for every possible score, times the *insufficient* bit: then no grade is reached.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpcnode.mpc import (
    CHUNK_SUBJECTS,
    WINDOW,
    Array,
    Batch,
    Bits,
    BitsToIntegers,
    Comparison,
    Correlation,
    Lanes,
    OutputMask,
    Party,
    Program,
    Protocol,
    Row,
    RowShape,
    Words,
    ZeroShares,
    compile_body,
    cut_batch,
    kernels,
    parallel,
)
from mpcnode.scorecard.model import Model
from mpcnode.scorecard.panel import Layout, Source
from mpcnode.scorecard.ranges import Ranges, analyse
from mpcnode.types import AuditMode


def compile_batch(
    layout: Layout,
    parties: int,
    subjects: int = 1,
    *,
    chunk_subjects: int = CHUNK_SUBJECTS,
    window: int = WINDOW,
) -> Batch:
    """Compile a model for a panel, a committee and any number of subjects: what a session runs.

    Args:
        layout: model and panel.
        parties: nodes of the committee, 2 or more.
        subjects: how many, all together.
        chunk_subjects: most subjects of a chunk, a power of two.
        window: chunks that a node runs at a time.

    Raises:
        ValueError: a number is out of range.
    """
    return cut_batch(
        lambda of_chunk: compile_model(layout, parties, of_chunk),
        subjects,
        chunk_subjects=chunk_subjects,
        window=window,
    )


def compile_model(layout: Layout, parties: int, subjects: int = 1) -> Program:
    """Compile a model for a panel, a committee and the subjects of one chunk.

    Args:
        layout: model and panel.
        parties: nodes of the committee, 2 or more.
        subjects: how many the chunk has.
    """
    ranges = analyse(layout.model)
    supplied = [
        (attribute, source) for attribute, source in zip(layout.model.attributes, layout.sources, strict=True) if source
    ]
    unsupplied = sum(
        attribute.weight * attribute.missing
        for attribute, source in zip(layout.model.attributes, layout.sources, strict=True)
        if source is None
    )
    counted = tuple(seat for seat, seated in enumerate(layout.members) if seated.counted)
    thresholds = tuple((place, t) for place, (attribute, _) in enumerate(supplied) for t in attribute.thresholds)
    body = ScorecardBody(
        rows=tuple(RowShape(len(row), subjects) for row in layout.rows),
        sources=tuple(source for _, source in supplied),
        counted=counted,
        constant=unsupplied + sum(attribute.weight * attribute.bins[0].points for attribute, _ in supplied),
        steps=tuple(attribute.weight * step for attribute, _ in supplied for step in attribute.steps),
        absences=tuple(a.weight * (a.missing - a.points_of(0)) for a, _ in supplied),
        insufficient_offset=ranges.insufficient_offset,
        values=Comparison(
            label="values",
            bits=ranges.value_bits,
            values=len(supplied),
            of=tuple(place for place, _ in thresholds),
            thresholds=tuple(t for _, t in thresholds),
            subjects=subjects,
        ),
        flags=_integers("flags", len(supplied) + len(counted), subjects, ranges),
        coverage=_comparison(
            "coverage",
            ranges.coverage_bits,
            (layout.model.minimum_coverage, *layout.model.coverage_bands),
            subjects,
        ),
        sufficient=_integers("sufficient", 1, subjects, ranges),
        points=_integers("points", len(thresholds), subjects, ranges),
        grades=_comparison("grades", ranges.score_bits, layout.model.cuts, subjects),
        output=_output(layout.model, subjects),
    )
    return compile_body(body, parties)


def _comparison(label: str, bits: int, thresholds: tuple[int, ...], subjects: int) -> Comparison:
    """Compare one value with all thresholds."""
    of = (0,) * len(thresholds)
    return Comparison(label=label, bits=bits, values=1, of=of, thresholds=thresholds, subjects=subjects)


def _integers(label: str, items: int, subjects: int, ranges: Ranges) -> BitsToIntegers:
    return BitsToIntegers(label=label, items=items, subjects=subjects, ring=ranges.ring_bits)


def _output(model: Model, subjects: int) -> OutputMask | ZeroShares:
    """What leaves the nodes: masked until the audit releases it, or re-randomised."""
    made = OutputMask if model.audit is AuditMode.BEFORE_RELEASE else ZeroShares
    return made(label="output", words=Lanes(1 + len(model.cuts) + len(model.coverage_bands), subjects).words)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorecardBody:
    """The computation of one model for one panel; A attributes are supplied, K contributors counted."""

    rows: tuple[RowShape, ...]
    sources: tuple[Source, ...]
    """Of the supplied attributes."""
    counted: tuple[int, ...]
    """Seats of the contributors that count for coverage."""
    constant: int
    """Score if all values are 0 and below every bin's start, and nothing is missing but what nobody supplies."""
    steps: tuple[int, ...]
    """Weighted change of the score at each threshold of `values`."""
    absences: tuple[int, ...]
    """Weighted change of the score if a supplied attribute's value, which is then 0, is missing."""
    insufficient_offset: int
    values: Comparison
    flags: BitsToIntegers
    """Presence of the A values, then *known* of the K contributors."""
    coverage: Comparison
    """Count of contributors with minimum_coverage, then with each band."""
    sufficient: BitsToIntegers
    points: BitsToIntegers
    """The bits that `values` finds."""
    grades: Comparison
    output: OutputMask | ZeroShares

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """One-time randomness, in program order."""
        return (self.values, self.flags, self.coverage, self.sufficient, self.points, self.grades, self.output)

    @property
    def output_bytes(self) -> int:
        """Bytes of one subject's output."""
        return -(-self._output_lanes.items // 8)

    @property
    def _output_lanes(self) -> Lanes:
        return Lanes(len(self.coverage.thresholds) + len(self.grades.thresholds), self.grades.subjects)

    def run(self, party: Party, rows: Sequence[Row]) -> Protocol[Bits]:
        """Run the program; the result is an XOR share of the output, docs/protocol.md 3.1."""
        points, flags = yield from parallel(self._points(party, rows), self._flags(party, rows))
        presence, coverage, sufficient = flags[0], flags[1], flags[2]
        score = self._score(party, points[0], presence, sufficient)
        grades = yield from self.grades.run(party, score)
        return self._output(party, grades, coverage)

    def _points(self, party: Party, rows: Sequence[Row]) -> Protocol[tuple[Any, ...]]:
        """Compare the values; the bits found as integers [T, N]."""
        values = np.stack([rows[source.seat].values[source.slot] for source in self.sources])
        reached = yield from self.values.run(party, values)
        points = yield from self.points.run(party, reached)
        return (points,)

    def _flags(self, party: Party, rows: Sequence[Row]) -> Protocol[tuple[Any, ...]]:
        """Turn bits into integers and count: presence [A, N], bits of `coverage` as a row, *sufficient* [N]."""
        bits = [rows[source.seat].bits[1 + source.slot] for source in self.sources]
        bits += [rows[seat].bits[0] for seat in self.counted]
        flags = yield from self.flags.run(party, self.flags.lanes.pack(np.stack(bits)))
        presence, known = flags[: len(self.sources)], flags[len(self.sources) :]
        count = known.sum(axis=0, dtype=known.dtype).astype(np.uint64)
        coverage = yield from self.coverage.run(party, count[None])
        sufficient = yield from self.sufficient.run(party, self.coverage.lanes_out.pick(coverage, [0]))
        return presence, coverage, sufficient[0]

    def _score(self, party: Party, points: Array, presence: Array, sufficient: Array) -> Words:
        """Additive shares of the score [1, N], less the offset if the query is insufficient."""
        ring = points.dtype.type
        score = _weighted(self.steps, points) - _weighted(self.absences, presence)
        score += _weighted((self.insufficient_offset,), sufficient[None])
        if party.is_first:
            constant = self.constant + sum(self.absences) - self.insufficient_offset
            score += np.array([constant & _mask(ring)], ring)
        return score.astype(np.uint64)[None]

    def _output(self, party: Party, grades: Words, coverage: Words) -> Bits:
        """Bytes [N, output_bytes]: the sufficient bit, grade bits by ascending cut, coverage bits by ascending band."""
        coverage_bits = self.coverage.lanes_out.unpack(coverage)
        bits = np.concatenate([coverage_bits[:1], self.grades.lanes_out.unpack(grades), coverage_bits[1:]])
        return self._masked(party, self._output_lanes.pack(bits))

    def mask(self, party: Party) -> Bits:
        """An XOR share of what the output is masked with, as bytes [N, output_bytes]."""
        return self._masked(party, np.zeros(self._output_lanes.words, np.uint64))

    def _masked(self, party: Party, row: Words) -> Bits:
        return self._output_lanes.join(self.output.mask(party, row))


def _mask(ring: type[np.unsignedinteger[Any]]) -> int:
    return (1 << (8 * np.dtype(ring).itemsize)) - 1


def _weighted(weights: tuple[int, ...], shares: Array) -> Array:
    """Sum of weights times shares [n, N], in the ring of the shares."""
    ring = shares.dtype.type
    factors = np.array([weight & _mask(ring) for weight in weights], ring)
    return kernels.chosen().weigh(factors, shares)
