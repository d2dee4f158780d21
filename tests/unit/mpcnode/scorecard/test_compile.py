"""What a compiled model promises beyond agreeing with the clear evaluation (tests/property does that)."""

import dataclasses
import itertools
from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np
import pytest

from mpcnode.errors import InputError
from mpcnode.mpc import BitsToIntegers, Row, compile_body, corrections_size, replay
from mpcnode.query.contribution import decode_contribution, encode_contribution
from mpcnode.scorecard import (
    INSUFFICIENT,
    Contribution,
    Layout,
    Model,
    PanelMember,
    ScorecardBody,
    analyse,
    compile_model,
    decode_output,
    evaluate,
    lay_out,
)
from mpcnode.scorecard.body import Offset
from mpcnode.types import MemberIndex
from tests.support.joint import run_joint, seeds_for, session_id, share_rows
from tests.support.models import BANK, INSURER, SAVINGS, credit, credit_earning_values, credit_layout


def test_sizes_are_known_before_the_first_round() -> None:
    program = compile_model(credit_layout(), 3)
    assert program.round_bytes == (24, 129, 48, 16, 2, 24)
    assert corrections_size(program) == 1824
    assert [shape.size for shape in program.body.rows] == [9, 5, 5]
    assert program.body.output_bytes == 1


def test_program_does_not_depend_on_the_inquirer_beyond_what_is_counted() -> None:
    assert compile_model(credit_layout(), 3) != compile_model(credit_layout(savings_counted=False), 3)


def test_scores_beyond_17_bits_take_a_seventh_round() -> None:
    model = credit()
    wide = dataclasses.replace(model.attributes[2], weight=10_000)
    heavy = dataclasses.replace(model, attributes=(*model.attributes[:2], wide, model.attributes[3]))
    members = credit_layout().members
    assert len(compile_model(lay_out(heavy, members), 3).rounds) == 7


@pytest.mark.parametrize("trial", range(20))
def test_insufficient_query_says_nothing_whatever_a_participant_shares(trial: int) -> None:
    """Values out of range, values without presence: wrong scores, but never a grade of an insufficient query."""
    layout = credit_layout()
    program = compile_model(layout, 2)
    rng = np.random.default_rng(trial)
    rows = []
    for shape in program.body.rows:
        bits = rng.integers(0, 2, (shape.values + 1, 1)).astype(np.uint8)
        bits[0] = 0  # nobody knows the subject
        rows.append(shape.encode(Row(rng.integers(0, 1 << 64, (shape.values, 1), dtype=np.uint64), bits)))
    output = replay(program, session_id(f"{trial}"), seeds_for("wild", 2), rows).output
    assert decode_output(layout.model, output) == INSUFFICIENT


def earning(missing: int, *places: int) -> Model:
    """The model with attributes that earn their values, claims among them, which earn so much if they are missing."""
    model = credit_earning_values(*places)
    claims = dataclasses.replace(model.attributes[2], missing=missing)
    return dataclasses.replace(model, attributes=(*model.attributes[:2], claims, model.attributes[3]))


def shared(layout: Layout, values: Mapping[MemberIndex, tuple[int, ...]], *, known: int, present: int) -> list[bytes]:
    """Rows of one subject with any values, whatever the bits say of them."""
    program = compile_model(layout, 2)
    rows = []
    for seated, shape in zip(layout.members, program.body.rows, strict=True):
        words = np.array([value % (1 << 64) for value in values[seated.member]], np.uint64).reshape(-1, 1)
        bits = np.full((shape.values + 1, 1), present, np.uint8)
        bits[0] = known
        rows.append(shape.encode(Row(words, bits)))
    return rows


@pytest.mark.parametrize("present", [0, 1])
@pytest.mark.parametrize("places", [(0, 1, 2, 3), (2,), (0, 2)])
@pytest.mark.parametrize("missing", [0, 4])
def test_an_insufficient_query_says_nothing_where_values_make_any_score(
    places: tuple[int, ...], missing: int, present: int
) -> None:
    """A contributor picks its value so that the score reaches a cut, from wherever it is: or is any number mod 2^64."""
    layout = lay_out(earning(missing, *places), credit_layout().members)
    program, model = compile_model(layout, 3), layout.model
    value = 0 if present else None
    rows = {BANK: (value, value), INSURER: (value,), SAVINGS: (value,)}
    honest = evaluate(layout, {member: Contribution(known=True, values=row) for member, row in rows.items()}).score
    assert honest is not None
    ranges = analyse(model)
    offsets = (0, ranges.score_max - 10 + 1, 1 << ranges.score_bits - 1, 1 << 40, -(1 << 63), (1 << 63) - 100)
    for number, (offset, (target, grade)) in enumerate(
        itertools.product(offsets, ((9, "D"), (10, "C"), (35, "B"), (60, "A"))), start=10 * missing
    ):
        wild = {BANK: (0, 0), INSURER: (offset + target - honest,), SAVINGS: (0,)}
        name = f"wild {number}"
        insufficient = run_joint(
            program, name, share_rows(program, name, shared(layout, wild, known=0, present=present))
        ).output
        assert decode_output(model, insufficient) == INSUFFICIENT
        if offset == 0:  # if the query is sufficient, the same value does reach the grade
            rows_of = shared(layout, wild, known=1, present=present)
            output = run_joint(program, f"{name} known", share_rows(program, f"{name} known", rows_of)).output
            assert decode_output(model, output).grade == grade


def test_an_offset_alone_would_not_withhold_it() -> None:
    """Why there is a gate: what is subtracted from an insufficient query's score can be added to a value."""
    layout = lay_out(earning(0, 2), credit_layout().members)
    gated, ranges = compile_model(layout, 2).body, analyse(layout.model)
    assert isinstance(gated, ScorecardBody)
    amount = ranges.score_max - 10 + 1
    offset = Offset(amount=amount, sufficient=BitsToIntegers(label="sufficient", items=1, subjects=1, ring=16))
    wider = dataclasses.replace(gated.grades, bits=16)
    program = compile_body(dataclasses.replace(gated, withheld=offset, grades=wider), 2)
    for claim, is_said in ((0, False), (amount + 60, True)):
        rows = shared(layout, {BANK: (0, 0), INSURER: (claim,), SAVINGS: (0,)}, known=0, present=1)
        output = run_joint(program, f"offset {claim}", share_rows(program, f"offset {claim}", rows)).output
        assert (output != bytes(len(output))) == is_said


def test_one_contributor_fewer_than_the_minimum_says_nothing() -> None:
    layout = lay_out(credit_earning_values(0, 1, 2, 3), credit_layout().members)
    program = compile_model(layout, 2)
    rows = shared(layout, {BANK: (1_000, 9), INSURER: (0,), SAVINGS: (5,)}, known=1, present=1)
    assert decode_output(layout.model, run_joint(program, "all", share_rows(program, "all", rows)).output).grade == "A"
    few = [rows[0], None, None]
    assert (
        decode_output(layout.model, run_joint(program, "few", share_rows(program, "few", few)).output) == INSUFFICIENT
    )


def test_exactly_the_minimum_of_contributors_says_the_grade_without_the_next_band() -> None:
    layout = lay_out(credit_earning_values(0, 1, 2, 3), credit_layout().members)
    program = compile_model(layout, 2)
    rows = shared(layout, {BANK: (1_000, 9), INSURER: (0,), SAVINGS: (5,)}, known=1, present=1)
    enough = [rows[0], rows[1], None]
    outcome = decode_output(layout.model, run_joint(program, "enough", share_rows(program, "enough", enough)).output)
    assert (outcome.grade, outcome.coverage_band) == ("A", 1)


def test_a_value_without_presence_adds_up_with_what_is_earned_without() -> None:
    """No honest row is like that, and the audit refuses it; the nodes go by the numbers, and cannot tell."""
    model = earning(1000, 2)
    layout = lay_out(model, credit_layout().members)
    program = compile_model(layout, 2)
    for claim, grade in ((-999, "C"), (-974, "B"), (0, "A")):
        rows = shared(layout, {BANK: (0, 10), INSURER: (claim,), SAVINGS: (0,)}, known=1, present=1)
        rows[1] = shared(layout, {BANK: (0, 0), INSURER: (claim,), SAVINGS: (0,)}, known=1, present=0)[1]
        output = run_joint(program, f"odd {claim}", share_rows(program, f"odd {claim}", rows)).output
        assert decode_output(model, output).grade == grade  # 0 + 5 + claim + 1000 + 4
        with pytest.raises(InputError, match="expected 0 where nothing is present") if claim else nullcontext():
            decode_contribution(rows[1], program.body.rows[1])


def test_values_take_no_comparison_of_their_own() -> None:
    """The score is compared from the first round on; presence bits, if they earn anything, take one before."""
    members = credit_layout().members
    model = credit_earning_values(0, 1, 2, 3)
    program = compile_model(lay_out(model, members), 3)
    assert [item.label for item in program.body.correlations] == ["flags", "coverage", "grades", "gate", "output"]
    assert program.round_bytes == (12, 129, 48, 16)
    mixed = compile_model(lay_out(credit_earning_values(0, 1, 2), members), 3).body.correlations
    assert [item.label for item in mixed] == ["values", "flags", "coverage", "points", "grades", "gate", "output"]
    paid = dataclasses.replace(model.attributes[3], missing=1)
    asking = compile_model(lay_out(dataclasses.replace(model, attributes=(*model.attributes[:3], paid)), members), 3)
    assert len(asking.rounds) == len(program.rounds) + 1


def test_attribute_without_supplier_is_missing() -> None:
    model = credit()
    layout = lay_out(
        model, [PanelMember(member=m, classes=frozenset({c})) for m, c in ((BANK, "accounts"), (SAVINGS, "savings"))]
    )
    program = compile_model(layout, 2)
    assert [shape.values for shape in program.body.rows] == [2, 1]
    rows = [
        encode_contribution(Contribution(known=True, values=(300_000, 9)), 32),
        encode_contribution(Contribution(known=True, values=(0,)), 32),
    ]
    outcome = decode_output(model, run_joint(program, "few", share_rows(program, "few", rows)).output)
    assert (outcome.grade, outcome.coverage_band) == ("A", 1)  # 40 + 15 + 2 + 4 = 61


def test_row_without_values() -> None:
    """A participant whose classes the model no longer needs shares its known bit only."""
    layout = lay_out(
        credit(),
        [
            PanelMember(member=BANK, classes=frozenset({"accounts"})),
            PanelMember(member=INSURER, classes=frozenset({"boats"})),
        ],
    )
    program = compile_model(layout, 2)
    assert [shape.size for shape in program.body.rows] == [9, 1]
    rows = [
        encode_contribution(Contribution(known=True, values=(300_000, 9)), 32),
        encode_contribution(Contribution(known=True, values=()), 32),
    ]
    outcome = decode_output(layout.model, run_joint(program, "b", share_rows(program, "b", rows)).output)
    assert outcome.sufficient
