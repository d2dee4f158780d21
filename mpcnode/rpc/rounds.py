"""Rounds of joint computation between MPC nodes: one long-lived stream per pair, many sessions on it.

The member with the lower index dials. Each stream has one reader and one writer; the writer sends everything that is
ready as one flush with one signature (docs/protocol.md section 7). A broken stream ends every session on it: a session
is never resumed.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import structlog

from ledger import merkle
from ledger.types import ChainId, Digest, PublicKey, Signature
from mpcnode.errors import MalformedMessageError, PeerLostError, SessionError
from mpcnode.query.frames import Flush, SignedFrame
from mpcnode.query.statements import FlushStatement, encode_flush_statement, frame_digest
from mpcnode.tasks import AbandonedError, first_of
from mpcnode.types import MemberIndex, SessionId
from mpcnode.v1 import peer_pb2, peer_pb2_grpc

_log = structlog.get_logger(__name__)

FRAMES_WAITING_MAX = 4096
"""Frames of one session, or to one peer, that may wait to be taken."""

FLUSH_BYTES_MAX = 1024 * 1024
"""A flush takes no further frame beyond this: what many sessions send at once must not outgrow one gRPC message."""

EVIDENCE_BYTES_MAX = 3 * 1024 * 1024
"""Frames of one session that are kept to be shown: what fits one message. A larger session leaves no evidence."""

EVIDENCE_BYTES_TOTAL = 48 * 1024 * 1024
"""Of all sessions together."""

_REDIAL_S = 0.2

Sign = Callable[[bytes], Signature]
Verify = Callable[[PublicKey, bytes, Signature], bool]
_Write = Callable[[int, Sequence[peer_pb2.Frame], Signature], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A frame as it came."""

    flush: Flush
    place: int
    sender: MemberIndex
    round: int
    data: bytes


@dataclass(slots=True)
class _Session:
    others: frozenset[MemberIndex]
    arrived: asyncio.Queue[_Arrival | PeerLostError] = field(default_factory=lambda: asyncio.Queue(FRAMES_WAITING_MAX))
    taken: list[_Arrival] = field(default_factory=list)
    """What the session went on with: frames that its end left waiting are no part of it, whoever sent them."""
    taken_bytes: int = 0
    """Of all frames that were taken, also where they are not kept any more."""
    is_shown: bool = True
    """Whether all that was taken is still kept."""

    def forget(self) -> int:
        """Keep no evidence any more; return how many bytes that frees."""
        freed = self.taken_bytes if self.is_shown else 0
        self.is_shown = False
        self.taken.clear()
        return freed


class _Evidence:
    """The frames that sessions leave to be shown, the oldest sessions' forgotten first: they take so much, no more."""

    def __init__(self) -> None:
        self._sessions: deque[_Session] = deque()
        self._bytes = 0

    def keep(self, session: _Session, arrival: _Arrival) -> None:
        """Keep a frame that a session takes; of a session that is too large nothing is kept."""
        if not session.taken_bytes:
            self._sessions.append(session)
        size = len(arrival.data)
        session.taken_bytes += size
        if not session.is_shown:
            return
        session.taken.append(arrival)
        self._bytes += size
        if session.taken_bytes > EVIDENCE_BYTES_MAX:
            self._bytes -= session.forget()
        while self._bytes > EVIDENCE_BYTES_TOTAL:
            self._bytes -= self._sessions.popleft().forget()


@dataclass(slots=True)
class _Link:
    """One peer: what waits to be sent to it."""

    outgoing: asyncio.Queue[peer_pb2.Frame] = field(default_factory=lambda: asyncio.Queue(FRAMES_WAITING_MAX))
    attached: bool = False
    """A stream carries it; a new stream of the same peer supersedes it."""
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    """It carries nothing any more; its stream ends."""


class _LinkLostError(Exception):
    """The stream ended."""


_LOST = (
    _LinkLostError,
    AbandonedError,
    MalformedMessageError,
    grpc.aio.AioRpcError,
    grpc.aio.BaseError,
    asyncio.InvalidStateError,  # a write to a call that has just ended
)
"""How a stream ends through its peer or the network; nothing of it may end the daemon."""


class Rounds:
    """The streams of one node, and the sessions on them. Owned by the event loop's thread."""

    def __init__(
        self,
        *,
        chain: ChainId,
        me: MemberIndex,
        identities: Mapping[MemberIndex, PublicKey],
        sign: Sign,
        verify: Verify,
    ) -> None:
        """Take the own index, the identities of all MPC members, and how to sign and verify statements."""
        self._chain = chain
        self._me = me
        self._identities = dict(identities)
        self._sign = sign
        self._verify = verify
        self._links = {peer: _Link() for peer in identities if peer != me}
        self._sessions: dict[SessionId, _Session] = {}
        self._evidence = _Evidence()

    async def dial(self, stubs: Mapping[MemberIndex, "peer_pb2_grpc.PeerServiceAsyncStub"]) -> None:
        """Keep a stream to every peer with a higher index; runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for peer in self._links:
                if peer > self._me:
                    tasks.create_task(self._keep_dialling(peer, stubs[peer]), name=f"rounds to {peer}")

    async def _keep_dialling(self, peer: MemberIndex, stub: "peer_pb2_grpc.PeerServiceAsyncStub") -> None:
        while True:
            await self._dial_once(peer, stub)
            await asyncio.sleep(_REDIAL_S)

    async def _dial_once(self, peer: MemberIndex, stub: "peer_pb2_grpc.PeerServiceAsyncStub") -> None:
        call = stub.Rounds(wait_for_ready=True)  # type: ignore[call-arg]  # stubs: no read/write

        async def write(number: int, frames: Sequence[peer_pb2.Frame], signature: Signature) -> None:
            await call.write(peer_pb2.RoundsRequest(number=number, frames=frames, signature=signature))

        try:
            await self._pump(peer, call.read, write)
        except _LOST as lost:
            _log.info("rounds.lost", peer=peer, reason=str(lost))
        finally:
            call.cancel()

    async def serve(
        self, peer: MemberIndex, context: grpc.aio.ServicerContext[peer_pb2.RoundsRequest, peer_pb2.RoundsResponse]
    ) -> None:
        """Run the stream that a peer with a lower index opened, until it ends."""
        if peer not in self._links or peer > self._me:
            raise MalformedMessageError(f"rounds: expected a dialling MPC member below {self._me}, got member {peer}")

        async def write(number: int, frames: Sequence[peer_pb2.Frame], signature: Signature) -> None:
            await context.write(peer_pb2.RoundsResponse(number=number, frames=frames, signature=signature))

        try:
            await self._pump(peer, context.read, write)
        except _LOST as lost:
            _log.info("rounds.lost", peer=peer, reason=str(lost))

    async def _pump(
        self,
        peer: MemberIndex,
        read: Callable[[], Awaitable[object]],
        write: _Write,
    ) -> None:
        if self._links[peer].attached:
            self._lose(peer)
        link = self._links[peer]
        link.attached = True
        try:
            await first_of(self._receive(peer, read), self._send(peer, link.outgoing, write), _superseded(link))
        finally:
            if self._links[peer] is link:
                self._lose(peer)

    async def _send(
        self,
        peer: MemberIndex,
        outgoing: asyncio.Queue[peer_pb2.Frame],
        write: _Write,
    ) -> None:
        number = 0
        while True:
            frames = [await outgoing.get()]
            size = len(frames[0].data)
            while size < FLUSH_BYTES_MAX and not outgoing.empty():
                frames.append(outgoing.get_nowait())
                size += len(frames[-1].data)
            number += 1
            signature = self._sign(self._flush_statement(self._me, peer, number, _leaves(frames)))
            await write(number, frames, signature)

    async def _receive(self, peer: MemberIndex, read: Callable[[], Awaitable[object]]) -> None:
        expected = 0
        while True:
            flush = await read()
            if not isinstance(flush, peer_pb2.RoundsRequest | peer_pb2.RoundsResponse):
                raise _LinkLostError("the stream ended")
            expected += 1
            if flush.number != expected:
                raise MalformedMessageError(f"flush number: expected {expected}, got {flush.number}")
            leaves, signature = _leaves(flush.frames), Signature(flush.signature)
            if not self._verify(
                self._identities[peer], self._flush_statement(peer, self._me, flush.number, leaves), signature
            ):
                raise MalformedMessageError(f"flush {flush.number}: expected the signature of member {peer}")
            arrived = Flush(flush.number, leaves, signature)
            strays = [frame for place, frame in enumerate(flush.frames) if not self._take(peer, frame, arrived, place)]
            if strays:
                first = strays[0]
                _log.info("rounds.no_session", peer=peer, frames=len(strays), session=first.session, round=first.round)

    def _flush_statement(
        self, sender: MemberIndex, receiver: MemberIndex, number: int, leaves: Sequence[Digest]
    ) -> bytes:
        root = merkle.root(leaves)
        return encode_flush_statement(
            FlushStatement(chain=self._chain, sender=sender, receiver=receiver, number=number, frames_root=root)
        )

    def _take(self, peer: MemberIndex, frame: peer_pb2.Frame, flush: Flush, place: int) -> bool:
        """Hand a frame to its session; False if this node runs no such session with that peer."""
        session = self._sessions.get(SessionId(frame.session))
        if session is None or peer not in session.others:
            return False
        if session.arrived.full():
            raise MalformedMessageError(f"rounds: expected at most {FRAMES_WAITING_MAX} waiting frames of a session")
        session.arrived.put_nowait(_Arrival(flush, place, peer, frame.round, frame.data))
        return True

    def _lose(self, peer: MemberIndex) -> None:
        self._links[peer].lost.set()
        self._links[peer] = _Link()
        for session in self._sessions.values():
            if peer in session.others and not session.arrived.full():
                session.arrived.put_nowait(PeerLostError(f"the stream to member {peer} broke", peer))

    @asynccontextmanager
    async def open(self, session: SessionId, others: Sequence[MemberIndex]) -> AsyncIterator["SessionRounds"]:
        """Take part in a session: frames for it are kept from now on."""
        if session in self._sessions:
            raise SessionError(f"session {session.hex()} is open already")
        state = self._sessions[session] = _Session(frozenset(others))
        try:
            yield SessionRounds(session, state, [self._links[peer] for peer in others], self._evidence)
        finally:
            del self._sessions[session]


def _leaves(frames: Iterable[peer_pb2.Frame]) -> tuple[Digest, ...]:
    """What a flush is signed over, frame by frame."""
    return tuple(frame_digest(SessionId(frame.session), frame.round, frame.data) for frame in frames)


async def _superseded(link: _Link) -> None:
    await link.lost.wait()
    raise _LinkLostError("another stream of this peer took its place")


class SessionRounds:
    """One session's view of the streams."""

    def __init__(self, session: SessionId, state: _Session, links: Sequence[_Link], evidence: _Evidence) -> None:
        """Take the session, its peers' links, and what keeps evidence of it."""
        self._evidence = evidence
        self._session = session
        self._state = state
        self._links = list(links)

    def broadcast(self, number: int, data: bytes) -> None:
        """Send a round's data to all others.

        Raises:
            SessionError: a peer's stream is congested.
        """
        frame = peer_pb2.Frame(session=self._session, round=number, data=data)
        for link in self._links:
            try:
                link.outgoing.put_nowait(frame)
            except asyncio.QueueFull as full:
                raise SessionError(f"over {FRAMES_WAITING_MAX} frames wait for a peer") from full

    async def receive(self) -> tuple[MemberIndex, int, bytes]:
        """Wait for the next frame: its sender, round and data.

        Raises:
            PeerLostError: a peer's stream broke.
        """
        arrived = await self._state.arrived.get()
        if isinstance(arrived, PeerLostError):
            raise arrived
        self._evidence.keep(self._state, arrived)
        return arrived.sender, arrived.round, arrived.data

    def evidence(self) -> Sequence[SignedFrame]:
        """Everything that was received so far, as its senders signed it; also after the session."""
        return [frame.flush.frame(frame.sender, frame.place, frame.round, frame.data) for frame in self._state.taken]
