"""The desk: what it refuses, what it answers twice alike, and inquirers that hang up."""

import asyncio
from dataclasses import replace

import pytest

from ledger.types import Signature
from mpcnode.errors import CallerError, ErrorCode, NotAllowedError, RequestError, UnavailableError
from mpcnode.query.request import encode_request
from mpcnode.types import Epoch, QueryId, QueryState, Verdict
from tests.support.consortium import ALICE, LENDER, STRANGER
from tests.support.flow import Flow
from tests.support.virtual_time import run


def test_the_same_request_again_is_the_same_query():
    async def scenario():
        async with Flow() as flow:
            prepared = flow.prepare(ALICE)
            first = await flow.desk.ask(prepared.sealed)
            assert await flow.desk.ask(prepared.sealed) == first
            await flow.settled(prepared)
            assert await flow.desk.ask(prepared.sealed) == first
            assert flow.chain.methods().count(("register", "")) == 1

    run(scenario())


def test_the_same_request_twice_at_once_is_the_same_query():
    async def scenario():
        async with Flow() as flow:
            prepared = flow.prepare(ALICE)
            heights = await asyncio.gather(*(flow.desk.ask(prepared.sealed) for _ in range(3)))
            assert len(set(heights)) == 1
            assert flow.chain.methods().count(("register", "")) == 1
            view = await flow.settled(prepared)
            assert view.verdict is Verdict.MATCH
            assert {(s.receiver) for s in flow.network.of("order")} == {1, 2, 3, 4, 5, 6}
            assert len(flow.network.of("order")) == 6

    run(scenario())


@pytest.mark.parametrize("at_once", [True, False])
def test_another_body_under_the_same_id_is_refused(at_once):
    async def scenario():
        async with Flow() as flow:
            prepared, other = flow.prepare(ALICE), flow.prepare(ALICE)
            same_id = replace(other.request, query=prepared.request.query)
            stated = encode_request(same_id)
            sealed = replace(other.sealed, statement=stated, signature=LENDER.sign(stated))
            asking = asyncio.get_running_loop().create_task(flow.desk.ask(prepared.sealed))
            await asyncio.sleep(0 if at_once else 1)
            with pytest.raises(RequestError) as refused:
                await flow.desk.ask(sealed)
            assert refused.value.code is ErrorCode.QUERY_EXISTS
            await asking
            view = await flow.settled(prepared)
            assert view.request == prepared.sealed.statement

    run(scenario())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"signature": Signature(bytes(64))}, ErrorCode.WRONG_SIGNATURE),
        ({"inquirer": STRANGER.public}, ErrorCode.UNKNOWN_INQUIRER),
        ({"tokens": ()}, ErrorCode.TOKENS_MISMATCH),
        ({"supervisor_copy": bytes(312)}, ErrorCode.COPY_MISMATCH),
    ],
)
def test_what_is_wrong_with_a_request_is_said_and_nothing_is_kept(change, code):
    async def scenario():
        async with Flow() as flow:
            prepared = flow.prepare(ALICE)
            with pytest.raises(CallerError) as refused:
                await flow.desk.ask(replace(prepared.sealed, **change))
            assert refused.value.code is code
            assert not flow.journals[0].count("request")
            assert flow.chain.submitted == []

    run(scenario())


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"window_ms": -1}, ErrorCode.PAST_DEADLINE),
        ({"life_ms": 2 * 3_600_000}, ErrorCode.WINDOW),
    ],
)
def test_times_that_cannot_be_are_refused(options, code):
    async def scenario():
        async with Flow() as flow:
            with pytest.raises(RequestError) as refused:
                await flow.desk.ask(flow.prepare(ALICE, **options).sealed)
            assert refused.value.code is code

    run(scenario())


def test_what_the_contract_would_refuse_does_not_reach_the_chain():
    async def scenario():
        async with Flow() as flow:
            prepared = flow.prepare(ALICE)
            stated = encode_request(replace(prepared.request, epoch=Epoch(99)))
            sealed = replace(prepared.sealed, statement=stated, signature=LENDER.sign(stated))
            with pytest.raises(CallerError) as refused:
                await flow.desk.ask(sealed)
            assert refused.value.code is ErrorCode.EPOCH_STALE
            assert flow.chain.submitted == []
            assert not flow.journals[0].count("request")

    run(scenario())


def test_an_inquirer_that_hangs_up_is_answered_all_the_same():
    async def scenario():
        async with Flow() as flow:
            prepared = flow.prepare(ALICE)
            asking = asyncio.get_running_loop().create_task(flow.desk.ask(prepared.sealed))
            await asyncio.sleep(0.02)
            asking.cancel()
            view = await flow.settled(prepared)
            assert (view.state, view.verdict) == (QueryState.ANSWERED, Verdict.MATCH)
            assert await flow.opened(prepared) == flow.clear(ALICE)

    run(scenario())


def test_a_ledger_that_stands_still_is_said_and_nothing_waits_for_ever():
    async def scenario():
        async with Flow() as flow:
            flow.chain.halted = True
            before = len(asyncio.all_tasks())
            with pytest.raises(UnavailableError) as error:
                await flow.ask(ALICE)
            assert error.value.code is ErrorCode.TRANSACTION_EXPIRED
            await asyncio.sleep(60)
            assert len(asyncio.all_tasks()) == before

    run(scenario())


def test_following_shows_every_state_to_the_inquirer_only():
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            query = asked.request.query
            states = [(view.state, view.verdict) async for view in flow.desk.follow(query, LENDER.public)]
            assert states[0][0] is QueryState.REGISTERED
            assert (QueryState.COMPUTING, None) in states
            assert states[-2:] == [(QueryState.ANSWERED, None), (QueryState.ANSWERED, Verdict.MATCH)]
            with pytest.raises(NotAllowedError):
                await anext(flow.desk.follow(query, STRANGER.public))
            with pytest.raises(NotAllowedError):
                await flow.desk.receipt(query, STRANGER.public)
            with pytest.raises(RequestError) as unknown:
                await flow.desk.receipt(QueryId(bytes(32)), LENDER.public)
            assert unknown.value.code is ErrorCode.UNKNOWN_QUERY

    run(scenario())
