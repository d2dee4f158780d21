"""Corrections on the wire: a committee's last node pulls them from the dealer, chunk by chunk, as its window moves.

One stream carries all sessions of one node, beside the messages, so that bulk delays none of these. Nothing is sent
that was not asked for, and HTTP/2 slows the dealer down if the node does not read: it deals a chunk when the one before
it leaves. What a broken stream left unanswered is asked again on the next one, which ends the one before it.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import grpc
import structlog

from ledger.types import Signature
from mpcnode.errors import DealError, MalformedMessageError, NodeError
from mpcnode.roles.ports import CorrectionsDealer, DealtCorrections
from mpcnode.rpc.streams import LOST, NewestStreams, StreamEndedError
from mpcnode.rpc.wire import corrections_bytes
from mpcnode.tasks import first_of
from mpcnode.types import MemberIndex, SessionId
from mpcnode.v1 import peer_pb2

if TYPE_CHECKING:
    from mpcnode.v1 import peer_pb2_grpc

_log = structlog.get_logger(__name__)

PIECE_BYTES = 1024 * 1024
"""Of a chunk's corrections, in one gRPC message."""

PULLS_MAX = 1024
"""Chunks that one node may wait for at a time: one or two of each of its sessions."""

DEALT_MAX = 2
"""Chunks of one stream that are dealt and not sent yet; more would be memory that a node costs by not reading."""

_REDIAL_S = 0.2

_SESSION_BYTES = 32

_Key = tuple[SessionId, int]

_Serving: TypeAlias = "grpc.aio.ServicerContext[peer_pb2.CorrectionsRequest, bytes]"

_Call: TypeAlias = "grpc.aio.StreamStreamCall[peer_pb2.CorrectionsRequest, peer_pb2.CorrectionsResponse]"


@dataclass(slots=True)
class _Pull:
    """A chunk that is waited for."""

    size: int
    answer: asyncio.Future[DealtCorrections]
    pieces: list[bytes] = field(default_factory=list)
    received: int = 0

    def add(self, piece: bytes, signature: bytes) -> None:
        """Take the next piece; the last one is signed."""
        self.pieces.append(piece)
        self.received += len(piece)
        is_due = self.received == self.size if signature else piece and self.received <= self.size
        if not is_due:
            why = f"corrections: expected {self.size} bytes in pieces that are not empty, got {self.received}"
            self.answer.set_exception(DealError(why))
        elif signature:
            self.answer.set_result(DealtCorrections(b"".join(self.pieces), Signature(signature)))

    def begin_anew(self) -> None:
        """Forget what came over a stream that broke."""
        self.pieces.clear()
        self.received = 0


class CorrectionsPuller:
    """A node's stream to one dealer. Owned by the event loop's thread."""

    def __init__(self) -> None:
        self._wanted: dict[_Key, _Pull] = {}
        self._asking: asyncio.Queue[_Key] = asyncio.Queue()

    def pull(self, session: SessionId, chunk: int, size: int) -> asyncio.Future[DealtCorrections]:
        """Ask for a chunk's corrections now, or when there is a stream; cancel the future to give up."""
        answer: asyncio.Future[DealtCorrections] = asyncio.get_running_loop().create_future()
        key = (session, chunk)
        self._wanted[key] = _Pull(size, answer)
        answer.add_done_callback(lambda _: self._wanted.pop(key, None))
        self._asking.put_nowait(key)
        return answer

    async def run(self, stub: "peer_pb2_grpc.PeerServiceAsyncStub") -> None:
        """Keep a stream to the dealer; runs until cancelled."""
        while True:
            call = stub.Corrections(wait_for_ready=True)  # type: ignore[call-arg]  # stubs: no read/write
            try:
                await first_of(self._ask(call), self._take(call))
            except LOST as lost:
                _log.info("corrections.lost", reason=str(lost))
            finally:
                call.cancel()
            await asyncio.sleep(_REDIAL_S)

    async def _ask(self, call: _Call) -> None:
        self._asking = asyncio.Queue()
        for key, pull in self._wanted.items():
            pull.begin_anew()
            self._asking.put_nowait(key)
        while True:
            session, chunk = await self._asking.get()
            if (session, chunk) in self._wanted:
                await call.write(peer_pb2.CorrectionsRequest(session=session, chunk=chunk))

    async def _take(self, call: _Call) -> None:
        while True:
            piece = await call.read()
            if not isinstance(piece, peer_pb2.CorrectionsResponse):
                raise StreamEndedError("the stream ended")
            pull = self._wanted.get((SessionId(piece.session), piece.chunk))
            if pull is not None and not pull.answer.done():  # else nobody waits for it any more
                pull.add(piece.data, piece.signature)


class CorrectionsServer:
    """What a dealer's nodes pull, each on one stream. Owned by the event loop's thread."""

    def __init__(self, dealer: CorrectionsDealer) -> None:
        """Take who deals."""
        self._dealer = dealer
        self._streams = NewestStreams()

    async def serve(self, node: MemberIndex, context: _Serving) -> None:
        """Run the stream that a node opened, until it ends or the node opens another.

        Raises:
            MalformedMessageError: it asks for more than anybody needs, or in another form.
            NotAllowedError: it asks for what is not its own.
        """
        await self._streams.run(node, self._serve(node, context))

    async def _serve(self, node: MemberIndex, context: _Serving) -> None:
        open_pulls: set[_Key] = set()
        room, writing = asyncio.Semaphore(DEALT_MAX), asyncio.Lock()

        async def answer(key: _Key) -> None:
            try:
                if not await self._dealer.ready(*key):
                    return
                async with room:
                    dealt = await self._dealer.corrections(node, *key)
                    if dealt is None:
                        return
                    async with writing:
                        for piece in _pieces(key, dealt):
                            await context.write(piece)
            finally:
                open_pulls.discard(key)

        try:
            async with asyncio.TaskGroup() as answers:
                while True:
                    key = _read_request(await context.read())
                    if key in open_pulls or len(open_pulls) >= PULLS_MAX:
                        raise MalformedMessageError(f"corrections: expected {PULLS_MAX} pulls, each once, got another")
                    open_pulls.add(key)
                    answers.create_task(answer(key), name=f"corrections of chunk {key[1]}")
        except* LOST as lost:
            _log.info("corrections.lost", peer=node, reason=str(lost.exceptions[0]))
        except* NodeError as refused:
            raise _first(refused) from refused


def _read_request(request: object) -> _Key:
    if not isinstance(request, peer_pb2.CorrectionsRequest):
        raise StreamEndedError("the stream ended")
    if len(request.session) != _SESSION_BYTES:
        raise MalformedMessageError(f"corrections: expected a session of 32 bytes, got {len(request.session)}")
    return SessionId(request.session), request.chunk


def _first(group: BaseExceptionGroup[NodeError]) -> NodeError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _pieces(key: _Key, dealt: DealtCorrections) -> Iterator[bytes]:
    """Cut a chunk's corrections into messages, the last one signed."""
    data, starts = memoryview(dealt.data), range(0, max(1, len(dealt.data)), PIECE_BYTES)
    for start in starts:
        signature = dealt.signature if start == starts[-1] else b""
        yield corrections_bytes(*key, data[start : start + PIECE_BYTES], signature)


Pullers = Mapping[MemberIndex, CorrectionsPuller]
"""By dealer."""
