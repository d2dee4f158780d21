"""Who ends what when: closing, expiring and posting by rank, with clocks that differ."""

import asyncio
from functools import partial

import pytest

from mpcnode.query.duties import validator_rank
from mpcnode.query.view import QueryView
from mpcnode.types import EndReason, MemberIndex, QueryState, Verdict, bitmap
from tests.support.consortium import ALICE, BANK, INSURER, NODES, OPERATOR, PANEL, REGULATOR, SAVINGS
from tests.support.flow import Flow
from tests.support.virtual_time import run


def computes(attempt: int, view: QueryView) -> bool:
    return view.attempt == attempt and view.state is QueryState.COMPUTING


VALIDATORS = tuple(MemberIndex(index) for index in (0, 2, 4, 5, 6, 7))


def only_expire(_: int, method: str) -> bool:
    """What gets lost where nobody but the validators at the deadline is heard."""
    return method not in {"register", "expire"}


def test_a_query_that_everybody_is_silent_about_expires_in_time():
    async def scenario():
        async with Flow() as flow:
            flow.chain.drop = only_expire
            asked = await flow.ask(ALICE, life_ms=10_000)
            view = await flow.settled(asked)
            assert (view.state, view.end_reason, view.waited) == (
                QueryState.EXPIRED,
                EndReason.DEADLINE,
                bitmap(PANEL),
            )
            assert 3_000 <= (view.ended_at or 0) - view.deadline <= 3_200
            assert flow.chain.methods().count(("expire", "")) == 1

    run(scenario())


def test_the_next_rank_expires_a_query_if_the_first_is_gone():
    async def scenario():
        async with Flow() as flow:
            flow.chain.drop = only_expire
            asked = await flow.ask(ALICE, life_ms=10_000)
            ranks = {validator_rank(asked.request.query, who, VALIDATORS): who for who in VALIDATORS}
            for rank in (0, 1):
                await flow.crash(ranks[rank])
            view = await flow.settled(asked)
            assert view.state is QueryState.EXPIRED
            assert 7_000 <= (view.ended_at or 0) - view.deadline <= 7_200

    run(scenario())


def test_a_query_expires_at_most_15_s_after_its_deadline_with_one_validator_left():
    async def scenario():
        async with Flow() as flow:
            flow.chain.drop = only_expire
            asked = await flow.ask(ALICE, life_ms=10_000)
            ranks = {validator_rank(asked.request.query, who, VALIDATORS): who for who in VALIDATORS}
            last = ranks[5]
            for index in list(flow.daemons):
                if index != last:
                    await flow.crash(index)
            view = await flow.settled(asked)
            assert view.state is QueryState.EXPIRED
            assert (view.ended_at or 0) - view.deadline <= 15_000

    run(scenario())


def test_a_committee_that_is_silent_is_named_when_the_query_expires():
    async def scenario():
        async with Flow() as flow:
            flow.chain.drop = lambda _, method: method in {"post_result", "fail_attempt"}
            view = await flow.settled(await flow.ask(ALICE, life_ms=8_000))
            assert (view.state, view.waited) == (QueryState.EXPIRED, bitmap(view.committee))

    run(scenario())


def test_a_validator_whose_clock_is_ahead_tries_again_until_it_is_time():
    async def scenario():
        async with Flow(silent=[SAVINGS]) as flow:
            asked = await flow.ask(ALICE, window_ms=2_000)
            for daemon in flow.daemons.values():
                daemon.clock.offset_ms = 1_500
            view = await flow.settled(asked)
            assert view.verdict is Verdict.MATCH
            assert ("close_inputs", "TOO_EARLY") in flow.chain.methods()
            assert 0 <= (view.computing_at or 0) - view.contribute_by <= 1_000

    run(scenario())


def test_no_duty_stays_behind_when_another_validator_was_faster():
    async def scenario():
        async with Flow(silent=[SAVINGS]) as flow:
            await flow.settled(await flow.ask(ALICE))
            await asyncio.sleep(1)
            tasks = len(asyncio.all_tasks())
            await asyncio.sleep(60)
            assert len(asyncio.all_tasks()) == tasks
            assert {reason for method, reason in flow.chain.methods() if method == "close_inputs"} <= {
                "",
                "WRONG_STATE",
            }

    run(scenario())


def test_the_next_rank_posts_when_the_operating_node_is_dead_after_the_ends():
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            first, second, _ = flow.view(asked).committee
            flow.chain.drop = lambda sender, method: sender == first and method == "post_result"
            view = await flow.settled(asked)
            assert view.result is not None
            assert (view.result.poster, view.verdict, view.failures) == (second, Verdict.MATCH, ())
            assert 3_000 <= view.result.at - (view.computing_at or 0) <= 3_200

    run(scenario())


def test_a_node_whose_clock_is_ahead_posts_when_its_turn_has_really_come():
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE)
            first, second, third = flow.view(asked).committee
            flow.chain.drop = lambda sender, method: sender in (first, third) and method == "post_result"
            flow.daemons[second].clock.offset_ms = 2_000
            view = await flow.settled(asked)
            assert view.result is not None
            assert (view.result.poster, view.verdict, view.failures) == (second, Verdict.MATCH, ())
            assert ("post_result", "NOT_YOUR_TURN") in flow.chain.methods()

    run(scenario())


@pytest.mark.parametrize("offset_ms", [-1_500, 1_500])
@pytest.mark.parametrize("who", [OPERATOR, BANK, NODES[0], REGULATOR])
def test_a_wrong_clock_does_no_harm(who, offset_ms):
    async def scenario():
        async with Flow() as flow:
            flow.daemons[who].clock.offset_ms = offset_ms
            asked = await flow.ask(ALICE, window_ms=4_000)
            view = await flow.settled(asked)
            assert (view.state, view.verdict, view.attempt) == (QueryState.ANSWERED, Verdict.MATCH, 1)

    run(scenario())


def test_a_ledger_that_stood_still_goes_on_where_it_was():
    async def scenario():
        async with Flow() as flow:
            asked = await flow.ask(ALICE, window_ms=5_000, life_ms=60_000)
            flow.chain.halted = True
            await asyncio.sleep(3)
            flow.chain.resume()
            view = await flow.settled(asked)
            assert (view.committed, view.verdict) == (bitmap((BANK, INSURER, SAVINGS)), Verdict.MATCH)

    run(scenario())


def test_messages_to_the_dead_end_with_their_attempt():
    async def scenario():
        async with Flow(silent=[NODES[0]]) as flow:
            asked = await flow.ask(ALICE, life_ms=60_000)
            pending = []
            for attempt in (1, 2, 3):
                await flow.until(asked, partial(computes, attempt))
                await asyncio.sleep(1)
                pending.append(len(asyncio.all_tasks()))
            assert pending[0] == pending[1] == pending[2]
            view = await flow.settled(asked)
            assert view.state is QueryState.ABORTED

    run(scenario())
