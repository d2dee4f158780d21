"""A session of several chunks over real TLS: one side is the daemon's, the other gRPC's generated stub and no more.

The stub's side sends and reads plain protobuf, signs its flushes by hand, and pulls its corrections from a real
service. So whoever implements a node from proto/ and docs/protocol.md alone can take part.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from ledger.types import Signature
from mpcnode.errors import DealError
from mpcnode.mpc import Batch, ChunkedSession, ChunkOutput, Ended, Expander, Payload, corrections_size, join_output
from mpcnode.query.frames import SignedCorrections, check_corrections
from mpcnode.query.statements import FlushStatement, data_hash, encode_flush_statement, frames_root
from mpcnode.roles.auditing import recompute_chunks, recomputed
from mpcnode.roles.chunks import ChunkedRun, OutputInMemory, Part
from mpcnode.roles.context import Context, Timing
from mpcnode.roles.corrections import Corrections
from mpcnode.roles.dealing import Dealt, deal_session
from mpcnode.roles.evidence import Evidence
from mpcnode.roles.ports import DealtCorrections
from mpcnode.roles.worker import Worker
from mpcnode.rpc import corrections
from mpcnode.rpc.corrections import CorrectionsPuller
from mpcnode.scorecard import compile_batch
from mpcnode.sealing.keys import verify
from mpcnode.types import MemberIndex, QueryId, Rank, SessionId
from mpcnode.v1 import peer_pb2, peer_pb2_grpc
from tests.support.batch_run import LAYOUT, SESSION, BatchRows, NodeRows
from tests.support.consortium import seed
from tests.support.peer_tls import BANK, BANK_MPC, CHAIN, INSURER_MPC, REGULATOR, Listener, identity, tls

STUB, REAL = BANK_MPC, INSURER_MPC
"""The stub's member has the lower index, so it dials; and the higher rank, so it pulls corrections."""

COMMITTEE = (MemberIndex(REAL), MemberIndex(STUB))


PIECE_BYTES = 64 * 1024


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Corrections of these chunks come in several pieces."""
    monkeypatch.setattr(corrections, "PIECE_BYTES", PIECE_BYTES)


def batch() -> Batch:
    return compile_batch(LAYOUT, 2, 1_200, chunk_subjects=512, window=2)


def dealt_to(cut: Batch) -> Dealt:
    return deal_session(CHAIN, seed("master"), SESSION, COMMITTEE, cut)


def stub_of(channel: grpc.aio.Channel) -> Any:
    return peer_pb2_grpc.PeerServiceStub(channel)


class PlainDealer:
    """`ports.CorrectionsDealer` that answers whatever is asked, as `answer` changes it."""

    def __init__(self, dealt: Dealt) -> None:
        self.dealt = dealt
        self.asked: list[tuple[int, int]] = []
        self.answer: Callable[[DealtCorrections], DealtCorrections | None] = lambda right: right

    async def ready(self, session: SessionId, chunk: int) -> bool:
        return session == SESSION

    async def corrections(self, node: MemberIndex, session: SessionId, chunk: int) -> DealtCorrections | None:
        self.asked.append((node, chunk))
        assert session == SESSION
        return self.answer(self.dealt.corrections(chunk, identity(REGULATOR)))


def dealing_listener(dealt: Dealt) -> Listener:
    listener = Listener(REGULATOR)
    listener.dealer = PlainDealer(dealt)
    return listener


class StubNode:
    """A node of the session, from proto/ and docs/protocol.md."""

    def __init__(self, cut: Batch, rows: BatchRows, dealt: Dealt, rounds: Any, corrections: Any) -> None:
        self.cut, self.rows, self.rounds, self.pulls = cut, rows, rounds, corrections
        self.session = ChunkedSession(cut, SESSION, Rank(1))
        self.expander = Expander(cut, SESSION, Rank(1), dealt.seeds[1])
        self.flushes = 0
        self.heard = 0
        self.outputs: list[bytes] = []

    async def pull(self, chunk: int) -> bytes:
        await self.pulls.write(peer_pb2.CorrectionsRequest(session=SESSION, chunk=chunk))
        data: bytes = b""
        pieces = 0
        while True:
            piece = await self.pulls.read()
            assert (piece.session, piece.chunk) == (SESSION, chunk)
            data, pieces = data + piece.data, pieces + 1
            if piece.signature:
                break
            assert len(piece.data) == PIECE_BYTES
        signed = SignedCorrections(chunk, data_hash(data), Signature(piece.signature))
        check_corrections(signed, CHAIN, SESSION, MemberIndex(REGULATOR), identity(REGULATOR).public)
        assert pieces == -(-len(data) // PIECE_BYTES)
        return data

    async def send(self, payloads: list[Payload]) -> None:
        if not payloads:
            return
        self.flushes += 1
        root = frames_root((SESSION, sent.chunk, sent.round, sent.data) for sent in payloads)
        flush = FlushStatement(
            chain=CHAIN, sender=COMMITTEE[1], receiver=COMMITTEE[0], number=self.flushes, frames_root=root
        )
        frames = [
            peer_pb2.Frame(session=SESSION, chunk=sent.chunk, round=sent.round, data=sent.data) for sent in payloads
        ]
        signature = identity(STUB).sign(encode_flush_statement(flush))
        await self.rounds.write(peer_pb2.RoundsRequest(number=self.flushes, frames=frames, signature=signature))

    async def hear(self) -> list[Any]:
        flush = await self.rounds.read()
        self.heard += 1
        assert flush.number == self.heard
        root = frames_root((SESSION, frame.chunk, frame.round, frame.data) for frame in flush.frames)
        stated = FlushStatement(
            chain=CHAIN, sender=COMMITTEE[0], receiver=COMMITTEE[1], number=flush.number, frames_root=root
        )
        assert verify(identity(REAL).public, encode_flush_statement(stated), Signature(flush.signature))
        assert {frame.session for frame in flush.frames} == {SESSION}
        return [
            step
            for frame in flush.frames
            for step in self.session.receive(Rank(0), frame.chunk, frame.round, frame.data)
        ]

    async def run(self) -> bytes:
        steps: list[Any] = []
        while True:
            while (chunk := self.session.next_chunk) is not None:
                material = self.expander.expand(chunk, await self.pull(chunk))
                steps += self.session.begin(chunk, self.rows.shares(chunk)[1], material)
            await self.send([step for step in steps if isinstance(step, Payload)])
            self.outputs += [step.share for step in steps if isinstance(step, ChunkOutput)]
            ended = [step.transcript for step in steps if isinstance(step, Ended)]
            if ended:
                return ended[0]
            steps = await self.hear() if self.session.next_chunk is None else []


async def real_node(listener: Listener, cut: Batch, rows: BatchRows, dealt: Dealt, output: OutputInMemory) -> bytes:
    context = cast("Context", SimpleNamespace(timing=Timing(), worker=Worker()))
    part = Part(
        batch=cut,
        session=SESSION,
        rank=Rank(0),
        others={COMMITTEE[1]: Rank(1)},
        dealer=MemberIndex(REGULATOR),
        seed=dealt.seeds[0],
        rows=NodeRows(rows, 0),
        corrections=None,
    )
    async with listener.rounds.open(SESSION, [COMMITTEE[1]]) as channel:
        evidence = Evidence(QueryId(bytes(32)), channel, Corrections(context, cut, SESSION))
        by = asyncio.get_running_loop().time() + 30
        transcript, _ = await ChunkedRun(part, evidence, output, context, by).run()
        assert len(channel.evidence()) == cut.chunks * len(cut.whole.round_bytes)
        return transcript


def test_a_generated_stub_runs_a_session_with_a_daemons_services():
    async def work():
        cut = batch()
        rows, dealt, output = BatchRows(cut), dealt_to(cut), OutputInMemory()
        node, dealer = Listener(REAL), dealing_listener(dealt)
        async with (
            node.running(),
            dealer.running(),
            node.channel(tls(STUB)) as to_node,
            dealer.channel(tls(STUB)) as to_dealer,
        ):
            rounds = stub_of(to_node).Rounds(timeout=60)
            corrections = stub_of(to_dealer).Corrections(timeout=60)
            stub = StubNode(cut, rows, dealt, rounds, corrections)
            ends = await asyncio.gather(stub.run(), real_node(node, cut, rows, dealt, output))
            rounds.cancel()
            corrections.cancel()
        known = recomputed(dealt, rows, recompute_chunks(dealt, rows))
        assert set(ends) == {known.honest.transcript}
        assert join_output([output.share, b"".join(stub.outputs), known.honest.mask]) == known.clear
        assert cast("PlainDealer", dealer.dealer).asked == [(STUB, chunk) for chunk in range(cut.chunks)]

    asyncio.run(work())


# ------------------------------------------------------------------- pulling


def test_pulls_come_back_in_any_order_and_are_asked_again_after_a_broken_stream():
    async def work():
        cut = batch()
        dealt, puller = dealt_to(cut), CorrectionsPuller()
        dealer = dealing_listener(dealt)
        sizes = [corrections_size(cut.program(chunk)) for chunk in range(cut.chunks)]
        assert max(sizes) > PIECE_BYTES
        wanted = [puller.pull(SESSION, chunk, sizes[chunk]) for chunk in (2, 0, 1)]
        given_up = puller.pull(SessionId(bytes(32)), 0, 10)
        given_up.cancel()
        async with dealer.running(), dealer.channel(tls(STUB)) as first:
            running = asyncio.ensure_future(puller.run(cast("Any", _Broken(first, pieces=1))))
            async with asyncio.timeout(30):
                found = await asyncio.gather(*wanted)
            running.cancel()
        assert found == [dealt.corrections(chunk, identity(REGULATOR)) for chunk in (2, 0, 1)]
        assert len(cast("PlainDealer", dealer.dealer).asked) > 3  # some twice
        assert not puller._wanted

    asyncio.run(work())


class _Broken:
    """A stub whose first stream breaks after so many pieces."""

    def __init__(self, channel: grpc.aio.Channel, pieces: int) -> None:
        self.stub: Any = stub_of(channel)
        self.left = pieces

    def Corrections(self, *, wait_for_ready: bool) -> Any:  # noqa: N802 - gRPC's name
        call = self.stub.Corrections(wait_for_ready=wait_for_ready)
        read = call.read

        async def reading():
            self.left -= 1
            if self.left == -1:
                call.cancel()
            return await read()

        call.read = reading
        return call


LIES: dict[str, Callable[[DealtCorrections], DealtCorrections]] = {
    "a byte short": lambda right: DealtCorrections(right.data[:-1], right.signature),
    "a byte long": lambda right: DealtCorrections(right.data + b"\0", right.signature),
    "nothing": lambda right: DealtCorrections(b"", right.signature),
    "far too long": lambda right: DealtCorrections(right.data * 100, right.signature),
}


@pytest.mark.parametrize("lie", LIES)
def test_corrections_of_another_size_are_refused_and_the_stream_goes_on(lie):
    async def work():
        cut = batch()
        dealt, puller = dealt_to(cut), CorrectionsPuller()
        dealer = dealing_listener(dealt)
        plain = cast("PlainDealer", dealer.dealer)
        plain.answer = LIES[lie]
        size = corrections_size(cut.program(0))
        async with dealer.running(), dealer.channel(tls(STUB)) as channel, asyncio.timeout(30):
            running = asyncio.ensure_future(puller.run(stub_of(channel)))
            with pytest.raises(DealError, match=f"expected {size} bytes"):
                await puller.pull(SESSION, 0, size)
            plain.answer = lambda right: right
            assert await puller.pull(SESSION, 1, size) == dealt.corrections(1, identity(REGULATOR))
            running.cancel()

    asyncio.run(work())


@pytest.mark.parametrize(
    ("me", "sender", "said"),
    [
        (REGULATOR, BANK, "NOT_ALLOWED"),
        (REAL, STUB, "NOT_ALLOWED"),
        (REGULATOR, STUB, "MALFORMED_MESSAGE"),
    ],
)
def test_only_nodes_pull_and_only_from_a_dealer(me, sender, said):
    """The last one may, and asks in another form than it must."""

    async def work():
        listener = dealing_listener(dealt_to(batch())) if me == REGULATOR else Listener(me)
        async with listener.running(), listener.channel(tls(sender)) as channel:
            call: Any = stub_of(channel).Corrections(timeout=20)
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it may be refused before it has asked
                await call.write(peer_pb2.CorrectionsRequest(session=b"short", chunk=0))
            await call.code()
            return dict(await call.trailing_metadata())

    assert asyncio.run(work())["mpcnode-code"] == said


def test_a_node_that_asks_for_everything_and_reads_nothing_is_dealt_next_to_nothing():
    """A chunk's corrections take a megabyte or more, and it may ask for a thousand."""

    async def work():
        dealer = dealing_listener(dealt_to(batch()))
        plain = cast("PlainDealer", dealer.dealer)
        large = DealtCorrections(bytes(8 << 20), Signature(bytes(64)))
        asked: list[int] = []

        async def corrections(_node, _session, chunk):
            asked.append(chunk)
            return large

        plain.corrections = corrections  # type: ignore[method-assign]
        async with dealer.running(), dealer.channel(tls(STUB)) as channel:
            call: Any = stub_of(channel).Corrections(timeout=20)
            for chunk in range(200):
                await call.write(peer_pb2.CorrectionsRequest(session=SESSION, chunk=chunk))
            await asyncio.sleep(0.5)
            # what flow control lets through, and what waits for it
            assert 1 <= len(asked) <= 4
            call.cancel()

    asyncio.run(work())


def test_a_node_waits_for_so_many_chunks_and_no_more(monkeypatch):
    monkeypatch.setattr("mpcnode.rpc.corrections.PULLS_MAX", 2)

    async def work():
        dealer = dealing_listener(dealt_to(batch()))
        blocked = asyncio.Event()

        async def never(*_):
            return await blocked.wait()

        dealer.dealer.ready = never  # type: ignore[union-attr,method-assign]
        async with dealer.running(), dealer.channel(tls(STUB)) as channel:
            call: Any = stub_of(channel).Corrections(timeout=20)
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it may be refused while it asks
                for chunk in range(3):
                    await call.write(peer_pb2.CorrectionsRequest(session=SESSION, chunk=chunk))
            await call.code()
            return dict(await call.trailing_metadata())

    assert asyncio.run(work())["mpcnode-code"] == "MALFORMED_MESSAGE"


def test_a_node_has_one_stream_its_newest():
    async def work():
        dealer = dealing_listener(dealt_to(batch()))
        async with dealer.running(), dealer.channel(tls(STUB)) as old, dealer.channel(tls(STUB)) as new:
            first: Any = stub_of(old).Corrections(timeout=20)
            await first.write(peer_pb2.CorrectionsRequest(session=SESSION, chunk=0))
            assert (await first.read()).chunk == 0
            second: Any = stub_of(new).Corrections(timeout=20)
            await second.write(peer_pb2.CorrectionsRequest(session=SESSION, chunk=1))
            assert (await second.read()).chunk == 1
            async with asyncio.timeout(10):
                while isinstance(await first.read(), peer_pb2.CorrectionsResponse):
                    pass
                assert (await first.code()).name == "OK"
            await second.write(peer_pb2.CorrectionsRequest(session=SESSION, chunk=2))
            async with asyncio.timeout(10):
                while (await second.read()).chunk != 2:
                    pass
            second.cancel()

    asyncio.run(work())


def test_who_asks_for_one_chunk_twice_at_once_loses_its_stream():
    async def work():
        dealer = dealing_listener(dealt_to(batch()))
        cast("PlainDealer", dealer.dealer).answer = lambda _: None
        async with dealer.running(), dealer.channel(tls(STUB)) as channel:
            call: Any = stub_of(channel).Corrections(timeout=20)
            for chunk in (0, 1):
                await call.write(peer_pb2.CorrectionsRequest(session=SESSION, chunk=chunk))
            await call.done_writing()
            assert (await call.code()).name == "OK"  # what was not dealt is not answered
            blocked = asyncio.Event()

            async def never(*_):
                await blocked.wait()

            dealer.dealer.corrections = never  # type: ignore[union-attr,method-assign]
            call = stub_of(channel).Corrections(timeout=20)
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it may be refused while it asks again
                for chunk in (0, 0):
                    await call.write(peer_pb2.CorrectionsRequest(session=SESSION, chunk=chunk))
            await call.code()
            return dict(await call.trailing_metadata())

    assert asyncio.run(work())["mpcnode-code"] == "MALFORMED_MESSAGE"
