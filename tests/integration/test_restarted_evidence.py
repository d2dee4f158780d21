"""What nodes received is evidence in memory only: a restart before the audit asks for it loses it, and blames nobody.

Every deviation that only the evidence can attribute, with honest nodes of the committee restarted between the result
and the recall. The answer stays withheld; one honest node that still knows is enough to name who deviated; and where
nobody knows any more, nobody is named.
"""

import random

import pytest

from mpcnode.query.view import QueryView
from mpcnode.types import NOBODY, AuditStage, QueryState, Verdict
from tests.integration.test_deviations import EVIL, OF_FIVE, OF_THREE, prepared
from tests.integration.test_mixed_deviations import POOLS
from tests.support.batches import ask_many
from tests.support.consortium import ALICE, BOB, NOBODY_KNOWS, Setting
from tests.support.deviations import CASES, Audited
from tests.support.flow import Fault, Flow
from tests.support.lenders import Lenders
from tests.support.virtual_time import run

TRACED = tuple(
    name
    for name, case in CASES.items()
    if isinstance(case.expected, Audited) and case.expected.stage is AuditStage.TRANSCRIPT and not case.after_another
)
"""Whose transcript all sign, and no honest session has."""

SEATS = {"of three": (OF_THREE, 3), "of five": (OF_FIVE, 5)}
THOUSANDS = [ALICE, BOB, NOBODY_KNOWS] * 1500
LENDERS = Lenders(quota=1_000_000, audit=OF_THREE.audit)


async def judged_after_restarts(flow: Flow, asked, restarted) -> QueryView:
    """The query at its end; some of the first committee restart when there is a result, before anybody is asked."""
    late = Fault(kind="recall", drop=True)
    flow.network.faults.append(late)
    await flow.until(asked, lambda view: view.result is not None or view.is_over)
    for node in restarted:
        await flow.restart(node)
    flow.network.faults.remove(late)
    return await flow.settled(asked)


def named(view: QueryView) -> int:
    """Whom the verdict names; the answer is withheld."""
    assert (view.state, view.verdict) == (QueryState.ABORTED, Verdict.MISMATCH)
    assert view.attestation is not None
    assert (view.attestation.stage, view.attestation.release) == (AuditStage.TRANSCRIPT, b"")
    return view.attestation.member


def test_there_are_deviations_that_only_evidence_attributes():
    assert len(TRACED) >= 10


@pytest.mark.parametrize("seat", SEATS)
@pytest.mark.parametrize("name", TRACED)
@pytest.mark.parametrize("left", [0, 1], ids=["nobody is left", "one is left"])
def test_restarts_cost_who_is_named_at_most(name, seat, left):
    async def scenario(setting: Setting, size: int):
        flow = Flow(setting)
        flow.outfit(EVIL, CASES[name].make())
        async with flow:
            asked = prepared(flow, size, size // 2)
            await flow.desk.ask(asked.sealed)
            honest = [node for node in flow.view(asked).committee if node != EVIL]
            view = await judged_after_restarts(flow, asked, honest[left:])
            assert named(view) in ({EVIL} if left else {EVIL, NOBODY})

    run(scenario(*SEATS[seat]))


@pytest.mark.parametrize("left", [0, 1], ids=["nobody is left", "one is left"])
def test_of_many_subjects_too(left):
    async def scenario():
        flow = Flow(LENDERS)
        flow.outfit(EVIL, CASES[TRACED[0]].make())
        async with flow:
            asked = await ask_many(flow, THOUSANDS)
            honest = [node for node in flow.view(asked).committee if node != EVIL]
            view = await judged_after_restarts(flow, asked, honest[left:])
            assert named(view) in ({EVIL} if left else {EVIL, NOBODY})

    run(scenario())


@pytest.mark.parametrize("size", POOLS)
@pytest.mark.parametrize("number", range(20))
def test_all_but_one_deviate_and_that_one_restarts(number, size):
    """They may pool what they have against it: it is not named in a verdict, nor is anything released."""

    async def scenario(setting: Setting, pool: tuple[int, ...]):
        source = random.Random(f"{size} nodes, restarted mix {number}")
        honest = source.choice(pool)
        deviations = {node: CASES[source.choice(TRACED)].make() for node in pool if node != honest}
        flow = Flow(setting)
        for node, deviation in deviations.items():
            flow.outfit(node, deviation)
        async with flow:
            asked = prepared(flow, size, source.randrange(3))
            await flow.desk.ask(asked.sealed)
            view = await judged_after_restarts(flow, asked, [honest])
            assert view.attestation is not None
            if view.verdict is Verdict.MATCH:  # two that turn the same bit do nothing
                assert await flow.opened(asked) == flow.clear(ALICE)
            else:
                assert named(view) != honest

    run(scenario(*POOLS[size]))
