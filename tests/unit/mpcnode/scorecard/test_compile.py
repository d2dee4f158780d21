"""What a compiled model promises beyond agreeing with the clear evaluation (tests/property does that)."""

import dataclasses

import numpy as np
import pytest

from mpcnode.mpc import Row, corrections_size, replay
from mpcnode.query.contribution import encode_contribution
from mpcnode.scorecard import (
    INSUFFICIENT,
    Contribution,
    PanelMember,
    compile_model,
    decode_output,
    lay_out,
)
from tests.support.joint import run_joint, seeds_for, session_id, share_rows
from tests.support.models import BANK, INSURER, SAVINGS, credit, credit_layout


def test_sizes_are_known_before_the_first_round() -> None:
    program = compile_model(credit_layout(), 3)
    assert program.round_bytes == (24, 129, 48, 16, 2, 24)
    assert corrections_size(program) == 1824
    assert [shape.size for shape in program.body.rows] == [17, 9, 9]
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


def test_attribute_without_supplier_is_missing() -> None:
    model = credit()
    layout = lay_out(
        model, [PanelMember(member=m, classes=frozenset({c})) for m, c in ((BANK, "accounts"), (SAVINGS, "savings"))]
    )
    program = compile_model(layout, 2)
    assert [shape.values for shape in program.body.rows] == [2, 1]
    rows = [
        encode_contribution(Contribution(known=True, values=(300_000, 9))),
        encode_contribution(Contribution(known=True, values=(0,))),
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
    assert [shape.size for shape in program.body.rows] == [17, 1]
    rows = [
        encode_contribution(Contribution(known=True, values=(300_000, 9))),
        encode_contribution(Contribution(known=True, values=())),
    ]
    outcome = decode_output(layout.model, run_joint(program, "b", share_rows(program, "b", rows)).output)
    assert outcome.sufficient
