"""Whatever belongs to a query is sealed to, and opened with, the keys of the epoch in which it was asked."""

import asyncio

import pytest

from mpcnode.sealing.envelopes import envelope_epoch, open_by_archive
from mpcnode.sealing.keys import OpeningKey
from mpcnode.types import AuditMode, CorrelationSource, Epoch, QueryState, Verdict
from tests.support.consortium import ALICE, ARCHIVE, LATER_AUDIT, NODES, REGULATOR, Setting, seed
from tests.support.flow import Fault, Flow
from tests.support.virtual_time import run

FIRST, SECOND = Epoch(7), Epoch(8)
SETTINGS = [
    Setting(),
    Setting(audit=AuditMode.BEFORE_RELEASE),
    Setting(correlations=CorrelationSource.OT),
]
NAMES = ["after release", "before release", "no dealer"]


async def audited(flow: Flow, asked, epoch: Epoch) -> None:
    """The answer of a query is right and audited, and everything in it is of this epoch."""
    view = await flow.settled(asked)
    assert (view.verdict, view.terms.epoch) == (Verdict.MATCH, epoch)
    assert await flow.opened(asked) == flow.clear(ALICE)
    assert view.result is not None
    for envelope in (view.supervisor_copy, *view.result.supervisor_boxes):
        assert envelope_epoch(envelope) == epoch
        open_by_archive(envelope, epoch, ARCHIVE)


@pytest.mark.parametrize("setting", SETTINGS, ids=NAMES)
@pytest.mark.parametrize("restarts", [False, True], ids=["goes on", "restarts"])
def test_a_query_of_an_epoch_that_is_over_is_audited_as_any(setting, restarts):
    async def scenario():
        async with Flow(setting) as flow:
            flow.chain.drop = lambda _sender, method: method == "attest"
            asked = await flow.ask(ALICE, life_ms=200_000)
            await flow.until(asked, lambda view: view.state is QueryState.ANSWERED)
            flow.epoch = await flow.begin_epoch(LATER_AUDIT.public)
            flow.chain.drop = lambda _sender, _method: False
            if restarts:
                await flow.restart(REGULATOR)
            later = await flow.ask(ALICE)
            await audited(flow, asked, FIRST)
            await audited(flow, later, SECOND)

    run(scenario())


def test_an_attempt_that_begins_in_the_next_epoch_stays_in_that_of_its_query():
    async def scenario():
        async with Flow() as flow:
            flow.network.faults.append(Fault(kind="end", drop=True))
            asked = await flow.ask(ALICE)
            await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            await flow.begin_epoch(LATER_AUDIT.public)
            await flow.fail_by_hand(flow.view(asked))
            flow.network.faults.clear()
            again = await flow.until(asked, lambda view: view.attempt == 2 and len(view.envelopes) == 3)
            assert {envelope_epoch(envelope) for envelope in again.envelopes.values()} == {FIRST}
            await audited(flow, asked, FIRST)

    run(scenario())


def test_every_daemon_knows_the_epochs_after_a_restart():
    async def scenario():
        async with Flow() as flow:
            keys = await flow.begin_epoch(LATER_AUDIT.public)
            await flow.restart(NODES[0])
            await asyncio.sleep(0.1)
            assert (keys.audit, keys.archive) == (LATER_AUDIT.public, ARCHIVE.public)
            assert flow.daemons[NODES[0]].link.epochs == {FIRST: flow.consortium.epoch, SECOND: keys}

    run(scenario())


def test_nobody_but_the_supervisor_is_waited_for_where_it_has_no_key_of_an_epoch():
    async def scenario():
        async with Flow() as flow:
            flow.epoch = await flow.begin_epoch(OpeningKey(seed("lost audit key")).public)
            view = await flow.settled(await flow.ask(ALICE))
            assert view.state is QueryState.ABORTED
            assert {failure.waited for failure in view.failures} == {1 << REGULATOR}
            assert view.refused == 0
            assert {error["event"] for error in flow.errors()} == {"query.failed"}
            flow.logs.clear()

    run(scenario())
