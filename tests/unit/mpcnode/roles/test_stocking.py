"""Queries whose correlations the committee made before they came, and everything that keeps an item from two uses."""

import asyncio

from mpcnode.query.messages import Kind
from mpcnode.roles.compute import Compute
from mpcnode.roles.preparing import preparation_name
from mpcnode.types import CorrelationSource, QueryState, Verdict
from tests.support.consortium import ALICE, BOB, NODES, Setting
from tests.support.flow import Flow
from tests.support.virtual_time import run

GOAL = 4
STOCKED = Setting(correlations=CorrelationSource.OT, stock_items=GOAL)


def stock(flow: Flow, node: int) -> int:
    role = flow.daemons[node].role
    assert isinstance(role, Compute)
    return role.in_stock


async def stocked(flow: Flow) -> None:
    async with asyncio.timeout(300):
        while any(stock(flow, node) < GOAL for node in NODES[:3]):
            await asyncio.sleep(0.1)


async def answered(flow: Flow, subject: str = ALICE, attempt: int = 1):
    prepared = await flow.ask(subject, life_ms=600_000)
    view = await flow.settled(prepared, within_s=1_000)
    assert (view.state, view.attempt, view.verdict) == (QueryState.ANSWERED, attempt, Verdict.MATCH)
    assert await flow.opened(prepared) == flow.clear(subject)
    return view


def prepared_now(flow: Flow, view) -> bool:
    """Whether correlations were made during the session."""
    return any(name == preparation_name(view.session) for name, _ in flow.network.taken)


def test_the_second_query_is_served_from_stock():
    async def scenario():
        async with Flow(STOCKED) as flow:
            assert prepared_now(flow, await answered(flow))
            await stocked(flow)
            for subject in (BOB, ALICE):
                assert not prepared_now(flow, await answered(flow, subject))
            assert not flow.network.of(Kind.DEAL)

    run(scenario())
