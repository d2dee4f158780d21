"""How wide the values of rows are, which the model says alone; and that nothing gets lost in the narrower ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mpcnode.mpc import Comparison, Equality, Party, Row, compile_body, join_output, linear, replay
from mpcnode.mpc.correlations import Material
from mpcnode.scorecard import (
    Attribute,
    Bin,
    Columns,
    Grade,
    Layout,
    Model,
    PanelMember,
    ScorecardBody,
    analyse,
    compile_batch,
    compile_model,
    encode_outcomes,
    evaluate_many,
    lay_out,
    row_shapes,
)
from mpcnode.types import AuditMode, MemberIndex
from tests.support.joint import run_joint, seeds_for, session_id, share_rows
from tests.support.models import credit, credit_layout, encode_columns

LEAST, MOST = -(2**31), 2**31 - 1


def attribute(least: int, most: int, *starts: int, weight: int = 1, data_class: str = "a") -> Attribute:
    """One that earns a point for each start, or its value if there is none."""
    bins = tuple(Bin(start=start, points=points) for points, start in enumerate((None, *starts)))
    return Attribute(
        name=f"{data_class}{least}{most}",
        title="t",
        data_class=data_class,
        unit="u",
        scale=0,
        minimum=least,
        maximum=most,
        weight=weight,
        missing=0,
        bins=bins if starts else (),
    )


def model_of(*attributes: Attribute, cuts: tuple[int, ...] = (1,)) -> Model:
    grades = [Grade(name=f"g{place}", start=cut) for place, cut in enumerate(sorted(cuts, reverse=True))]
    return replace(
        credit(),
        minimum_coverage=1,
        coverage_bands=(),
        audit=AuditMode.OFF,
        grades=(*grades, Grade(name="last", start=None)),
        attributes=attributes,
    )


def layout_of(model: Model) -> Layout:
    return lay_out(
        model,
        [PanelMember(member=MemberIndex(i), classes=frozenset((name,))) for i, name in enumerate(model.classes)],
    )


POINTS = [
    pytest.param(attribute(LEAST + 1, MOST, 0), 32, id="points, the widest range"),
    pytest.param(attribute(LEAST, MOST, 0), 64, id="points, k = 33"),
    pytest.param(attribute(LEAST, 0, -1), 32, id="points, the lowest value"),
    pytest.param(attribute(0, MOST, MOST), 32, id="points, k = 32"),
    pytest.param(attribute(LEAST - 1, 0, -5), 64, id="points, a value too low"),
    pytest.param(attribute(0, MOST + 1, 5), 64, id="points, a value too high"),
]
VALUES = [
    pytest.param(attribute(LEAST, 0), (-1,), 32, id="value, k = 32"),
    pytest.param(attribute(LEAST, 0), (0,), 64, id="value, k = 33"),
    pytest.param(attribute(0, MOST), (1, MOST), 32, id="value, two cuts, k = 32"),
    pytest.param(attribute(-1, MOST), (0, MOST), 64, id="value, two cuts, k = 33"),
    pytest.param(attribute(0, 2**20, weight=2**11), (1 << 30,), 32, id="weight, k = 32"),
    pytest.param(attribute(0, 2**20, weight=2**11), (0,), 64, id="weight, k = 33"),
    pytest.param(attribute(-(2**20), 2**20, weight=-(2**10)), (5,), 32, id="negative weight, k = 32"),
    pytest.param(attribute(0, MOST + 1), (1 << 30,), 64, id="value too high"),
]


@pytest.mark.parametrize(("item", "bits"), POINTS)
def test_declared_ranges_and_their_comparison_decide_where_points_are_earned(item: Attribute, bits: int) -> None:
    assert analyse(model_of(item)).row_bits == bits


@pytest.mark.parametrize(("item", "cuts", "bits"), VALUES)
def test_the_score_decides_too_where_a_value_is_earned(item: Attribute, cuts: tuple[int, ...], bits: int) -> None:
    found = analyse(model_of(item, cuts=cuts))
    assert found.row_bits == bits
    assert (found.score_bits <= 32) == (bits == 32 or item.maximum > MOST)


def test_a_wide_score_of_points_leaves_values_narrow() -> None:
    """No value enters it: it is made of integers that bits become."""
    model = model_of(attribute(0, 100, 50, weight=1 << 50))
    found = analyse(model)
    assert (found.score_bits, found.row_bits) == (52, 32)
    assert agrees(layout_of(model), 3)


def test_all_rows_of_a_program_have_one_width_whoever_supplies_what() -> None:
    narrow, wide = attribute(0, 9, 5), attribute(0, 1 << 40, 5, data_class="b")
    layout = layout_of(model_of(narrow, wide))
    assert [shape.ring for shape in row_shapes(layout, 7)] == [64, 64]
    alone = lay_out(layout.model, [PanelMember(member=MemberIndex(1), classes=frozenset("a"))])
    assert [shape.ring for shape in row_shapes(alone)] == [64]
    assert [shape.ring for shape in row_shapes(credit_layout())] == [32] * 3


def test_every_chunk_has_rows_of_the_announced_shape() -> None:
    layout = credit_layout()
    batch = compile_batch(layout, 3, 100, chunk_subjects=64)
    assert [batch.program(chunk).body.rows for chunk in range(2)] == [row_shapes(layout, 64), row_shapes(layout, 36)]


def edges(item: Attribute) -> list[int]:
    near = {item.minimum, item.minimum + 1, -1, 0, 1, item.maximum - 1, item.maximum}
    near |= {start + step for start in item.thresholds for step in (-1, 0, 1)}
    return sorted(value for value in near if item.minimum <= value <= item.maximum)


def agrees(layout: Layout, parties: int) -> bool:
    """Whether nodes find what the clear evaluation does, at all edges of ranges, and a replay what nodes do."""
    count = 70
    rng = np.random.default_rng(parties)
    columns = {}
    for seated, row in zip(layout.members, layout.rows, strict=True):
        present = rng.random((len(row), count)) < 0.9
        values = np.array([np.resize(edges(layout.model.attributes[i]), count) for i in row], np.int64)
        columns[seated.member] = Columns(
            known=np.ones(count, np.bool_), present=present, values=np.where(present, values, 0)
        )
    program = compile_model(layout, parties, count)
    shapes = row_shapes(layout, count)
    rows = [encode_columns(columns[s.member], shape.ring) for s, shape in zip(layout.members, shapes, strict=True)]
    assert [len(row) for row in rows] == [shape.size for shape in shapes]
    run = run_joint(program, "widths", share_rows(program, "widths", rows))
    again = replay(program, session_id("widths"), seeds_for("widths", parties), rows)
    assert set(run.transcripts) == {again.transcript}
    clear = encode_outcomes(layout.model, evaluate_many(layout, columns, count))
    return join_output((run.output, again.mask)) == clear


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize(("item", "bits"), POINTS)
def test_points_at_the_border_agree_with_the_clear_evaluation(item: Attribute, bits: int, parties: int) -> None:
    layout = layout_of(model_of(item))
    assert row_shapes(layout)[0].ring == bits
    assert agrees(layout, parties)


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize(("item", "cuts", "bits"), VALUES)
def test_values_at_the_border_agree_with_the_clear_evaluation(
    item: Attribute, cuts: tuple[int, ...], bits: int, parties: int
) -> None:
    layout = layout_of(model_of(item, cuts=cuts))
    assert row_shapes(layout)[0].ring == bits
    assert agrees(layout, parties)


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_points_and_values_of_several_rows_agree_with_the_clear_evaluation(parties: int) -> None:
    model = model_of(
        attribute(LEAST + 1, MOST, 0, weight=3),
        replace(attribute(-(2**28), 2**28, weight=-3, data_class="b"), missing=-77),
        attribute(0, 2**28, weight=2, data_class="c"),
        cuts=(-5, 0, 1 << 20),
    )
    layout = layout_of(model)
    assert analyse(model).row_bits == 32
    assert agrees(layout, parties)


@pytest.mark.parametrize("gadget", [Comparison, Equality])
def test_a_comparison_of_more_bits_than_the_ring_of_the_shares_is_refused(gadget: type) -> None:
    public = {"thresholds": (5,)} if gadget is Comparison else {"targets": (5,)}
    compared = gadget(label="c", bits=33, values=1, of=(0,), subjects=3, **public)
    party = Party(is_first=True, material=Material({"c": {"r": np.zeros((1, 3), np.uint64)}}))
    with pytest.raises(ValueError, match=r"c: expected shares mod 2\^33 or more, got shares mod 2\^32"):
        next(compared.run(party, np.zeros((1, 3), np.uint32)))


def test_a_program_that_needs_more_of_a_value_than_its_row_has_does_not_compile() -> None:
    body = compile_model(layout_of(model_of(attribute(0, 2**20, weight=2**11), cuts=(0,))), 2).body
    assert isinstance(body, ScorecardBody)
    narrow = replace(body, rows=tuple(replace(shape, ring=32) for shape in body.rows))
    with pytest.raises(ValueError, match=r"grades: expected shares mod 2\^33"):
        compile_body(narrow, 2)


@pytest.mark.parametrize("ring", [np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("parties", [2, 3, 5])
def test_a_form_of_shares_is_a_share_of_the_form_mod_every_power_of_two_below(ring: type, parties: int) -> None:
    rng = np.random.default_rng(parties)
    bits = 8 * np.dtype(ring).itemsize
    values = rng.integers(-(1 << 62), 1 << 62, (3, 50))
    weights, constant = (-7, 1 << 15, 3), -12_345
    shares: list[Any] = [
        rng.integers(0, 1 << 64, values.shape, dtype=np.uint64).astype(ring) for _ in range(parties - 1)
    ]
    shares.append(values.view(np.uint64).astype(ring) - np.sum(shares, axis=0, dtype=ring))
    forms = [
        linear(Party(is_first=rank == 0, material=Material({})), weights, share, constant)
        for rank, share in enumerate(shares)
    ]
    assert {form.dtype for form in forms} == {np.dtype(ring)}
    for k in (1, bits - 1, bits):
        joined = [sum(int(form[n]) for form in forms) % (1 << k) for n in range(50)]
        assert joined == [(int(np.dot(values[:, n].astype(object), weights)) + constant) % (1 << k) for n in range(50)]


def test_a_score_is_computed_in_the_ring_of_the_values_it_is_a_form_of() -> None:
    for cuts, ring in (((1 << 30,), np.uint32), ((0,), np.uint64)):
        layout = layout_of(model_of(attribute(0, 2**20, weight=2**11), cuts=cuts))
        body = compile_model(layout, 2, 70).body
        assert isinstance(body, ScorecardBody)
        row = Row(np.full((1, 70), (1 << 20) - 1, body.rows[0].dtype), np.ones((2, 70), np.uint8))
        score = body._base(Party(is_first=True, material=Material({})), [row])
        assert score.dtype == np.dtype(ring)
        assert score[0, 0] == (2**20 - 1) * 2**11
