"""The transport between replicas over gRPC: for each pair of daemons the one with the lower index dials.

Who the peer is follows from the channel alone: the dialling side trusts exactly one certificate in the credentials that
it is given, the dialled side asks the injected `peer_of`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
import structlog

from ledger.encoding import MESSAGE_BYTES_MAX
from ledger.errors import DecodeError, UnavailableError
from ledger.ports import Inbox
from ledger.replica.pace import Pace
from ledger.rpc.link import Link
from ledger.types import ReplicaId
from ledger.v1 import replica_pb2, replica_pb2_grpc

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_MESSAGE_OVERHEAD_BYTES = 64 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX + _MESSAGE_OVERHEAD_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX + _MESSAGE_OVERHEAD_BYTES),
)

STREAMS_PER_SECOND, STREAMS_BURST = 1.0, 8.0
"""Streams that a peer may open; each may bring one message before anything of it is counted, and is greeted."""

_log = structlog.get_logger("ledger.rpc")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAddress:
    """Where a peer is and how to be sure that it is."""

    replica: ReplicaId
    target: str
    """`host:port`."""
    credentials: grpc.ChannelCredentials = field(repr=False)
    options: tuple[tuple[str, str | int], ...] = ()
    """Channel arguments, for instance the name that its certificate carries; the size limits are added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait before dialling again."""

    first_s: float = 0.2
    longest_s: float = 5.0
    spread: Callable[[], float] = lambda: 0.5
    """A number from 0 to 1, random in daemons, so that they do not dial in chorus."""

    def wait_s(self, failures: int) -> float:
        """Return the wait after so many failures in a row: doubling, from three quarters to five quarters of it."""
        wait = min(self.first_s * 2.0 ** min(failures, 16), self.longest_s)
        return wait * (0.75 + 0.5 * self.spread())


class PeerNetwork(replica_pb2_grpc.ReplicaServiceServicer):
    """`ledger.ports.Transport` over gRPC streams."""

    def __init__(
        self,
        *,
        replica: ReplicaId,
        peers: Sequence[PeerAddress],
        peer_of: Callable[[Context], ReplicaId],
        backoff: Backoff | None = None,
    ) -> None:
        """Take the peers; `register` and `run` open the streams.

        Args:
            replica: this daemon.
            peers: all others.
            peer_of: returns the member on the other side of an incoming call; raises whatever it likes if there is
                none, and the call is refused.
            backoff: waits between attempts to dial.
        """
        self._replica = replica
        self._peers: Mapping[ReplicaId, PeerAddress] = {peer.replica: peer for peer in peers}
        self._peer_of = peer_of
        self._backoff = backoff or Backoff()
        self._streams = Pace(per_second=STREAMS_PER_SECOND, burst=STREAMS_BURST)
        self._links: dict[ReplicaId, Link] = {}
        self._inbox: Inbox | None = None

    def send(self, to: ReplicaId, items: Sequence[bytes]) -> None:
        """Queue items for a peer, if it is connected."""
        link = self._links.get(to)
        if link is not None:
            link.put(items)

    def broadcast(self, items: Sequence[bytes]) -> None:
        """Queue items for every connected peer."""
        for link in self._links.values():
            link.put(items)

    def peers(self) -> frozenset[ReplicaId]:
        """Peers with an open stream."""
        return frozenset(self._links)

    def register(self, server: grpc.aio.Server) -> None:
        """Add the service to a server that has not started; it authenticates its clients."""
        replica_pb2_grpc.add_ReplicaServiceServicer_to_server(self, server)

    async def run(self, inbox: Inbox) -> None:
        """Dial the peers with higher indices and take the streams of the others, until cancelled."""
        self._inbox = inbox
        try:
            async with asyncio.TaskGroup() as tasks:
                for peer in self._peers.values():
                    if peer.replica > self._replica:
                        tasks.create_task(self._keep_dialling(peer, inbox))
                tasks.create_task(asyncio.Event().wait())  # with nobody to dial there is still the server
        finally:
            self._inbox = None
            for link in self._links.values():
                link.close()

    async def Exchange(self, request_iterator: object, context: Context) -> None:  # type: ignore[override] # noqa: N802
        """Serve a peer's stream; grpc.aio also takes a coroutine that reads and writes by itself."""
        del request_iterator
        peer = await self._admitted(context)
        inbox = self._inbox
        if inbox is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not ready")
        await context.send_initial_metadata(())

        async def read() -> Sequence[bytes] | None:
            message = await context.read()
            return message.items if isinstance(message, replica_pb2.ExchangeRequest) else None

        async def write(items: list[bytes]) -> None:
            await context.write(replica_pb2.ExchangeResponse(items=items))

        try:
            await self._carry(Link(peer), read, write, inbox)
        except DecodeError as error:
            _log.warning("peer.malformed", peer=peer, reason=str(error))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not an item of this protocol")
        except UnavailableError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "stopping")

    async def _admitted(self, context: Context) -> ReplicaId:
        """Return who calls, or refuse: only a known peer with a lower index dials, and not again and again."""
        try:
            peer = self._peer_of(context)
        except Exception as error:  # noqa: BLE001 - whatever the injected check raises, the call is refused
            _log.warning("peer.refused", reason=str(error))
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "unknown certificate")
        if peer not in self._peers or peer >= self._replica:
            _log.warning("peer.refused", peer=peer, reason="does not dial this replica")
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "does not dial this replica")
        if not self._streams.allows(peer, asyncio.get_running_loop().time()):
            _log.debug("peer.limited", peer=peer)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams: open another one in a second")
        return peer

    async def _carry(
        self,
        link: Link,
        read: Callable[[], Any],
        write: Callable[[list[bytes]], Any],
        inbox: Inbox,
    ) -> None:
        """Run an open stream; a newer one of the same peer takes its place."""
        old = self._links.get(link.peer)
        if old is not None:
            old.close()
        self._links[link.peer] = link
        _log.info("peer.connected", peer=link.peer)
        inbox.connected(link.peer)
        try:
            await link.run(read, write, inbox)
        finally:
            if self._links.get(link.peer) is link:
                del self._links[link.peer]
                inbox.disconnected(link.peer)
            _log.info("peer.disconnected", peer=link.peer, dropped=link.dropped)

    async def _keep_dialling(self, peer: PeerAddress, inbox: Inbox) -> None:
        options = (*peer.options, *_OPTIONS)
        async with grpc.aio.secure_channel(peer.target, peer.credentials, options=options) as channel:
            stub = replica_pb2_grpc.ReplicaServiceStub(channel)
            failures = 0
            while True:
                reached = await self._dial(stub, peer, inbox)
                failures = 0 if reached else failures + 1
                await asyncio.sleep(self._backoff.wait_s(failures))

    async def _dial(self, stub: "replica_pb2_grpc.ReplicaServiceAsyncStub", peer: PeerAddress, inbox: Inbox) -> bool:
        """Hold a stream as long as it lasts; return whether the peer had taken it."""
        call = stub.Exchange(None, wait_for_ready=True)

        async def read() -> Sequence[bytes] | None:
            message = await call.read()
            return message.items if isinstance(message, replica_pb2.ExchangeResponse) else None

        async def write(items: list[bytes]) -> None:
            await call.write(replica_pb2.ExchangeRequest(items=items))

        reached = False
        try:
            # Only the peer's first word proves that it has taken the call: with TLS 1.3 the handshake does not.
            await call.initial_metadata()
            reached = not call.done()
            if reached:
                await self._carry(Link(peer.replica), read, write, inbox)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            _log.debug("peer.unreachable", peer=peer.replica, reason=str(error))
        except DecodeError as error:
            _log.warning("peer.malformed", peer=peer.replica, reason=str(error))
            reached = False
        except UnavailableError as error:
            _log.debug("peer.ended", peer=peer.replica, reason=str(error))
        finally:
            call.cancel()
        return reached
