"""Pools of committees with a member that lies about them: it costs the others little, and they are not named for it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from unittest.mock import Mock

import pytest

from ledger.types import Digest
from mpcnode.errors import UnavailableError
from mpcnode.mpc.pools import BATCH_ITEMS, BATCHES_MAX, ItemName, PoolId
from mpcnode.mpc.stock import Offer
from mpcnode.query.messages import (
    Accept,
    Kind,
    StockOffer,
    decode_accept,
    decode_draw,
    decode_stock_offer,
    encode_accept,
    encode_stock_offer,
)
from mpcnode.query.statements import decode_accept_statement, encode_accept_statement
from mpcnode.roles.programs import pool_of
from mpcnode.roles.stocking import REST_MS, run_name
from mpcnode.sealing.commitments import drawn_hash, joint_hash
from mpcnode.types import CorrelationSource, FailReason, MemberIndex, QueryState, SessionId
from tests.support.batches import ask_many
from tests.support.consortium import ALICE, BOB, NODES
from tests.support.deviation import Deviation, Node
from tests.support.flow import Fault, Flow
from tests.support.stocked import (
    GOAL,
    KEEPER,
    STOCKED,
    ask,
    each_item_once,
    failures,
    restock,
    said,
    stock,
    stocked,
    stocking,
    was_made_then,
)
from tests.support.virtual_time import run

OTHER = NODES[1]
OT = CorrelationSource.OT


@pytest.fixture(autouse=True)
def handed(monkeypatch):
    yield from each_item_once(monkeypatch)


def reserved(flow: Flow, node: int) -> int:
    """Batches that a node ever wrote down."""
    return sum(kind.startswith("reserved") for kind, _ in flow.journals[node].entries)


def offering(flow: Flow, node: int, lie: Callable[[Offer], Offer]) -> Callable[[], None]:
    """Let a node offer something else than it can make, and act on it; returns what ends that."""
    held = stocking(flow, node).stock
    honest = held.offer
    held.offer = lambda *about: lie(honest(*about))  # type: ignore[method-assign]

    def end() -> None:
        held.offer = honest  # type: ignore[method-assign]

    return end


@pytest.mark.parametrize("liar", [KEEPER, max(NODES)])
@pytest.mark.parametrize(
    "lie",
    [
        lambda offer: replace(offer, index=BATCH_ITEMS - 1),
        lambda offer: replace(offer, batch=offer.batch + 1, index=0, room=1),
    ],
    ids=["last item", "next batch"],
)
def test_batches_that_a_member_wants_burned_one_after_the_other_are_burned_ever_slower(liar, lie):
    """A reservation on disk and a transaction each: a pool that gains nothing by them rests."""

    async def scenario():
        async with Flow(STOCKED) as flow:
            end = offering(flow, liar, lie)
            await ask(flow)
            for _ in range(600):
                await asyncio.sleep(1)
                assert max(reserved(flow, node) for node in NODES) <= 10
            end()
            await asyncio.sleep(600)
            assert not was_made_then(flow, await ask(flow, BOB))

    run(scenario())


def test_runs_that_a_keeper_begins_one_after_the_other_are_joined_ever_more_seldom():
    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            at = stocking(flow, OTHER)
            offer = decode_stock_offer(flow.network.of(Kind.STOCK, KEEPER)[0].payload)
            joined = 0
            for number in range(6_000):
                with suppress(UnavailableError):
                    await at.on_offer(KEEPER, encode_stock_offer(replace(offer, run=number.to_bytes(32, "big"))))
                    joined += 1
                await asyncio.sleep(0.1)
                assert joined <= 10
            assert joined >= 2
            await asyncio.sleep(600)
            await ask(flow)
            await stocked(flow)
            assert not was_made_then(flow, await ask(flow, BOB))

    run(scenario())


def test_full_runs_that_nobody_needs_are_joined_ever_more_seldom():
    """A keeper that says that all it had is used, and makes as much again, at everybody's cost."""

    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            keeper = stocking(flow, KEEPER).stock
            keeper.is_low = Mock(return_value=True)  # type: ignore[method-assign]
            keeper.oldest = lambda pool: keeper._batches[pool].begun  # type: ignore[method-assign]
            keeper.offer = lambda pool, *_: Offer(  # type: ignore[method-assign]
                batch=keeper._batches[pool].number, index=keeper._batches[pool].begun, room=GOAL
            )
            before = stocking(flow, OTHER).stock._batches.copy()
            stocking(flow, KEEPER)._moved.set()
            await asyncio.sleep(600)
            ((pool, batch),) = stocking(flow, OTHER).stock._batches.items()
            assert batch is before[pool]
            assert batch.begun <= 10 * GOAL
            assert len(batch) <= 2 * GOAL

    run(scenario())


def test_a_keeper_has_one_run_at_a_time_whichever_pool_it_is_of():
    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            await asyncio.sleep(REST_MS / 1000)
            at = stocking(flow, OTHER)
            (pool,) = at._pools.values()
            offer = decode_stock_offer(flow.network.of(Kind.STOCK, KEEPER)[0].payload)
            names = [PoolId(bytes([number]) * 32) for number in range(1, 10)]
            at._pools |= {name: replace(pool, name=name) for name in names}
            begun = [encode_stock_offer(replace(offer, pool=name, run=name)) for name in names]
            await at.on_offer(KEEPER, begun[0])
            first = at._joined[KEEPER].task
            for payload in begun[1:]:
                with pytest.raises(UnavailableError, match="expected a rest before another run of pool"):
                    await at.on_offer(KEEPER, payload)
            assert not first.done()
            await asyncio.sleep(REST_MS / 1000)
            for _ in range(2):
                await at.on_offer(KEEPER, begun[1])
            second = at._joined[KEEPER].task
            await asyncio.sleep(0.001)
            assert (first.done(), second.done()) == (True, False)

    run(scenario())


def test_offers_of_one_run_are_those_of_one_pool():
    """Whoever is in two pools may give the run of one the name of the other's: honest members' offers stay apart."""

    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            at, sender = stocking(flow, OTHER), max(NODES)
            (pool,) = at._pools.values()
            other = replace(pool, name=PoolId(bytes(32)))
            at._pools[other.name] = other
            mine = StockOffer(pool=pool.name, run=bytes(32), batch=1, index=2, room=3, oldest=4)
            theirs = replace(mine, pool=other.name, batch=5)
            for offer in (theirs, mine):
                await at.on_offer(sender, encode_stock_offer(offer))
            for offer in (theirs, mine):
                assert await at._offers.take(sender, run_name(PoolId(offer.pool), offer.run)) == offer

    run(scenario())


@pytest.mark.parametrize("marked", [BATCHES_MAX, (1 << 64) - 1])
def test_a_pool_that_a_member_marks_as_used_up_is_no_fault_of_the_others(marked):
    """It is used up, for marks do not go back; sessions make their own, and no daemon logs an error."""

    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            (pool,) = stocking(flow, KEEPER)._pools
            await flow.call(max(NODES), "records.mark", pool, marked)
            await flow.restart(OTHER)
            await asyncio.sleep(60)
            assert was_made_then(flow, await ask(flow, BOB))
            await asyncio.sleep(60)
            assert was_made_then(flow, await ask(flow))
            assert any("that nobody used up, got none" in why for why in said(flow, "stock.run_failed"))

    run(scenario())


def test_the_last_batch_of_all_is_made_and_then_none():
    async def scenario():
        async with Flow(STOCKED) as flow:
            end = offering(flow, max(NODES), lambda offer: replace(offer, batch=BATCHES_MAX - 1))
            await ask(flow)
            await stocked(flow)
            assert not was_made_then(flow, await ask(flow, BOB))
            end()
            for node in NODES:
                await flow.restart(node)
            await asyncio.sleep(60)
            assert {stock(flow, node) for node in NODES} == {0}
            assert was_made_then(flow, await ask(flow))

    run(scenario())


def test_a_pool_that_gives_way_while_its_batch_is_claimed_leaves_nothing():
    async def scenario():
        async with Flow(STOCKED) as flow:
            at = stocking(flow, KEEPER)

            def give_way(kind: str) -> None:
                if kind.startswith("reserved"):
                    at._see = Mock()  # type: ignore[method-assign]
                    at._pools.clear()

            flow.journals[KEEPER].after_put = give_way
            await ask(flow)
            await asyncio.sleep(60)
            assert reserved(flow, KEEPER) == 1
            assert (at.stock._batches, at._rests) == ({}, {})
            assert any("got one that gave way meanwhile" in why for why in said(flow, "stock.run_failed"))

    run(scenario())


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 8, 21, 55, 89])
@pytest.mark.parametrize("node", [KEEPER, OTHER])
def test_a_run_that_is_cancelled_anywhere_costs_itself_only(node, steps):
    async def scenario():
        async with Flow(STOCKED) as flow:
            at = stocking(flow, node)
            take_part = at._take_part
            begun: list[asyncio.Task[None]] = []

            async def once(pool, run):
                task = asyncio.get_running_loop().create_task(take_part(pool, run))
                begun.append(task)
                try:
                    await asyncio.wait([task])
                finally:
                    task.cancel()

            at._take_part = once  # type: ignore[method-assign]
            await ask(flow)
            while not begun:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            for _ in range(steps):
                await asyncio.sleep(0.0005)
            begun[0].cancel()
            await stocked(flow)
            batches = {reserved(flow, other) for other in NODES}
            assert max(batches) <= 2
            assert not was_made_then(flow, await ask(flow, BOB))

    run(scenario())


def test_words_of_a_keeper_that_come_twice_or_late_are_heard_once(handed):
    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            flow.network.faults.append(Fault(kind=Kind.DRAW, copies=3, delay_ms=2_000))
            for subject in (BOB, ALICE):
                view = await ask(flow, subject)
                assert (view.attempt, was_made_then(flow, view)) == (1, False)
            first = flow.network.of(Kind.DRAW)[0]
            await flow.daemons[first.receiver].role.handlers[Kind.DRAW](MemberIndex(first.sender), first.payload)
            await asyncio.sleep(60)
            assert not was_made_then(flow, await ask(flow, BOB))

    run(scenario())
    assert len(handed) == 3


class OtherAccepts(Deviation):
    """Tells one node that it accepts something else than it does."""

    def __init__(self, told: MemberIndex, other: Callable[[Node, SessionId, ItemName], bytes]) -> None:
        super().__init__()
        self._told, self._other = told, other
        self._item = ItemName(pool=PoolId(bytes(32)), batch=0, index=0)
        self.active = False

    def heard(self, node: Node, sender: MemberIndex, kind: Kind, payload: bytes) -> None:
        if kind == Kind.DRAW and (item := decode_draw(payload).item) is not None:
            view = node.view_of(decode_draw(payload).session)
            pool = pool_of(node.context, view)
            assert pool is not None
            self._item = ItemName(pool=pool.name, batch=item[0], index=item[1])

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        if kind == Kind.ACCEPT and to == self._told:
            stated = decode_accept_statement(decode_accept(payload).statement)
            other = self._other(node, SessionId(stated.session), self._item)
            statement = encode_accept_statement(replace(stated, deal_hash=Digest(other)))
            payload = encode_accept(Accept(statement=statement, signature=node.context.sign(statement)))
        await node.deliver(to, kind, payload)


def of_another_item(node: Node, session: SessionId, item: ItemName) -> bytes:
    return drawn_hash(node.context.chain, session, OT, replace(item, index=item.index + 1).encode())


def of_another_batch(node: Node, session: SessionId, item: ItemName) -> bytes:
    return drawn_hash(node.context.chain, session, OT, replace(item, batch=item.batch + 1).encode())


def of_another_pool(node: Node, session: SessionId, item: ItemName) -> bytes:
    return drawn_hash(node.context.chain, session, OT, replace(item, pool=PoolId(bytes(32))).encode())


def of_another_session(node: Node, session: SessionId, item: ItemName) -> bytes:
    return drawn_hash(node.context.chain, SessionId(session[::-1]), OT, item.encode())


def of_another_source(node: Node, session: SessionId, item: ItemName) -> bytes:
    return drawn_hash(node.context.chain, session, CorrelationSource.PAILLIER, item.encode())


def made_by_another_source(node: Node, session: SessionId, _item: ItemName) -> bytes:
    return joint_hash(node.context.chain, session, CorrelationSource.PAILLIER)


@pytest.mark.parametrize(
    "other",
    [
        of_another_item,
        of_another_batch,
        of_another_pool,
        of_another_session,
        of_another_source,
        made_by_another_source,
    ],
    ids=lambda other: other.__name__,
)
def test_no_frame_leaves_a_node_that_heard_another_accept(other):
    liar = max(NODES)
    deviation = OtherAccepts(OTHER, other)

    async def scenario():
        flow = Flow(STOCKED)
        flow.outfit(liar, deviation)
        async with flow:
            await restock(flow)
            deviation.active = True
            prepared = await flow.ask(BOB, life_ms=600_000)
            view = await flow.until(prepared, lambda now: now.state is QueryState.COMPUTING, at=OTHER)
            session = view.session
            view = await flow.until(prepared, lambda now: bool(now.failures), at=OTHER)
            deviation.active = False
            ((reason, waited),) = failures(view)
            assert reason is FailReason.ABORT
            assert waited in ({KEEPER, liar}, {OTHER}, set())  # or who was told, by who waited for it
            assert any("accepted other correlations than" in why for why in said(flow, "attempt.failed"))
            assert not any(
                arrived.sender == OTHER
                for (name, _), frames in flow.network.taken.items()
                if name == session
                for arrived in frames
            )
            assert (await flow.settled(prepared, within_s=1_000)).state is QueryState.ANSWERED

    run(scenario())


def test_a_keeper_that_names_nothing_for_many_subjects_is_not_named_for_who_accepts_another_source():
    liar = max(NODES)
    deviation = OtherAccepts(OTHER, made_by_another_source)
    deviation.active = True

    async def scenario():
        flow = Flow(STOCKED)
        flow.outfit(liar, deviation)
        async with flow:
            asked = await ask_many(flow, [ALICE, BOB], life_ms=600_000)
            view = await flow.until(asked, lambda now: bool(now.failures), at=OTHER)
            deviation.active = False
            assert f"member {liar}: accepted other correlations than all make" in said(flow, "attempt.failed")
            assert KEEPER not in set().union(*(waited for _, waited in failures(view)))
            assert (await flow.settled(asked, within_s=1_000)).state is QueryState.ANSWERED

    run(scenario())
