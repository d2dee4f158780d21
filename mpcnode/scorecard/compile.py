"""From a model and a panel to the program that the committee runs (`mpcnode.scorecard.body`)."""

from mpcnode.mpc import (
    CHUNK_SUBJECTS,
    WINDOW,
    AndBits,
    Batch,
    BitsToIntegers,
    Comparison,
    Lanes,
    OutputMask,
    Program,
    RowShape,
    ZeroShares,
    compile_body,
    cut_batch,
)
from mpcnode.scorecard.body import Binned, Offset, ScorecardBody
from mpcnode.scorecard.model import Attribute, Model
from mpcnode.scorecard.panel import Layout, Source
from mpcnode.scorecard.ranges import Ranges, analyse, integer_bits
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


def row_shapes(layout: Layout, subjects: int = 1) -> tuple[RowShape, ...]:
    """Shapes of the rows of so many subjects, in panel order. They follow from model and panel alone."""
    ring = analyse(layout.model).row_bits
    return tuple(RowShape(len(row), subjects, ring) for row in layout.rows)


def compile_model(layout: Layout, parties: int, subjects: int = 1) -> Program:
    """Compile a model for a panel, a committee and the subjects of one chunk.

    Args:
        layout: model and panel.
        parties: nodes of the committee, 2 or more.
        subjects: how many the chunk has.
    """
    model, ranges = layout.model, analyse(layout.model)
    pairs = tuple(zip(model.attributes, layout.sources, strict=True))
    supplied = tuple((attribute, source) for attribute, source in pairs if source)
    unsupplied = sum(attribute.weight * attribute.missing for attribute, source in pairs if source is None)
    asked = tuple((a, source) for a, source in supplied if not a.earns_value or a.missing)
    counted = tuple(seat for seat, seated in enumerate(layout.members) if seated.counted)
    grades = _comparison("grades", ranges.score_bits, model.cuts, subjects)
    body = ScorecardBody(
        rows=row_shapes(layout, subjects),
        factors=tuple(tuple(_factor(model.attributes[i]) for i in row) for row in layout.rows),
        binned=_binned(tuple((a, source) for a, source in supplied if not a.earns_value), subjects, ranges),
        constant=unsupplied + sum(attribute.weight * attribute.base for attribute, _ in supplied),
        asked=tuple(source for _, source in asked),
        absences=tuple(a.weight * (a.missing - a.points_of(0)) for a, _ in asked),
        counted=counted,
        flags=_integers(
            "flags",
            len(asked) + len(counted),
            subjects,
            ranges.ring_bits if asked else integer_bits(ranges.coverage_bits),
        ),
        coverage=_comparison(
            "coverage", ranges.coverage_bits, (model.minimum_coverage, *model.coverage_bands), subjects
        ),
        withheld=AndBits(label="gate", words=grades.lanes_out.words)
        if model.has_values
        else Offset(
            amount=ranges.insufficient_offset, sufficient=_integers("sufficient", 1, subjects, ranges.ring_bits)
        ),
        grades=grades,
        output=_output(model, subjects),
    )
    return compile_body(body, parties)


def _factor(attribute: Attribute) -> int:
    """What a value as it is shared is multiplied with in the score."""
    return attribute.weight if attribute.earns_value else 0


def _binned(supplied: tuple[tuple[Attribute, Source], ...], subjects: int, ranges: Ranges) -> Binned | None:
    """The computation of the points of attributes with bins; None if there are none."""
    if not supplied:
        return None
    thresholds = tuple((place, t) for place, (attribute, _) in enumerate(supplied) for t in attribute.thresholds)
    return Binned(
        sources=tuple(source for _, source in supplied),
        steps=tuple(attribute.weight * step for attribute, _ in supplied for step in attribute.steps),
        values=Comparison(
            label="values",
            bits=ranges.value_bits,
            values=len(supplied),
            of=tuple(place for place, _ in thresholds),
            thresholds=tuple(t for _, t in thresholds),
            subjects=subjects,
        ),
        points=_integers("points", len(thresholds), subjects, ranges.ring_bits),
    )


def _comparison(label: str, bits: int, thresholds: tuple[int, ...], subjects: int) -> Comparison:
    """Compare one value with all thresholds."""
    of = (0,) * len(thresholds)
    return Comparison(label=label, bits=bits, values=1, of=of, thresholds=thresholds, subjects=subjects)


def _integers(label: str, items: int, subjects: int, ring: int) -> BitsToIntegers:
    return BitsToIntegers(label=label, items=items, subjects=subjects, ring=ring)


def _output(model: Model, subjects: int) -> OutputMask | ZeroShares:
    """What leaves the nodes: masked until the audit releases it, or re-randomised."""
    made = OutputMask if model.audit is AuditMode.BEFORE_RELEASE else ZeroShares
    return made(label="output", words=Lanes(1 + len(model.cuts) + len(model.coverage_bands), subjects).words)
