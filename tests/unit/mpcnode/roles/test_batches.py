"""Queries about many subjects, through all roles: the answers, what stops them, and what goes on after a break."""

import pytest

from mpcnode.types import AuditMode, QueryState, Verdict
from tests.support.batches import ask_many, opened_many
from tests.support.consortium import ALICE, BOB, NOBODY_KNOWS
from tests.support.flow import Flow
from tests.support.lenders import Lenders
from tests.support.virtual_time import run

FEW = [ALICE, BOB, NOBODY_KNOWS, ALICE]
THOUSANDS = [ALICE, BOB, NOBODY_KNOWS] * 1500
AFTER = Lenders(quota=1_000_000)
BEFORE = Lenders(quota=1_000_000, audit=AuditMode.BEFORE_RELEASE)


@pytest.mark.parametrize("subjects", [FEW, THOUSANDS], ids=["few", "thousands"])
@pytest.mark.parametrize("setting", [AFTER, BEFORE], ids=["after release", "before release"])
def test_every_subject_gets_the_answer_in_clear(subjects, setting):
    async def scenario():
        async with Flow(setting) as flow:
            asked = await ask_many(flow, subjects)
            view = await flow.settled(asked)
            assert view.verdict is Verdict.MATCH
            assert view.state is (QueryState.RELEASED if setting is BEFORE else QueryState.ANSWERED)
            clear = {subject: flow.clear(subject) for subject in set(subjects)}
            assert await opened_many(flow, asked) == [clear[subject] for subject in subjects]

    run(scenario())
