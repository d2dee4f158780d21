"""What a node has in stock of correlations that were made in advance, and how much of it to make next.

A node keeps one batch of each pool (`mpcnode.mpc.pools`), of which at most so many items at a time are made: memory
stays small, and the rest of a batch is a number only. The committee's member with the lowest index *keeps* the pool: it
says when more is made, and which item a session gets. Nobody believes it: every node hands an item out once, whatever
it says.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mpcnode.mpc.correlations import Material
from mpcnode.mpc.pools import BATCH_ITEMS, ClaimedBatch, ItemName, PoolId, Standing
from mpcnode.types import MemberIndex, SessionId


def keeper_of(committee: Iterable[MemberIndex]) -> MemberIndex:
    """Who says what is made for a committee's pools, and which item a session gets."""
    return min(committee)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one node can take part in making: from where on, and how much it has room for."""

    batch: int
    index: int
    """Of the first item of that batch that it may make; 0 if it has not claimed it."""
    room: int
    """Items that it has room for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What a committee makes in one go, on one set-up."""

    batch: int
    first: int
    """Index of the first item."""
    count: int


def agree(offers: Sequence[Offer]) -> Slice:
    """Return what follows from the offers of a whole committee, in any order: nothing that any of them began before."""
    at = max(offers, key=lambda offer: (offer.batch, offer.index))
    count = min(BATCH_ITEMS - at.index, *(offer.room for offer in offers))
    return Slice(batch=at.batch, first=at.index, count=max(0, count))


@dataclass(frozen=True, slots=True)
class Drawn:
    """An item that left the stock for a session."""

    item: ItemName
    material: Material


class Stock:
    """One node's pools. Owned by one thread."""

    def __init__(self, goal: int) -> None:
        """Take how many items of a pool to have in stock; 0 for none."""
        self.goal = goal
        self._batches: dict[PoolId, ClaimedBatch] = {}

    def __repr__(self) -> str:
        return f"Stock({len(self)} items of {len(self._batches)} pools)"

    def __len__(self) -> int:
        return sum(len(batch) for batch in self._batches.values())

    def count(self, pool: PoolId) -> int:
        """Items in stock of a pool."""
        return len(self._batches[pool]) if pool in self._batches else 0

    def is_low(self, pool: PoolId) -> bool:
        """Whether more should be made: half of the goal is left, or less."""
        return self.count(pool) * 2 <= self.goal and self.goal > 0

    def offer(self, pool: PoolId, standing: Standing, oldest: int) -> Offer:
        """What this node can make next: of the rest of the batch that it has, or of the first that it may claim.

        Args:
            pool: of which.
            standing: how far it is used up.
            oldest: index of the oldest item that its keeper still has; older ones take no room.
        """
        batch = self._batches.get(pool)
        if batch is None or batch.begun == batch.size:
            return Offer(batch=standing.floor, index=0, room=self.goal)
        room = max(0, self.goal - batch.count_from(oldest))
        return Offer(batch=batch.number, index=batch.begun, room=room)

    def oldest(self, pool: PoolId) -> int:
        """Index of the oldest item in stock; of the next one if there is none."""
        batch = self._batches.get(pool)
        if batch is None:
            return 0
        oldest = batch.available()
        return batch.begun if oldest is None else oldest

    def burn(self, pool: PoolId, batch: int, below: int) -> None:
        """Drop what the keeper of a pool has not any more, but for as many items as may be under way to sessions.

        Args:
            pool: of which.
            batch: that it makes items of; it names none of another.
            below: index of the oldest item that it has.
        """
        own = self.batch(pool, batch)
        if own is None:
            self.forget(pool)
        else:
            own.burn_below(below - self.goal)

    def batch(self, pool: PoolId, number: int) -> ClaimedBatch | None:
        """The batch of a pool, if this node has that one."""
        batch = self._batches.get(pool)
        return batch if batch is not None and batch.number == number else None

    def keep(self, batch: ClaimedBatch) -> None:
        """Keep a batch that was claimed, in place of what is left of the one before."""
        self._batches[batch.pool] = batch

    def drop(self, item: ItemName) -> None:
        """Burn the batch of an item, whatever is left of it."""
        if self.batch(item.pool, item.batch) is not None:
            del self._batches[item.pool]

    def forget(self, pool: PoolId) -> None:
        """Burn what is in stock of a pool."""
        self._batches.pop(pool, None)

    def draw(self, pool: PoolId, session: SessionId) -> Drawn | None:
        """Choose an item for a session and hand it out; the keeper's part. None if there is none.

        Raises:
            CorrelationReuseError: the session has one already.
        """
        batch = self._batches.get(pool)
        index = None if batch is None else batch.available()
        if batch is None or index is None:
            return None
        item = ItemName(pool=pool, batch=batch.number, index=index)
        return Drawn(item, batch.take(index, session))

    def take(self, item: ItemName, session: SessionId) -> Drawn | None:
        """Hand the item out that was chosen for a session; None if it is not in stock and went to no session.

        Raises:
            CorrelationReuseError: the item was handed out before, or the session has one already.
        """
        batch = self.batch(item.pool, item.batch)
        if batch is None or not (batch.has(item.index) or batch.was_handed_out(item.index)):
            return None
        return Drawn(item, batch.take(item.index, session))
