"""Consortia that make correlations in advance: what is in stock, what was asked, and who was handed which item."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator

import pytest

from mpcnode.mpc.pools import ClaimedBatch, PoolId
from mpcnode.query.view import QueryView
from mpcnode.roles.compute import Compute
from mpcnode.roles.preparing import preparation_name
from mpcnode.roles.stocking import Stocking
from mpcnode.types import CorrelationSource, FailReason, MemberIndex, QueryState, SessionId, Verdict, members_of
from tests.support.consortium import ALICE, NODES, Setting
from tests.support.flow import Flow

Handed = dict[tuple[PoolId, int, int], set[SessionId]]
"""Sessions by item that any node handed out."""


GOAL = 4
STOCKED = Setting(correlations=CorrelationSource.OT, stock_items=GOAL)
KEEPER = min(NODES)


def each_item_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[Handed]:
    """Record what is handed out: one session for each item, whatever happens in a test."""
    by_item: Handed = defaultdict(set)
    take = ClaimedBatch.take

    def recorded(self, index, session):
        material = take(self, index, session)
        by_item[self.pool, self.number, index].add(session)
        return material

    monkeypatch.setattr(ClaimedBatch, "take", recorded)
    yield by_item
    assert all(len(sessions) == 1 for sessions in by_item.values())


def stocking(flow: Flow, node: int) -> Stocking:
    role = flow.daemons[node].role
    assert isinstance(role, Compute)
    return role._stocking


def stock(flow: Flow, node: int) -> int:
    role = flow.daemons[node].role
    assert isinstance(role, Compute)
    return role.in_stock


async def stocked(flow: Flow) -> None:
    """Until every node has as much in stock as it wants, but for an item that was used since."""
    async with asyncio.timeout(600):
        while any(stock(flow, node) < GOAL - 1 for node in NODES):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def ask(flow: Flow, subject: str = ALICE) -> QueryView:
    """A query is answered as in clear, and the audit agrees."""
    prepared = await flow.ask(subject, life_ms=600_000)
    view = await flow.settled(prepared, within_s=1_000)
    assert (view.state, view.verdict) == (QueryState.ANSWERED, Verdict.MATCH)
    assert await flow.opened(prepared) == flow.clear(subject)
    return view


def was_made_then(flow: Flow, view: QueryView) -> bool:
    """Whether correlations were made while the query waited for them."""
    assert view.session is not None
    return any(name == preparation_name(view.session) for name, _ in flow.network.taken)


def failures(view: QueryView) -> list[tuple[FailReason, set[MemberIndex]]]:
    return [(event.reason, set(members_of(event.waited))) for event in view.failures]


def said(flow: Flow, event: str) -> list[str]:
    return [str(entry.get("why")) for entry in flow.logs if entry["event"] == event]


async def restock(flow: Flow) -> None:
    """A query without stock, and stock afterwards."""
    view = await ask(flow)
    assert was_made_then(flow, view)
    await stocked(flow)
