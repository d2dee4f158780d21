"""Blobs on the wire: the service that takes and gives them, and the transfers that go on where they broke off.

Flow control is HTTP/2's: a stream's next piece is read when the chunk before it is on disk, so a slow disk slows the
sender down and nothing piles up. Pieces are small, because a listener must not set aside a chunk for a stranger.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential, wait_random

from ledger.types import ChainId, Millis, PublicKey, Signature
from mpcnode.errors import ErrorCode, MalformedMessageError, NodeError, PeerRefusedError, UnavailableError
from mpcnode.query.blobs import BlobOffer, HeldStatement, decode_offer, encode_held_statement, encode_offer
from mpcnode.roles.ports import BlobKeeper, BlobSender, BlobsPort
from mpcnode.rpc.calls import CallGate, sent_call
from mpcnode.rpc.statuses import error_of, is_answer, is_passing, translated
from mpcnode.rpc.tls import PeerDirectory
from mpcnode.sealing.blobs import Manifest
from mpcnode.sealing.keys import check_signature
from mpcnode.sealing.messages import SignedCall
from mpcnode.types import BlobId
from mpcnode.v1 import blob_pb2, blob_pb2_grpc, inquiry_pb2

OFFER_BLOB = "OfferBlob"
PUT_BLOB = "PutBlob"
GET_BLOB = "GetBlob"

PIECE_BYTES = 32 * 1024

STREAM_CHUNKS = 16
"""Chunks of one Put: what a stream that breaks has to do again is less than one of them."""

STREAMS_MAX = 4
"""Puts and Gets of one sender at a time; each sets aside a chunk."""

CALL_S = 120.0
"""For one Offer, Put or Get."""

_PATIENCE = wait_exponential(multiplier=0.2, max=3.0) + wait_random(0.0, 0.1)

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

Authenticate: TypeAlias = Callable[[_Context, inquiry_pb2.SignedCall, str, bytes], BlobSender]
"""Who calls, from the channel or from what it signed: context, signed call, method, what the payload must be."""

SignCall: TypeAlias = Callable[[str, bytes], SignedCall]
"""Signs a call of a method with a payload."""

Stub: TypeAlias = "blob_pb2_grpc.BlobServiceAsyncStub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A holder's word on a blob."""

    chunks: int
    until: Millis
    signature: Signature
    """Over `HeldStatement`; empty while chunks are missing."""


def of_certificate(directory: PeerDirectory) -> Authenticate:
    """Peers are known by their certificates."""
    return lambda context, _call, _method, _payload: directory.peer_of(context)


def of_signed_call(calls: CallGate) -> Authenticate:
    """Inquirers are known by the signature over each call."""

    def authenticate(_context: _Context, sent: inquiry_pb2.SignedCall, method: str, payload: bytes) -> BlobSender:
        call = calls.check(sent, method, payload_bytes=32)
        if call.payload != payload:
            raise MalformedMessageError(f"{method}: expected a signed call for this blob, got one for another")
        return call.inquirer

    return authenticate


class BlobServicer(blob_pb2_grpc.BlobServiceServicer):
    """Takes blobs from whom the role takes them, and gives them to whom it may."""

    def __init__(
        self,
        *,
        chain: ChainId,
        blobs: BlobsPort,
        keeper: BlobKeeper,
        authenticate: Authenticate,
        sign: Callable[[bytes], Signature],
    ) -> None:
        """Take the store, the role's rules, how callers are known, and what signs for this member."""
        self._chain = chain
        self._blobs = blobs
        self._keeper = keeper
        self._authenticate = authenticate
        self._sign = sign
        self._streams: Counter[BlobSender] = Counter()

    async def Offer(  # noqa: N802 - gRPC's name
        self, request: blob_pb2.OfferRequest, context: _Context
    ) -> blob_pb2.OfferResponse:
        """Make room for a blob; answer how much of it is held."""
        async with translated(context):
            payload = hashlib.sha256(request.offer).digest()
            sender = self._authenticate(context, request.call, OFFER_BLOB, payload)
            offer = decode_offer(request.offer)
            until = self._keeper.admit(sender, offer)
            held = await self._blobs.offer(offer, until)
            return blob_pb2.OfferResponse(held=await self._held(offer.manifest.blob, held))

    async def Put(  # noqa: N802 - gRPC's name
        self, request_iterator: AsyncIterator[blob_pb2.PutRequest], context: _Context
    ) -> blob_pb2.PutResponse:
        """Take chunks; answer how many are held."""
        async with translated(context):
            first = await anext(request_iterator, None)
            if first is None:
                raise MalformedMessageError("put: expected pieces of a blob, got none")
            blob = BlobId(first.blob)
            sender = self._authenticate(context, first.call, PUT_BLOB, blob)
            offer, until = await self._blobs.about(blob)
            self._keeper.admit(sender, offer)
            with self._stream(sender):
                held = await self._blobs.offer(offer, until)
                held = await self._take(offer.manifest, held, first, request_iterator)
            return blob_pb2.PutResponse(held=await self._held(blob, held))

    async def Get(  # noqa: N802 - gRPC's name
        self, request: blob_pb2.GetRequest, context: _Context
    ) -> AsyncIterator[blob_pb2.GetResponse]:
        """Give chunks."""
        async with translated(context):
            blob = BlobId(request.blob)
            reader = self._authenticate(context, request.call, GET_BLOB, blob)
            offer, _ = await self._blobs.about(blob)
            self._keeper.check_reader(reader, offer.label)
            with self._stream(reader):
                yield blob_pb2.GetResponse(offer=encode_offer(offer))
                for number in range(request.first, len(offer.manifest.chunks)):
                    for piece in _pieces(await self._blobs.get(blob, number)):
                        yield blob_pb2.GetResponse(piece=piece)

    async def _take(
        self, manifest: Manifest, held: int, first: blob_pb2.PutRequest, rest: AsyncIterator[blob_pb2.PutRequest]
    ) -> int:
        """Cut pieces into chunks and keep each before the next piece is read; return how many are held.

        What the sender says of that counts for nothing: whole is what this daemon signs for.
        """
        blob, number, waiting = manifest.blob, first.first, bytearray(first.piece)
        while True:
            while number < len(manifest.chunks) and len(waiting) >= manifest.chunk_bytes(number):
                size = manifest.chunk_bytes(number)
                held = await self._blobs.put(blob, number, bytes(waiting[:size]))
                del waiting[:size]
                number += 1
            if number >= len(manifest.chunks) and waiting:
                raise MalformedMessageError(f"put: expected the end after chunk {number - 1}, got more bytes")
            following = await anext(rest, None)
            if following is None:
                return held
            waiting += following.piece

    @contextmanager
    def _stream(self, sender: BlobSender) -> Iterator[None]:
        if self._streams[sender] >= STREAMS_MAX:
            raise UnavailableError(f"blobs: expected at most {STREAMS_MAX} streams of one sender", ErrorCode.BUSY)
        self._streams[sender] += 1
        try:
            yield
        finally:
            self._streams[sender] -= 1

    async def _held(self, blob: BlobId, chunks: int) -> blob_pb2.Held:
        offer, until = await self._blobs.about(blob)
        signature = b""
        if chunks == len(offer.manifest.chunks):
            stated = HeldStatement(chain=self._chain, label=offer.label, blob=blob, until=until)
            signature = self._sign(encode_held_statement(stated))
        return blob_pb2.Held(chunks=chunks, until=until, signature=signature)


def add_blob_service(server: grpc.aio.Server, servicer: BlobServicer) -> None:
    """Let a listener take and give blobs."""
    blob_pb2_grpc.add_BlobServiceServicer_to_server(servicer, server)


def blob_stub(channel: grpc.aio.Channel) -> Stub:
    """Return what calls the service of a channel's other side."""
    return blob_pb2_grpc.BlobServiceStub(channel)


class BlobLink:
    """Transfers with one daemon. Whatever breaks is tried again from where it broke, until the caller gives up."""

    def __init__(self, stub: Stub, chain: ChainId, holder: PublicKey, sign_call: SignCall | None = None) -> None:
        """Take the stub, the other side's identity, and for an inquirer what signs its calls."""
        self._stub = stub
        self._chain = chain
        self._holder = holder
        self._sign_call = sign_call
        self.refused: NodeError | None = None
        """What the other side said last of why it does not go on yet; None if it did not say, or went on."""

    async def send(
        self, offer: BlobOffer, get: Callable[[int], Awaitable[bytes]], progress: Callable[[int], None] | None = None
    ) -> Held:
        """Send a blob until it is held whole.

        Args:
            offer: what it is.
            get: gives a sealed chunk of it.
            progress: told how many chunks are held, now and then.

        Raises:
            PeerRefusedError: the other side will never take it.
            WrongSignatureError: its word that it holds the blob is not signed by it.
        """
        tries = self._tries()
        try:
            held: Held = await tries(self._send, offer, get, progress or _nothing)
        except grpc.aio.AioRpcError as failure:
            why = error_of(failure)
            raise PeerRefusedError(f"blob {offer.manifest.blob.hex()}: {why}", why.code) from failure
        stated = HeldStatement(chain=self._chain, label=offer.label, blob=offer.manifest.blob, until=held.until)
        check_signature(self._holder, encode_held_statement(stated), held.signature, "held")
        return held

    async def fetch(self, blob: BlobId, first: int, put: Callable[[Manifest, int, bytes], Awaitable[None]]) -> Manifest:
        """Fetch a blob until it is here whole.

        Args:
            blob: its id.
            first: the chunk to begin with.
            put: takes each chunk, checked, in order.

        Raises:
            PeerRefusedError: the other side will never give it.
            MalformedMessageError: it gives something else.
        """
        state = _Fetched(blob, first)
        tries = self._tries()
        try:
            manifest: Manifest = await tries(self._fetch, state, put)
        except grpc.aio.AioRpcError as failure:
            why = error_of(failure)
            raise PeerRefusedError(f"blob {blob.hex()}: {why}", why.code) from failure
        return manifest

    async def _send(
        self, offer: BlobOffer, get: Callable[[int], Awaitable[bytes]], progress: Callable[[int], None]
    ) -> Held:
        encoded, blob = encode_offer(offer), offer.manifest.blob
        request = blob_pb2.OfferRequest(offer=encoded, call=self._signed(OFFER_BLOB, hashlib.sha256(encoded).digest()))
        held = _read_held((await self._stub.Offer(request, timeout=CALL_S, wait_for_ready=True)).held)
        self.refused = None
        while held.chunks < len(offer.manifest.chunks):
            progress(held.chunks)
            requests = self._put_requests(blob, held.chunks, len(offer.manifest.chunks), get)
            before = held.chunks
            held = _read_held((await self._stub.Put(requests, timeout=CALL_S)).held)
            if held.chunks <= before:
                raise UnavailableError(f"blob {blob.hex()}: expected more than {before} chunks to be held")
        progress(held.chunks)
        return held

    async def _put_requests(
        self, blob: BlobId, first: int, count: int, get: Callable[[int], Awaitable[bytes]]
    ) -> AsyncIterator[blob_pb2.PutRequest]:
        yield blob_pb2.PutRequest(blob=blob, first=first, call=self._signed(PUT_BLOB, blob))
        for number in range(first, min(first + STREAM_CHUNKS, count)):
            for piece in _pieces(await get(number)):
                yield blob_pb2.PutRequest(piece=piece)

    async def _fetch(self, state: "_Fetched", put: Callable[[Manifest, int, bytes], Awaitable[None]]) -> Manifest:
        request = blob_pb2.GetRequest(blob=state.blob, first=state.number, call=self._signed(GET_BLOB, state.blob))
        stream = self._stub.Get(request, timeout=CALL_S, wait_for_ready=True)
        waiting = bytearray()
        try:
            async for response in stream:
                self.refused = None
                if response.offer:
                    state.begin(decode_offer(response.offer).manifest)
                waiting += response.piece
                while (chunk := state.cut(waiting)) is not None:
                    await put(*chunk)
                    state.number += 1
        finally:
            stream.cancel()
        return state.end()

    def _tries(self) -> AsyncRetrying:
        self.refused = None
        retry = retry_if_exception(_may_pass)
        return AsyncRetrying(retry=retry, wait=_PATIENCE, before_sleep=self._remember, reraise=True)

    def _remember(self, state: RetryCallState) -> None:
        error = None if state.outcome is None else state.outcome.exception()
        self.refused = error_of(error) if isinstance(error, grpc.aio.AioRpcError) and is_answer(error) else None

    def _signed(self, method: str, payload: bytes) -> inquiry_pb2.SignedCall | None:
        return None if self._sign_call is None else sent_call(self._sign_call(method, payload))


class _Fetched:
    """How far a fetch has come, over all its tries."""

    def __init__(self, blob: BlobId, number: int) -> None:
        self.blob = blob
        self.number = number
        self._manifest: Manifest | None = None

    def begin(self, manifest: Manifest) -> None:
        if manifest.blob != self.blob:
            raise MalformedMessageError(f"blob {self.blob.hex()}: expected its manifest, got another blob's")
        self._manifest = manifest

    def cut(self, waiting: bytearray) -> tuple[Manifest, int, bytes] | None:
        """Cut the next chunk off what has arrived, if it is there."""
        manifest = self._known()
        if self.number >= len(manifest.chunks):
            if waiting:
                raise MalformedMessageError(f"blob {self.blob.hex()}: expected its end, got more bytes")
            return None
        size = manifest.chunk_bytes(self.number)
        if len(waiting) < size:
            return None
        chunk = bytes(waiting[:size])
        del waiting[:size]
        manifest.check_chunk(self.number, chunk)
        return manifest, self.number, chunk

    def end(self) -> Manifest:
        """Return what was fetched.

        Raises:
            UnavailableError: the stream ended before the blob did; it goes on from there.
        """
        manifest = self._known()
        if self.number < len(manifest.chunks):
            raise UnavailableError(f"blob {self.blob.hex()}: the stream ended at chunk {self.number}")
        return manifest

    def _known(self) -> Manifest:
        if self._manifest is None:
            raise MalformedMessageError(f"blob {self.blob.hex()}: expected its manifest first, got pieces")
        return self._manifest


def _pieces(sealed: bytes) -> Iterator[bytes]:
    return (sealed[at : at + PIECE_BYTES] for at in range(0, len(sealed), PIECE_BYTES))


def _read_held(sent: blob_pb2.Held) -> Held:
    return Held(chunks=sent.chunks, until=Millis(sent.until), signature=Signature(sent.signature))


def _nothing(_chunks: int) -> None:
    pass


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, UnavailableError) or (isinstance(error, grpc.aio.AioRpcError) and is_passing(error))
