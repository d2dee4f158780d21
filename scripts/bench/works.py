"""What `make bench ONLY=score-core` measures, as programs of the joint computation, with inputs and what must come out.

`score` and `max` are the work that other systems are measured on, too (scripts.bench.peers.work): a comparison and
nothing else, so they have a body of their own, made of gadgets. `score_model` and `max_model` are the same in the
scorecard language, which a query can ask: with values that may be missing, and a grade that is withheld if too few
companies know the subject. `scorecard` is a model, too: 8 attributes with 6 thresholds each, points, 6 cuts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol as Interface

import numpy as np

from mpcnode.mpc import (
    AllBits,
    Batch,
    Bits,
    Comparison,
    Correlation,
    Lanes,
    OutputMask,
    Party,
    Program,
    Protocol,
    Row,
    RowShape,
    compile_body,
    cut_batch,
    linear,
)
from mpcnode.scorecard import (
    Columns,
    Layout,
    PanelMember,
    compile_batch,
    evaluate_many,
    lay_out,
    output_size,
    parse,
    row_shapes,
)
from mpcnode.scorecard.ranges import comparison_bits
from mpcnode.types import MemberIndex
from scripts.bench.peers.work import (
    ATTRIBUTES,
    OWNERS,
    STEPS,
    VALUE_BITS,
    WEIGHTS,
    WORKS,
    Integers,
    expected,
    thresholds,
    values,
)

MODELS = Path(__file__).parent / "models"

BARE_RING = 32
"""Bits of the ring in which `score` and `max` share values: their comparisons have 30 and 21, and refuse a narrower."""


class Work(Interface):
    """A computation, its inputs, and what must come out."""

    def batch(self, parties: int, subjects: int) -> Batch:
        """Compile it."""
        ...

    def rows(self, subjects: range) -> list[bytes]:
        """What the participants say of these subjects, in panel order."""
        ...

    def outputs(self, subjects: range) -> bytes:
        """These subjects' outputs, computed in clear."""
        ...


@dataclass(frozen=True, kw_only=True)
class GradeBody:
    """Which of the thresholds a number reaches: a weighted sum of all values, or the largest of one value of each row.

    The largest reaches a threshold if any value does: so values are compared, and the bits found combined.
    """

    rows: tuple[RowShape, ...]
    weights: tuple[int, ...]
    """Of all rows' values in turn; none for the largest."""
    comparison: Comparison
    anyone: AllBits | None
    """For the largest: whether any of the rows' bits is set."""
    output: OutputMask

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """One-time randomness, in program order."""
        return (self.comparison, self.output) if self.anyone is None else (self.comparison, self.anyone, self.output)

    @property
    def output_bytes(self) -> int:
        """Bytes of one subject's output."""
        return -(-STEPS // 8)

    @cached_property
    def _lanes(self) -> Lanes:
        return Lanes(STEPS, self.comparison.subjects)

    def run(self, party: Party, rows: Sequence[Row]) -> Protocol[Bits]:
        """Run it; the result is an XOR share of the bits [number >= t], from the lowest threshold."""
        shares = np.concatenate([row.values for row in rows])
        numbers = shares if self.anyone else linear(party, self.weights, shares)[None]
        reached = yield from self.comparison.run(party, numbers)
        if self.anyone:
            lanes = self.comparison.lanes_out
            of_row = [lanes.pick(reached, range(STEPS * i, STEPS * (i + 1))) for i in range(len(rows))]
            reached = yield from self.anyone.any(party, np.stack(of_row))
        return self._lanes.join(self.output.mask(party, reached))

    def mask(self, party: Party) -> Bits:
        """An XOR share of what the output is masked with."""
        return self._lanes.join(self.output.mask(party, np.zeros(self._lanes.words, np.uint64)))


def _grade_program(work: str, parties: int, subjects: int) -> Program:
    numbers = 1 if work == "score" else OWNERS
    steps = thresholds(work)
    highest = (1 << VALUE_BITS) - 1
    if work == "score":
        highest *= sum(map(sum, WEIGHTS))
    words = Lanes(STEPS, subjects).words
    body = GradeBody(
        rows=(RowShape(ATTRIBUTES if work == "score" else 1, subjects, BARE_RING),) * OWNERS,
        weights=tuple(weight for of_owner in WEIGHTS for weight in of_owner),
        comparison=Comparison(
            label=work,
            bits=comparison_bits(max(steps[-1], highest - steps[0])),
            values=numbers,
            of=tuple(number for number in range(numbers) for _ in steps),
            thresholds=steps * numbers,
            subjects=subjects,
        ),
        anyone=None if work == "score" else AllBits(label="anyone", inputs=numbers, words=words),
        output=OutputMask(label="output", words=words),
    )
    return compile_body(body, parties)


@dataclass(frozen=True)
class GradeWork:
    """`score` or `max`."""

    name: str
    subjects: int

    @cached_property
    def _known(self) -> Integers:
        return values(self.subjects)

    def batch(self, parties: int, subjects: int) -> Batch:
        """See `Work`."""
        return cut_batch(partial(_grade_program, self.name, parties), subjects)

    def rows(self, subjects: range) -> list[bytes]:
        """See `Work`."""
        of = self._known[:, :, subjects.start : subjects.stop]
        return [_row(part if self.name == "score" else part[:1], BARE_RING) for part in of]

    def outputs(self, subjects: range) -> bytes:
        """See `Work`."""
        grades = expected(self.name, self._known[:, :, subjects.start : subjects.stop])
        return bytes(((1 << grades) - 1).astype(np.uint8))


@dataclass(frozen=True)
class ModelWork:
    """A model of `models`: all participants know every subject, and every value of it."""

    name: str
    """Of its file."""
    subjects: int

    @cached_property
    def layout(self) -> Layout:
        """The model, and a panel of one participant for each of its classes."""
        model = parse((MODELS / f"{self.name}.toml").read_bytes())
        seats = [PanelMember(member=MemberIndex(i), classes=frozenset((name,))) for i, name in enumerate(model.classes)]
        return lay_out(model, seats)

    @cached_property
    def _known(self) -> Integers:
        return values(self.subjects)

    def batch(self, parties: int, subjects: int) -> Batch:
        """See `Work`."""
        return compile_batch(self.layout, parties, subjects)

    def _columns(self, subjects: range) -> dict[MemberIndex, Columns]:
        of = self._known[:, :, subjects.start : subjects.stop]
        return {
            seated.member: Columns(
                known=np.ones(len(subjects), bool),
                present=np.ones((len(row), len(subjects)), bool),
                values=part[: len(row)],
            )
            for seated, row, part in zip(self.layout.members, self.layout.rows, of, strict=True)
        }

    def rows(self, subjects: range) -> list[bytes]:
        """See `Work`."""
        ring = row_shapes(self.layout)[0].ring
        return [_row(columns.values, ring) for columns in self._columns(subjects).values()]

    def outputs(self, subjects: range) -> bytes:
        """See `Work`."""
        cuts = len(self.layout.model.cuts)
        found = evaluate_many(self.layout, self._columns(subjects), len(subjects))
        reached = (1 << (cuts - found.grade_index)) - 1, (1 << found.coverage_band) - 1
        bits = found.sufficient * (1 | reached[0] << 1 | reached[1] << 1 + cuts)
        return (
            bits.astype("<u8").view(np.uint8).reshape(len(subjects), -1)[:, : output_size(self.layout.model)].tobytes()
        )


def _row(known: Integers, ring: int) -> bytes:
    """A participant's row of N subjects, nothing missing."""
    count, subjects = known.shape
    present = np.ones((count + 1, subjects), np.uint8)
    return RowShape(count, subjects, ring).encode(Row(known.view(np.uint64), present))


def make(name: str, subjects: int) -> Work:
    """Return a work of this name with inputs of so many subjects."""
    return GradeWork(name, subjects) if name in WORKS else ModelWork(name.removesuffix("_model"), subjects)
