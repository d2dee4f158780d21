"""The inquirer's channel: the operator's service and the client's calls.

Server TLS, pinned by the inquirer's profile; who asks follows from the signature over each call, not from the channel.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from ledger.types import ChainId, Height, PublicKey, Signature
from mpcnode.errors import MalformedMessageError, UnavailableError
from mpcnode.query.request import SealedRequest
from mpcnode.query.view import QueryView
from mpcnode.rpc.blobs import BlobLink, SignCall, blob_stub
from mpcnode.rpc.calls import CallGate, sent_call
from mpcnode.rpc.statuses import error_of, translated
from mpcnode.rpc.tls import channel_options, inquiry_channel_credentials
from mpcnode.sealing.messages import SignedCall
from mpcnode.types import AuditMode, Bitmap, EndReason, ModelHash, QueryId, QueryState, Verdict
from mpcnode.v1 import inquiry_pb2, inquiry_pb2_grpc

FOLLOW = "Follow"
GET_RECEIPT = "GetReceipt"
GET_PANEL = "GetPanel"

QUERY_ID_BYTES = 32
MODEL_HASH_BYTES = 32

_BITMAP_BYTES = 16


class Desk(Protocol):
    """The operator's side of the channel."""

    async def ask(self, request: SealedRequest) -> Height:
        """Register a query; return the height at which it became final."""

    def follow(self, query: QueryId, inquirer: PublicKey) -> AsyncIterator[QueryView]:
        """The inquirer's query now and after every change until nothing more will happen to it."""

    async def receipt(self, query: QueryId, inquirer: PublicKey) -> bytes:
        """The receipt of the inquirer's query so far."""

    async def panel(self, model: ModelHash) -> Bitmap:
        """Participants that a model asks now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a query stands, as its inquirer sees it."""

    state: QueryState
    attempt: int
    reason: EndReason
    waited: Bitmap
    mode: AuditMode
    verdict: Verdict | None
    panel: Bitmap
    committed: Bitmap
    refused: Bitmap


class InquiryServicer(inquiry_pb2_grpc.InquiryServiceServicer):
    """Takes inquirers' calls."""

    def __init__(self, desk: Desk, calls: CallGate) -> None:
        """Take the operator's desk, and what checks signed calls."""
        self._desk = desk
        self._calls = calls
        self._closed = False

    def take_no_more(self) -> None:
        """Take no more questions; those that were asked can still be followed, and their receipts fetched."""
        self._closed = True

    async def Ask(  # noqa: N802 - gRPC's name
        self, request: inquiry_pb2.AskRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> inquiry_pb2.AskResponse:
        """Register a query."""
        async with translated(context):
            if self._closed:
                raise UnavailableError("ask: expected a running operator, got one that stops")
            sealed = SealedRequest(
                statement=request.statement,
                signature=Signature(request.signature),
                inquirer=PublicKey(request.inquirer),
                tokens=tuple(request.tokens),
                supervisor_copy=request.supervisor_copy,
            )
            return inquiry_pb2.AskResponse(height=await self._desk.ask(sealed))

    async def Follow(  # noqa: N802 - gRPC's name
        self, request: inquiry_pb2.FollowRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[inquiry_pb2.FollowResponse]:
        """Tell the state of a query until nothing more will happen to it."""
        async with translated(context):
            query, inquirer = self._check_query(request.call, FOLLOW)
            async for view in self._desk.follow(query, inquirer):
                yield _response(view)

    async def GetReceipt(  # noqa: N802 - gRPC's name
        self, request: inquiry_pb2.GetReceiptRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> inquiry_pb2.GetReceiptResponse:
        """Give the receipt of a query so far."""
        async with translated(context):
            query, inquirer = self._check_query(request.call, GET_RECEIPT)
            return inquiry_pb2.GetReceiptResponse(receipt=await self._desk.receipt(query, inquirer))

    async def GetPanel(  # noqa: N802 - gRPC's name
        self, request: inquiry_pb2.GetPanelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> inquiry_pb2.GetPanelResponse:
        """Tell which participants a model asks now."""
        async with translated(context):
            call = self._calls.check(request.call, GET_PANEL, payload_bytes=MODEL_HASH_BYTES)
            panel = await self._desk.panel(ModelHash(call.payload))
            return inquiry_pb2.GetPanelResponse(panel=panel.to_bytes(_BITMAP_BYTES, "big"))

    def _check_query(self, sent: inquiry_pb2.SignedCall, method: str) -> tuple[QueryId, PublicKey]:
        call = self._calls.check(sent, method, payload_bytes=QUERY_ID_BYTES)
        return QueryId(call.payload), call.inquirer


def _response(view: QueryView) -> inquiry_pb2.FollowResponse:
    return inquiry_pb2.FollowResponse(
        state=view.state,
        attempt=view.attempt,
        reason=view.end_reason,
        waited=view.waited.to_bytes(_BITMAP_BYTES, "big"),
        mode=view.mode,
        verdict=view.verdict or 0,
        panel=view.panel.to_bytes(_BITMAP_BYTES, "big"),
        committed=view.committed.to_bytes(_BITMAP_BYTES, "big"),
        refused=view.refused.to_bytes(_BITMAP_BYTES, "big"),
    )


def add_inquiry_service(server: grpc.aio.Server, servicer: InquiryServicer) -> None:
    """Let a listener answer inquirers."""
    inquiry_pb2_grpc.add_InquiryServiceServicer_to_server(servicer, server)


class InquiryChannel:
    """A client's channel to the operator; use it as an async context manager."""

    def __init__(self, address: str, name: str, certificate: bytes) -> None:
        """Take the operator's address, its member name and its certificate (PEM), which is all that is trusted."""
        self._channel = grpc.aio.secure_channel(
            address, inquiry_channel_credentials(certificate), options=channel_options(name)
        )
        self._stub: inquiry_pb2_grpc.InquiryServiceAsyncStub = inquiry_pb2_grpc.InquiryServiceStub(self._channel)

    async def __aenter__(self) -> "InquiryChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close(None)

    def blobs(self, chain: ChainId, operator: PublicKey, sign_call: SignCall) -> BlobLink:
        """What sends and fetches blobs over this channel.

        Args:
            chain: the consortium's.
            operator: its identity; it signs that it holds what it is sent.
            sign_call: signs each call.
        """
        return BlobLink(blob_stub(self._channel), chain, operator, sign_call)

    async def ask(self, sealed: SealedRequest, timeout_s: float) -> Height:
        """Send a request; return the height of its registration.

        Raises:
            CallerError: the operator or the ledger refused it, with the code.
            UnavailableError: no answer in time.
        """
        request = inquiry_pb2.AskRequest(
            statement=sealed.statement,
            signature=sealed.signature,
            inquirer=sealed.inquirer,
            tokens=sealed.tokens,
            supervisor_copy=sealed.supervisor_copy,
        )
        try:
            return Height((await self._stub.Ask(request, timeout=timeout_s)).height)
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure) from failure

    async def panel(self, call: SignedCall, timeout_s: float) -> Bitmap:
        """Return the participants that a model asks now, in the operator's word.

        Raises:
            CallerError: the operator refused the call, with the code.
            UnavailableError: no answer in time.
            MalformedMessageError: the answer is no set.
        """
        try:
            response = await self._stub.GetPanel(inquiry_pb2.GetPanelRequest(call=sent_call(call)), timeout=timeout_s)
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure) from failure
        return _panel(response)

    async def follow(self, call: SignedCall, timeout_s: float) -> AsyncGenerator[Progress, None]:
        """Yield where a query stands, now and after every change.

        Raises:
            CallerError: the operator refused the call, with the code.
            UnavailableError: no answer in time.
        """
        stream = self._stub.Follow(inquiry_pb2.FollowRequest(call=sent_call(call)), timeout=timeout_s)
        try:
            async for response in stream:
                yield _progress(response)
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure) from failure
        finally:
            # who has seen enough leaves a stream open, and a channel has room for so many only
            stream.cancel()

    async def receipt(self, call: SignedCall, timeout_s: float) -> bytes:
        """Fetch the receipt of a query so far.

        Raises:
            CallerError: the operator refused the call, with the code.
            UnavailableError: no answer in time.
        """
        request = inquiry_pb2.GetReceiptRequest(call=sent_call(call))
        try:
            return (await self._stub.GetReceipt(request, timeout=timeout_s)).receipt
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure) from failure


def _progress(response: inquiry_pb2.FollowResponse) -> Progress:
    """Read where a query stands.

    Raises:
        MalformedMessageError: the operator named a state, reason, mode, verdict or set that does not exist.
    """
    try:
        return Progress(
            state=QueryState(response.state),
            attempt=response.attempt,
            reason=EndReason(response.reason),
            waited=_bitmap(response.waited),
            mode=AuditMode(response.mode),
            verdict=Verdict(response.verdict) if response.verdict else None,
            panel=_bitmap(response.panel),
            committed=_bitmap(response.committed),
            refused=_bitmap(response.refused),
        )
    except ValueError as error:
        raise MalformedMessageError(f"progress: expected what the protocol knows, got {error}") from error


def _panel(response: inquiry_pb2.GetPanelResponse) -> Bitmap:
    try:
        return _bitmap(response.panel)
    except ValueError as error:
        raise MalformedMessageError(f"panel: expected a set of members, got {error}") from error


def _bitmap(data: bytes) -> Bitmap:
    if len(data) != _BITMAP_BYTES:
        raise ValueError(f"a set of {len(data)} bytes")
    return Bitmap(int.from_bytes(data, "big"))
