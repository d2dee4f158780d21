"""One node of the committee leaves the protocol: no wrong answer, no query that hangs, and the right one is named.

Under audit before release, in committees of three and of five. The node deviates as long as the first query is open, in
every attempt that it takes part in; the next query finds it honest again, and must be answered.
"""

import asyncio
import operator
from functools import partial

import pytest

from mpcnode.client.asking import Prepared
from mpcnode.errors import NodeError
from mpcnode.query.committee import choose_committee
from mpcnode.query.view import QueryView
from mpcnode.roles.compute import Compute
from mpcnode.roles.context import Timing
from mpcnode.types import (
    AuditMode,
    EndReason,
    FailReason,
    QueryState,
    Verdict,
    bitmap,
)
from tests.support.consortium import ALICE, BANK, INSURER, NODES, PANEL, REGULATOR, SAVINGS, SPARE_MPC, Setting
from tests.support.deviant_words import Flood
from tests.support.deviations import CASES, Accuses, Audited, Case, Harmless, Named, Unopenable
from tests.support.flow import ROUNDS, Fault, Flow
from tests.support.virtual_time import run

EVIL = NODES[1]
OF_THREE = Setting(audit=AuditMode.BEFORE_RELEASE, spares=1)
"""A pool of four: a committee without the evil one can be found."""
OF_FIVE = Setting(
    audit=AuditMode.BEFORE_RELEASE,
    spares=2,
    anchors=((BANK, 1 << NODES[0]), (INSURER, 1 << NODES[2]), (SAVINGS, 1 << SPARE_MPC)),
)
"""The anchors make it five if the first three are not among them all."""
SEATS = {"first of three": (OF_THREE, 3, 0), "last of three": (OF_THREE, 3, 2), "third of five": (OF_FIVE, 5, 2)}

WINDOW_MS, LIFE_MS = 2_000, 90_000
PATIENCE_MS = 2_000
"""Beyond what the stages of an attempt may take."""


def prepared(flow: Flow, size: int, rank: int) -> Prepared:
    """A query whose first committee has this size and seats the evil node at this rank."""
    for _ in range(2_000):
        asked = flow.prepare(ALICE, window_ms=WINDOW_MS, life_ms=LIFE_MS)
        members = flow.consortium.members
        panel = bitmap(PANEL)
        committee = choose_committee(asked.request.query, 1, members, panel=panel, excluded=0, companies_min=3).members
        if len(committee) == size and committee[rank] == EVIL:
            return asked
    raise AssertionError("expected such a committee among 2,000 queries")


class Watch:
    """What the ledger showed of a query, and when."""

    def __init__(self, flow: Flow, asked: Prepared) -> None:
        self.seen: list[tuple[int, QueryView]] = []
        self._flow, self._asked = flow, asked

    async def settled(self) -> QueryView:
        view: QueryView | None = None
        async with asyncio.timeout(200):
            while view is None or not view.is_settled:
                view = await self._flow.until(self._asked, partial(operator.ne, view), at=REGULATOR)
                self.seen.append((self._flow.clock.now_ms(), view))
        return view

    def attempts_end_in_time(self, size: int) -> None:
        """No attempt is computed longer than its stages may take, those who say so by rank included."""
        timing = Timing()
        limit = timing.preparation + timing.computation + 3 * timing.notice + size * timing.retry + PATIENCE_MS
        limit += timing.verdict
        began: dict[int, int] = {}
        for at, view in self.seen:
            if view.state is QueryState.COMPUTING:
                began.setdefault(view.attempt, at)
            for attempt, since in began.items():
                if view.attempt == attempt and view.state is QueryState.COMPUTING:
                    assert at - since <= limit, (attempt, at - since)
        times = [at for at, view in self.seen if view.state is not QueryState.COMPUTING]
        for since in began.values():
            assert min(at for at in times if at > since) - since <= limit


async def answered(flow: Flow, asked: Prepared, view: QueryView) -> None:
    """Released after a match, and right."""
    assert (view.state, view.verdict) == (QueryState.RELEASED, Verdict.MATCH)
    assert await flow.opened(asked) == flow.clear(ALICE)


async def closed(flow: Flow, asked: Prepared) -> NodeError:
    """Nobody can open it."""
    with pytest.raises(NodeError) as caught:
        await flow.opened(asked)
    return caught.value


async def check_harmless(flow: Flow, asked: Prepared, view: QueryView, expected: Harmless) -> None:
    assert (view.attempt, view.failures) == (1, ())
    if expected.refused is not None and view.committee[0] == EVIL:
        assert expected.refused in flow.chain.methods()
    await answered(flow, asked, view)


async def check_named(flow: Flow, asked: Prepared, view: QueryView, expected: Named) -> None:
    if expected.or_answered and not view.failures:
        await check_harmless(flow, asked, view, Harmless())
        return
    waited = bitmap((EVIL, REGULATOR) if expected.with_dealer else (EVIL,))
    (failure,) = view.failures
    assert (failure.reason, failure.waited) == (expected.reason, waited)
    assert failure.by != EVIL
    assert EVIL not in view.committee
    await answered(flow, asked, view)


async def check_accuses(flow: Flow, asked: Prepared, view: QueryView, _: Accuses) -> None:
    for failure in view.failures:
        assert (failure.by, failure.reason) == (EVIL, FailReason.TIMEOUT)
        assert failure.waited & bitmap((EVIL,)) == 0 != failure.waited
    assert view.failures
    if view.state is QueryState.RELEASED:
        await answered(flow, asked, view)
    else:
        assert view.state is QueryState.ABORTED
        await closed(flow, asked)


async def check_audited(flow: Flow, asked: Prepared, view: QueryView, expected: Audited) -> None:
    assert (view.attempt, view.failures) == (1, ())
    assert (view.state, view.verdict, view.end_reason) == (QueryState.ABORTED, Verdict.MISMATCH, EndReason.MISMATCH)
    assert view.attestation is not None
    said = view.attestation
    assert (said.member, said.stage) == (EVIL, expected.stage)
    assert said.round == expected.round or expected.round < 0 < said.round
    assert said.release == b""
    await closed(flow, asked)


async def check_unopenable(flow: Flow, asked: Prepared, view: QueryView, _: Unopenable) -> None:
    assert (view.state, view.verdict, view.failures) == (QueryState.RELEASED, Verdict.MATCH, ())
    assert f"member {EVIL}" in str(await closed(flow, asked))


CHECKS = {
    Harmless: check_harmless,
    Named: check_named,
    Accuses: check_accuses,
    Audited: check_audited,
    Unopenable: check_unopenable,
}


async def scenario(case: Case, setting: Setting, size: int, rank: int) -> None:
    flow = Flow(setting)
    deviation = case.make()
    flow.outfit(EVIL, deviation)
    async with flow:
        if case.after_another:
            asked = prepared(flow, size, rank)
            await flow.desk.ask(asked.sealed)
            await answered(flow, asked, await flow.settled(asked))
        asked = prepared(flow, size, rank)
        await flow.desk.ask(asked.sealed)
        watch = Watch(flow, asked)
        view = await watch.settled()
        watch.attempts_end_in_time(size)
        assert (view.ended_at or 0) <= view.deadline + PATIENCE_MS
        await CHECKS[type(case.expected)](flow, asked, view, case.expected)  # type: ignore[operator]
        deviation.active = False
        again = prepared(flow, size, rank)
        await flow.desk.ask(again.sealed)
        view = await flow.settled(again)
        assert (view.attempt, view.failures) == (1, ())
        await answered(flow, again, view)
        assert not any(daemon.task.done() for daemon in flow.daemons.values())


@pytest.mark.parametrize("seat", SEATS)
@pytest.mark.parametrize("name", CASES)
def test_a_deviation(name, seat):
    run(scenario(CASES[name], *SEATS[seat]))


def test_there_are_forty_deviations_or_more():
    assert len(CASES) >= 40


def test_a_node_whose_clock_is_an_hour_ahead_does_no_harm():
    """Its transactions expire too far ahead for any block, and its turns come too early for the contract."""

    async def ahead():
        flow = Flow(OF_THREE)
        async with flow:
            flow.daemons[EVIL].clock.offset_ms = 3_600_000
            for rank in range(3):
                asked = prepared(flow, 3, rank)
                await flow.desk.ask(asked.sealed)
                await check_harmless(flow, asked, await flow.settled(asked), Harmless())

    run(ahead())


def test_a_node_that_restarts_all_the_time_is_the_only_one_that_is_named():
    async def unsteady():
        async with Flow(OF_THREE) as flow:

            async def restarts() -> None:
                while True:
                    await asyncio.sleep(0.15)
                    await flow.restart(EVIL)

            flow.network.faults.append(Fault(kind=ROUNDS, delay_ms=60))
            asked = prepared(flow, 3, 0)
            task = asyncio.create_task(restarts())
            await flow.desk.ask(asked.sealed)
            watch = Watch(flow, asked)
            view = await watch.settled()
            task.cancel()
            watch.attempts_end_in_time(3)
            assert view.failures
            assert {failure.waited for failure in view.failures} <= {0, 1 << EVIL}
            await answered(flow, asked, view)

    run(unsteady())


def test_ten_thousand_messages_of_one_node_take_bounded_room():
    """Each as large as it may be; what is kept of them is a sender's room, in all less than 20 MiB."""

    async def flooded():
        flow = Flow(OF_THREE)
        deviation = Flood(10_000)
        flow.outfit(EVIL, deviation)
        async with flow:
            asked = prepared(flow, 3, 1)
            await flow.desk.ask(asked.sealed)
            await check_harmless(flow, asked, await flow.settled(asked), Harmless())
            await deviation.done.wait()
            roles = [flow.daemons[node].role for node in flow.view(asked).committee]
            room = [
                sum(
                    len(end.inquirer_box) + len(end.supervisor_box)
                    for end in role._mailbox.ends._senders[EVIL].kept.values()
                )
                for role in roles
                if isinstance(role, Compute)
            ]
            assert 0 < max(room) < 20 << 20

    run(flooded())
