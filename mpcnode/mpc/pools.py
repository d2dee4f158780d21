"""Correlations made in advance: which batch may be claimed, and which item may be handed out, each once.

A *pool* is what one committee makes of one type of items, for sessions of one program. Its *batches* are numbered over
the life of the committee; an *item*, named by (pool, batch, index), is the material of one session. No item is ever
handed out twice, which two lines guarantee, each of them alone as far as it reaches:

- A batch is *reserved* on the own disk before anything of it is made, at once for all its items. So whatever crashes,
  retries or runs twice on one directory gets another batch.
- Its *mark* is final on the ledger before anything of it is made. A mark only moves on, and that of batch b is b + 1,
  so the ledger takes it once, of one process with this identity: also from one that was restored from a backup.

Items live in memory only. Whatever was reserved before a start is burned: nothing of it can come back.
"""

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import NewType

from ledger.types import ChainId
from mpcnode.errors import CorrelationReuseError
from mpcnode.mpc.correlations import Material
from mpcnode.mpc.program import Program
from mpcnode.types import MemberIndex, SessionId

PoolId = NewType("PoolId", bytes)
"""A committee's pool of one type of items, 32 bytes; the ledger's name for it."""

BATCH_ITEMS = 1000
"""Sessions that one reservation and one mark serve, at most: an item need not be made."""

BATCHES_MAX = 1 << 32
"""Batches of a pool; a disk or a ledger that says more is not believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemName:
    """One item of a pool."""

    pool: PoolId
    batch: int
    """From 0."""
    index: int
    """0 to `BATCH_ITEMS` - 1."""

    def encode(self) -> bytes:
        """Encode to 40 bytes: pool, batch and index as u32."""
        return self.pool + self.batch.to_bytes(4, "little") + self.index.to_bytes(4, "little")

    @property
    def setup(self) -> bytes:
        """Name of the set-up that serves this item and those that are made after it in one go, 32 bytes."""
        return hashlib.blake2b(self.encode(), digest_size=32, person=b"mpc-pool-setup").digest()

    @property
    def session(self) -> SessionId:
        """What the item is made under, in place of the id of the session that will use it, which nobody knows yet."""
        return SessionId(hashlib.blake2b(self.encode(), digest_size=32, person=b"mpc-pool-item").digest())


def pool_id(chain: ChainId, source: str, committee: Sequence[MemberIndex], program: Program) -> PoolId:
    """Name a pool: every node of the committee gives it the same name.

    Args:
        chain: the consortium's.
        source: who makes the items; they are another node's in part, so two sources share no pool.
        committee: in any order: items serve a committee whoever is first in it.
        program: whose sessions will use the items. Every parameter of its correlations counts, not their sizes only.
    """
    named = hashlib.blake2b(digest_size=32, key=chain, person=b"mpc-pool")
    parts = (source.encode("ascii"), bytes(sorted(committee)), repr(program.body.correlations).encode())
    for part in parts:
        named.update(len(part).to_bytes(8, "little") + part)
    return PoolId(named.digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a pool is used up, as far as one node knows."""

    reserved: int
    """Batches below this were reserved on the own disk."""
    marks: tuple[int, ...]
    """Marks on the ledger of all nodes of the committee, in rank order, as of the own replica."""

    @property
    def floor(self) -> int:
        """The lowest batch that this node may claim: what it proposes to the others, who claim the highest."""
        return max(self.reserved, *self.marks)


@dataclass(frozen=True, slots=True)
class Reserve:
    """To do: put on disk that this batch is used up; True when it is there for good, False if it was there before."""

    pool: PoolId
    batch: int


@dataclass(frozen=True, slots=True)
class Mark:
    """To do: move the own mark on the ledger to this; True when that is final, False if it is not ahead."""

    pool: PoolId
    upto: int


class ClaimedBatch:
    """A batch that was claimed: its items, as they are made and handed out. Owned by one thread."""

    def __init__(self, pool: PoolId, number: int, size: int = BATCH_ITEMS) -> None:
        """Take the name and size of a batch; `claim` alone makes one."""
        self.pool = pool
        self.number = number
        self.size = size
        self._stock: dict[int, Material] = {}
        self._made = 0
        self._sessions: dict[SessionId, int] = {}
        self._stocked: set[int] = set()
        """Items that are or were in stock."""
        self._used: set[int] = set()
        """Items that were handed out."""

    def __repr__(self) -> str:
        return f"ClaimedBatch({self.number}, {len(self._stock)} in stock)"

    def __len__(self) -> int:
        return len(self._stock)

    @property
    def begun(self) -> int:
        """Items of which making began, or that were passed over: those below."""
        return self._made

    def begin(self, first: int, count: int) -> tuple[ItemName, ...]:
        """Begin to make a slice of the items, each once; those before it that were not begun are burned.

        Raises:
            CorrelationReuseError: they were begun before, or are not of this batch.
        """
        if count < 0 or not self._made <= first <= self.size - count:
            raise CorrelationReuseError(
                f"{self._text(first)}: expected {count} items from {self._made} on and below {self.size}, got others"
            )
        self._made = first + count
        return tuple(self._name(index) for index in range(first, first + count))

    def burn_below(self, index: int) -> None:
        """Drop what is in stock below an index."""
        for burned in [kept for kept in self._stock if kept < index]:
            del self._stock[burned]

    def stock(self, item: ItemName, material: Material) -> None:
        """Keep an item that was made.

        Raises:
            CorrelationReuseError: it is of another batch, was not to be made, or is or was in stock.
        """
        index = item.index
        if item != self._name(index) or index >= self._made or index in self._stocked:
            raise CorrelationReuseError(f"{self._text(index)}: expected an item that was just made, got another")
        self._stocked.add(index)
        self._stock[index] = material

    def available(self) -> int | None:
        """The lowest index in stock; None if there is none."""
        return min(self._stock, default=None)

    def count_from(self, index: int) -> int:
        """Items in stock from an index on."""
        return sum(kept >= index for kept in self._stock)

    def has(self, index: int) -> bool:
        """Whether an item is in stock."""
        return index in self._stock

    def was_handed_out(self, index: int) -> bool:
        """Whether an item went to a session."""
        return index in self._used

    def take(self, index: int, session: SessionId) -> Material:
        """Hand an item out to a session: one item for a session, one session for an item.

        Raises:
            CorrelationReuseError: the item was handed out before or was never made, or the session has one already.
        """
        if session in self._sessions:
            raise CorrelationReuseError(
                f"{self._text(index)}, session {session.hex()}: expected a session without an item, "
                f"got one that was given {self._sessions[session]}"
            )
        if index not in self._stock:
            what = "was handed out" if index in self._used else "is not in stock"
            raise CorrelationReuseError(f"{self._text(index)}: expected an unused item, got one that {what}")
        self._sessions[session] = index
        self._used.add(index)
        return self._stock.pop(index)

    def _name(self, index: int) -> ItemName:
        return ItemName(pool=self.pool, batch=self.number, index=index)

    def _text(self, index: int) -> str:
        return f"pool {self.pool.hex()[:8]}, batch {self.number}, item {index}"


def claim(
    pool: PoolId, number: int, standing: Standing, size: int = BATCH_ITEMS
) -> Generator[Reserve | Mark, bool, ClaimedBatch]:
    """Claim a batch: yields what must be done, in this order, and is sent whether it was; returns the batch.

    Whatever goes wrong in between burns the batch: the next claim is of a higher one.

    Args:
        pool: whose.
        number: of the batch, on which the committee agreed: the highest of all floors.
        standing: how far the pool is used up here.
        size: items of a batch; others than the default in tests alone.

    Raises:
        CorrelationReuseError: the batch may have been used before; says what shows that.
    """
    where = f"pool {pool.hex()[:8]}, batch {number}"
    # a mark of another node that is one ahead may be its claim of this very batch; only its own node can tell
    if not standing.reserved <= number < BATCHES_MAX or max(standing.marks) > number + 1:
        raise CorrelationReuseError(f"{where}: expected {standing.floor} or a higher one, got a batch that is used up")
    if not (yield Reserve(pool, number)):
        raise CorrelationReuseError(f"{where}: reserved before, by this daemon or by another one on its directory")
    if not (yield Mark(pool, number + 1)):
        raise CorrelationReuseError(
            f"{where}: the ledger's mark is beyond it; this daemon was restored from a backup or runs twice"
        )
    return ClaimedBatch(pool, number, size)
