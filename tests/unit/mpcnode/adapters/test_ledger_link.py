"""The own replica as roles see it: waiting, listening, submitting, and leaving nothing behind."""

import asyncio

import pytest

from ledger.types import Millis
from mpcnode.adapters.ledger_link import LedgerLink
from mpcnode.client.opening import view_of_receipt
from mpcnode.errors import ErrorCode, RequestError, RevertedError, UnavailableError
from mpcnode.mpc.pools import PoolId
from mpcnode.query.view import LedgerView
from mpcnode.roles.ports import Call
from mpcnode.types import MemberIndex, QueryId, QueryState
from tests.support.consortium import ALICE, BANK, BANK_MPC, OPERATOR
from tests.support.flow import Flow
from tests.support.virtual_time import run

EVERYBODY_ELSE = (1, 2, 3, 4, 5, 6, 7)


def link_of(flow: Flow, member: int = OPERATOR) -> LedgerLink:
    return flow.daemons[member].link


def close_inputs(flow: Flow, query: bytes, life_ms: int = 5_000) -> Call:
    return Call(method="queries.close_inputs", values=(query, 1), expiry_ms=Millis(flow.clock.now_ms() + life_ms))


def test_waiting_ends_with_the_first_block_of_which_it_holds():
    async def scenario():
        async with Flow() as flow:
            prepared = flow.prepare(ALICE)
            link, query = link_of(flow), prepared.request.query
            seen: list[QueryState] = []
            waiting = asyncio.get_running_loop().create_task(
                link.until(query, lambda view: bool(seen.append(view.state)) or view.state is QueryState.ANSWERED)  # type: ignore[func-returns-value]
            )
            await asyncio.sleep(0)
            await flow.desk.ask(prepared.sealed)
            assert (await waiting).state is QueryState.ANSWERED
            assert seen[0] is QueryState.REGISTERED
            assert QueryState.COMPUTING in seen
            assert (await link.until(query, lambda _: True)).state is QueryState.ANSWERED

    run(scenario())


def test_who_stops_waiting_is_forgotten():
    async def scenario():
        async with Flow(silent=EVERYBODY_ELSE) as flow:
            link, query = link_of(flow), QueryId(bytes(32))
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1):
                        await link.until(query, lambda _: True)
            assert not link._waiting

    run(scenario())


def test_who_stops_waiting_does_not_stop_others():
    async def scenario():
        async with Flow(silent=EVERYBODY_ELSE) as flow:
            prepared = flow.prepare(ALICE)
            link, query = link_of(flow), prepared.request.query
            loop = asyncio.get_running_loop()
            first, second = (loop.create_task(link.until(query, lambda _: True)) for _ in range(2))
            await asyncio.sleep(0)
            first.cancel()
            await flow.desk.ask(prepared.sealed)
            assert (await second).query == query
            assert first.cancelled()

    run(scenario())


def test_a_listener_hears_of_open_queries_and_of_every_change():
    async def scenario():
        async with Flow() as flow:
            first = await flow.ask(ALICE)
            changes = link_of(flow).changed()
            assert await anext(changes) == first.request.query
            heard = [await anext(changes)]
            second = await flow.ask(ALICE)
            await flow.settled(second)
            while second.request.query not in heard:
                heard.append(await anext(changes))
            del changes
            assert set(heard) <= {first.request.query, second.request.query}
            await asyncio.sleep(0.1)
            assert len(link_of(flow)._listeners) == 1  # the timekeeper's

    run(scenario())


def test_a_transaction_is_final_and_shown_when_submitting_returns():
    async def scenario():
        async with Flow(silent=EVERYBODY_ELSE) as flow:
            flow.daemons[OPERATOR].replica.lag_ms = 500
            prepared = flow.prepare(ALICE)
            height = await flow.desk.ask(prepared.sealed)
            view = link_of(flow).view.get(prepared.request.query)
            assert view is not None
            assert view.registered_height == height == 1

    run(scenario())


def test_what_the_contract_refuses_has_its_code():
    async def scenario():
        async with Flow(silent=EVERYBODY_ELSE) as flow:
            call = close_inputs(flow, bytes(32))
            for refuse in (link_of(flow).submit, link_of(flow).preflight):
                with pytest.raises(RevertedError) as refused:
                    await refuse(call)
                assert refused.value.code is ErrorCode.UNKNOWN_QUERY
            assert flow.chain.methods() == [("close_inputs", "UNKNOWN_QUERY")]

    run(scenario())


def test_a_transaction_that_expires_is_said_to_and_may_be_made_again():
    async def scenario():
        async with Flow(silent=EVERYBODY_ELSE) as flow:
            flow.chain.halted = True
            with pytest.raises(UnavailableError) as expired:
                await link_of(flow).submit(close_inputs(flow, bytes(32), life_ms=1_000))
            assert expired.value.code is ErrorCode.TRANSACTION_EXPIRED

    run(scenario())


def test_who_stops_submitting_leaves_nothing_behind():
    async def scenario():
        async with Flow(silent=EVERYBODY_ELSE) as flow:
            flow.chain.halted = True
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await link_of(flow).submit(close_inputs(flow, bytes(32)))
            assert not flow.daemons[OPERATOR].replica.awaited

    run(scenario())


def test_equal_calls_are_different_transactions():
    async def scenario():
        async with Flow(silent=EVERYBODY_ELSE) as flow:
            call = close_inputs(flow, bytes(32))
            done = await asyncio.gather(*(link_of(flow).submit(call) for _ in range(2)), return_exceptions=True)
            assert all(isinstance(one, RevertedError) for one in done)
            assert len(flow.chain.methods()) == 2

    run(scenario())


def test_a_receipt_holds_every_transaction_of_its_query_and_no_other():
    async def scenario():
        async with Flow() as flow:
            asked, other = await flow.ask(ALICE), await flow.ask(ALICE)
            view = await flow.settled(asked)
            await flow.settled(other)
            receipt = await link_of(flow, BANK).receipt(asked.request.query)
            proven = view_of_receipt(receipt, flow.consortium)
            assert (proven.state, proven.verdict, proven.result) == (view.state, view.verdict, view.result)
            with pytest.raises(RequestError) as unknown:
                await link_of(flow).receipt(QueryId(bytes(32)))
            assert unknown.value.code is ErrorCode.UNKNOWN_QUERY

    run(scenario())


def test_places_are_forgotten_with_their_queries():
    async def scenario():
        async with Flow() as flow:
            link = link_of(flow)
            link._view = LedgerView({listed.model: listed.audit for listed in flow.consortium.models}, ended_max=2)
            asked = []
            for _ in range(5):
                asked.append(await flow.ask(ALICE))
                await flow.settled(asked[-1])
            assert set(link._places) == {query.request.query for query in asked[-2:]}

    run(scenario())


def test_a_restarted_daemon_folds_the_whole_chain_again():
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            view = await flow.settled(asked)
            await flow.restart(BANK)
            assert link_of(flow, BANK).view.get(asked.request.query) == view

    run(scenario())


def test_a_mark_shows_what_a_member_has_used_up_and_only_moves_on():
    async def scenario():
        async with Flow() as flow:
            pool = PoolId(bytes(range(32)))

            def mark(upto: int) -> Call:
                return Call(method="records.mark", values=(pool, upto), expiry_ms=Millis(flow.clock.now_ms() + 5_000))

            node, other = link_of(flow, BANK_MPC), link_of(flow)
            assert await node.mark(MemberIndex(BANK_MPC), pool) == 0
            await node.submit(mark(7))
            assert await node.mark(MemberIndex(BANK_MPC), pool) == 7
            assert await other.mark(MemberIndex(BANK_MPC), pool) == 7
            assert await other.mark(MemberIndex(OPERATOR), pool) == 0
            for upto in (7, 6):
                with pytest.raises(RevertedError) as refused:
                    await node.submit(mark(upto))
                assert refused.value.code is ErrorCode.MARK_NOT_AHEAD

    run(scenario())
