"""Messages between daemons: the service that takes them and the client that delivers them."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeAlias

import grpc
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential, wait_random

from ledger.types import ChainId, Signature
from mpcnode.errors import CallerError, NotAllowedError, PeerRefusedError, UnavailableError
from mpcnode.query.messages import Kind
from mpcnode.roles.ports import BlobsPort, CorrectionsDealer, DealtCorrections, Handler
from mpcnode.rpc.blobs import BlobLink
from mpcnode.rpc.corrections import CorrectionsServer, Pullers
from mpcnode.rpc.deliveries import DeliveriesServer, Outboxes
from mpcnode.rpc.permissions import CORRECTIONS, PERMISSIONS, ROUNDS, check_permission
from mpcnode.rpc.rounds import Rounds, SessionRounds
from mpcnode.rpc.statuses import translated
from mpcnode.rpc.tls import PeerDirectory
from mpcnode.rpc.wire import serialized
from mpcnode.sealing.keys import SigningKey
from mpcnode.sealing.messages import SignedMessage, check_message, sign_message
from mpcnode.types import BlobId, Member, MemberIndex, SessionId
from mpcnode.v1 import peer_pb2, peer_pb2_grpc

KINDS: Mapping[str, Kind] = {str(kind): kind for kind in Kind}

_PATIENCE = wait_exponential(multiplier=0.2, max=3.0) + wait_random(0.0, 0.1)
"""Between tries, s: twice as long each time."""


_SERVICE = peer_pb2.DESCRIPTOR.services_by_name["PeerService"].full_name


class PeerServicer(peer_pb2_grpc.PeerServiceServicer):
    """Takes messages and rounds from peers; nothing reaches a role before identity, role and signature are checked."""

    def __init__(
        self,
        *,
        chain: ChainId,
        me: Member,
        members: Mapping[MemberIndex, Member],
        directory: PeerDirectory,
        handlers: Mapping[Kind, Handler],
        rounds: Rounds | None,
        dealer: CorrectionsDealer | None,
    ) -> None:
        """Take who everybody is and the role's handlers; `rounds` for an MPC node, `dealer` for a dealer."""
        self._chain = chain
        self._me = me
        self._members = members
        self._directory = directory
        self._handlers = handlers
        self._rounds = rounds
        self._deliveries = DeliveriesServer(self._take)
        self._corrections = None if dealer is None else CorrectionsServer(dealer)

    async def Deliver(  # type: ignore[override]  # noqa: N802 - the generated type knows no read/write handlers
        self, _requests: object, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Run the stream of messages that a peer opened; each is answered when the role has kept it."""
        async with translated(context):
            await self._deliveries.serve(self._directory.peer_of(context), context)

    def close(self) -> None:
        """Take no more messages: the role that would use them ends."""
        self._deliveries.close()

    async def _take(self, sender: MemberIndex, message: peer_pb2.DeliverRequest) -> None:
        peer, kind = self._members[sender], KINDS.get(message.kind)
        check_permission(PERMISSIONS.get(kind) if kind else None, peer, self._me, message.kind)
        payload = check_message(
            SignedMessage(
                kind=message.kind,
                sender=MemberIndex(message.sender),
                receiver=MemberIndex(message.receiver),
                payload=message.payload,
                signature=Signature(message.signature),
            ),
            self._chain,
            peer=peer.index,
            peer_key=peer.identity,
            me=self._me.index,
        )
        handler = self._handlers.get(kind) if kind else None
        if handler is None:
            raise NotAllowedError(f"{message.kind}: this role takes no such message")
        await handler(peer.index, payload)

    async def Rounds(  # type: ignore[override]  # noqa: N802 - the generated type knows no read/write handlers
        self, _requests: object, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Run the stream of frames that a peer opened."""
        async with translated(context):
            peer = self._members[self._directory.peer_of(context)]
            check_permission(ROUNDS, peer, self._me, "rounds")
            if self._rounds is None:
                raise NotAllowedError("rounds: this daemon does not compute")
            await self._rounds.serve(peer.index, context)

    async def Corrections(  # type: ignore[override]  # noqa: N802 - the generated type knows no read/write handlers
        self, _requests: object, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Run the stream on which a node pulls corrections."""
        async with translated(context):
            peer = self._members[self._directory.peer_of(context)]
            check_permission(CORRECTIONS, peer, self._me, "corrections")
            if self._corrections is None:
                raise NotAllowedError("corrections: this daemon does not deal")
            await self._corrections.serve(peer.index, context)


Stub: TypeAlias = "peer_pb2_grpc.PeerServiceAsyncStub"
"""Calls to one peer."""


def make_stubs(channels: Mapping[MemberIndex, grpc.aio.Channel]) -> Mapping[MemberIndex, Stub]:
    """Return a stub for every channel; it takes flushes of rounds as messages or encoded."""
    return {member: _stub(channel) for member, channel in channels.items()}


def _stub(channel: grpc.aio.Channel) -> Stub:
    stub = peer_pb2_grpc.PeerServiceStub(channel)
    stub.Rounds = channel.stream_stream(
        f"/{_SERVICE}/Rounds",
        request_serializer=serialized,
        response_deserializer=peer_pb2.RoundsResponse.FromString,
    )
    return stub


def add_peer_service(server: grpc.aio.Server, servicer: PeerServicer) -> None:
    """Let a listener answer peers; flushes of rounds, and corrections, may be encoded already."""
    encoded = {
        "Rounds": grpc.stream_stream_rpc_method_handler(
            servicer.Rounds, request_deserializer=peer_pb2.RoundsRequest.FromString, response_serializer=serialized
        ),
        "Corrections": grpc.stream_stream_rpc_method_handler(
            servicer.Corrections,
            request_deserializer=peer_pb2.CorrectionsRequest.FromString,
            response_serializer=serialized,
        ),
    }
    peer_pb2_grpc.add_PeerServiceServicer_to_server(servicer, server)
    server.add_registered_method_handlers(_SERVICE, encoded)  # type: ignore[attr-defined]  # in place of the generated


class Peers:
    """The other daemons, as `roles.ports.PeersPort` wants them."""

    def __init__(
        self,
        *,
        chain: ChainId,
        me: MemberIndex,
        key: SigningKey,
        outboxes: Outboxes,
        rounds: Rounds | None,
        pullers: Pullers,
        blobs: BlobsPort,
        links: Mapping[MemberIndex, BlobLink],
    ) -> None:
        """Take the own identity and blobs, what sends every other member messages and blobs; a node's streams."""
        self._blobs = blobs
        self._links = links
        self._chain = chain
        self._me = me
        self._key = key
        self._outboxes = outboxes
        self._rounds = rounds
        self._pullers = pullers

    async def deliver(self, to: MemberIndex, kind: str, payload: bytes) -> None:
        """Sign a message and send it until its receiver acknowledges it; cancel to give up.

        Raises:
            PeerRefusedError: the receiver will never take it.
        """
        signed = sign_message(self._key, self._chain, kind=kind, sender=self._me, receiver=to, payload=payload)
        request = peer_pb2.DeliverRequest(
            kind=kind, sender=self._me, receiver=to, payload=payload, signature=signed.signature
        )

        tries = AsyncRetrying(retry=retry_if_exception_type(UnavailableError), wait=_PATIENCE, reraise=True)
        try:
            await tries(self._outboxes[to].send, request)
        except CallerError as refused:
            raise PeerRefusedError(f"{kind} to member {to}: {refused}", refused.code) from refused

    def broken(self, to: MemberIndex) -> asyncio.Event:
        """Return what is set when the stream of messages to a member breaks: it may have forgotten what it was told."""
        return self._outboxes[to].broken

    async def send_blob(self, to: MemberIndex, blob: BlobId) -> None:
        """Send a blob that is held here until its receiver has signed that it holds it whole; cancel to give up.

        Raises:
            PeerRefusedError: the receiver will never take it.
            WrongSignatureError: its word is not signed by it.
        """
        offer, _ = await self._blobs.about(blob)
        await self._links[to].send(offer, partial(self._blobs.get, blob))

    def rounds(self, session: SessionId, others: Sequence[MemberIndex]) -> AbstractAsyncContextManager[SessionRounds]:
        """Open the frames of a session with the other nodes."""
        if self._rounds is None:
            raise NotAllowedError("rounds: this daemon does not compute")
        return self._rounds.open(session, others)

    def pull(self, dealer: MemberIndex, session: SessionId, chunk: int, size: int) -> asyncio.Future[DealtCorrections]:
        """Ask the dealer for one chunk's corrections of so many bytes now; cancel to give up."""
        if dealer not in self._pullers:
            raise NotAllowedError(f"corrections: this daemon has no stream to member {dealer}")
        return self._pullers[dealer].pull(session, chunk, size)
