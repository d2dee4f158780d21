"""Frames between two nodes over streams in memory: batching, breaks, second streams, congestion."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from ledger.types import ChainId, Signature
from mpcnode.errors import MalformedMessageError, PeerLostError, SessionError, WrongSignatureError
from mpcnode.query.frames import ArrivedFrame, Flush, check_frame
from mpcnode.query.statements import data_hash
from mpcnode.rpc.rounds import FLUSH_BYTES_MAX, FRAMES_WAITING_MAX, Rounds, _Arrival
from mpcnode.sealing.keys import verify
from mpcnode.types import MemberIndex, SessionId
from mpcnode.v1 import peer_pb2
from tests.support.consortium import identity, seed
from tests.support.virtual_time import run

LOW, HIGH = MemberIndex(2), MemberIndex(4)
ONE, TWO = SessionId(seed("session one")), SessionId(seed("session two"))


def node(me: MemberIndex, *others: MemberIndex) -> Rounds:
    return Rounds(
        chain=ChainId(seed("chain")),
        me=me,
        identities={member: identity(member).public for member in (LOW, HIGH, *others)},
        sign=identity(me).sign,
        verify=verify,
    )


class Wire:
    """One stream: the dialling side's call, and the other side's context."""

    def __init__(self) -> None:
        self.there: asyncio.Queue[Any] = asyncio.Queue()
        self.back: asyncio.Queue[Any] = asyncio.Queue()
        self.call = _End(self.there, self.back, self, peer_pb2.RoundsRequest)
        self.context = _End(self.back, self.there, self, peer_pb2.RoundsResponse)
        self.flushes: list[Any] = []

    def cut(self) -> None:
        self.there.put_nowait(None)
        self.back.put_nowait(None)


class _End:
    def __init__(self, out: asyncio.Queue[Any], back: asyncio.Queue[Any], wire: Wire, kind: Any) -> None:
        self.out, self.back, self.wire, self.kind = out, back, wire, kind

    async def read(self) -> object:
        return await self.back.get()

    async def write(self, encoded: bytes) -> None:
        flush = self.kind.FromString(encoded)
        self.wire.flushes.append(flush)
        await asyncio.sleep(0.001)
        self.out.put_nowait(flush)

    def cancel(self) -> None:
        self.wire.cut()


class Pair:
    """Two nodes; the lower one dials as often as its stream breaks."""

    def __init__(self) -> None:
        self.low, self.high = node(LOW), node(HIGH)
        self.wires: list[Wire] = []

    def Rounds(self, *, wait_for_ready: bool) -> _End:  # noqa: N802 - gRPC's name
        assert wait_for_ready
        wire = Wire()
        self.wires.append(wire)
        self.group.create_task(self.high.serve(LOW, cast("Any", wire.context)))
        return wire.call

    async def __aenter__(self) -> "Pair":
        self.group = asyncio.TaskGroup()
        await self.group.__aenter__()
        self.dialling = self.group.create_task(self.low.dial({HIGH: cast("Any", self)}))
        await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *failure: Any) -> None:
        self.dialling.cancel()
        for wire in self.wires:
            wire.cut()
        await self.group.__aexit__(*failure)


def scenario(body: Callable[[Pair], Any]) -> None:
    async def play() -> None:
        async with asyncio.timeout(60), Pair() as pair:
            await body(pair)

    run(play())


def test_frames_arrive_in_both_directions_and_in_order():
    async def body(pair):
        async with pair.low.open(ONE, [HIGH]) as low, pair.high.open(ONE, [LOW]) as high:
            for number in (1, 2, 3):
                low.broadcast(0, number, bytes([number]))
            high.broadcast(0, 1, b"back")
            assert [await high.receive() for _ in range(3)] == [(LOW, 0, n, bytes([n])) for n in (1, 2, 3)]
            assert await low.receive() == (HIGH, 0, 1, b"back")

    scenario(body)


def test_what_is_for_one_node_goes_to_that_node_only():
    async def body(pair):
        async with pair.low.open(ONE, [HIGH]) as low, pair.high.open(ONE, [LOW]) as high:
            low.send(HIGH, 0, 7, b"to you")
            assert await high.receive() == (LOW, 0, 7, b"to you")
            with pytest.raises(KeyError):
                low.send(MemberIndex(5), 0, 1, b"to somebody who is not in the session")

    scenario(body)


def test_what_is_ready_together_travels_under_one_signature():
    async def body(pair):
        async with (
            pair.low.open(ONE, [HIGH]) as one,
            pair.low.open(TWO, [HIGH]) as two,
            pair.high.open(ONE, [LOW]) as first,
            pair.high.open(TWO, [LOW]) as second,
        ):
            one.broadcast(0, 1, b"a")
            two.broadcast(0, 1, b"b")
            assert await first.receive() == (LOW, 0, 1, b"a")
            assert await second.receive() == (LOW, 0, 1, b"b")
            (flush,) = pair.wires[0].flushes
            assert (flush.number, len(flush.frames)) == (1, 2)

    scenario(body)


def test_a_flush_takes_no_further_frame_beyond_its_bytes():
    """So that with its largest frame it still fits one gRPC message."""

    async def body(pair):
        async with pair.low.open(ONE, [HIGH]) as low, pair.high.open(ONE, [LOW]) as high:
            half = bytes(FLUSH_BYTES_MAX // 2)
            for number in range(5):
                low.broadcast(0, number, half)
            assert [(await high.receive())[2] for _ in range(5)] == [0, 1, 2, 3, 4]
        assert [len(flush.frames) for flush in pair.wires[0].flushes] == [2, 2, 1]

    scenario(body)


def test_what_arrived_proves_who_sent_it_also_after_the_session():
    async def body(pair):
        async with (
            pair.low.open(ONE, [HIGH]) as one,
            pair.low.open(TWO, [HIGH]) as two,
            pair.high.open(ONE, [LOW]) as first,
            pair.high.open(TWO, [LOW]) as second,
        ):
            for number, data in ((1, b"a"), (2, b"c")):
                one.broadcast(0, number, data)
                two.broadcast(0, number, b"b")
                await first.receive()
                await second.receive()
        frames = [arrived.signed() for arrived in first.evidence()]
        expected = [(LOW, 0, 1, data_hash(b"a")), (LOW, 0, 2, data_hash(b"c"))]
        assert [(frame.sender, frame.chunk, frame.round, frame.data_hash) for frame in frames] == expected
        assert [frame.size for frame in frames] == [2, 2]
        for frame in frames:
            check_frame(frame, ChainId(seed("chain")), ONE, HIGH, identity(LOW).public)
            with pytest.raises(WrongSignatureError):
                check_frame(frame, ChainId(seed("chain")), TWO, HIGH, identity(LOW).public)
        assert one.evidence() == []

    scenario(body)


def test_frames_that_a_session_left_waiting_are_no_evidence_of_what_it_received():
    """A peer sends, behind a wrong frame, the right one and many more: none of these changed what the session did."""

    async def body(pair):
        async with pair.low.open(ONE, [HIGH]) as cheat, pair.high.open(ONE, [LOW]) as honest:
            cheat.broadcast(0, 1, b"wrong")
            for number in range(1, 2000):
                cheat.broadcast(0, number, b"right")
            assert await honest.receive() == (LOW, 0, 1, b"wrong")
            await asyncio.sleep(1)
        (frame,) = honest.evidence()
        assert (frame.sender, frame.round, frame.data_hash) == (LOW, 1, data_hash(b"wrong"))

    scenario(body)


def test_a_broken_stream_ends_its_sessions_and_the_next_one_carries_new_ones():
    async def body(pair):
        async with pair.low.open(ONE, [HIGH]) as low, pair.high.open(ONE, [LOW]) as high:
            pair.wires[0].cut()
            for channel in (low, high):
                with pytest.raises(SessionError):
                    await channel.receive()
            await asyncio.sleep(1)
            low.broadcast(0, 1, b"of a session that is over")
            await asyncio.sleep(1)
            assert len(pair.wires) == 2
            assert pair.wires[1].flushes == []
        async with pair.low.open(TWO, [HIGH]) as low, pair.high.open(TWO, [LOW]) as high:
            low.broadcast(0, 1, b"new")
            assert await high.receive() == (LOW, 0, 1, b"new")
            assert pair.wires[1].flushes[0].number == 1

    scenario(body)


def test_a_session_that_was_opened_before_the_stream_uses_it():
    async def body(pair):
        pair.wires[0].cut()
        await asyncio.sleep(0.01)
        async with pair.low.open(ONE, [HIGH]) as low, pair.high.open(ONE, [LOW]) as high:
            low.broadcast(0, 1, b"early")
            assert await high.receive() == (LOW, 0, 1, b"early")

    scenario(body)


def test_a_second_stream_of_a_peer_takes_the_place_of_the_first():
    async def body(pair):
        async with pair.high.open(ONE, [LOW]) as high:
            stale = pair.wires[0]
            pair.Rounds(wait_for_ready=True)
            with pytest.raises(SessionError):
                await high.receive()
            await asyncio.sleep(0.01)
            high.broadcast(0, 1, b"lost with the old stream")
            await asyncio.sleep(1)
            assert stale.flushes == []

    scenario(body)


def test_frames_of_a_session_that_is_not_open_are_left_alone():
    async def body(pair):
        async with pair.low.open(ONE, [HIGH]) as low, pair.high.open(TWO, [LOW]) as high:
            low.broadcast(0, 1, b"nobody asked")
            await asyncio.sleep(0.1)
            async with pair.low.open(TWO, [HIGH]) as other:
                other.broadcast(0, 1, b"asked")
                assert await high.receive() == (LOW, 0, 1, b"asked")

    scenario(body)


def test_a_congested_stream_ends_the_session_that_would_add_to_it():
    async def body(pair):
        async with pair.low.open(ONE, [HIGH]) as low:
            for number in range(FRAMES_WAITING_MAX):
                low.broadcast(0, number, b"")
            with pytest.raises(SessionError, match=f"wait for member {HIGH}"):
                low.broadcast(0, 1, b"")

    scenario(body)


def test_a_peer_that_floods_a_session_breaks_its_own_stream_and_nobody_elses():
    """Else a node that deviates has honest ones lose each other, and blame each other."""
    honest = MemberIndex(3)

    def frame(sender: MemberIndex, number: int) -> _Arrival:
        kept = ArrivedFrame(Flush(1, (), Signature(bytes(64))), 0, sender, 0, number, data_hash(b""))
        return _Arrival(kept, b"")

    async def scenario():
        rounds = node(HIGH, honest)
        async with rounds.open(ONE, [LOW, honest]) as channel:
            for number in range(FRAMES_WAITING_MAX):
                assert rounds._take(ONE, frame(LOW, number))
            with pytest.raises(MalformedMessageError, match="waiting frames"):
                rounds._take(ONE, frame(LOW, 1))
            assert rounds._take(ONE, frame(honest, 1))
            rounds._lose(LOW)
            for number in range(FRAMES_WAITING_MAX):
                assert await channel.receive() == (LOW, 0, number, b"")
            assert await channel.receive() == (honest, 0, 1, b"")
            with pytest.raises(PeerLostError):
                await channel.receive()
            assert rounds._take(ONE, frame(LOW, 1)), "what was taken waits no more"

    run(scenario())


def test_a_session_is_open_once_and_forgotten_at_its_end():
    async def body(pair):
        async with pair.low.open(ONE, [HIGH]):
            with pytest.raises(SessionError, match="open already"):
                async with pair.low.open(ONE, [HIGH]):
                    pytest.fail("opened twice")
        async with pair.low.open(ONE, [HIGH]):
            pass
        assert not pair.low._sessions

    scenario(body)


@pytest.mark.parametrize("peer", [HIGH, MemberIndex(9)])
def test_only_a_lower_mpc_member_may_dial(peer):
    with pytest.raises(MalformedMessageError):
        run(node(LOW).serve(peer, cast("Any", None)))


@pytest.mark.parametrize("change", ["number", "signature", "data"])
def test_a_flush_that_is_not_the_next_of_its_signer_breaks_the_stream(change):
    async def body(pair):
        async with pair.low.open(ONE, [HIGH]) as low, pair.high.open(ONE, [LOW]) as high:
            wire = pair.wires[0]
            put = wire.there.put_nowait

            def spoilt(flush: peer_pb2.RoundsRequest | None) -> None:
                if flush is not None and change == "number":
                    flush.number += 1
                elif flush is not None and change == "signature":
                    flush.signature = bytes(64)
                elif flush is not None:
                    flush.frames[0].data = b"other"
                put(flush)

            wire.there.put_nowait = spoilt
            low.broadcast(0, 1, b"data")
            with pytest.raises(SessionError):
                await high.receive()

    scenario(body)
