"""Rounds of joint computation between MPC nodes: one long-lived stream per pair, many sessions on it.

The member with the lower index dials. Each stream has one reader and one writer; the writer sends everything that is
ready as one flush with one signature (docs/protocol.md section 7). A broken stream ends every session on it: a session
is never resumed.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import grpc
import structlog

from ledger import merkle
from ledger.types import ChainId, Digest, PublicKey, Signature
from mpcnode.errors import MalformedMessageError, PeerLostError, SessionError
from mpcnode.mpc.batch import PAYLOAD_BYTES_MAX
from mpcnode.query.frames import ArrivedFrame, Flush
from mpcnode.query.statements import FlushStatement, data_hash, encode_flush_statement, frame_digest
from mpcnode.rpc.streams import LOST, StreamEndedError
from mpcnode.rpc.wire import flush_bytes, frame_parts
from mpcnode.tasks import first_of
from mpcnode.types import MemberIndex, SessionId
from mpcnode.v1 import peer_pb2, peer_pb2_grpc

_log = structlog.get_logger(__name__)

FRAMES_WAITING_MAX = 4096
"""Frames of one session and peer that may wait to be taken, or to one peer that may wait to leave."""

FLUSH_BYTES_MAX = 1024 * 1024
"""A flush takes no further frame beyond this: what many sessions send at once must not outgrow one gRPC message."""

FRAME_BYTES_MAX = PAYLOAD_BYTES_MAX
"""Data of one frame; programs send no more."""

WAITING_BYTES_MAX = 40 * 1024 * 1024
"""Data of one session and peer that may wait to be taken. An honest peer sends two rounds of each chunk of a window,
and the first of each of the next."""

FLUSH_FRAMES_MAX = 256
"""Frames of a flush: what is kept of one as evidence grows with all of them."""

_REDIAL_S = 0.2

Sign = Callable[[bytes], Signature]
Verify = Callable[[PublicKey, bytes, Signature], bool]
_Write = Callable[[bytes], Awaitable[None]]
"""Sends an encoded flush; the stub and the listener that `rpc.peers` makes take it so."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A frame as it came."""

    kept: ArrivedFrame
    data: bytes


@dataclass(frozen=True, slots=True)
class _Departure:
    """A frame that waits to leave."""

    encoded: tuple[bytes, bytes]
    leaf: Digest

    @property
    def size(self) -> int:
        """Bytes of its data."""
        return len(self.encoded[1])


@dataclass(slots=True)
class _Session:
    others: frozenset[MemberIndex]
    arrived: asyncio.Queue[_Arrival | PeerLostError] = field(default_factory=asyncio.Queue)
    waiting_frames: Counter[MemberIndex] = field(default_factory=Counter)
    """By sender: whoever sends too much loses its own stream, and costs nobody else's."""
    waiting_bytes: Counter[MemberIndex] = field(default_factory=Counter)
    """By sender."""
    taken: list[ArrivedFrame] = field(default_factory=list)
    """What the session went on with: frames that its end left waiting are no part of it, whoever sent them."""


@dataclass(slots=True)
class _Link:
    """One peer: what waits to be sent to it."""

    outgoing: asyncio.Queue[_Departure] = field(default_factory=lambda: asyncio.Queue(FRAMES_WAITING_MAX))
    attached: bool = False
    """A stream carries it; a new stream of the same peer supersedes it."""
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    """It carries nothing any more; its stream ends."""


_LOST = (*LOST, MalformedMessageError)
"""How a stream ends, its peer's breaking of a rule among it."""


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

        try:
            await self._pump(peer, call.read, cast("_Write", call.write))
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

        try:
            await self._pump(peer, context.read, cast("_Write", context.write))
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
        outgoing: asyncio.Queue[_Departure],
        write: _Write,
    ) -> None:
        number = 0
        while True:
            leaving = [await outgoing.get()]
            size = leaving[0].size
            while size < FLUSH_BYTES_MAX and len(leaving) < FLUSH_FRAMES_MAX and not outgoing.empty():
                leaving.append(outgoing.get_nowait())
                size += leaving[-1].size
            number += 1
            leaves = [one.leaf for one in leaving]
            signature = self._sign(self._flush_statement(self._me, peer, number, leaves))
            await write(flush_bytes(number, [one.encoded for one in leaving], signature))

    async def _receive(self, peer: MemberIndex, read: Callable[[], Awaitable[object]]) -> None:
        expected = 0
        while True:
            flush = await read()
            if not isinstance(flush, peer_pb2.RoundsRequest | peer_pb2.RoundsResponse):
                raise StreamEndedError("the stream ended")
            expected += 1
            if flush.number != expected:
                raise MalformedMessageError(f"flush number: expected {expected}, got {flush.number}")
            if len(flush.frames) > FLUSH_FRAMES_MAX:
                raise MalformedMessageError(
                    f"flush {flush.number}: expected {FLUSH_FRAMES_MAX} frames or fewer, got {len(flush.frames)}"
                )
            data = [frame.data for frame in flush.frames]  # each access copies
            hashes = [data_hash(one) for one in data]
            leaves = tuple(
                frame_digest(SessionId(frame.session), frame.chunk, frame.round, hashed)
                for frame, hashed in zip(flush.frames, hashes, strict=True)
            )
            signature = Signature(flush.signature)
            if not self._verify(
                self._identities[peer], self._flush_statement(peer, self._me, flush.number, leaves), signature
            ):
                raise MalformedMessageError(f"flush {flush.number}: expected the signature of member {peer}")
            arrived = Flush(flush.number, leaves, signature)
            strays = []
            for place, (frame, hashed) in enumerate(zip(flush.frames, hashes, strict=True)):
                kept = ArrivedFrame(arrived, place, peer, frame.chunk, frame.round, hashed)
                if not self._take(SessionId(frame.session), _Arrival(kept, data[place])):
                    strays.append(frame)
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

    def _take(self, name: SessionId, arrival: _Arrival) -> bool:
        """Hand a frame to its session; False if this node runs no such session with that peer."""
        session, peer = self._sessions.get(name), arrival.kept.sender
        if session is None or peer not in session.others:
            return False
        if session.waiting_frames[peer] >= FRAMES_WAITING_MAX:
            raise MalformedMessageError(f"rounds: expected at most {FRAMES_WAITING_MAX} waiting frames of a session")
        session.waiting_frames[peer] += 1
        session.waiting_bytes[peer] += len(arrival.data)
        if session.waiting_bytes[peer] > WAITING_BYTES_MAX:
            raise MalformedMessageError(f"rounds: expected at most {WAITING_BYTES_MAX} waiting bytes of a session")
        session.arrived.put_nowait(arrival)
        return True

    def _lose(self, peer: MemberIndex) -> None:
        self._links[peer].lost.set()
        self._links[peer] = _Link()
        for session in self._sessions.values():
            if peer in session.others:
                session.arrived.put_nowait(PeerLostError(f"the stream to member {peer} broke", peer))

    @asynccontextmanager
    async def open(self, session: SessionId, others: Sequence[MemberIndex]) -> AsyncIterator["SessionRounds"]:
        """Take part in a session: frames for it are kept from now on."""
        if session in self._sessions:
            raise SessionError(f"session {session.hex()} is open already")
        state = self._sessions[session] = _Session(frozenset(others))
        try:
            yield SessionRounds(session, state, {peer: self._links[peer] for peer in others})
        finally:
            del self._sessions[session]
            while not state.arrived.empty():  # the channel outlives the session, as evidence
                state.arrived.get_nowait()


async def _superseded(link: _Link) -> None:
    await link.lost.wait()
    raise StreamEndedError("another stream of this peer took its place")


class SessionRounds:
    """One session's view of the streams."""

    def __init__(self, session: SessionId, state: _Session, links: Mapping[MemberIndex, _Link]) -> None:
        """Take the session and its peers' links."""
        self._session = session
        self._state = state
        self._links = dict(links)

    def broadcast(self, chunk: int, number: int, data: bytes) -> None:
        """Send a round's data to all others.

        Raises:
            SessionError: a peer's stream is congested.
        """
        departure = self._departure(chunk, number, data)
        for peer in self._links:
            self._put(peer, departure)

    def send(self, to: MemberIndex, chunk: int, number: int, data: bytes) -> None:
        """Send something to one of the others.

        Raises:
            SessionError: its stream is congested.
        """
        self._put(to, self._departure(chunk, number, data))

    def _departure(self, chunk: int, number: int, data: bytes) -> _Departure:
        leaf = frame_digest(self._session, chunk, number, data_hash(data))
        return _Departure(frame_parts(self._session, chunk, number, data), leaf)

    def _put(self, peer: MemberIndex, departure: _Departure) -> None:
        try:
            self._links[peer].outgoing.put_nowait(departure)
        except asyncio.QueueFull as full:
            raise SessionError(f"over {FRAMES_WAITING_MAX} frames wait for member {peer}") from full

    async def receive(self) -> tuple[MemberIndex, int, int, bytes]:
        """Wait for the next frame: its sender, chunk, round and data.

        Raises:
            PeerLostError: a peer's stream broke.
        """
        arrived = await self._state.arrived.get()
        if isinstance(arrived, PeerLostError):
            raise arrived
        kept = arrived.kept
        self._state.waiting_frames[kept.sender] -= 1
        self._state.waiting_bytes[kept.sender] -= len(arrived.data)
        self._state.taken.append(kept)
        return kept.sender, kept.chunk, kept.round, arrived.data

    def evidence(self) -> Sequence[ArrivedFrame]:
        """What stands for every frame that was received so far; also after the session."""
        return self._state.taken
