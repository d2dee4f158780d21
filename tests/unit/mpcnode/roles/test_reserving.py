"""No item of a pool is made or handed out twice, wherever daemons are stopped; and the test sees if one is.

G16: crashes between any two steps, power cuts that lose what was not flushed, restored backups, two processes on one
directory, retries, two sessions at once. Each line of defence is tried by itself, too.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import pytest

from ledger.types import Height, Millis
from mpcnode.errors import CorrelationReuseError, ErrorCode, RevertedError, UnavailableError
from mpcnode.mpc.pools import ClaimedBatch, Mark, Reserve, Standing, claim
from mpcnode.roles.ports import Call, LedgerPort
from mpcnode.roles.reserving import Reservations
from mpcnode.types import MemberIndex
from tests.support.fake_peers import MemoryJournal
from tests.support.pool_world import (
    BATCHES,
    ITEMS,
    ME,
    PEER,
    POOL,
    Claim,
    Disk,
    Process,
    TwiceError,
    World,
    claim_as_it_is,
    run,
    step,
)

BOTH, DISK, LEDGER = "both lines", "the disk alone", "the ledger alone"
ORDERS = ((0, 1), (0, 0, 1), (0, 1, 1, 1))
POINTS_MIN = 500


@dataclass(frozen=True)
class Trouble:
    """What happens once, after so many steps."""

    order: tuple[int, ...]
    """Which of the two daemons takes the next step, again and again."""
    at: int
    stop: str
    """Who stops: `first` or `second` is killed, `power` stops both, with so many unflushed writes kept."""
    kept: int
    then: str
    """`restart`, `two` (both start again), or with a backup: `restore`, `restore, stale` (with an old replica too),
    `clone` (beside the daemon that goes on)."""


def world_of(line: str, claiming: Claim = claim_as_it_is, *, flushes: bool = True) -> World:
    return World(claiming, disk_counts=line != LEDGER, ledger_counts=line != DISK, flushes=flushes)


def live(line: str, trouble: Trouble, claiming: Claim = claim_as_it_is, *, flushes: bool = True) -> tuple[World, bool]:
    """One life: two daemons on one directory, one trouble, and what follows; whether the trouble came in time."""
    world = world_of(line, claiming, flushes=flushes)
    backup, marked = world.disk.copy(), world.mark
    running = [world.start(world.disk), world.start(world.disk)]
    came = False
    for count in run(running, trouble.at, trouble.order):
        came = count == trouble.at
        if count == trouble.at // 2:
            backup, marked = world.disk.copy(), world.mark
    _stop(world, running, trouble)
    running = [process for process in running if not process.is_over] + _follow(world, trouble, backup, marked)
    for _ in run(running):
        pass
    return world, came


def _stop(world: World, running: list[Process], trouble: Trouble) -> None:
    if trouble.stop == "power":
        for process in running:
            process.kill()
            process.journal.disk.cut_power(trouble.kept)
    else:
        running[trouble.stop == "second"].kill()


def _follow(world: World, trouble: Trouble, backup: Disk, marked: int) -> list[Process]:
    match trouble.then:
        case "restart":
            return [world.start(world.disk)]
        case "two":
            return [world.start(world.disk), world.start(world.disk)]
        case "restore" | "clone":
            return [world.start(backup)]
        case _:
            return [world.start(backup, marked), world.start(backup, marked)]


def troubles(line: str) -> Iterator[Trouble]:
    """All, at every step until both daemons are done. A disk alone knows nothing of what a backup forgot."""
    follow = ["restart", "two"] if line == DISK else ["restart", "two", "restore", "clone", "restore, stale"]
    for order in ORDERS:
        world = world_of(line)
        steps = sum(1 for _ in run([world.start(world.disk), world.start(world.disk)], order=order))
        for at, then in itertools.product(range(steps + 1), follow):
            yield from (Trouble(order, at, who, 0, then) for who in ("first", "second"))
            if then != "clone":
                yield from (Trouble(order, at, "power", kept, then) for kept in (0, 1))


@pytest.mark.parametrize("line", [BOTH, DISK, LEDGER])
def test_no_item_is_handed_out_twice(line: str) -> None:
    tried: Counter[str] = Counter()
    points: set[tuple[object, ...]] = set()
    for trouble in troubles(line):
        world, came = live(line, trouble)
        assert world.handed <= world.made
        assert len(world.handed) >= BATCHES * ITEMS, (trouble, "a daemon that goes on serves its batches")
        tried[trouble.then] += came
        points.add((trouble.order, trouble.at, trouble.stop, trouble.kept))
    assert min(tried.values()) >= 100, tried
    assert sum(tried.values()) >= POINTS_MIN, tried
    assert len(points) >= POINTS_MIN, len(points)


class Late(ClaimedBatch):
    """Reserves when all was handed out."""

    def __init__(self, reservations: Reservations, number: int) -> None:
        super().__init__(POOL, number, ITEMS)
        self._reservations = reservations

    def available(self) -> int | None:
        left = super().available()
        if left is None:
            late = self._reservations.claim(POOL, self.number, (ME, PEER), ITEMS)
            with suppress(StopIteration, CorrelationReuseError):
                while True:
                    late.send(None)
        return left


async def burned_after_use(reservations: Reservations, number: int) -> ClaimedBatch:
    """As if it did not matter when a batch is reserved."""
    await step()
    return Late(reservations, number)


async def marked_without_looking(reservations: Reservations, number: int) -> ClaimedBatch:
    """As if the ledger's word did not matter."""
    steps = claim(POOL, number, Standing(reserved=0, marks=(0, 0)), ITEMS)
    try:
        todo = next(steps)
        while True:
            done = await reservations._do(todo)
            todo = steps.send(done or isinstance(todo, Mark))
    except StopIteration as stop:
        batch: ClaimedBatch = stop.value
        return batch


async def reserved_without_looking(reservations: Reservations, number: int) -> ClaimedBatch:
    """As if it did not matter whether a batch was reserved before."""
    steps = claim(POOL, number, Standing(reserved=0, marks=(0, 0)), ITEMS)
    try:
        todo = next(steps)
        while True:
            done = await reservations._do(todo)
            todo = steps.send(done or isinstance(todo, Reserve))
    except StopIteration as stop:
        batch: ClaimedBatch = stop.value
        return batch


@pytest.mark.parametrize(
    ("line", "claiming", "flushes"),
    [
        (BOTH, burned_after_use, True),
        (DISK, burned_after_use, True),
        (LEDGER, burned_after_use, True),
        (DISK, claim_as_it_is, False),
        (LEDGER, marked_without_looking, True),
        (BOTH, marked_without_looking, True),
        (DISK, reserved_without_looking, True),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_planted_mistakes_are_found(line: str, claiming: Claim, flushes: bool) -> None:
    def try_all() -> None:
        for trouble in troubles(line):
            live(line, trouble, claiming, flushes=flushes)

    with pytest.raises(TwiceError):
        try_all()


def test_without_trouble_nothing_is_burned_but_what_a_second_process_took() -> None:
    world = world_of(BOTH)
    for _ in run([world.start(world.disk)]):
        pass
    assert (world.refusals, world.mark, len(world.handed)) == (0, BATCHES, BATCHES * ITEMS)
    for _ in run([world.start(world.disk), world.start(world.disk)]):
        pass
    assert (world.mark, len(world.handed)) == (3 * BATCHES, 3 * BATCHES * ITEMS)


@dataclass
class Wayward:
    """A ledger that answers one thing whatever is sent."""

    answer: Exception
    marks: dict[int, int]

    async def mark(self, member: MemberIndex, pool: bytes) -> int:
        return self.marks.get(member, 0)

    async def submit(self, call: Call) -> Height:
        assert (call.method, call.values, call.expiry_ms) == ("records.mark", (POOL, 8), 60_000)
        raise self.answer


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (UnavailableError("expired"), UnavailableError),
        (RevertedError("MPC_ONLY", ErrorCode.MPC_ONLY), RevertedError),
        (RevertedError("MARK_NOT_AHEAD", ErrorCode.MARK_NOT_AHEAD), CorrelationReuseError),
    ],
)
def test_a_batch_whose_mark_is_not_final_is_burned(answer: Exception, raised: type[Exception]) -> None:
    journal = MemoryJournal()
    ledger = cast("LedgerPort", Wayward(answer, {PEER: 7}))

    async def scenario() -> None:
        reservations = Reservations(journal, ledger, lambda: Millis(60_000))
        assert (await reservations.standing(POOL, (ME, PEER))) == Standing(reserved=0, marks=(0, 7))
        with pytest.raises(raised):
            await reservations.claim(POOL, 7, (ME, PEER))
        assert (await reservations.standing(POOL, (ME, PEER))) == Standing(reserved=8, marks=(0, 7))
        with pytest.raises(CorrelationReuseError, match="batch 7: expected 8 or a higher one"):
            await reservations.claim(POOL, 7, (ME, PEER))

    asyncio.run(scenario())
