"""Making correlations before a query comes, in the background, by the committees that were asked last.

A node stocks the pools of the queries that were answered last, as the ledger shows them: nobody announces any. The
keeper of a pool begins a *run* when its stock is low. In a run every node tells every other from where on it can make
items, and takes part in frames of the run's name before it tells; all claim what follows from it
(`mpcnode.mpc.stock.agree`), say that they have, set up, and make the items one after the other. An item is in stock at
every other node when the keeper has it. A run that fails burns what it began; the next one comes after a rest.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import structlog

from mpcnode.errors import (
    CorrelationReuseError,
    InvalidKeyError,
    NotAllowedError,
    PeerDeviatedError,
    PeerRefusedError,
    RevertedError,
    SessionError,
    UnavailableError,
)
from mpcnode.mpc.joint import Talk, others
from mpcnode.mpc.pools import BATCH_ITEMS, BATCHES_MAX, ClaimedBatch, PoolId
from mpcnode.mpc.providers import joint_provider
from mpcnode.mpc.stock import Offer, Slice, Stock, agree, keeper_of
from mpcnode.query.messages import Kind, StockOffer, decode_stock_offer, encode_stock_offer
from mpcnode.query.view import QueryView
from mpcnode.roles.context import Context
from mpcnode.roles.failures import AttemptFailedError
from mpcnode.roles.inbox import Inbox
from mpcnode.roles.preparing import PATIENCE_MS, Preparation, SilentPeersError
from mpcnode.roles.programs import Pool, pool_of
from mpcnode.roles.reserving import Reservations
from mpcnode.roles.waiting import collect, now
from mpcnode.types import MemberIndex, Rank, SessionId

_log = structlog.get_logger(__name__)

POOLS_MAX = 16
"""Pools that a node stocks: those that were asked last."""

REST_MS = 5_000
"""From a run that failed or gained nothing to the next one of its pool; twice as long after each that does so again."""

REST_MS_MAX = 600_000

_RUN_BYTES = 32

_LOOKED_AT = 256
"""Queries of before its start that a node looks at."""

_FAILURES = (
    AttemptFailedError,
    CorrelationReuseError,
    InvalidKeyError,
    RevertedError,
    SessionError,
    SilentPeersError,
    UnavailableError,
)
"""How a run ends through other nodes, the ledger or the own past; nothing of it may end the daemon."""


def run_name(pool: PoolId, run: bytes) -> SessionId:
    """Name of the frames of a run."""
    return SessionId(hashlib.blake2b(pool + run, digest_size=32, person=b"mpcnode-stock").digest())


@dataclass(frozen=True, slots=True)
class _Joined:
    """A run that another node began."""

    name: SessionId
    pool: PoolId
    began: float
    """In the loop's time."""
    task: asyncio.Task[None]


class Stocking:
    """One node's part in making correlations in advance."""

    def __init__(self, context: Context) -> None:
        """Take the role's context."""
        self._context = context
        self.stock = Stock(context.stock_items)
        self._reservations = Reservations(context.journal, context.ledger, context.soon)
        self._pools: OrderedDict[PoolId, Pool] = OrderedDict()
        """Those to stock, the one asked last at the end."""
        self._offers: Inbox[StockOffer] = Inbox()
        """By member and name of the run's frames."""
        self._group: asyncio.TaskGroup | None = None
        """Owns runs that other nodes began; None but while this node stocks."""
        self._joined: dict[MemberIndex, _Joined] = {}
        """The latest of them, by keeper, which begins one run at a time."""
        self._rests: dict[PoolId, tuple[float, int]] = {}
        """Until when pools rest after a run that failed or gained nothing, and how long that was, ms."""
        self._moved = asyncio.Event()

    async def on_offer(self, sender: MemberIndex, payload: bytes) -> None:
        """Take another node's offer; its keeper's begins a run.

        Raises:
            NotAllowedError: the sender has no part in this pool, or nothing is stocked here.
            UnavailableError: this node does not stock that pool, does not see yet that it should, or rests from a run.
        """
        offer = decode_stock_offer(payload)
        if not self.stock.goal:
            raise NotAllowedError("stock offer: expected a node that makes correlations in advance, got another")
        pool = self._pools.get(PoolId(offer.pool))
        if pool is None:
            raise UnavailableError(f"stock offer: expected one of the pools asked last, got {offer.pool.hex()[:8]}")
        if sender not in pool.committee or offer.batch >= BATCHES_MAX or offer.index >= BATCH_ITEMS:
            raise NotAllowedError(f"stock offer: expected one that a node of {pool.committee} can make, got another")
        if sender == keeper_of(pool.committee):
            self._join(sender, pool, offer)
        else:
            self._offers.put(sender, run_name(pool.name, offer.run), offer)

    async def run(self) -> None:
        """Keep the stock up; runs until cancelled."""
        if not self._context.correlations.is_joint or not self.stock.goal:
            return
        for view in self._context.ledger.view.ended()[-_LOOKED_AT:]:
            self._see(view)
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._watch(), name="pools asked")
            try:
                await self._keep()
            finally:
                self._group = (
                    None  # peers are answered until the daemon has closed, and a group that ends takes nothing
                )

    async def _watch(self) -> None:
        async for query in self._context.ledger.changed():
            view = self._context.ledger.view.get(query)
            if view is not None:
                self._see(view)
                self._moved.set()

    def _see(self, view: QueryView) -> None:
        """Stock the pool of a query that was answered, and no more of the one that was asked longest ago."""
        context = self._context
        if view.result is None or context.me.index not in view.committee or view.model not in context.models:
            return
        pool = pool_of(context, view)
        if pool is None:
            return
        self._pools[pool.name] = pool
        self._pools.move_to_end(pool.name)
        while len(self._pools) > POOLS_MAX:
            gone, _ = self._pools.popitem(last=False)
            self.stock.forget(gone)
            self._rests.pop(gone, None)
            for joined in self._joined.values():
                if joined.pool == gone:
                    joined.task.cancel()

    def _join(self, keeper: MemberIndex, pool: Pool, offer: StockOffer) -> None:
        """Take part in a run that a keeper begins, in place of an earlier one of its own.

        Raises:
            UnavailableError: an honest keeper would not begin one so soon.
        """
        name, latest, at = run_name(pool.name, offer.run), self._joined.get(keeper), now()
        if self._group is None:
            raise UnavailableError("stock offer: expected a node that stocks, got one that has not begun to, or stops")
        if latest is not None and latest.name == name:
            return
        too_soon = self._rests_until(pool.name) > at
        if latest is not None and not latest.task.done():
            too_soon = too_soon or at < latest.began + REST_MS / 1000
            if not too_soon:
                latest.task.cancel()
                self._rest(latest.pool)
        if too_soon:
            raise UnavailableError(f"stock offer: expected a rest before another run of pool {pool.name.hex()[:8]}")
        self._offers.put(keeper, name, offer)
        task = self._group.create_task(self._take_part(pool, offer.run), name="run")
        self._joined[keeper] = _Joined(name, pool.name, at, task)

    async def _keep(self) -> NoReturn:
        """Begin a run whenever one of the pools that this node keeps is low."""
        while True:
            self._moved.clear()
            at = now()
            pool = self._lowest(at)
            if pool is not None:
                await self._take_part(pool, self._context.random(_RUN_BYTES))
                continue
            until = min((until for until, _ in self._rests.values() if until > at), default=None)
            try:
                async with asyncio.timeout_at(until):
                    await self._moved.wait()
            except TimeoutError:
                continue

    def _lowest(self, at: float) -> Pool | None:
        """The pool with the least in stock of those that this node should begin a run of at the loop's time `at`."""
        mine = [
            pool
            for pool in self._pools.values()
            if keeper_of(pool.committee) == self._context.me.index
            and self.stock.is_low(pool.name)
            and self._rests_until(pool.name) <= at
        ]
        return min(mine, key=lambda pool: self.stock.count(pool.name), default=None)

    async def _take_part(self, pool: Pool, run: bytes) -> None:
        """Take part in a run, whatever comes of it; after one that failed or gained nothing its pool rests."""
        began = now()
        try:
            made, gained = await self._run(pool, run)
        except _FAILURES as error:
            self._rest(pool.name)
            in_stock = self.stock.count(pool.name)
            _log.warning("stock.run_failed", pool=pool.name.hex()[:8], why=str(error), stock=in_stock)
        except Exception:  # noqa: BLE001 - the boundary between pools and queries: a run must not end the others
            self._rest(pool.name)
            _log.exception("stock.run_failed", pool=pool.name.hex()[:8])
        else:
            if gained > 0:
                self._rests.pop(pool.name, None)
            else:
                self._rest(pool.name)
            took_ms = round((now() - began) * 1000)
            stock = self.stock.count(pool.name)
            _log.info("stock.made", pool=pool.name.hex()[:8], items=made.count, stock=stock, took_ms=took_ms)
        finally:
            self._offers.forget(run_name(pool.name, run))

    def _rests_until(self, pool: PoolId) -> float:
        return self._rests.get(pool, (0.0, 0))[0]

    def _rest(self, pool: PoolId) -> None:
        if pool not in self._pools:
            return
        _, before_ms = self._rests.get(pool, (0.0, 0))
        rest_ms = min(REST_MS_MAX, 2 * before_ms or REST_MS)
        self._rests[pool] = (now() + rest_ms / 1000, rest_ms)

    async def _run(self, pool: Pool, run: bytes) -> tuple[Slice, int]:
        """Return what was made, and how many items more that is than a batch had here in whose place another came."""
        context, me = self._context, self._context.me.index
        before = self.stock.count(pool.name)
        peers = [member for member in pool.committee if member != me]
        async with context.peers.rounds(run_name(pool.name, run), peers) as channel:
            agreed = await self._agree(pool, run, peers)
            if not agreed.count:
                raise UnavailableError("stock: expected room for an item at every node of the committee, got none")
            burned = before if self.stock.batch(pool.name, agreed.batch) is None else 0
            batch = await self._claimed(pool, agreed)
            preparation = Preparation(channel, pool.committee, Rank(pool.committee.index(me)))
            try:
                await self._make(pool, batch, agreed, preparation)
            except PeerDeviatedError as error:
                raise SessionError(f"member {pool.committee[error.rank]}: {error}") from error
        return agreed, agreed.count - burned

    async def _agree(self, pool: Pool, run: bytes, peers: Sequence[MemberIndex]) -> Slice:
        """Tell the others what this node can make, and hear what they can."""
        context = self._context
        by = now() + context.timing.preparation / 1000
        keeper, name = keeper_of(pool.committee), run_name(pool.name, run)
        standing = await self._reservations.standing(pool.name, pool.committee)
        if standing.floor >= BATCHES_MAX:
            raise CorrelationReuseError(
                f"pool {pool.name.hex()[:8]}: expected a batch below {BATCHES_MAX} that nobody used up, got none: "
                f"{standing.reserved} reserved here, marks {standing.marks} of members {pool.committee}"
            )
        oldest = self.stock.oldest(pool.name)
        if keeper != context.me.index:
            (said,) = (await collect("stock", {keeper: self._offers.take(keeper, name)}, by)).values()
            oldest = said.oldest
            self.stock.burn(pool.name, said.batch, oldest)
        mine = self.stock.offer(pool.name, standing, oldest)
        payload = encode_stock_offer(
            StockOffer(pool=pool.name, run=run, batch=mine.batch, index=mine.index, room=mine.room, oldest=oldest)
        )

        async def exchange(member: MemberIndex) -> StockOffer:
            try:
                await context.peers.deliver(member, Kind.STOCK, payload)
            except PeerRefusedError as refused:
                _log.info("stock.refused_by_peer", member=member, reason=str(refused))
            return await self._offers.take(member, name)

        theirs = await collect("stock", {member: exchange(member) for member in peers}, by)
        return agree([mine, *(Offer(batch=one.batch, index=one.index, room=one.room) for one in theirs.values())])

    async def _claimed(self, pool: Pool, agreed: Slice) -> ClaimedBatch:
        batch = self.stock.batch(pool.name, agreed.batch)
        if batch is None:
            batch = await self._reservations.claim(pool.name, agreed.batch, pool.committee)
            if pool.name not in self._pools:
                raise UnavailableError("stock: expected a pool that is asked, got one that gave way meanwhile")
            self.stock.keep(batch)
        return batch

    async def _make(self, pool: Pool, batch: ClaimedBatch, agreed: Slice, preparation: Preparation) -> None:
        context, rank = self._context, Rank(pool.committee.index(self._context.me.index))
        patience = PATIENCE_MS[context.correlations] / 1000
        items = batch.begin(agreed.first, agreed.count)
        stated = items[0].encode() + len(items).to_bytes(4, "little")
        claimed_by = now() + (context.timing.call + context.timing.notice) / 1000
        await preparation.hold(_say(rank, len(pool.committee), stated), claimed_by)
        setup = joint_provider(context.correlations, rank, len(pool.committee), items[0].setup, context.random)
        provider = await preparation.hold(setup, now() + patience)
        for item in items:
            material = await preparation.hold(provider.provide(pool.program, item.session), now() + patience)
            if self.stock.batch(pool.name, batch.number) is not batch:
                raise CorrelationReuseError(f"batch {batch.number}: burned while items of it were made")
            if rank:
                batch.stock(item, material)
            await preparation.hold(_say(rank, len(pool.committee), item.encode()), now() + patience)
            if not rank:
                batch.stock(item, material)


def _say(rank: Rank, parties: int, said: bytes) -> Talk[None]:
    """Say the same as everybody.

    Raises:
        PeerDeviatedError: another node says something else; has its rank.
    """
    heard: Mapping[Rank, bytes] = yield dict.fromkeys(others(rank, parties), said)
    for peer, theirs in heard.items():
        if theirs != said:
            raise PeerDeviatedError("expected to make the same items in the same order, got others", peer)
