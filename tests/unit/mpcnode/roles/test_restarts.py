"""Daemons that die and come back: nothing is lost, nothing is computed twice."""

import asyncio

import pytest

from mpcnode.types import FailReason, MemberIndex, QueryState, Verdict
from tests.support.consortium import ALICE, NODES, OPERATOR, PANEL, REGULATOR, Setting
from tests.support.flow import ROUNDS, Fault, Flow
from tests.support.virtual_time import run


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("kind", ["shares", "accept", ROUNDS, "end"])
def test_a_node_restarted_while_it_computes_fails_that_attempt_and_computes_the_next(kind, node):
    async def scenario():
        async with Flow() as flow:
            flow.network.faults.append(Fault(kind=kind, delay_ms=400))
            asked = await flow.ask(ALICE)
            await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            await asyncio.sleep(0.2)
            flow.network.faults.clear()
            await flow.restart(node)
            view = await flow.settled(asked)
            (failure,) = view.failures
            assert (failure.reason, failure.waited in {0, 1 << node}) == (FailReason.ABORT, True)
            assert (view.attempt, view.verdict) == (2, Verdict.MATCH)
            assert await flow.opened(asked) == flow.clear(ALICE)

    run(scenario())


@pytest.mark.parametrize("node", NODES)
def test_a_session_that_was_started_is_never_run_again(node):
    """Even if the daemon dies at the very moment at which the start became durable."""

    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            flow.kill_after(node, "started")
            await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            await asyncio.sleep(0.1)
            assert node not in flow.daemons
            ((started, _),) = await flow.journals[node].items("started", 9)
            flow.network.sent.clear()
            flow.start(node)
            view = await flow.settled(asked)
            assert (view.attempt, view.verdict) == (2, Verdict.MATCH)
            assert started != view.session
            assert not any(started in sent.payload for sent in flow.network.of("end", node))
            assert flow.journals[node].count("started") == 2

    run(scenario())


def test_a_node_that_was_away_for_the_whole_attempt_takes_part_in_the_next():
    async def scenario():
        async with Flow(silent=[NODES[0]]) as flow:
            asked = await flow.ask(ALICE)
            await flow.until(asked, lambda view: view.attempt == 2)
            flow.start(NODES[0])
            view = await flow.settled(asked)
            assert (view.attempt, view.verdict) == (2, Verdict.MATCH)
            assert view.failures[0].waited == 1 << NODES[0]

    run(scenario())


def test_a_restarted_operator_goes_on_ordering():
    async def scenario():
        async with Flow() as flow:
            flow.network.faults.append(Fault(kind="order", drop=True))
            asked = await flow.ask(ALICE, window_ms=5_000)
            await asyncio.sleep(0.5)
            flow.network.faults.clear()
            await flow.restart(OPERATOR)
            view = await flow.settled(asked)
            assert (view.verdict, view.attempt) == (Verdict.MATCH, 1)

    run(scenario())


def test_an_operator_that_died_before_registering_registers_after_its_restart():
    async def scenario():
        async with Flow() as flow:
            prepared = flow.prepare(ALICE)
            flow.kill_after(OPERATOR, "request")
            asking = asyncio.get_running_loop().create_task(flow.desk.ask(prepared.sealed))
            await asyncio.sleep(0.5)
            asking.cancel()
            assert len(flow.chain.blocks) <= 2
            flow.start(OPERATOR)
            view = await flow.settled(prepared)
            assert (view.verdict, view.attempt) == (Verdict.MATCH, 1)
            assert flow.chain.methods().count(("register", "")) == 1

    run(scenario())


def test_an_operator_abandons_a_request_whose_time_is_over():
    async def scenario():
        async with Flow() as flow:
            flow.chain.halted = True
            asking = asyncio.get_running_loop().create_task(flow.desk.ask(flow.prepare(ALICE).sealed))
            await asyncio.sleep(0.2)
            asking.cancel()
            await flow.crash(OPERATOR)
            flow.chain._pool.clear()
            flow.chain.resume()
            await asyncio.sleep(10)
            flow.start(OPERATOR)
            await asyncio.sleep(40)
            assert flow.chain.methods() == []
            assert not flow.daemons[OPERATOR].link._waiting

    run(scenario())


@pytest.mark.parametrize("down_s", [0.2, 200.0])
def test_a_supervisor_that_was_away_attests_when_it_is_back(down_s):
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            flow.chain.drop = lambda _, method: method == "attest"
            view = await flow.until(asked, lambda view: view.state is QueryState.ANSWERED)
            await flow.crash(REGULATOR)
            flow.chain.drop = lambda *_: False
            await asyncio.sleep(down_s)
            assert flow.view(asked).verdict is None
            flow.start(REGULATOR)
            view = await flow.settled(asked)
            assert view.verdict is Verdict.MATCH

    run(scenario())


def test_a_supervisor_whose_verdict_expired_attests_again():
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            await flow.until(asked, lambda view: view.state is QueryState.ANSWERED)
            flow.chain.halted = True
            await asyncio.sleep(100)
            flow.chain._pool.clear()
            flow.chain.resume()
            view = await flow.settled(asked, within_s=100)
            assert view.verdict is Verdict.MATCH

    run(scenario())


def test_a_supervisor_restarted_before_its_deal_deals_the_same():
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            flow.network.faults.append(Fault(kind="deal", receiver=NODES[2], drop=True))
            await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            await asyncio.sleep(0.1)
            before = {sent.receiver: sent.payload for sent in flow.network.of("deal")}
            flow.network.faults.clear()
            await flow.restart(REGULATOR)
            view = await flow.settled(asked)
            after = {sent.receiver: sent.payload for sent in flow.network.of("deal")}
            assert all(after[receiver] == payload for receiver, payload in before.items())
            assert set(after) == set(NODES)
            assert (view.attempt, view.verdict) == (1, Verdict.MATCH)

    run(scenario())


@pytest.mark.parametrize("member", [OPERATOR, *PANEL, *NODES, REGULATOR])
@pytest.mark.parametrize("at_ms", [60, 160, 200])
def test_one_restart_of_anybody_at_any_time_does_not_stop_a_query(member, at_ms):
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            await asyncio.sleep(at_ms / 1_000)
            await flow.restart(MemberIndex(member))
            view = await flow.settled(asked)
            assert (view.state, view.verdict) == (QueryState.ANSWERED, Verdict.MATCH)
            assert await flow.opened(asked) == flow.clear(ALICE)

    run(scenario())


def test_a_session_in_the_journal_is_not_run_whatever_else_a_node_believes():
    """Even if nothing but the journal says that it was started."""

    async def scenario():
        async with Flow() as flow:
            journal, frames = flow.journals[NODES[0]], []
            put_once = journal.put_once

            async def put_before(kind: str, key: bytes, value: bytes) -> bool:
                if kind == "started" and not journal.count(kind):
                    await put_once(kind, key, value)
                return await put_once(kind, key, value)

            def note(data: bytes) -> bytes:
                frames.append(flow.view(asked).attempt)
                return data

            journal.put_once = put_before  # type: ignore[method-assign]
            flow.network.faults.append(Fault(kind=ROUNDS, sender=NODES[0], tamper=note))
            asked = await flow.ask(ALICE)
            view = await flow.settled(asked)
            assert [event.reason for event in view.failures] == [FailReason.ABORT]
            assert (view.attempt, view.verdict) == (2, Verdict.MATCH)
            assert set(frames) == {2}

    run(scenario())


@pytest.mark.parametrize("node", NODES)
def test_no_frame_leaves_before_the_journal_holds_the_session(node):
    """However long the disk takes; the node's accept has left by then."""

    async def scenario():
        async with Flow() as flow:
            journal, frames, loop = flow.journals[node], list[bool](), asyncio.get_running_loop()
            put_once, is_durable = journal.put_once, False

            async def put_late(kind: str, key: bytes, value: bytes) -> bool:
                nonlocal is_durable
                if kind != "started":
                    return await put_once(kind, key, value)
                await asyncio.sleep(1)
                assert flow.network.of("accept", node)
                is_durable = await put_once(kind, key, value)
                return is_durable

            def note(data: bytes) -> bytes:
                frames.append(is_durable)
                return data

            journal.put_once = put_late  # type: ignore[method-assign]
            flow.network.faults.append(Fault(kind=ROUNDS, sender=node, tamper=note))
            view = await flow.settled(await flow.ask(ALICE))
            assert (view.attempt, view.verdict) == (1, Verdict.MATCH)
            assert frames
            assert all(frames)
            assert loop.time() > 1

    run(scenario())


@pytest.mark.parametrize("node", NODES)
def test_an_attempt_that_ends_while_the_disk_is_slow_leaves_nothing_behind(node):
    async def scenario():
        async with Flow() as flow:
            journal, waiting = flow.journals[node], set[bytes]()
            put_once = journal.put_once

            async def put_late(kind: str, key: bytes, value: bytes) -> bool:
                if kind == "started" and not journal.count(kind):
                    waiting.add(key)
                    try:
                        await asyncio.sleep(1)
                    finally:
                        waiting.discard(key)
                return await put_once(kind, key, value)

            journal.put_once = put_late  # type: ignore[method-assign]
            asked = await flow.ask(ALICE)
            view = await flow.until(asked, lambda view: view.state is QueryState.COMPUTING)
            await asyncio.sleep(0.2)
            assert waiting == {view.session}
            await flow.fail_by_hand(view)
            view = await flow.settled(asked)
            assert (view.attempt, view.verdict) == (2, Verdict.MATCH)
            assert not waiting
            assert not [task for task in asyncio.all_tasks() if task.get_name() == "started"]

    run(scenario())


def test_a_slow_disk_keeps_nobody_from_saying_who_did_not_accept():
    async def scenario():
        async with Flow(Setting(spares=1)) as flow:
            asked = await flow.ask(ALICE)
            view = await flow.until(asked, lambda view: bool(view.commitments))
            first, silent, _ = view.committee
            journal = flow.journals[first]
            put_once = journal.put_once

            async def put_late(kind: str, key: bytes, value: bytes) -> bool:
                if kind == "started" and flow.view(asked).attempt == 1:
                    await asyncio.sleep(20)
                return await put_once(kind, key, value)

            journal.put_once = put_late  # type: ignore[method-assign]
            flow.network.faults.append(Fault(kind="accept", sender=silent, receiver=first, drop=True))
            view = await flow.until(asked, lambda view: view.attempt == 2)
            assert [(event.by, event.waited) for event in view.failures] == [(first, 1 << silent)]
            flow.network.faults.clear()
            assert (await flow.settled(asked)).verdict is Verdict.MATCH

    run(scenario())
