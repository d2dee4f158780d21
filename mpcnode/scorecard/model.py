"""A scorecard model: what is asked of whom, how it becomes points, and what may leave the computation.

Everything is an integer. A value with `scale` s stands for value / 10^s in its unit; nothing here divides.
`mpcnode.scorecard.document` reads a model from a file, `mpcnode.scorecard.canonical` gives it its hash.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from mpcnode.types import AuditMode

ATTRIBUTES_MAX = 64
"""Attributes of one model."""

THRESHOLDS_MAX = 64
"""Bin boundaries of one attribute."""

GRADES_MAX = 32
"""Grades of one model, the floor included."""

COVERAGE_MAX = 128
"""Contributors that can be counted: the members of a consortium."""

PURPOSES_MAX = 16
"""Purposes of one model; the contract stores them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Values from `start` up to the next bin's start earn `points`."""

    start: int | None
    """Smallest value of the bin; None for the first bin, which starts at the attribute's minimum."""
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One fact about a subject, supplied by whoever supplies its data class."""

    name: str
    title: str
    data_class: str
    unit: str
    scale: int
    """Decimal places of a value."""
    minimum: int
    maximum: int
    weight: int
    """Factor of the points in the score, not 0; negative only if the attribute earns its value."""
    missing: int
    """Points where the value is not known."""
    bins: tuple[Bin, ...]
    """Two or more, or none: then the attribute earns its value, as many points as it is."""

    @property
    def earns_value(self) -> bool:
        """Whether a value is its own points, without bins."""
        return not self.bins

    @property
    def base(self) -> int:
        """Points of what is below every threshold; 0 for an attribute that earns its value."""
        return self.bins[0].points if self.bins else 0

    @property
    def thresholds(self) -> tuple[int, ...]:
        """Starts of all bins but the first, ascending."""
        return tuple(item.start for item in self.bins if item.start is not None)

    @property
    def steps(self) -> tuple[int, ...]:
        """What the points change by at each threshold."""
        return tuple(after.points - before.points for before, after in zip(self.bins, self.bins[1:], strict=False))

    def points_of(self, value: int | None) -> int:
        """Points of a value, None for one that is missing; not yet weighted."""
        if value is None:
            return self.missing
        if self.earns_value:
            return value
        reached = sum(value >= threshold for threshold in self.thresholds)
        return self.bins[reached].points


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """Scores from `start` up earn this grade, unless they earn a better one."""

    name: str
    start: int | None
    """Smallest score; None for the last grade, which has no floor."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A validated model document. Equal models have equal hashes, whatever their files looked like."""

    name: str
    title: str
    version: int
    minimum_coverage: int
    """Contributors that must know the subject, or the answer is *insufficient*."""
    audit: AuditMode
    purposes: tuple[str, ...]
    grades: tuple[Grade, ...]
    """Best first."""
    coverage_bands: tuple[int, ...]
    """Contributor counts at which a new band of coverage begins, ascending, none below `minimum_coverage`."""
    attributes: tuple[Attribute, ...]

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Data classes that the model needs, in the order of their first attribute."""
        return tuple(dict.fromkeys(attribute.data_class for attribute in self.attributes))

    @cached_property
    def cuts(self) -> tuple[int, ...]:
        """Starts of all grades but the last, ascending: a score reaches some, and never one without those before."""
        return tuple(grade.start for grade in reversed(self.grades) if grade.start is not None)

    def row_layout(self, classes: Iterable[str]) -> tuple[int, ...]:
        """Indices of the attributes that a supplier of these classes contributes, in the order of its row."""
        supplied = frozenset(classes)
        return tuple(i for i, attribute in enumerate(self.attributes) if attribute.data_class in supplied)

    @cached_property
    def has_values(self) -> bool:
        """Whether an attribute earns its value: then whoever breaks the rules can make the score any number."""
        return any(attribute.earns_value for attribute in self.attributes)

    def grade_index(self, score: int) -> int:
        """Place in `grades` that a score earns."""
        return len(self.cuts) - sum(score >= cut for cut in self.cuts)

    def coverage_band(self, coverage: int) -> int:
        """Number of coverage bands that a count of contributors reaches."""
        return sum(coverage >= band for band in self.coverage_bands)
