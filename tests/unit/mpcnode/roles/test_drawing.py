"""Which correlations a session runs on: a keeper's words twice and late, and accepts of something else."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger.types import Digest
from mpcnode.mpc.pools import ItemName, PoolId
from mpcnode.query.messages import (
    Accept,
    Kind,
    decode_accept,
    decode_draw,
    encode_accept,
)
from mpcnode.query.statements import decode_accept_statement, encode_accept_statement
from mpcnode.roles.programs import pool_of
from mpcnode.sealing.commitments import drawn_hash, joint_hash
from mpcnode.types import CorrelationSource, FailReason, MemberIndex, QueryState, SessionId
from tests.support.batches import ask_many
from tests.support.consortium import ALICE, BOB, NODES
from tests.support.deviation import Deviation, Node
from tests.support.flow import Fault, Flow
from tests.support.stocked import (
    KEEPER,
    STOCKED,
    ask,
    each_item_once,
    failures,
    restock,
    said,
    was_made_then,
)
from tests.support.virtual_time import run

OTHER = NODES[1]
OT = CorrelationSource.OT


@pytest.fixture(autouse=True)
def handed(monkeypatch):
    yield from each_item_once(monkeypatch)


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
