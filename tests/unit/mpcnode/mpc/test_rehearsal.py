"""Rehearsals: every node's honest part, and masks that the dealer alone knows."""

import dataclasses

import numpy as np
import pytest

from mpcnode.mpc import OutputMask, ZeroShares, join_output, rehearse, replay
from mpcnode.scorecard import Contribution, compile_model, decode_output, encode_output, evaluate
from mpcnode.types import AuditMode
from tests.support.joint import run_joint, seeds_for, session_id, share_rows
from tests.support.models import BANK, INSURER, SAVINGS, credit_layout, credit_rows, earning_layout

GIVEN = {
    BANK: Contribution(known=True, values=(300_000, 9)),
    INSURER: Contribution(known=True, values=(2,)),
    SAVINGS: Contribution(known=True, values=(0,)),
}
ROWS = credit_rows(credit_layout(), GIVEN)


def layout(audit: AuditMode, *earning: int):
    plain = earning_layout(*earning)
    return dataclasses.replace(plain, model=dataclasses.replace(plain.model, audit=audit))


@pytest.mark.parametrize("audit", AuditMode)
@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("earning", [(), (1, 3), (0, 1, 2, 3)])
def test_every_node_had_to_send_what_it_sent(parties: int, audit: AuditMode, earning: tuple[int, ...]) -> None:
    program = compile_model(layout(audit, *earning), parties)
    for rows in (ROWS, [ROWS[0], None, ROWS[2]]):
        shares = share_rows(program, "part", rows)
        ran = run_joint(program, "part", shares)
        parts = rehearse(program, session_id("part"), seeds_for("part", parties), shares)
        assert tuple(part.output for part in parts) == ran.shares
        assert tuple(zip(*(part.payloads for part in parts), strict=True)) == ran.sent


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_masked_shares_make_the_output_once_the_mask_is_off(parties: int) -> None:
    program = compile_model(layout(AuditMode.BEFORE_RELEASE), parties)
    assert isinstance(program.body.correlations[-1], OutputMask)
    clear = evaluate(layout(AuditMode.BEFORE_RELEASE), GIVEN)
    masks = set()
    for trial in range(40):
        name = f"mask {trial}"
        ran = run_joint(program, name, share_rows(program, name, ROWS))
        honest = replay(program, session_id(name), seeds_for(name, parties), ROWS)
        assert ran.output == honest.output
        unmasked = join_output((ran.output, honest.mask))
        assert unmasked == encode_output(credit_layout().model, clear)
        assert decode_output(credit_layout().model, unmasked).grade == clear.grade
        masks.add(honest.mask)
    assert len(masks) > 5


@pytest.mark.parametrize("audit", [AuditMode.AFTER_RELEASE, AuditMode.OFF])
def test_other_modes_leave_the_output_as_it_is(audit: AuditMode) -> None:
    program = compile_model(layout(audit), 3)
    assert isinstance(program.body.correlations[-1], ZeroShares)
    assert not any(replay(program, session_id("plain"), seeds_for("plain", 3), ROWS).mask)


def test_the_mask_of_many_subjects_lies_where_their_output_does() -> None:
    program = compile_model(layout(AuditMode.BEFORE_RELEASE), 3, subjects=70)
    empty = [None] * len(program.body.rows)
    honest = replay(program, session_id("many"), seeds_for("many", 3), empty)
    assert len(honest.mask) == len(honest.output) == 70 * program.body.output_bytes
    assert honest.mask == honest.output  # nobody contributed: all 0 under the mask
    used = np.frombuffer(honest.mask, np.uint8)
    assert len(np.unique(used)) > 10
