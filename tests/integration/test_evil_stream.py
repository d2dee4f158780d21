"""Streams of rounds over real TLS whose other side misbehaves: sessions end, streams end, the daemon goes on."""

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import structlog

from ledger.types import ChainId
from mpcnode.errors import SessionError
from mpcnode.query.statements import FlushStatement, encode_flush_statement, frames_root
from mpcnode.rpc.peers import make_stubs
from mpcnode.rpc.rounds import FLUSH_BYTES_MAX, FLUSH_FRAMES_MAX, FRAMES_WAITING_MAX, Rounds
from mpcnode.sealing.keys import verify
from mpcnode.types import MemberIndex, Role, SessionId
from mpcnode.v1 import peer_pb2, peer_pb2_grpc
from tests.support.peer_tls import BANK_MPC, CHAIN, EXPIRED_MPC, INSURER_MPC, MEMBERS, Listener, identity, tls

ME, EVIL = INSURER_MPC, BANK_MPC
"""The evil one has the lower index, so it dials."""

MINE, OTHER = SessionId(b"\x01" * 32), SessionId(b"\x02" * 32)


def frame(number, session=MINE, data=b"data", chunk=0):
    return peer_pb2.Frame(session=session, chunk=chunk, round=number, data=data)


def flush(number, frames, *, sender=EVIL, receiver=ME, key=EVIL, chain=CHAIN, signed=None, kind=peer_pb2.RoundsRequest):
    """A flush as its sender signs it, over `signed` if that differs."""
    over = frames if signed is None else signed
    root = frames_root((SessionId(one.session), one.chunk, one.round, one.data) for one in over)
    statement = FlushStatement(chain=chain, sender=sender, receiver=receiver, number=number, frames_root=root)
    return kind(number=number, frames=frames, signature=identity(key).sign(encode_flush_statement(statement)))


@asynccontextmanager
async def stream(listener):
    async with listener.channel(tls(EVIL)) as channel:
        call = peer_pb2_grpc.PeerServiceStub(channel).Rounds(timeout=30)
        try:
            yield call
        finally:
            call.cancel()


async def good_frame_passes(listener, session):
    """After whatever happened, a new stream works."""
    async with listener.rounds.open(session, [EVIL]) as channel, stream(listener) as call:
        await call.write(flush(1, [frame(1, session), frame(2, session)]))
        assert await asyncio.wait_for(channel.receive(), 20) == (EVIL, 0, 1, b"data")
        assert await asyncio.wait_for(channel.receive(), 20) == (EVIL, 0, 2, b"data")


EVIL_FLUSHES = {
    "a bad signature": [peer_pb2.RoundsRequest(number=1, frames=[frame(1)], signature=bytes(64))],
    "no signature": [peer_pb2.RoundsRequest(number=1, frames=[frame(1)])],
    "another member's signature": [flush(1, [frame(1)], key=EXPIRED_MPC)],
    "a flush to somebody else": [flush(1, [frame(1)], receiver=EXPIRED_MPC)],
    "a flush of somebody else": [flush(1, [frame(1)], sender=EXPIRED_MPC)],
    "another chain": [flush(1, [frame(1)], chain=ChainId(bytes(32)))],
    "signed for other data": [flush(1, [frame(1)], signed=[frame(1, data=b"datb")])],
    "signed for another chunk": [flush(1, [frame(1)], signed=[frame(1, chunk=1)])],
    "signed for another session": [flush(1, [frame(1)], signed=[frame(1, OTHER)])],
    "signed for another order": [flush(1, [frame(2), frame(1)], signed=[frame(1), frame(2)])],
    "a number that is missing": [flush(2, [frame(1)])],
    "number 0": [flush(0, [frame(1)])],
    "the same flush again": [flush(1, []), flush(1, [])],
    "a number of 64 bits": [flush(2**64 - 1, [frame(1)])],
    "nothing": [peer_pb2.RoundsRequest()],
    "too many frames in a flush": [flush(1, [frame(n) for n in range(FLUSH_FRAMES_MAX + 1)])],
    "too many frames": [
        flush(n + 1, [frame(n * FLUSH_FRAMES_MAX + place) for place in range(FLUSH_FRAMES_MAX)])
        for n in range(FRAMES_WAITING_MAX // FLUSH_FRAMES_MAX + 1)
    ],
}


@pytest.mark.parametrize("case", EVIL_FLUSHES)
def test_a_stream_that_breaks_a_rule_ends_its_sessions_and_nothing_else(case):
    async def work():
        listener = Listener(ME)
        async with listener.running():
            async with listener.rounds.open(MINE, [EVIL]) as channel, stream(listener) as call:
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    for one in EVIL_FLUSHES[case]:
                        await call.write(one)
                async with asyncio.timeout(20):
                    assert await call.code() is not None
                    with pytest.raises(SessionError):  # noqa: PT012 - a full session gives its frames first
                        while True:
                            if (await channel.receive())[2] == FRAMES_WAITING_MAX - 1:
                                raise SessionError("all frames were taken, and no more")
            await good_frame_passes(listener, OTHER)

    asyncio.run(work())


def test_frames_of_other_sessions_reach_nobody_and_one_line_tells_of_many():
    async def work():
        listener = Listener(ME)
        async with listener.running(), listener.rounds.open(MINE, [EXPIRED_MPC]), stream(listener) as call:
            strangers = [frame(n, OTHER) for n in range(250)]
            long_names = [frame(n, SessionId(b"x" * 100_000)) for n in range(5)]
            not_mine = [frame(1, MINE)]  # a session of this node, but not with this peer
            await call.write(flush(1, [*long_names, *strangers, *not_mine]))
            async with listener.rounds.open(OTHER, [EVIL]) as channel:
                await call.write(flush(2, [frame(7, OTHER)]))
                while (arrived := await asyncio.wait_for(channel.receive(), 20))[2] != 7:
                    pass
                assert arrived == (EVIL, 0, 7, b"data")

    with structlog.testing.capture_logs() as logs:
        asyncio.run(work())
    assert len([line for line in logs if line["event"] == "rounds.no_session"]) <= 2


def test_a_peer_that_opens_stream_after_stream_is_heard_on_the_last():
    async def work():
        listener = Listener(ME)
        async with listener.running(), listener.channel(tls(EVIL)) as channel:
            stub: Any = peer_pb2_grpc.PeerServiceStub(channel)
            calls = []
            for _ in range(20):
                calls.append(stub.Rounds(timeout=30))
                await calls[-1].write(flush(1, []))
            async with asyncio.timeout(20):
                for call in calls[:-1]:
                    await call.code()  # each ended when the next one came
            async with listener.rounds.open(MINE, [EVIL]) as frames:
                await calls[-1].write(flush(2, [frame(1)]))
                assert await asyncio.wait_for(frames.receive(), 20) == (EVIL, 0, 1, b"data")
                frames.broadcast(0, 1, b"answer")
                answer = await asyncio.wait_for(calls[-1].read(), 20)
                assert [one.data for one in answer.frames] == [b"answer"]
            for call in calls:
                call.cancel()

    asyncio.run(work())


# --------------------------------------------------------------------------- the other way round: an evil listener


def dialler(me=BANK_MPC):
    return Rounds(
        chain=CHAIN,
        me=me,
        identities={index: m.identity for index, m in MEMBERS.items() if m.roles & Role.MPC and index <= INSURER_MPC},
        sign=identity(me).sign,
        verify=verify,
    )


class EvilListener:
    """Answers the dialled stream of rounds with whatever `serve` does."""

    def __init__(self, serve):
        self.serve = serve
        self.calls = 0

    async def handle(self, _requests, context):
        self.calls += 1
        await self.serve(context)


async def say_raw(context):
    await context.write(b"\xff\xff\xff")
    await asyncio.sleep(5)


async def say_wrongly(context):
    evil = flush(1, [frame(1)], sender=INSURER_MPC, receiver=BANK_MPC, key=BANK_MPC, kind=peer_pb2.RoundsResponse)
    await context.write(evil.SerializeToString())
    await asyncio.sleep(5)


async def end_at_once(_context):
    return


async def cancel(context):
    await context.abort(grpc.StatusCode.CANCELLED, "")


async def hear_once_and_end(context):
    await context.read()


async def crash(_context):
    raise RuntimeError("evil")


@pytest.mark.parametrize("serve", [say_raw, say_wrongly, end_at_once, cancel, hear_once_and_end, crash])
def test_no_listener_can_end_who_dials_it(serve):
    async def work():
        evil, me = EvilListener(serve), dialler()
        server = grpc.aio.server()
        methods = {"Rounds": grpc.stream_stream_rpc_method_handler(evil.handle)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("mpcnode.v1.PeerService", methods),))
        own = tls(INSURER_MPC)
        credentials = grpc.ssl_server_credentials([(own.key, own.certificate)])
        listener = Listener(INSURER_MPC)
        listener.port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        async with listener.channel(tls(BANK_MPC)) as channel:
            dialling = asyncio.ensure_future(me.dial(make_stubs({INSURER_MPC: channel})))
            try:
                for number in range(2):
                    session = SessionId(bytes([number]) * 32)
                    async with me.open(session, [INSURER_MPC]) as frames:
                        frames.broadcast(0, 1, b"data")
                        async with asyncio.timeout(20):
                            with pytest.raises(SessionError):
                                await frames.receive()
                async with asyncio.timeout(20):
                    while evil.calls < 2:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                assert not dialling.done()
            finally:
                dialling.cancel()
        await server.stop(0)

    asyncio.run(work())


class EndingCall:
    """A call that ends between a write and the read that would have told."""

    def __init__(self, error):
        self.error = error

    async def read(self):
        await asyncio.sleep(60)

    async def write(self, _message):
        raise self.error

    def cancel(self):
        pass


@pytest.mark.parametrize(
    "error",
    [asyncio.InvalidStateError("RPC already finished."), grpc.aio.InternalError("failed"), grpc.aio.UsageError()],
)
def test_a_write_to_a_stream_that_has_just_ended_loses_the_stream_only(error):
    class Stub:
        calls = 0

        def Rounds(self, **_):  # noqa: N802 - gRPC's name
            self.calls += 1
            return EndingCall(error)

    async def work():
        me, stub = dialler(), Stub()
        dialling = asyncio.ensure_future(me.dial({INSURER_MPC: stub}))
        async with me.open(MINE, [INSURER_MPC]) as frames:
            frames.broadcast(0, 1, b"data")
            with pytest.raises(SessionError):
                await asyncio.wait_for(frames.receive(), 20)
        async with asyncio.timeout(20):
            while stub.calls < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert not dialling.done()
        dialling.cancel()

    asyncio.run(work())


def test_what_many_sessions_send_at_once_fits_into_messages():
    """Frames that wait leave in flushes that every listener takes, not in one that outgrows the largest message."""

    async def work():
        listener, me = Listener(ME), dialler()
        data = bytes(200_000)
        async with (
            listener.running(),
            listener.channel(tls(BANK_MPC)) as channel,
            me.open(MINE, [ME]) as frames,
            listener.rounds.open(MINE, [BANK_MPC]) as heard,
        ):
            for number in range(40):
                frames.broadcast(0, number, data)
            assert 40 * len(data) > 4 * FLUSH_BYTES_MAX
            dialling = asyncio.ensure_future(me.dial(make_stubs({ME: channel})))
            async with asyncio.timeout(20):
                for number in range(40):
                    assert await heard.receive() == (MemberIndex(BANK_MPC), 0, number, data)
            dialling.cancel()

    asyncio.run(work())
