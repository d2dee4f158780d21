"""Where the correlations of a session come from that nobody deals: the stock, or what the committee makes now.

The keeper of the pool names an item. A node that has it hands it out to this session and says so in its accept; one
that has it not accepts what the committee makes now. All see all accepts before the first frame leaves: if everybody
has the item, the session runs on it; else it is burned, and the committee makes what it needs. An item that this node
handed out before, or two items for one session, end the attempt.
"""

import asyncio
from collections.abc import Mapping
from typing import TypeVar

import structlog

from ledger.types import Digest
from mpcnode.errors import CorrelationReuseError, PeerDeviatedError
from mpcnode.mpc import Material
from mpcnode.mpc.joint import Talk
from mpcnode.mpc.pools import ItemName
from mpcnode.mpc.providers import JointProvider, chunk_name, joint_provider
from mpcnode.mpc.stock import Drawn, Stock, keeper_of
from mpcnode.query.messages import Draw, Kind, encode_draw
from mpcnode.query.view import QueryView
from mpcnode.roles.context import Context, deliver
from mpcnode.roles.failures import AttemptFailedError
from mpcnode.roles.inbox import Inbox
from mpcnode.roles.preparing import PATIENCE_MS, Preparation, SilentPeersError
from mpcnode.roles.programs import batch_of, pool_of, session_of
from mpcnode.roles.waiting import collect, now
from mpcnode.sealing.commitments import drawn_hash, joint_hash
from mpcnode.types import FailReason, MemberIndex, Rank, members_of

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class JointMaterial:
    """One node's way to the correlations of one attempt."""

    def __init__(
        self, context: Context, view: QueryView, preparation: Preparation, stock: Stock, draws: Inbox[Draw]
    ) -> None:
        """Take the attempt, the frames in which its correlations can be made, the stock, and keepers' words."""
        self._context = context
        self._view = view
        self._session = session_of(view)
        self._preparation = preparation
        self._stock = stock
        self._draws = draws
        self._batch = batch_of(context, view)
        self._rank = Rank(view.committee.index(context.me.index))
        self._provider: JointProvider | None = None
        self._pool = pool_of(context, view)
        self._keeper = keeper_of(view.committee)
        self._drawn: Drawn | None = None
        self.made_now = joint_hash(context.chain, self._session, context.correlations)
        """What ends name, and the accept of a node without the item that was named."""
        self._named: Digest = self.made_now
        """What the accept of a node that has it names."""

    def begin(self, sends: asyncio.TaskGroup) -> None:
        """Choose an item and tell the others, if this node keeps the pool."""
        context, view = self._context, self._view
        if self._pool is None or context.me.index != self._keeper:
            return
        self._drawn = self._stock.draw(self._pool.name, self._session)
        item = None if self._drawn is None else self._drawn.item
        self._name(item)
        place = None if item is None else (item.batch, item.index)
        payload = encode_draw(Draw(session=self._session, item=place))
        for member in view.committee:
            if member != self._keeper:
                sends.create_task(deliver(context, view.query, member, Kind.DRAW, payload))

    async def accepts(self, by: float) -> Digest:
        """Wait until the loop's time `by` for the keeper's word; return what this node accepts.

        Raises:
            AttemptFailedError: it did not come, or names an item that was handed out here before.
        """
        keeper = self._keeper
        if self._pool is not None and self._context.me.index != keeper:
            waits = {keeper: self._draws.take(keeper, self._session)}
            place = (await collect("item", waits, by))[keeper].item
            if place is not None:
                item = ItemName(pool=self._pool.name, batch=place[0], index=place[1])
                self._name(item)
                self._take(item)
        return self.made_now if self._drawn is None else self._named

    def _name(self, item: ItemName | None) -> None:
        if item is not None:
            context = self._context
            self._named = drawn_hash(context.chain, self._session, context.correlations, item.encode())

    def _take(self, item: ItemName) -> None:
        try:
            self._drawn = self._stock.take(item, self._session)
        except CorrelationReuseError as error:
            why = f"member {self._keeper}: named an item a second time: {error}"
            raise AttemptFailedError(FailReason.ABORT, why, (self._keeper,)) from error
        if self._drawn is None:
            _log.info("stock.missing", batch=item.batch, item=item.index, keeper=self._keeper)

    def heed(self, accepted: Mapping[MemberIndex, bytes]) -> None:
        """Take note of what the others accepted, all of them: whoever lacks the item is waited for by nobody.

        Raises:
            AttemptFailedError: one accepted something else.
        """
        for member, theirs in accepted.items():
            if theirs not in {self.made_now, self._named}:
                if self._pool is None:
                    why = f"member {member}: accepted other correlations than all make"
                    raise AttemptFailedError(FailReason.ABORT, why, (member,))
                # one of the two lies: who named two items, or who accepts one that was not named
                why = f"member {member}: accepted other correlations than member {self._keeper} named here"
                raise AttemptFailedError(FailReason.ABORT, why, {member, self._keeper} - {self._context.me.index})
        if self.made_now in accepted.values() and self._drawn is not None:
            _log.info("stock.refused", item=self._drawn.item.index, batch=self._drawn.item.batch)
            self._stock.drop(self._drawn.item)
            self._drawn = None

    @property
    def is_drawn(self) -> bool:
        """Whether the session runs on an item of the stock."""
        return self._drawn is not None

    async def take(self, chunk: int) -> Material:
        """Return a chunk's material, each once, in ascending order: the item's, or make it with the committee now.

        The session is journalled before the first, and one set-up serves all its chunks.

        Raises:
            AttemptFailedError: it cannot be made; says because of whom.
        """
        if self._drawn is not None:
            return self._drawn.material
        if self._provider is None:
            source, parties = self._context.correlations, len(self._view.committee)
            setup = joint_provider(source, self._rank, parties, self._session, self._context.random)
            self._provider = await self._hold(setup)
        name = chunk_name(self._session, chunk)
        return await self._hold(self._provider.provide(self._batch.program(chunk), name))

    async def _hold(self, talk: Talk[T]) -> T:
        try:
            return await self._preparation.hold(talk, now() + PATIENCE_MS[self._context.correlations] / 1000)
        except SilentPeersError as error:
            raise AttemptFailedError(FailReason.TIMEOUT, f"correlations: {error} in time", error.members) from error
        except PeerDeviatedError as error:
            member = self._view.committee[error.rank]
            why = f"correlations with member {member}: {error}"
            raise AttemptFailedError(FailReason.ABORT, why, (member,)) from error

    async def who_kept_waiting(self, failure: AttemptFailedError) -> AttemptFailedError:
        """Whom a session's time-out is because of: nobody, if who was waited for makes correlations meanwhile.

        Then a third member told that one that it lacks the item, and this node that it has it.
        """
        behind = members_of(failure.waited)
        is_late = failure.reason is FailReason.TIMEOUT and self._drawn is not None
        if is_late and await self._preparation.was_begun_by(behind):
            return AttemptFailedError(failure.reason, f"{failure}; they were told that somebody lacks the item")
        return failure
