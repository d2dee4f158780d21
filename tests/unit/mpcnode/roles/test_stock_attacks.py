"""Pools of committees with a member that lies about them: it costs the others little, and they are not named for it."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from unittest.mock import Mock

import pytest

from mpcnode.errors import UnavailableError
from mpcnode.mpc.pools import BATCH_ITEMS, BATCHES_MAX, PoolId
from mpcnode.mpc.providers import joint_provider
from mpcnode.mpc.stock import Offer
from mpcnode.query.messages import (
    Kind,
    StockOffer,
    decode_stock_offer,
    encode_stock_offer,
)
from mpcnode.roles.stocking import REST_MS, run_name
from mpcnode.types import Role, SessionId
from tests.support.consortium import ALICE, BOB, NODES
from tests.support.flow import Fault, Flow
from tests.support.stocked import (
    GOAL,
    KEEPER,
    STOCKED,
    ask,
    each_item_once,
    restock,
    said,
    stock,
    stocked,
    stocking,
    was_made_then,
)
from tests.support.virtual_time import run

OTHER = NODES[1]


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
            for _ in range(100):
                await asyncio.sleep(1)
                assert max(reserved(flow, node) for node in NODES) <= 6
            end()
            await asyncio.sleep(200)
            assert not was_made_then(flow, await ask(flow, BOB))

    run(scenario())


def test_runs_that_a_keeper_begins_one_after_the_other_are_joined_ever_more_seldom():
    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            at = stocking(flow, OTHER)
            offer = decode_stock_offer(flow.network.of(Kind.STOCK, KEEPER)[0].payload)
            joined = 0
            for number in range(1_000):
                with suppress(UnavailableError):
                    await at.on_offer(KEEPER, encode_stock_offer(replace(offer, run=number.to_bytes(32, "big"))))
                    joined += 1
                await asyncio.sleep(0.1)
                assert joined <= 6
            assert joined >= 2
            await asyncio.sleep(200)
            await ask(flow)
            await stocked(flow)
            assert not was_made_then(flow, await ask(flow, BOB))

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


def test_a_keeper_that_falls_silent_in_run_after_run_has_each_one_replaced_and_the_pool_rest():
    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            await asyncio.sleep(REST_MS / 1000)
            offer = decode_stock_offer(flow.network.of(Kind.STOCK, KEEPER)[0].payload)
            at, runs = stocking(flow, OTHER), []
            for number in range(1_000):
                payload = encode_stock_offer(replace(offer, batch=1, run=number.to_bytes(32, "big")))
                for node in NODES[1:]:
                    with suppress(UnavailableError):
                        await stocking(flow, node).on_offer(KEEPER, payload)
                if at._joined[KEEPER].task not in runs:
                    runs.append(at._joined[KEEPER].task)
                    assert len(runs) <= 6
                await asyncio.sleep(0.1)
            assert len(runs) >= 3
            assert {task.cancelled() for task in runs[1:3]} == {True}

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


def test_a_run_ends_with_its_pool(monkeypatch):
    monkeypatch.setattr("mpcnode.roles.stocking.POOLS_MAX", 1)

    async def scenario():
        async with Flow(replace(STOCKED, spares=1)) as flow:
            view = await ask(flow)
            node = next(node for node in view.committee if node != min(view.committee))
            at = stocking(flow, node)
            while len(at.stock) != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            (joined,) = at._joined.values()
            spare = next(
                member.index
                for member in flow.consortium.members
                if Role.MPC in member.roles and member.index not in view.committee
            )
            others = tuple(spare if member not in {node, min(view.committee)} else member for member in view.committee)
            at._see(replace(view, committee=others, result=None))
            assert list(at._pools) == [joined.pool]
            at._see(replace(view, committee=others))
            assert (joined.pool in at._pools, len(at._pools), len(at.stock)) == (False, 1, 0)
            await asyncio.sleep(0.001)
            assert joined.task.cancelled()

    run(scenario())


def test_a_batch_that_is_burned_while_its_items_are_made_ends_the_run():
    async def scenario():
        async with Flow(STOCKED) as flow:
            await ask(flow)
            at = stocking(flow, OTHER)
            while len(at.stock) != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            (pool,) = at._pools
            at.stock.forget(pool)
            await asyncio.sleep(1)
            assert "batch 0: burned while items of it were made" in said(flow, "stock.run_failed")
            await stocked(flow)
            assert not was_made_then(flow, await ask(flow, BOB))

    run(scenario())


def test_what_the_keeper_lost_is_burned_by_all():
    """Items that went to sessions nobody else heard of."""

    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            keeper = stocking(flow, KEEPER)
            (pool,) = keeper._pools
            for number in range(12):
                await asyncio.sleep(REST_MS / 1000)
                for index in range(GOAL // 2):
                    keeper.stock.draw(pool, SessionId(bytes([number, index]) * 16))
                keeper._moved.set()
                assert max(stock(flow, node) for node in NODES) <= 2 * GOAL
            assert not was_made_then(flow, await ask(flow, BOB))

    run(scenario())


def test_a_committee_with_a_member_that_has_no_room_makes_nothing():
    async def scenario():
        async with Flow(STOCKED) as flow:
            end = offering(flow, max(NODES), lambda offer: replace(offer, room=0))
            await ask(flow)
            await asyncio.sleep(10)
            assert {reserved(flow, node) for node in NODES} == {0}
            assert any("expected room for an item at every node" in why for why in said(flow, "stock.run_failed"))
            end()
            await stocked(flow)

    run(scenario())


def test_set_ups_have_names_of_their_own_and_offers_are_forgotten(monkeypatch):
    named: dict[int, list[bytes]] = {rank: [] for rank in range(len(NODES))}

    def recorded(source, rank, parties, context, random):
        named[rank].append(context)
        return joint_provider(source, rank, parties, context, random)

    monkeypatch.setattr("mpcnode.roles.stocking.joint_provider", recorded)

    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            for subject in (BOB, ALICE, BOB, ALICE):
                await ask(flow, subject)
                await asyncio.sleep(10)
            for node in NODES:
                assert not any(place.kept for place in stocking(flow, node)._offers._senders.values())

    run(scenario())
    assert named[0] == named[1] == named[2]
    assert len(set(named[0])) == len(named[0]) > 2


def test_a_rest_that_ends_while_the_keeper_looks_is_not_slept_over(monkeypatch):
    async def scenario():
        async with Flow(STOCKED) as flow:
            flow.network.faults.append(Fault(kind=Kind.STOCK, sender=max(NODES), drop=True))
            await ask(flow)
            while not said(flow, "stock.run_failed"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            flow.network.faults.clear()
            keeper = stocking(flow, KEEPER)
            ((until, _),) = keeper._rests.values()
            await asyncio.sleep(until - asyncio.get_running_loop().time() - 0.001)
            times = itertools.chain([until - 1e-6], itertools.repeat(until + 1e-6))
            with monkeypatch.context() as patched:
                patched.setattr("mpcnode.roles.stocking.now", lambda: next(times))
                keeper._moved.set()
                await asyncio.sleep(0.0005)
            await stocked(flow)
            assert asyncio.get_running_loop().time() < until + REST_MS / 1000

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
