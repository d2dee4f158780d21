"""Reading a model document: TOML in, a validated `Model` out, or an error that names the place in the file.

docs/models.md explains the format to a model's author.
"""

import itertools
from collections.abc import Sequence

from mpcnode.errors import ModelError
from mpcnode.scorecard.model import (
    ATTRIBUTES_MAX,
    COVERAGE_MAX,
    GRADES_MAX,
    PURPOSES_MAX,
    THRESHOLDS_MAX,
    Attribute,
    Bin,
    Grade,
    Model,
)
from mpcnode.scorecard.ranges import analyse
from mpcnode.scorecard.reading import Table, load_toml
from mpcnode.types import AuditMode

DOCUMENT_BYTES_MAX = 256 * 1024
"""A model document; 64 attributes of 65 bins, each on a line of its own, take about 200 KiB."""

_NAME = r"[a-z][a-z0-9_-]{0,31}"
_NAME_MEANING = "a name of 1 to 32 characters out of a-z, 0-9, _ and -, beginning with a letter"
_CODE = r"[a-z0-9-]{1,32}"
_CODE_MEANING = "a code of 1 to 32 characters out of a-z, 0-9 and -"
_TITLE = r"[^\x00-\x1f\x7f]{1,100}"
_TITLE_MEANING = "a text of 1 to 100 characters on one line"
_UNIT = r"[^\x00-\x1f\x7f]{1,32}"
_UNIT_MEANING = "a text of 1 to 32 characters on one line"
_GRADE = r"[!-~]{1,16}"
_GRADE_MEANING = "a text of 1 to 16 printable ASCII characters without spaces"

_AUDIT = {
    "before release": AuditMode.BEFORE_RELEASE,
    "after release": AuditMode.AFTER_RELEASE,
    "off": AuditMode.OFF,
}


def parse(document: bytes) -> Model:
    """Read a model document and prove that its computation cannot overflow.

    Raises:
        ModelError: a key is missing, unknown or wrong, or a range is too wide; the message begins with the place,
            as in `attribute[3].bins[2].from`.
    """
    root = load_toml(document, DOCUMENT_BYTES_MAX)
    head = root.table("model")
    attributes = tuple(_attribute(table) for table in root.tables("attribute", 1, ATTRIBUTES_MAX))
    root.end()
    minimum = head.integer("minimum_coverage", 1, COVERAGE_MAX)
    model = Model(
        name=head.text("name", _CODE, _CODE_MEANING),
        title=head.text("title", _TITLE, _TITLE_MEANING),
        version=head.integer("version", 1, (1 << 31) - 1),
        minimum_coverage=minimum,
        audit=_audit(head),
        purposes=_purposes(head),
        grades=_grades(head),
        coverage_bands=_coverage_bands(head, minimum),
        attributes=attributes,
    )
    head.end()
    _refuse_repeats("attribute[{}].name", [attribute.name for attribute in attributes])
    analyse(model)
    return model


def _audit(head: Table) -> AuditMode:
    """The audit mode; a wrong answer is not released unless the model says otherwise."""
    if not head.has("audit"):
        return AuditMode.BEFORE_RELEASE
    wanted = " or ".join(f'"{word}"' for word in _AUDIT)
    return _AUDIT[head.text("audit", "|".join(_AUDIT), wanted)]


def _purposes(head: Table) -> tuple[str, ...]:
    purposes = head.texts("purposes", _CODE, _CODE_MEANING)
    if not 1 <= len(purposes) <= PURPOSES_MAX:
        raise ModelError(f"{head.at('purposes')}: expected 1 to {PURPOSES_MAX} codes, got {len(purposes)}")
    _refuse_repeats(head.at("purposes") + "[{}]", purposes)
    return purposes


def _grades(head: Table) -> tuple[Grade, ...]:
    tables = head.tables("grades", 2, GRADES_MAX)
    grades = tuple(
        Grade(
            name=table.text("grade", _GRADE, _GRADE_MEANING),
            start=None if table is tables[-1] else table.integer("from"),
        )
        for table in tables
    )
    for table in tables:
        table.end()
    _refuse_repeats(head.at("grades") + "[{}].grade", [grade.name for grade in grades])
    _refuse_disorder(head.at("grades") + "[{}].from", [g.start for g in grades if g.start is not None], descending=True)
    return grades


def _coverage_bands(head: Table, minimum: int) -> tuple[int, ...]:
    bands = head.integers("coverage_bands", minimum, COVERAGE_MAX)
    _refuse_disorder(head.at("coverage_bands") + "[{}]", bands)
    return bands


def _attribute(table: Table) -> Attribute:
    minimum = table.integer("min")
    attribute = Attribute(
        name=table.text("name", _NAME, _NAME_MEANING),
        title=table.text("title", _TITLE, _TITLE_MEANING),
        data_class=table.text("class", _NAME, _NAME_MEANING),
        unit=table.text("unit", _UNIT, _UNIT_MEANING),
        scale=table.integer("scale", 0, 18),
        minimum=minimum,
        maximum=table.integer("max", minimum),
        weight=_factor(table) if table.has("points") else table.integer("weight", 1),
        missing=table.integer("missing"),
        bins=_bins(table),
    )
    table.end()
    for i, start in enumerate(attribute.thresholds, start=1):
        if not attribute.minimum < start <= attribute.maximum:
            raise ModelError(
                f"{table.at('bins')}[{i}].from: expected more than min {attribute.minimum} and at most max "
                f"{attribute.maximum}, got {start}"
            )
    return attribute


def _factor(table: Table) -> int:
    """The weight of an attribute that earns its value: negative if more is worse, which bins say with their points."""
    weight = table.integer("weight")
    if weight == 0:
        raise ModelError(f"{table.at('weight')}: expected an integer other than 0, got 0")
    return weight


def _bins(table: Table) -> tuple[Bin, ...]:
    """The bins of an attribute; none if it earns its value."""
    if table.has("points"):
        if table.has("bins"):
            raise ModelError(
                f"{table.at('bins')}: expected no bins of an attribute that has points of its own, got some"
            )
        table.text("points", "value", '"value", or bins in place of points')
        return ()
    if not table.has("bins"):
        raise ModelError(
            f'{table.at("bins")}: expected a list of tables, or points = "value" in place of it, got nothing'
        )
    entries = table.tables("bins", 2, THRESHOLDS_MAX + 1)
    bins = tuple(
        Bin(start=None if entry is entries[0] else entry.integer("from"), points=entry.integer("points"))
        for entry in entries
    )
    for entry in entries:
        entry.end()
    _refuse_disorder(table.at("bins") + "[{}].from", [b.start for b in bins if b.start is not None], first=1)
    return bins


def _refuse_repeats(place: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name in seen:
            raise ModelError(f"{place.format(i)}: expected a name of its own, got {name!r} again")
        seen.add(name)


def _refuse_disorder(place: str, values: Sequence[int], *, first: int = 0, descending: bool = False) -> None:
    """Check that values rise (or fall) strictly; `first` is the place of values[0] in the file's list."""
    for i, (before, after) in enumerate(itertools.pairwise(values), start=first + 1):
        if (after >= before) if descending else (after <= before):
            wanted = "less" if descending else "more"
            raise ModelError(f"{place.format(i)}: expected {wanted} than {before}, got {after}")
