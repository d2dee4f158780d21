"""Messages on the wire: one stream from each member to each other, opened with the first message, for all that follow.

A message is answered by its number when its receiver has kept it, or has refused it; answers come in any order, for one
message may wait for the disk while the next does not. A stream that breaks leaves its messages unanswered: whoever
waits for an answer is told, and sends again on the next one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError

from mpcnode.errors import MalformedMessageError, NodeError, TimedOutError, UnavailableError
from mpcnode.rpc.statuses import error_of, refusal, report
from mpcnode.rpc.streams import LOST, NewestStreams, StreamEndedError
from mpcnode.rpc.tls import CONTROL_BYTES_MAX
from mpcnode.tasks import first_of
from mpcnode.types import MemberIndex
from mpcnode.v1 import peer_pb2

if TYPE_CHECKING:
    from mpcnode.v1 import peer_pb2_grpc

_log = structlog.get_logger(__name__)

DELIVERY_S = 10.0
"""For a receiver to answer one message."""

IN_WORK_MAX = 64
"""Messages of one stream that are worked on, or wait for their answer to leave, at a time; no further one is read, and
HTTP/2 slows the sender down."""

PAYLOAD_BYTES_MAX = CONTROL_BYTES_MAX - 1024
"""Of a message, beside whose and of what kind it is."""

_Serving: TypeAlias = "grpc.aio.ServicerContext[peer_pb2.DeliverRequest, peer_pb2.DeliverResponse]"

_Call: TypeAlias = "grpc.aio.StreamStreamCall[peer_pb2.DeliverRequest, peer_pb2.DeliverResponse]"

Take: TypeAlias = Callable[[MemberIndex, peer_pb2.DeliverRequest], Awaitable[None]]
"""Takes a message of the peer whose stream it came on, or raises why not."""


@dataclass(slots=True)
class _Stream:
    """What was sent on one stream, and is waited for."""

    sent: int = 0
    unanswered: dict[int, asyncio.Future[None]] = field(default_factory=dict)

    def add(self, answer: asyncio.Future[None]) -> int:
        """Return the number of the next message."""
        self.sent = number = self.sent + 1
        self.unanswered[number] = answer
        answer.add_done_callback(lambda _: self.unanswered.pop(number, None))
        return number


class Deliveries:
    """A member's messages to one other. Owned by the event loop's thread."""

    def __init__(self, to: MemberIndex, stub: "peer_pb2_grpc.PeerServiceAsyncStub") -> None:
        """Take who receives, and calls to it."""
        self._to = to
        self._stub = stub
        self._leaving: dict[asyncio.Future[None], peer_pb2.DeliverRequest] = {}
        self._more = asyncio.Event()
        self._is_away = False
        """No stream was answered on since one was lost: what follows is no news."""
        self._broken = asyncio.Event()

    @property
    def broken(self) -> asyncio.Event:
        """Set when the present stream, or the next if there is none, breaks; each stream has another."""
        return self._broken

    async def send(self, message: peer_pb2.DeliverRequest) -> None:
        """Send a message and wait for its answer; cancel to give up.

        Raises:
            UnavailableError: it was not taken in time, or the stream broke; it may be sent again.
            CallerError: the other side refused it, with its code.
            MalformedMessageError: it is too large for any stream, and would end one that others need.
        """
        if (size := len(message.payload)) > PAYLOAD_BYTES_MAX:
            raise MalformedMessageError(f"{message.kind}: expected {PAYLOAD_BYTES_MAX} bytes or fewer, got {size}")
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leaving[answer] = message
        self._more.set()
        try:
            async with asyncio.timeout(DELIVERY_S):
                await answer
        except TimeoutError as error:
            raise TimedOutError(f"{message.kind}: expected an answer in {DELIVERY_S:g} s, got none") from error
        finally:
            self._leaving.pop(answer, None)

    async def run(self) -> None:
        """Keep a stream while there is something to send; runs until cancelled."""
        while True:
            await self._something()
            stream, call = _Stream(), self._stub.Deliver()  # type: ignore[call-arg]  # stubs: no read/write
            try:
                await first_of(self._send(stream, call), self._receive(stream, call))
            except LOST as lost:
                if not self._is_away:  # who is away for hours is tried every few seconds
                    _log.info("deliveries.lost", peer=self._to, reason=str(lost))
                self._is_away = True
                self._tell(stream, lost)
                self._broken.set()
                self._broken = asyncio.Event()
            finally:
                call.cancel()

    async def _something(self) -> None:
        while not self._leaving:
            self._more.clear()
            await self._more.wait()

    async def _send(self, stream: _Stream, call: _Call) -> None:
        while True:
            await self._something()
            answer = next(iter(self._leaving))
            message = self._leaving.pop(answer)
            message.number = stream.add(answer)
            await call.write(message)

    async def _receive(self, stream: _Stream, call: _Call) -> None:
        while True:
            answered = await call.read()
            if not isinstance(answered, peer_pb2.DeliverResponse):
                raise StreamEndedError("the stream ended")
            self._is_away = False
            answer = stream.unanswered.get(answered.number)
            if answer is None or answer.done():
                continue  # nobody waits for it any more
            if answered.code:
                answer.set_exception(refusal(answered.code))
            else:
                answer.set_result(None)

    def _tell(self, stream: _Stream, lost: BaseException) -> None:
        """Tell all who wait, for this stream or for another: what cannot be reached is tried again after a pause."""
        for answer in (*stream.unanswered.values(), *self._leaving):
            if not answer.done():
                answer.set_exception(_error(lost))
        self._leaving.clear()


def _error(lost: BaseException) -> NodeError:
    return error_of(lost) if isinstance(lost, grpc.aio.AioRpcError) else UnavailableError(str(lost))


class DeliveriesServer:
    """What peers send, each on one stream. Owned by the event loop's thread."""

    def __init__(self, take: Take) -> None:
        """Take who takes the messages."""
        self._take = take
        self._streams = NewestStreams()
        self._is_closed = False

    def close(self) -> None:
        """End all streams and take nothing more: whatever is answered from now on, nobody would do anything with."""
        self._is_closed = True
        self._streams.close()

    async def serve(self, peer: MemberIndex, context: _Serving) -> None:
        """Take the messages of a stream that a peer opened, until it ends or the peer opens another.

        Raises:
            MalformedMessageError: its bytes are no message; those before are answered.
            UnavailableError: this side is closed.
        """
        if self._is_closed:
            raise UnavailableError("messages: expected a daemon that works, this one ends")
        await self._streams.run(peer, self._serve(peer, context))

    async def _serve(self, peer: MemberIndex, context: _Serving) -> None:
        room, writing = asyncio.Semaphore(IN_WORK_MAX), asyncio.Lock()

        async def answer(message: peer_pb2.DeliverRequest) -> None:
            try:
                code = await self._code_for(peer, message)
                async with writing:
                    await context.write(peer_pb2.DeliverResponse(number=message.number, code=code))
            finally:
                room.release()  # not before: a peer that reads no answers would fill the memory

        malformed: MalformedMessageError | None = None
        try:
            async with asyncio.TaskGroup() as work:
                try:
                    while isinstance(message := await context.read(), peer_pb2.DeliverRequest):
                        await room.acquire()
                        work.create_task(answer(message), name=f"message {message.number}")
                except DecodeError:
                    malformed = MalformedMessageError("messages: expected a DeliverRequest, got bytes that are none")
        except* LOST as lost:
            _log.info("deliveries.lost", peer=peer, reason=str(lost.exceptions[0]))
        if malformed is not None:
            raise malformed

    async def _code_for(self, peer: MemberIndex, message: peer_pb2.DeliverRequest) -> str:
        """Have a message taken; return why it was not, or nothing."""
        try:
            async with asyncio.timeout(DELIVERY_S):
                await self._take(peer, message)
        except TimeoutError:
            return report(TimedOutError(f"{message.kind[:32]}: expected to have it kept in {DELIVERY_S:g} s"))
        except Exception as error:  # noqa: BLE001 - the edge: nothing but a code may leave it
            return report(error)
        return ""


Outboxes = Mapping[MemberIndex, Deliveries]
"""By receiver."""
