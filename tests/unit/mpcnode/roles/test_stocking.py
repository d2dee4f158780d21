"""Queries whose correlations the committee made before they came, and everything that keeps an item from two uses."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from mpcnode.errors import NotAllowedError, UnavailableError
from mpcnode.mpc.pools import BATCH_ITEMS, PoolId
from mpcnode.query.messages import (
    Accept,
    Draw,
    Kind,
    StockOffer,
    decode_draw,
    decode_stock_offer,
    encode_accept,
    encode_draw,
    encode_stock_offer,
)
from mpcnode.query.statements import AcceptStatement, encode_accept_statement
from mpcnode.roles.compute import Compute
from mpcnode.roles.stocking import REST_MS, run_name
from mpcnode.sealing.commitments import joint_hash
from mpcnode.types import FailReason, MemberIndex, QueryState, members_of
from tests.support.consortium import ALICE, BOB, NODES
from tests.support.deviation import Deviation, Node
from tests.support.flow import ROUNDS, Fault, Flow
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


@pytest.fixture(autouse=True)
def handed(monkeypatch):
    yield from each_item_once(monkeypatch)


def test_the_second_query_is_served_from_stock_and_stock_is_made_again(handed):
    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            for subject in (BOB, ALICE, BOB, ALICE, BOB, ALICE):
                view = await ask(flow, subject)
                assert (view.attempt, was_made_then(flow, view)) == (1, False)
                await asyncio.sleep(60)
            assert not flow.network.of(Kind.DEAL)
            journals = [flow.journals[node] for node in NODES]
            assert [sum(kind.startswith("reserved") for kind, _ in journal.entries) for journal in journals] == [1] * 3

    run(scenario())
    assert len(handed) == 6


def test_sessions_at_once_get_items_of_their_own(handed):
    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(ask(flow, subject)) for subject in (ALICE, BOB, ALICE, BOB, ALICE)]
            made = [was_made_then(flow, one.result()) for one in asked]
            assert sorted(made) == [False] * GOAL + [True]  # the fifth makes its own
            assert {one.result().attempt for one in asked} == {1}

    run(scenario())
    assert len(handed) == GOAL


@pytest.mark.parametrize("node", NODES)
def test_a_restart_burns_what_was_in_stock(node, handed):
    """Its keeper begins anew at once; that another node lacks an item shows when it is named."""

    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            await asyncio.sleep(1)  # the run that made it is over
            assert {stock(flow, other) for other in NODES} == {GOAL}
            await flow.restart(node)
            await asyncio.sleep(60)
            view = await ask(flow)
            assert (view.attempt, was_made_then(flow, view)) == (1, node != KEEPER)
            await stocked(flow)
            assert not was_made_then(flow, await ask(flow, BOB))

    run(scenario())
    used = {(batch, index) for _, batch, index in handed}
    assert used == ({(1, 0), (1, 1)} if node == KEEPER else {(0, 0), (1, 0)})


class OtherDraws(Deviation):
    """A keeper that names other items than it should, to whom it likes."""

    def __init__(self, names: Callable[[MemberIndex, list[Draw]], tuple[int, int] | None]) -> None:
        """Take what tells the name from who is told and all that should have been said so far."""
        super().__init__()
        self._names = names
        self.draws: dict[bytes, Draw] = {}

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        if kind == Kind.DRAW:
            draw = decode_draw(payload)
            self.draws[draw.session] = draw
            named = [draw for draw in self.draws.values() if draw.item is not None]
            if named:
                payload = encode_draw(replace(draw, item=self._names(to, named)))
        await node.deliver(to, kind, payload)


def test_an_item_that_is_named_twice_ends_the_attempt_and_names_the_keeper():
    deviation = OtherDraws(lambda _, draws: draws[0].item)

    async def scenario():
        flow = Flow(STOCKED)
        flow.outfit(KEEPER, deviation)
        async with flow:
            await restock(flow)
            assert not was_made_then(flow, await ask(flow))
            prepared = await flow.ask(BOB, life_ms=600_000)
            view = await flow.until(prepared, lambda now: bool(now.failures), at=NODES[1])
            deviation.active = False
            assert failures(view) == [(FailReason.ABORT, {KEEPER})]
            assert any("named an item a second time" in why for why in said(flow, "attempt.failed"))
            session = list(deviation.draws)[-1]
            assert not any(name == session for name, _ in flow.network.taken)  # no frame of it left
            settled = await flow.settled(prepared, within_s=1_000)
            assert (settled.state, settled.attempt) == (QueryState.ANSWERED, 2)

    run(scenario())


@pytest.mark.parametrize(
    "item", [(0, BATCH_ITEMS - 1), (5, 0), (0xFFFFFFFF, 0xFFFFFFFF)], ids=["not made", "other batch", "no batch"]
)
def test_an_item_that_nobody_has_is_burned_and_a_keeper_that_accepts_another_is_named(item):
    deviation = OtherDraws(lambda _to, _draws: item)

    async def scenario():
        flow = Flow(STOCKED)
        flow.outfit(KEEPER, deviation)
        async with flow:
            await restock(flow)
            prepared = await flow.ask(ALICE, life_ms=600_000)
            view = await flow.until(prepared, lambda now: bool(now.failures), at=NODES[1])
            deviation.active = False
            assert failures(view) == [(FailReason.ABORT, {KEEPER})]
            view = await flow.settled(prepared, within_s=1_000)
            assert (view.state, view.attempt) == (QueryState.ANSWERED, 2)

    run(scenario())


def test_different_items_at_different_nodes_end_the_attempt_before_the_first_frame():
    one, other = (node for node in NODES if node != KEEPER)
    deviation = OtherDraws(lambda to, draws: draws[-1].item if to == one else (0, 3))

    async def scenario():
        flow = Flow(STOCKED)
        flow.outfit(KEEPER, deviation)
        async with flow:
            await restock(flow)
            prepared = await flow.ask(BOB, life_ms=600_000)
            view = await flow.until(prepared, lambda now: bool(now.failures), at=one)
            deviation.active = False
            ((reason, waited),) = failures(view)
            assert reason is FailReason.ABORT
            assert waited <= {KEEPER, one, other}
            assert waited & {KEEPER} or view.failures[0].by == KEEPER
            session = list(deviation.draws)[-1]
            assert not any(name == session for name, _ in flow.network.taken)
            assert (await flow.settled(prepared, within_s=1_000)).attempt == 2

    run(scenario())


def test_a_keeper_that_names_nothing_is_named_itself():
    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            flow.network.faults.append(Fault(kind=Kind.DRAW, sender=KEEPER, drop=True))
            prepared = await flow.ask(BOB, life_ms=600_000)
            view = await flow.until(prepared, lambda now: bool(now.failures), at=KEEPER)
            flow.network.faults.clear()
            assert failures(view) == [(FailReason.TIMEOUT, {KEEPER})]
            assert (await flow.settled(prepared, within_s=1_000)).state is QueryState.ANSWERED

    run(scenario())


class TwoFaces(Deviation):
    """Tells one node that it lacks the item, and the other that it has it."""

    def __init__(self, told: MemberIndex) -> None:
        super().__init__()
        self._told = told

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        if kind == Kind.ACCEPT and to == self._told:
            context = node.context
            view = next(view for view in context.ledger.view.open() if view.state is QueryState.COMPUTING)
            assert view.session is not None
            made_now = joint_hash(context.chain, view.session, context.correlations)
            stated = encode_accept_statement(
                AcceptStatement(chain=context.chain, session=view.session, deal_hash=made_now)
            )
            payload = encode_accept(Accept(statement=stated, signature=context.sign(stated)))
        await node.deliver(to, kind, payload)


def test_a_node_that_says_both_makes_nobody_blame_who_believed_it():
    liar = next(node for node in NODES if node != KEEPER)
    honest = next(node for node in NODES if node not in {KEEPER, liar})
    deviation = TwoFaces(honest)
    deviation.active = False

    async def scenario():
        flow = Flow(STOCKED)
        flow.outfit(liar, deviation)
        async with flow:
            await restock(flow)
            deviation.active = True
            prepared = await flow.ask(BOB, life_ms=600_000)
            view = await flow.until(prepared, lambda now: bool(now.failures), at=KEEPER)
            deviation.active = False
            blamed = {event.by: set(members_of(event.waited)) for event in view.failures}
            assert blamed.get(KEEPER, set()) == set()
            assert "they were told that somebody lacks the item" in " ".join(said(flow, "attempt.failed"))
            assert (await flow.settled(prepared, within_s=1_000)).state is QueryState.ANSWERED

    run(scenario())


@pytest.mark.parametrize("node", NODES)
def test_a_node_that_dies_while_stock_is_made_costs_the_run_only(node, handed):
    async def scenario():
        async with Flow(STOCKED) as flow:
            await ask(flow)
            while not 0 < stock(flow, node) < GOAL:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            made = {other: stock(flow, other) for other in NODES}
            await flow.restart(node)
            assert max(made.values()) < GOAL
            assert (await ask(flow)).attempt == 1
            await stocked(flow)
            assert not was_made_then(flow, await ask(flow, BOB))

    run(scenario())


def test_a_node_that_falls_silent_while_stock_is_made_hangs_nobody():
    silent = NODES[2]

    async def scenario():
        async with Flow(STOCKED) as flow:
            await ask(flow)
            flow.network.faults.append(Fault(kind=ROUNDS, sender=silent, drop=True))
            await asyncio.sleep(90)
            assert any(f"no word from members [{silent}]" in why for why in said(flow, "stock.run_failed"))
            flow.network.faults.clear()
            await stocked(flow)
            assert not was_made_then(flow, await ask(flow, BOB))

    run(scenario())


@pytest.mark.parametrize("times", [1, 2, 10, 40])
def test_what_no_honest_node_sends_while_stock_is_made_ends_the_run_with_its_name(times):
    """Whichever message it is: of the claim, the set-up, an item, or an item's end."""

    async def scenario():
        async with Flow(STOCKED) as flow:
            await ask(flow)
            while not flow.network.of(Kind.STOCK, NODES[1]):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            flow.network.faults.append(Fault(kind=ROUNDS, sender=NODES[1], times=2 * times - 2))
            flow.network.faults.append(Fault(kind=ROUNDS, sender=NODES[1], tamper=lambda data: data[:-1], times=2))
            await asyncio.sleep(REST_MS / 1000 - 1)
            assert any(f"member {NODES[1]}: " in why for why in said(flow, "stock.run_failed"))
            await stocked(flow)
            assert not was_made_then(flow, await ask(flow, BOB))

    run(scenario())


class OtherOffers(Deviation):
    """Tells one node of another batch or item than all others."""

    def __init__(self, told: MemberIndex, offer: Callable[[StockOffer], StockOffer]) -> None:
        super().__init__()
        self._told, self._offer = told, offer

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        if kind == Kind.STOCK and to == self._told:
            payload = encode_stock_offer(self._offer(decode_stock_offer(payload)))
        await node.deliver(to, kind, payload)


@pytest.mark.parametrize(
    "offer",
    [
        lambda offer: replace(offer, batch=offer.batch + 2),
        lambda offer: replace(offer, index=offer.index + 2),
        lambda offer: replace(offer, room=1),
    ],
    ids=["batch", "item", "room"],
)
@pytest.mark.parametrize("liar", [KEEPER, max(NODES)])
def test_nodes_that_were_told_different_places_make_nothing(liar, offer):
    one = next(node for node in NODES if node not in {KEEPER, liar})
    deviation = OtherOffers(one, offer)

    async def scenario():
        flow = Flow(STOCKED)
        flow.outfit(liar, deviation)
        async with flow:
            await ask(flow)
            while not said(flow, "stock.run_failed"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            assert "expected to make the same items in the same order" in said(flow, "stock.run_failed")[0]
            assert {stock(flow, node) for node in NODES} == {0}
            deviation.active = False
            await stocked(flow)
            assert not was_made_then(flow, await ask(flow, BOB))

    run(scenario())


def test_an_offer_that_comes_twice_begins_one_run():
    async def scenario():
        async with Flow(STOCKED) as flow:
            flow.network.faults.append(Fault(kind=Kind.STOCK, copies=2))
            await restock(flow)
            assert not said(flow, "stock.run_failed")

    run(scenario())


def test_offers_of_strangers_and_of_pools_that_nobody_asked_are_refused():
    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            at = stocking(flow, NODES[1])
            offer = decode_stock_offer(flow.network.of(Kind.STOCK, KEEPER)[0].payload)
            await at.on_offer(NODES[2], encode_stock_offer(replace(offer, run=bytes(32))))
            assert set(at._joined) == {KEEPER}  # who alone begins runs
            with pytest.raises(UnavailableError, match="expected one of the pools asked last"):
                await at.on_offer(KEEPER, encode_stock_offer(replace(offer, pool=bytes(32))))
            for sender, wrong in (
                (MemberIndex(0), offer),
                (KEEPER, replace(offer, index=BATCH_ITEMS)),
                (KEEPER, replace(offer, batch=0xFFFFFFFF, index=BATCH_ITEMS + 1)),
            ):
                with pytest.raises(NotAllowedError, match="expected one that a node of"):
                    await at.on_offer(sender, encode_stock_offer(wrong))
        async with Flow(replace(STOCKED, stock_items=0)) as flow:
            await ask(flow)
            await asyncio.sleep(60)
            assert not flow.network.of(Kind.STOCK)
            with pytest.raises(NotAllowedError, match="expected a node that makes correlations in advance"):
                await stocking(flow, NODES[1]).on_offer(KEEPER, encode_stock_offer(offer))

    run(scenario())


def test_an_offer_that_comes_while_the_daemon_stops_begins_nothing_and_may_be_sent_again():
    """A listener answers for longer than its role runs: no fault of this daemon comes of it, wherever it is."""

    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            await asyncio.sleep(REST_MS / 1000)
            at, begun = stocking(flow, NODES[1]), []
            offer = decode_stock_offer(flow.network.of(Kind.STOCK, KEEPER)[0].payload)
            runs = (encode_stock_offer(replace(offer, run=bytes([number]) * 32)) for number in range(256))
            stopped = flow.kill(NODES[1]).task
            while not stopped.done():
                with suppress(UnavailableError):
                    await at.on_offer(KEEPER, next(runs))
                    begun.append(at._joined.pop(KEEPER).task)
                await asyncio.sleep(0)
            with pytest.raises(UnavailableError, match="expected a node that stocks, got one that"):
                await at.on_offer(KEEPER, next(runs))
            assert begun
            assert all(task.cancelled() for task in begun)

    run(scenario())


def test_a_node_remembers_after_a_restart_of_all_what_was_asked_last():
    async def scenario():
        async with Flow(STOCKED) as flow:
            await restock(flow)
            for node in NODES:
                await flow.restart(node)
            assert {stock(flow, node) for node in NODES} == {0}
            await stocked(flow)
            assert not was_made_then(flow, await ask(flow, BOB))

    run(scenario())


def test_pools_that_were_asked_long_ago_give_way(monkeypatch):
    monkeypatch.setattr("mpcnode.roles.stocking.POOLS_MAX", 1)

    async def scenario():
        async with Flow(replace(STOCKED, spares=1)) as flow:
            for _ in range(6):
                await ask(flow)
                await asyncio.sleep(60)
                for node in (*NODES, max(NODES) + 2):
                    if node in flow.daemons and isinstance(flow.daemons[node].role, Compute):
                        assert len(stocking(flow, node)._pools) <= 1
                        assert stock(flow, node) <= GOAL

    run(scenario())


def test_runs_have_names_of_their_own():
    pool, other = PoolId(bytes(32)), PoolId(bytes([1]) * 32)
    assert len({run_name(pool, b"a" * 32), run_name(pool, b"b" * 32), run_name(other, b"a" * 32)}) == 3
