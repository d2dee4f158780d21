"""What comes over the streams between committee members and to the dealer: corrections, and rounds of several chunks.

The services and clients are the real ones, down to where they read from gRPC. Signatures are taken as good, for a peer
may sign anything.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

from ledger.types import PublicKey
from mpcnode.errors import ErrorCode, MalformedMessageError, NodeError, NotAllowedError, code_of
from mpcnode.mpc import ChunkedSession, Expander
from mpcnode.roles.ports import DealtCorrections
from mpcnode.rpc.corrections import CorrectionsPuller, CorrectionsServer
from mpcnode.rpc.rounds import Rounds
from mpcnode.rpc.streams import StreamEndedError
from mpcnode.scorecard import compile_batch
from mpcnode.types import MemberIndex, Rank, SessionId
from mpcnode.v1 import peer_pb2
from tests.fuzz.streaming import Stream, joined, parted, run
from tests.fuzz.target import Target, expect
from tests.fuzz.targets.node import CHAIN, ME, NO_SIGNATURE, PEER
from tests.support.chunks import Committee, cut_rows, draw_columns, shares_of
from tests.support.joint import seeds_for, session_id
from tests.support.models import credit_layout

SESSION = session_id("streams")

DEALT = bytes(range(100))


class Dealing:
    """A dealer that dealt three chunks to one session, and none to others."""

    async def ready(self, session: SessionId, chunk: int) -> bool:
        return session == SESSION and chunk >= 0

    async def corrections(self, node: MemberIndex, session: SessionId, chunk: int) -> DealtCorrections | None:
        assert node == PEER
        assert session == SESSION
        if chunk >= 3:
            raise NotAllowedError("no such chunk")
        return DealtCorrections(DEALT[chunk:], NO_SIGNATURE)


def pulls() -> Target:
    """What a node asks the dealer for: it is dealt that, signed at its end, or refused."""

    async def check(data: bytes) -> None:
        asked = parted(data, peer_pb2.CorrectionsRequest)
        stream = Stream(asked)
        try:
            await CorrectionsServer(Dealing()).serve(PEER, cast("Any", stream))
        except Exception as refused:
            if code_of(refused) is ErrorCode.INTERNAL:
                raise
        for piece in map(peer_pb2.CorrectionsResponse.FromString, stream.written):
            wanted = any((piece.session, piece.chunk) == (one.session, one.chunk) for one in asked)
            expect(wanted and piece.data == DEALT[piece.chunk :], f"expected what was asked for, got {piece}")
            expect(piece.signature == NO_SIGNATURE, "expected the last piece to be signed")

    requests = [peer_pb2.CorrectionsRequest(session=SESSION, chunk=chunk) for chunk in (0, 1, 2)]
    seeds = (joined(requests), joined((*requests, requests[0])), joined(requests[:1] * 2))
    return Target(check=run(check), seeds=seeds, words=(SESSION,))


def corrections() -> Target:
    """What a dealer sends a node: a chunk of the right size, signed, or a refusal; never more than was asked for."""
    sizes = (100, 0, 7)

    async def check(data: bytes) -> None:
        puller = CorrectionsPuller()
        answers = [puller.pull(SESSION, chunk, size) for chunk, size in enumerate(sizes)]
        stream = Stream(parted(data, peer_pb2.CorrectionsResponse))
        with suppress(StreamEndedError):
            await puller._take(cast("Any", stream))
        for answer, size in zip(answers, sizes, strict=True):
            if not answer.done():
                answer.cancel()
            elif answer.exception() is None:
                dealt = answer.result()
                expect(len(dealt.data) == size and bool(dealt.signature), f"expected {size} bytes, got {dealt}")
            else:
                expect(isinstance(answer.exception(), NodeError), f"expected a refusal, got {answer.exception()!r}")
        held = sum(map(len, (pull.pieces for pull in puller._wanted.values())))
        expect(held <= sum(sizes), f"expected at most a piece for each byte to be held, got {held}")

    def piece(chunk: int, data: bytes, signature: bytes = b"") -> peer_pb2.CorrectionsResponse:
        return peer_pb2.CorrectionsResponse(session=SESSION, chunk=chunk, data=data, signature=signature)

    right = [piece(0, bytes(60)), piece(1, b"", NO_SIGNATURE), piece(0, bytes(40), NO_SIGNATURE), piece(2, bytes(3))]
    seeds = (joined(right), joined((*right, piece(2, bytes(4), NO_SIGNATURE))), joined([piece(0, b"")] * 3))
    return Target(check=run(check), seeds=seeds, words=(SESSION,))


# ------------------------------------------------------------------- rounds of many chunks


LAYOUT = credit_layout()
BATCH = compile_batch(LAYOUT, 2, 11, chunk_subjects=4, window=2)
"""Three chunks at two nodes."""

SHARES = shares_of(BATCH, "streams", cut_rows(LAYOUT, BATCH, draw_columns(LAYOUT, BATCH.subjects, 7)))
SEEDS = seeds_for("streams", BATCH.parties)


class Node:
    """The first of the two nodes, which computes with what the other one sends."""

    def __init__(self) -> None:
        self._expander = Expander(BATCH, SESSION, Rank(0), SEEDS[0])
        self.session = ChunkedSession(BATCH, SESSION, Rank(0))
        self._begin()

    def _begin(self) -> None:
        while (chunk := self.session.next_chunk) is not None:
            self.session.begin(chunk, SHARES[chunk][0], self._expander.expand(chunk, None))

    def take(self, chunk: int, number: int, data: bytes) -> None:
        self.session.receive(Rank(1), chunk, number, data)
        self._begin()


def flushes() -> Target:
    """Flushes of frames of a session of three chunks, down to where a node computes with them.

    Whoever sends what no honest node does is found out, and costs this session only.
    """

    async def check(data: bytes) -> None:
        rounds = Rounds(
            chain=CHAIN,
            me=ME,
            identities={ME: PublicKey(bytes(32)), PEER: PublicKey(bytes(32))},
            sign=lambda _stated: NO_SIGNATURE,
            verify=lambda *_: True,
        )
        sent, node = parted(data, peer_pb2.RoundsRequest), Node()
        own = [frame for flush in sent for frame in flush.frames if frame.session == SESSION]
        async with rounds.open(SESSION, [PEER]) as channel:
            with suppress(StreamEndedError, MalformedMessageError):
                await rounds._receive(PEER, cast("Callable[[], Awaitable[object]]", Stream(sent).read))
            with suppress(NodeError):
                for frame in own[: channel._state.arrived.qsize()]:
                    member, chunk, number, payload = await channel.receive()
                    expect((member, chunk, number) == (PEER, frame.chunk, frame.round), "expected frames in order")
                    node.take(chunk, number, payload)
        expect(node.session.early <= BATCH.window, "expected a window of early payloads at most")

    whole = _session_of_the_other()
    return Target(check=run(check), seeds=(whole, whole[: len(whole) // 2]), words=(SESSION,), size_max=2 * len(whole))


def _session_of_the_other() -> bytes:
    """What the other node sends in a whole session."""
    committee = Committee(BATCH, "streams", SHARES)
    committee.run()
    frames = [
        peer_pb2.Frame(session=SESSION, chunk=chunk, round=number, data=data)
        for (chunk, number), data in sorted(committee.nodes[1].sent.items())
    ]
    flushed = (frames[at : at + 3] for at in range(0, len(frames), 3))
    return joined(
        peer_pb2.RoundsRequest(number=number, frames=few, signature=NO_SIGNATURE)
        for number, few in enumerate(flushed, start=1)
    )
