"""What comes as a blob, is asked of one, or lies in one: queries about many subjects.

The services and clients are the real ones, down to where they read from gRPC, but for chunks of 64 bytes instead of
1 MiB: so that a stream has several. Signatures are taken as good, for a peer may sign anything.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import grpc

from ledger.errors import DecodeError
from ledger.types import Digest, Millis, PublicKey, Signature
from mpcnode.errors import CATALOGUE, ErrorCode, MalformedMessageError, NodeError
from mpcnode.mpc import RowShape
from mpcnode.query import blobs as labels
from mpcnode.query.blobs import BlobKind, BlobLabel, BlobOffer
from mpcnode.query.contribution import AuditRecord, decode_audit_record, encode_audit_record
from mpcnode.rpc.blobs import GET_BLOB, OFFER_BLOB, PUT_BLOB, BlobLink, BlobServicer, _Fetched, of_signed_call
from mpcnode.rpc.calls import CallGate
from mpcnode.sealing import blobs as sealing
from mpcnode.sealing import messages as signed
from mpcnode.sealing.blobs import BlobReference, Manifest, encode_reference
from mpcnode.sealing.pseudonyms import pad_identifiers, read_batch_copy, split_identifiers
from mpcnode.types import BlobId, QueryId
from mpcnode.v1 import blob_pb2, inquiry_pb2
from tests.fuzz.streaming import LOOP, each, joined, parted
from tests.fuzz.target import Target, codec, expect
from tests.fuzz.targets.chain import LENGTHS, VECTORS
from tests.fuzz.targets.node import CHAIN, NO_SIGNATURE, NOW, PEER, REFUSED

CHUNK_BYTES = 64
"""Of a blob's plaintext."""


def small_chunks(work: Callable[[bytes], Coroutine[Any, Any, None]]) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        with patch.object(sealing, "CHUNK_BYTES", CHUNK_BYTES):
            LOOP.run_until_complete(work(data))

    return check


CHUNKS = tuple(bytes([number]) * size for number, size in enumerate((80, 80, 22)))
"""Sealed: of two chunks of plaintext, and 6 bytes."""
MANIFEST = Manifest(
    length=2 * CHUNK_BYTES + 6, chunks=tuple(Digest(hashlib.sha256(chunk).digest()) for chunk in CHUNKS)
)
LABEL = BlobLabel(query=QueryId(bytes(32)), attempt=1, kind=BlobKind.ROWS, author=PEER)
OFFER = BlobOffer(label=LABEL, manifest=MANIFEST)
UNTIL = Millis(NOW + 1)


class Shelf:
    """`roles.ports.BlobsPort` in memory, with a blob that was offered."""

    def __init__(self, held: Sequence[bytes] = ()) -> None:
        self.offers = {MANIFEST.blob: OFFER}
        self.chunks: dict[BlobId, list[bytes]] = {MANIFEST.blob: list(held)}

    async def offer(self, offer: BlobOffer, _until: Millis) -> int:
        self.offers.setdefault(offer.manifest.blob, offer)
        return len(self.chunks.setdefault(offer.manifest.blob, []))

    async def put(self, blob: BlobId, number: int, sealed: bytes) -> int:
        held = self.chunks[blob]
        self.offers[blob].manifest.check_chunk(number, sealed)
        if number > len(held):
            raise MalformedMessageError("not the next one")
        if number == len(held):
            held.append(sealed)
        return len(held)

    async def get(self, blob: BlobId, number: int) -> bytes:
        return self.chunks[blob][number]

    async def about(self, blob: BlobId) -> tuple[BlobOffer, Millis]:
        if blob not in self.offers:
            raise MalformedMessageError("not offered")
        return self.offers[blob], UNTIL


class Keeping:
    """Takes everything, and gives it to everybody: who may is not what is looked at."""

    def admit(self, _sender: object, _offer: BlobOffer) -> Millis:
        return UNTIL

    def check_reader(self, _reader: object, _label: BlobLabel) -> None:
        """Nobody is refused."""


class AbortedError(Exception):
    """The call ended with a code."""


class Call:
    """A call at its server."""

    async def abort(self, status: grpc.StatusCode, _text: str, _metadata: object) -> None:
        if status in {grpc.StatusCode[CATALOGUE[ErrorCode.INTERNAL].grpc], grpc.StatusCode.UNKNOWN}:
            raise AssertionError("expected a refusal, got an error inside the daemon")
        raise AbortedError


def servicer(shelf: Shelf, *, inquiry: bool) -> BlobServicer:
    clock = SimpleNamespace(now_ms=lambda: NOW)
    by_call = of_signed_call(CallGate(CHAIN, cast("Any", clock), lambda _key: None))
    return BlobServicer(
        chain=CHAIN,
        blobs=cast("Any", shelf),
        keeper=cast("Any", Keeping()),
        authenticate=by_call if inquiry else lambda *_: PEER,
        sign=lambda _stated: NO_SIGNATURE,
    )


def trust_signatures() -> None:
    def trust(_key: PublicKey, _stated: bytes, _signature: Signature, _what: str) -> None:
        """Take it as good."""

    patch.object(signed, "check_signature", trust).start()


def called(method: str, payload: bytes) -> inquiry_pb2.SignedCall:
    del method  # it is in what is signed
    return inquiry_pb2.SignedCall(
        inquirer=bytes.fromhex(VECTORS["request"]["inquirer"]),
        nonce=bytes(32),
        expiry_ms=NOW + 1000,
        payload=payload,
        signature=NO_SIGNATURE,
    )


def puts() -> Target:
    """What is offered and sent as a blob, to a listener for peers or for inquirers: the first byte says which."""
    trust_signatures()

    async def check(data: bytes) -> None:
        shelf = Shelf()
        service, call = servicer(shelf, inquiry=bool(data[:1] < b"\2")), cast("Any", Call())
        try:
            if data[:1] in {b"\0", b"\2"}:
                for request in parted(data[1:], blob_pb2.OfferRequest):
                    offered = await service.Offer(request, call)
                    expect(not offered.held.signature, "expected no word on what is not held")
            else:
                told = await service.Put(each(parted(data[1:], blob_pb2.PutRequest)), call)
                held = len(shelf.chunks[MANIFEST.blob])
                expect(told.held.chunks == held, f"expected {held} to be said to be held, got {told.held.chunks}")
                expect(bool(told.held.signature) == (held == len(CHUNKS)), "expected a word on a whole blob only")
        except AbortedError:
            pass
        held_chunks = tuple(shelf.chunks[MANIFEST.blob])
        expect(held_chunks == CHUNKS[: len(held_chunks)], "expected chunks of the blob, in order")
        expect(not any(service._streams.values()), "expected no stream to be left")

    encoded = labels.encode_offer(OFFER)
    offered = blob_pb2.OfferRequest(offer=encoded, call=called(OFFER_BLOB, hashlib.sha256(encoded).digest()))
    body = b"".join(CHUNKS)
    first = blob_pb2.PutRequest(blob=MANIFEST.blob, call=called(PUT_BLOB, MANIFEST.blob), piece=body[:100])
    rest = [blob_pb2.PutRequest(piece=body[100:150]), blob_pb2.PutRequest(piece=body[150:])]
    seeds = tuple(
        mode + stream
        for mode, stream in (
            (b"\0", joined([offered])),
            (b"\1", joined([first, *rest])),
            (b"\2", joined([offered])),
            (b"\3", joined([first, *rest])),
            (b"\3", joined([first, *rest, rest[0]])),
        )
    )
    return Target(check=small_chunks(check), seeds=seeds, words=(MANIFEST.blob, encoded, *LENGTHS))


def gets() -> Target:
    """What is asked of a blob that is held in part."""
    trust_signatures()

    async def check(data: bytes) -> None:
        service = servicer(Shelf(CHUNKS), inquiry=True)
        for request in parted(data, blob_pb2.GetRequest):
            told = bytearray()
            try:
                async for response in service.Get(request, cast("Any", Call())):
                    told += response.piece
            except AbortedError:
                continue
            expect(told == b"".join(CHUNKS[request.first :]), f"expected the chunks from {request.first} on")

    requests = [blob_pb2.GetRequest(blob=MANIFEST.blob, first=first) for first in (0, 1, 3)]
    for number, request in enumerate(requests):
        request.call.CopyFrom(called(GET_BLOB, MANIFEST.blob))
        request.call.nonce = bytes([number]) * 32
    return Target(check=small_chunks(check), seeds=(joined(requests),), words=(MANIFEST.blob,))


class Answers:
    """A desk that answers whatever the input says."""

    def __init__(self, stream: Iterator[Any]) -> None:
        self._stream = stream

    def Get(self, *_: object, **__: object) -> "Answers":  # noqa: N802 - gRPC's name
        return self

    def cancel(self) -> None:
        """Nothing is under way."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return each(self._stream)

    async def Offer(self, *_: object, **__: object) -> Any:  # noqa: N802 - gRPC's name
        return blob_pb2.OfferResponse(held=self._held())

    async def Put(self, requests: AsyncIterator[Any], **_: object) -> Any:  # noqa: N802 - gRPC's name
        async for _request in requests:
            pass
        return blob_pb2.PutResponse(held=self._held())

    def _held(self) -> blob_pb2.Held:
        found = next(self._stream, None)
        if found is None:
            raise EndedError
        return cast("blob_pb2.Held", found)


class EndedError(Exception):
    """The desk says nothing more."""


def fetched() -> Target:
    """What the desk sends an inquirer that fetches, or says of what it is sent: the first byte says which."""

    async def fetch(data: bytes) -> None:
        link = BlobLink(cast("Any", Answers(iter(parted(data, blob_pb2.GetResponse)))), CHAIN, PublicKey(bytes(32)))
        found: list[bytes] = []

        async def put(manifest: Manifest, number: int, chunk: bytes) -> None:
            expect((manifest.blob, number) == (MANIFEST.blob, len(found)), "expected the next chunk of the blob")
            found.append(chunk)

        try:
            manifest = await link._fetch(_Fetched(MANIFEST.blob, 0), put)
        except (DecodeError, NodeError):
            expect(tuple(found) == CHUNKS[: len(found)], "expected chunks of the blob only")
            return
        expect((manifest, tuple(found)) == (MANIFEST, CHUNKS), "expected all of the blob, and nothing else")

    async def send(data: bytes) -> None:
        link = BlobLink(cast("Any", Answers(iter(parted(data, blob_pb2.Held)))), CHAIN, PublicKey(bytes(32)))

        async def get(number: int) -> bytes:
            return CHUNKS[number]

        try:
            held = await link._send(OFFER, get, lambda _chunks: None)
        except (EndedError, NodeError):
            return
        expect(held.chunks >= len(CHUNKS), "expected the desk to say that it holds all")

    async def check(data: bytes) -> None:
        await (fetch if data[:1] == b"\0" else send)(data[1:])

    body = b"".join(CHUNKS)
    pieces = [
        blob_pb2.GetResponse(offer=labels.encode_offer(OFFER)),
        *(blob_pb2.GetResponse(piece=body[at : at + 70]) for at in range(0, len(body), 70)),
    ]
    held = [blob_pb2.Held(chunks=chunks, until=UNTIL) for chunks in range(3)]
    held.append(blob_pb2.Held(chunks=3, until=UNTIL, signature=NO_SIGNATURE))
    seeds = (b"\0" + joined(pieces), b"\0" + joined(pieces[:-1]), b"\1" + joined(held))
    return Target(check=small_chunks(check), seeds=seeds, words=(MANIFEST.blob, labels.encode_offer(OFFER), *LENGTHS))


def many() -> Target:
    """What is inside envelopes and blobs of a query about many subjects; what encodes again is the same."""
    subjects = 5_000

    def copied(plaintext: bytes) -> bytes:
        reference, nonce = read_batch_copy(plaintext)
        return encode_reference(reference) + nonce

    laws = (
        codec(partial(decode_audit_record, shape=RowShape(2, subjects), nodes=3), encode_audit_record, (NodeError,)),
        codec(copied, lambda same: same, (NodeError,)),
        codec(split_identifiers, pad_identifiers, (NodeError,)),
        codec(labels.decode_held_statement, labels.encode_held_statement, REFUSED),
    )

    def check(data: bytes) -> None:
        for law in laws:
            law(data)

    reference = encode_reference(BlobReference(blob=MANIFEST.blob, key=bytes(32)))
    contribution = decode_audit_record(bytes.fromhex(VECTORS["contributions"][0]["audit_record"]), *_one_record())
    record = AuditRecord(
        query=contribution.query,
        attempt=contribution.attempt,
        participant=contribution.participant,
        model=contribution.model,
        request_hash=contribution.request_hash,
        row=reference,
        seeds=(bytes(32), bytes(32)),
        salts=(bytes(32),) * 3,
    )
    held = labels.HeldStatement(chain=CHAIN, label=LABEL, blob=MANIFEST.blob, until=UNTIL)
    seeds = (
        encode_audit_record(record),
        reference + bytes(32),
        pad_identifiers([b"DE-1", b"x" * 64]),
        labels.encode_held_statement(held),
    )
    return Target(check=check, seeds=seeds, size_max=1024)


def _one_record() -> tuple[RowShape, int]:
    """Row and nodes of the first contribution of the vectors."""
    size = len(VECTORS["contributions"][0]["audit_record"]) // 2
    nodes = len(VECTORS["session"]["ends"])
    row = len(VECTORS["contributions"][0]["row"]) // 2
    assert size == 98 + row + 64 * nodes, (size, row, nodes)
    return next(shape for shape in map(RowShape, range(32)) if shape.size == row), nodes
