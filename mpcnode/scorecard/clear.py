"""The model evaluated in clear: what the joint computation must agree with bit for bit.

`evaluate` is the definition, in plain integers. `evaluate_many` is the same over columns of subjects.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpcnode.scorecard.model import Model
from mpcnode.scorecard.panel import Contribution, Layout
from mpcnode.types import MemberIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a query answers. An insufficient one says nothing else."""

    sufficient: bool
    """Whether enough participants know the subject."""
    grade: str | None = None
    grade_index: int | None = None
    """Place of the grade in the model, 0 is the best."""
    coverage_band: int | None = None
    """Number of the model's coverage bands that were reached."""
    score: int | None = field(default=None, compare=False, repr=False)
    """Internal: known to the clear evaluation only, never part of an answer."""


INSUFFICIENT = Outcome(sufficient=False)


def outcome_of(model: Model, *, score: int, coverage: int) -> Outcome:
    """Turn a score and a count of contributors into what may be said."""
    if coverage < model.minimum_coverage:
        return Outcome(sufficient=False, score=score)
    index = model.grade_index(score)
    return Outcome(
        sufficient=True,
        grade=model.grades[index].name,
        grade_index=index,
        coverage_band=model.coverage_band(coverage),
        score=score,
    )


def evaluate(layout: Layout, contributions: Mapping[MemberIndex, Contribution | None]) -> Outcome:
    """Evaluate a model for one subject.

    Args:
        layout: model and panel.
        contributions: by member; a participant that is None or not listed is absent: it knows nothing.
    """
    rows = [contributions.get(seated.member) for seated in layout.members]
    score = 0
    for attribute, source in zip(layout.model.attributes, layout.sources, strict=True):
        row = rows[source.seat] if source is not None else None
        value = row.values[source.slot] if row is not None and source is not None else None
        score += attribute.weight * attribute.points_of(value)
    coverage = sum(
        row is not None and row.known and seated.counted for seated, row in zip(layout.members, rows, strict=True)
    )
    return outcome_of(layout.model, score=score, coverage=coverage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What a participant says of N subjects; a values of its row."""

    known: NDArray[np.bool_] = field(repr=False)
    """[N]"""
    present: NDArray[np.bool_] = field(repr=False)
    """[a, N]; False wherever the subject is not known."""
    values: NDArray[np.signedinteger[Any]] = field(repr=False)
    """[a, N]; 0 wherever not present. Of 64 bits, or of 32 as a row of such values has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Outcomes of N subjects; `score` is internal, the others are meaningless where `sufficient` is False."""

    sufficient: NDArray[np.bool_]
    grade_index: NDArray[np.int64]
    coverage_band: NDArray[np.int64]
    score: NDArray[np.int64] = field(repr=False)

    def at(self, model: Model, subject: int) -> Outcome:
        """Outcome of one subject."""
        score = int(self.score[subject])
        if not self.sufficient[subject]:
            return Outcome(sufficient=False, score=score)
        index = int(self.grade_index[subject])
        return Outcome(
            sufficient=True,
            grade=model.grades[index].name,
            grade_index=index,
            coverage_band=int(self.coverage_band[subject]),
            score=score,
        )


def evaluate_many(layout: Layout, columns: Mapping[MemberIndex, Columns | None], subjects: int) -> Outcomes:
    """Evaluate a model for `subjects` subjects at once."""
    model = layout.model
    rows = [columns.get(seated.member) for seated in layout.members]
    score = np.zeros(subjects, np.int64)
    for attribute, source in zip(model.attributes, layout.sources, strict=True):
        row = rows[source.seat] if source is not None else None
        if row is None or source is None:
            score += attribute.weight * attribute.missing
            continue
        earned = row.values[source.slot].astype(np.int64, copy=False)
        if not attribute.earns_value:
            points = np.array([item.points for item in attribute.bins], np.int64)
            earned = points[np.searchsorted(np.array(attribute.thresholds), earned, side="right")]
        score += attribute.weight * np.where(row.present[source.slot], earned, attribute.missing)
    coverage = np.zeros(subjects, np.int64)
    for seated, row in zip(layout.members, rows, strict=True):
        if row is not None and seated.counted:
            coverage += row.known
    return Outcomes(
        sufficient=coverage >= model.minimum_coverage,
        grade_index=len(model.cuts) - np.searchsorted(np.array(model.cuts), score, side="right"),
        coverage_band=np.searchsorted(np.array(model.coverage_bands, np.int64), coverage, side="right"),
        score=score,
    )
