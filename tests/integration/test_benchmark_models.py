"""The models of scripts/bench/models answer what scripts/bench/peers/work.py expects of every system."""

from pathlib import Path

import numpy as np
import pytest

from mpcnode.scorecard import Columns, PanelMember, evaluate_many, lay_out, parse
from mpcnode.types import MemberIndex
from scripts.bench.peers.work import OWNERS, STEPS, expected, values

MODELS = Path(__file__).parents[2] / "scripts" / "bench" / "models"


@pytest.mark.parametrize("work", ["score", "max"])
def test_grades_are_those_expected(work: str) -> None:
    model = parse((MODELS / f"{work}.toml").read_bytes())
    assert [grade.name for grade in model.grades] == [f"G{step}" for step in range(STEPS, -1, -1)]
    layout = lay_out(
        model, [PanelMember(member=MemberIndex(i), classes=frozenset({name})) for i, name in enumerate(model.classes)]
    )
    assert len(layout.members) == OWNERS
    known = values(20_000)
    columns = {}
    for seated, row, part in zip(layout.members, layout.rows, known, strict=True):
        held = part[: len(row)]
        columns[seated.member] = Columns(
            known=np.ones(known.shape[2], bool), present=np.ones(held.shape, bool), values=held
        )
    found = evaluate_many(layout, columns, known.shape[2])
    assert found.sufficient.all()
    assert (STEPS - found.grade_index == expected(work, known)).all()
