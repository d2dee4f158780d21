"""Evidence that costs much to take: a node cannot keep another from being heard with it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import TypeVar, cast

import pytest

from ledger.errors import DecodeError
from ledger.types import PublicKey, Signature
from mpcnode.errors import NotAllowedError
from mpcnode.query.frames import FRAMES_MAX, SHOWN_CHUNKS, Shown, SignedFrame, decode_shown, encode_shown
from mpcnode.query.view import QueryView
from mpcnode.roles.arbiter import Arbiter
from mpcnode.sealing.keys import check_signature
from mpcnode.types import MemberIndex
from tests.support.batch_run import SESSION, BatchWorld
from tests.support.consortium import NODES, REGULATOR
from tests.support.fake_peers import Fault
from tests.support.virtual_time import run

EVIL, MISLED = NODES[1], NODES[0]

T = TypeVar("T")


class Checks:
    """A worker thread whose only cost is signatures; counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, each_s: float) -> None:
        self.total = 0
        self._each_s = each_s
        self._turn = asyncio.Lock()

        def counted(key: PublicKey, statement: bytes, signature: Signature, what: str) -> None:
            self.total += 1
            check_signature(key, statement, signature, what)

        monkeypatch.setattr("mpcnode.query.frames.check_signature", counted)

    async def run(self, job: Callable[[], T]) -> T:
        async with self._turn:
            before = self.total
            done = job()
            await asyncio.sleep((self.total - before) * self._each_s)
            return done


def misled(world: BatchWorld) -> None:
    """EVIL sends one node another frame of chunk 0; that node is heard after EVIL."""
    send = world.network.frame

    def frame(me, receiver, session, payload):
        if (me, receiver, payload.chunk, payload.round) == (EVIL, MISLED, 0, 2):
            payload = replace(payload, data=bytes(byte ^ 1 for byte in payload.data))
        send(me, receiver, session, payload)

    world.network.frame = frame  # type: ignore[method-assign]
    world.network.faults.append(Fault(kind="frames", sender=MISLED, delay_ms=100))


def shows(world: BatchWorld, node: MemberIndex, change: Callable[[Shown], Shown]) -> None:
    honest = world.shelves[node].shown
    world.shelves[node].shown = lambda session, first: change(honest(session, first))  # type: ignore[method-assign]


async def judged(world: BatchWorld, checks: Checks) -> tuple[MemberIndex, ...]:
    known = await world.audited()
    ends = await world.run()
    object.__setattr__(world.contexts[REGULATOR], "worker", checks)
    view = SimpleNamespace(
        **vars(world.view(known.honest.transcript)), session=SESSION, terms=SimpleNamespace(subjects=64)
    )
    pair = {node: ends[node] for node in (MISLED, NODES[2])}
    return await Arbiter(world.contexts[REGULATOR], world.tracer).judge_dealt(cast("QueryView", view), pair, known)  # type: ignore[arg-type]


def forged(number: int, like: SignedFrame) -> SignedFrame:
    return replace(like, flush=number)


FLOODS: dict[str, Callable[[Shown], Shown]] = {
    "one frame over and over": lambda shown: replace(shown, frames=shown.frames[:1] * FRAMES_MAX),
    "its own frames, then one over and over": lambda shown: replace(
        shown, frames=(shown.frames * FRAMES_MAX)[:FRAMES_MAX]
    ),
    "frames that nobody signed": lambda shown: replace(
        shown, frames=tuple(forged(number, shown.frames[0]) for number in range(FRAMES_MAX))
    ),
    "frames of many hashes": lambda shown: replace(
        shown,
        frames=tuple(
            replace(shown.frames[0], data_hash=number.to_bytes(32, "big"))  # type: ignore[arg-type]
            for number in range(FRAMES_MAX)
        ),
    ),
    "rounds that there are not": lambda shown: replace(
        shown, frames=tuple(replace(shown.frames[0], round=number) for number in range(FRAMES_MAX))
    ),
    "chunks that were not asked for": lambda shown: replace(
        shown, frames=tuple(replace(shown.frames[0], chunk=number) for number in range(FRAMES_MAX))
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_who_shows_more_than_a_session_has_keeps_nobody_from_being_heard(flood, monkeypatch):
    async def scenario():
        world = BatchWorld(64, chunk_subjects=64)
        misled(world)
        shows(world, EVIL, FLOODS[flood])
        checks = Checks(monkeypatch, each_s=0.000_2)
        assert await judged(world, checks) == (EVIL,)
        rounds = len(world.batch.whole.round_bytes)
        assert checks.total <= (len(NODES) + 1) * (len(NODES) - 1) * rounds * min(SHOWN_CHUNKS, world.batch.chunks)

    run(scenario())


def test_what_arrived_in_time_counts_however_long_checking_it_takes(monkeypatch):
    async def scenario():
        world = BatchWorld(64, chunk_subjects=64)
        misled(world)
        assert await judged(world, Checks(monkeypatch, each_s=0.5)) == (EVIL,)

    run(scenario())


def test_both_of_two_frames_for_one_round_are_kept(monkeypatch):
    """The second one ended the session; that it was signed, too, is what it proves."""

    async def scenario():
        world = BatchWorld(64, chunk_subjects=64)
        send = world.network.frame

        def twice(me, receiver, session, payload):
            send(me, receiver, session, payload)
            if (me, receiver, payload.round) == (EVIL, MISLED, 1):
                send(me, receiver, session, replace(payload, data=bytes(len(payload.data))))

        world.network.frame = twice  # type: ignore[method-assign]
        known = await world.audited()
        await world.run()
        view = world.view(known.honest.transcript)
        shown = await world.tracer.gather(view, SESSION, 0, NODES, batch=world.batch)
        signed = {frame.data_hash for frame in shown[MISLED].frames if (frame.sender, frame.round) == (EVIL, 1)}
        assert len(signed) == 2

    run(scenario())


def test_frames_are_read_once_of_each_node_that_was_asked(monkeypatch):
    async def scenario():
        world = BatchWorld(64, chunk_subjects=64)
        known = await world.audited()
        await world.run()
        read: list[int] = []

        def counted(data: bytes) -> Shown:
            read.append(len(data))
            return decode_shown(data)

        monkeypatch.setattr("mpcnode.roles.tracing.decode_shown", counted)
        payload = encode_shown(world.shelves[EVIL].shown(SESSION, 0))
        with pytest.raises(NotAllowedError, match="frames: expected those of a session that was asked for"):
            await world.tracer.on_frames(EVIL, payload)
        assert read == []

        world.network.faults.append(Fault(kind="frames", sender=MISLED, drop=True))
        asking = asyncio.create_task(
            world.tracer.gather(
                world.view(known.honest.transcript), SESSION, 0, (EVIL, MISLED), batch=world.batch, patience_ms=2_000
            )
        )
        await asyncio.sleep(1)
        assert len(read) == 1
        await world.tracer.on_frames(EVIL, payload)
        await world.tracer.on_frames(EVIL, payload + bytes(1_000))
        with pytest.raises(NotAllowedError, match="frames: expected those of a session that was asked for"):
            await world.tracer.on_frames(NODES[2], payload)
        with pytest.raises(DecodeError):
            await world.tracer.on_frames(MISLED, payload[:40])
        assert len(read) == 2
        await world.tracer.on_frames(MISLED, payload)
        assert len(read) == 2
        assert set(await asking) == {EVIL}

    run(scenario())
