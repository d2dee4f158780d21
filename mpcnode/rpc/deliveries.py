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
from mpcnode.tasks import AbandonedError, first_of
from mpcnode.types import MemberIndex
from mpcnode.v1 import peer_pb2

if TYPE_CHECKING:
    from mpcnode.v1 import peer_pb2_grpc

_log = structlog.get_logger(__name__)

DELIVERY_S = 10.0
"""For a receiver to answer one message."""

IN_WORK_MAX = 64
"""Messages of one stream that are worked on at a time; no further one is read, and HTTP/2 slows the sender down."""

_Serving: TypeAlias = "grpc.aio.ServicerContext[peer_pb2.DeliverRequest, peer_pb2.DeliverResponse]"

_Call: TypeAlias = "grpc.aio.StreamStreamCall[peer_pb2.DeliverRequest, peer_pb2.DeliverResponse]"

Take: TypeAlias = Callable[[peer_pb2.DeliverRequest], Awaitable[None]]
"""Takes a message of the peer whose stream it is, or raises why not."""


class _StreamEndedError(Exception):
    """The other side closed the stream."""


_LOST = (
    _StreamEndedError,
    AbandonedError,
    grpc.aio.AioRpcError,
    grpc.aio.BaseError,
    asyncio.InvalidStateError,  # a write to a call that has just ended
)
"""How a stream ends through its peer or the network; nothing of it may end the daemon."""


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

    def __init__(self, stub: "peer_pb2_grpc.PeerServiceAsyncStub") -> None:
        self._stub = stub
        self._leaving: dict[asyncio.Future[None], peer_pb2.DeliverRequest] = {}
        self._more = asyncio.Event()

    async def send(self, message: peer_pb2.DeliverRequest) -> None:
        """Send a message and wait for its answer; cancel to give up.

        Raises:
            UnavailableError: it was not taken in time, or the stream broke; it may be sent again.
            CallerError: the other side refused it, with its code.
        """
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
                await first_of(self._send(stream, call), _receive(stream, call))
            except _LOST as lost:
                _log.info("deliveries.lost", reason=str(lost))
                self._tell(stream, lost)
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

    def _tell(self, stream: _Stream, lost: BaseException) -> None:
        """Tell all who wait, for this stream or for another: what cannot be reached is tried again after a pause."""
        for answer in (*stream.unanswered.values(), *self._leaving):
            if not answer.done():
                answer.set_exception(_error(lost))
        self._leaving.clear()


def _error(lost: BaseException) -> NodeError:
    return error_of(lost) if isinstance(lost, grpc.aio.AioRpcError) else UnavailableError(str(lost))


async def _receive(stream: _Stream, call: _Call) -> None:
    while True:
        answered = await call.read()
        if not isinstance(answered, peer_pb2.DeliverResponse):
            raise _StreamEndedError("the stream ended")
        answer = stream.unanswered.get(answered.number)
        if answer is None or answer.done():
            continue  # nobody waits for it any more
        if answered.code:
            answer.set_exception(refusal(answered.code))
        else:
            answer.set_result(None)


async def serve_deliveries(context: _Serving, take: Take) -> None:
    """Take the messages of a stream that a peer opened, until it ends.

    Raises:
        MalformedMessageError: its bytes are no message; those before are answered.
    """
    room, writing = asyncio.Semaphore(IN_WORK_MAX), asyncio.Lock()

    async def answer(message: peer_pb2.DeliverRequest) -> None:
        code = ""
        try:
            async with asyncio.timeout(DELIVERY_S):
                await take(message)
        except TimeoutError:
            code = report(TimedOutError(f"{message.kind[:32]}: expected to have it kept in {DELIVERY_S:g} s"))
        except Exception as error:  # noqa: BLE001 - the edge: nothing but a code may leave it
            code = report(error)
        finally:
            room.release()
        async with writing:
            await context.write(peer_pb2.DeliverResponse(number=message.number, code=code))

    malformed: MalformedMessageError | None = None
    try:
        async with asyncio.TaskGroup() as work:
            try:
                while isinstance(message := await context.read(), peer_pb2.DeliverRequest):
                    await room.acquire()
                    work.create_task(answer(message), name=f"message {message.number}")
            except DecodeError:
                malformed = MalformedMessageError("messages: expected a DeliverRequest, got bytes that are none")
    except* _LOST as lost:
        _log.info("deliveries.lost", reason=str(lost.exceptions[0]))
    if malformed is not None:
        raise malformed


Outboxes = Mapping[MemberIndex, Deliveries]
"""By receiver."""
