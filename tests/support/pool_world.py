"""Daemons of one identity that claim batches and hand items out, on disks that lose what was not flushed.

Every await of a daemon is a step of the world, so that it can be stopped between any two writes, flushes and
transactions. The world keeps what was made and handed out, and refuses anything twice.
"""

from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from types import coroutine
from typing import cast

from ledger.types import Height, Millis
from mpcnode.errors import CorrelationReuseError, ErrorCode, RevertedError
from mpcnode.mpc import Material
from mpcnode.mpc.pools import ClaimedBatch, ItemName, PoolId
from mpcnode.roles.ports import Call, JournalPort, LedgerPort
from mpcnode.roles.reserving import Reservations
from mpcnode.types import MemberIndex, SessionId

POOL = PoolId(bytes(range(32)))
ME, PEER = MemberIndex(3), MemberIndex(5)
ITEMS = 3
BATCHES = 2
"""That one daemon claims in its life."""

Claim = Callable[[Reservations, int], Coroutine[object, None, ClaimedBatch]]


class TwiceError(AssertionError):
    """An item was made or handed out a second time."""


@coroutine
def step() -> Generator[None, None, None]:
    """Let the world go on, or stop here for good."""
    yield


async def claim_as_it_is(reservations: Reservations, number: int) -> ClaimedBatch:
    return await reservations.claim(POOL, number, (ME, PEER), ITEMS)


@dataclass
class Disk:
    """A journal's file: entries in the order of their writing, of which the first so many are flushed."""

    flushes: bool = True
    entries: list[bytes] = field(default_factory=list)
    stable: int = 0
    writer: object = None
    """Who writes; SQLite's lock."""

    def copy(self) -> "Disk":
        """What a backup holds."""
        return Disk(self.flushes, self.entries[: self.stable], self.stable)

    def cut_power(self, kept: int) -> None:
        """Lose what was not flushed, but for the first so many writes; a torn one is none, by its checksum."""
        del self.entries[self.stable + kept :]
        self.stable, self.writer = len(self.entries), None


class Journal:
    """A process's view of a disk."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk

    async def put_once(self, kind: str, key: bytes, value: bytes) -> bool:
        while self.disk.writer is not None:
            await step()
        if key in self.disk.entries:
            return False
        self.disk.writer = self
        await step()
        self.disk.entries.append(key)
        await step()
        if self.disk.flushes:
            self.disk.stable = len(self.disk.entries)
        self.disk.writer = None
        await step()
        return True

    async def items(self, kind: str, newest: int) -> Sequence[tuple[bytes, bytes]]:
        return [(key, b"") for key in self.disk.entries]


class Replica:
    """A process's view of the ledger: of marks as of its start, until a transaction of its own is final."""

    def __init__(self, world: "World", seen: int) -> None:
        self.world = world
        self.seen = seen

    async def mark(self, member: MemberIndex, pool: PoolId) -> int:
        await step()
        return self.seen if member == ME else 0

    async def submit(self, call: Call) -> Height:
        assert call.method == "records.mark"
        upto = cast("int", call.values[1])
        await step()
        is_ahead = self.world.mark < upto or not self.world.ledger_counts
        if is_ahead and self.world.ledger_counts:
            self.world.mark = upto
        await step()
        self.seen = self.world.mark
        if not is_ahead:
            raise RevertedError("records.mark: MARK_NOT_AHEAD", ErrorCode.MARK_NOT_AHEAD)
        return Height(1)


@dataclass
class Process:
    """A running daemon."""

    journal: Journal
    work: Coroutine[object, None, None]
    is_over: bool = False

    def go_on(self) -> None:
        """Run to its next step."""
        try:
            self.work.send(None)
        except StopIteration:
            self.is_over = True

    def kill(self) -> None:
        """Stop it for good; what it wrote stays, its lock does not."""
        self.work.close()
        self.is_over = True
        if self.journal.disk.writer is self.journal:
            self.journal.disk.writer = None


class World:
    """The ledger, and what was done with items of one identity."""

    def __init__(
        self,
        claim: Claim = claim_as_it_is,
        *,
        disk_counts: bool = True,
        ledger_counts: bool = True,
        flushes: bool = True,
    ) -> None:
        """Take how batches are claimed and which lines of defence hold: a disk that does not count starts empty."""
        self.claim = claim
        self.disk_counts = disk_counts
        self.ledger_counts = ledger_counts
        self.disk = Disk(flushes)
        self.mark = 0
        self.made: set[ItemName] = set()
        self.handed: set[ItemName] = set()
        self.refusals = 0
        self._sessions = 0

    def start(self, disk: Disk, seen: int | None = None) -> Process:
        """Start a daemon on a directory; its replica shows the mark, or an older one."""
        journal = Journal(disk if self.disk_counts else Disk(disk.flushes))
        replica = Replica(self, self.mark if seen is None else seen)
        reservations = Reservations(cast("JournalPort", journal), cast("LedgerPort", replica), lambda: Millis(0))
        return Process(journal, self._daemon(reservations))

    async def _daemon(self, reservations: Reservations) -> None:
        for _ in range(BATCHES):
            await self._serve(await self._claim(reservations))

    async def _claim(self, reservations: Reservations) -> ClaimedBatch:
        """Claim the next batch; what is refused is burned."""
        for _ in range(8):
            number = (await reservations.standing(POOL, (ME, PEER))).floor
            try:
                return await self.claim(reservations, number)
            except CorrelationReuseError:
                self.refusals += 1
        raise AssertionError("expected to get ahead, got refusals only")

    async def _serve(self, batch: ClaimedBatch) -> None:
        """Make all items; hand them out to two sessions at a time, each of which tries again."""
        for item in batch.begin(0, batch.size):
            if item in self.made:
                raise TwiceError(f"made twice: {item}")
            self.made.add(item)
            await step()
            batch.stock(item, Material({}))
        while batch.available() is not None:
            sessions = [self._session(batch), self._session(batch)]
            while sessions:
                for session in tuple(sessions):
                    try:
                        session.send(None)
                    except StopIteration:
                        sessions.remove(session)
                await step()

    async def _session(self, batch: ClaimedBatch) -> None:
        """Use an item, and fail to use it again or to have another."""
        self._sessions += 1
        name = SessionId(self._sessions.to_bytes(32, "little"))
        index = batch.available()
        if index is None:
            return
        await step()  # the committee agrees on it; another session may be faster
        try:
            batch.take(index, name)
        except CorrelationReuseError:
            return
        item = ItemName(pool=batch.pool, batch=batch.number, index=index)
        if item in self.handed:
            raise TwiceError(f"handed out twice: {item}")
        self.handed.add(item)
        await step()
        for again in {index, batch.available()} - {None}:
            try:
                batch.take(cast("int", again), name)
            except CorrelationReuseError:
                continue
            raise TwiceError(f"a session was given a second item: {item}")


def run(processes: Sequence[Process], steps: int | None = None, order: Sequence[int] = ()) -> Iterator[int]:
    """Step them in this order (all in turn), again and again, so many steps or to their ends; yields after each."""
    count = 0
    order = order or range(len(processes))
    while any(not process.is_over for process in processes):
        for place in order:
            if not processes[place].is_over:
                if count == steps:
                    return
                processes[place].go_on()
                count += 1
                yield count
