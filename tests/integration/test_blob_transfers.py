"""Blobs over real channels: broken off at every chunk they go on there; nobody else puts or fetches anything."""

import asyncio
import hashlib
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest

from ledger.types import Millis
from mpcnode.adapters.blob_files import BlobFiles
from mpcnode.adapters.blob_store import BlobStore
from mpcnode.adapters.clock import SystemClock
from mpcnode.adapters.randomness import random_bytes
from mpcnode.errors import (
    ErrorCode,
    MalformedMessageError,
    NotAllowedError,
    PeerRefusedError,
    UnavailableError,
    WrongSignatureError,
)
from mpcnode.mpc import keystream
from mpcnode.query.blobs import (
    EVERY_ATTEMPT,
    INQUIRER,
    BlobKind,
    BlobLabel,
    BlobOffer,
    HeldStatement,
    encode_held_statement,
    encode_offer,
)
from mpcnode.rpc.blobs import (
    OFFER_BLOB,
    STREAMS_MAX,
    BlobLink,
    BlobServicer,
    add_blob_service,
    blob_stub,
    of_certificate,
    of_signed_call,
)
from mpcnode.rpc.calls import CallGate, sent_call
from mpcnode.rpc.tls import (
    CONTROL_BYTES_MAX,
    INQUIRY_BYTES_MAX,
    PeerDirectory,
    channel_options,
    inquiry_channel_credentials,
    inquiry_server_credentials,
    peer_channel_credentials,
    peer_server_credentials,
    server_options,
)
from mpcnode.sealing.blobs import CHUNK_BYTES, BlobReference, BlobSealer
from mpcnode.sealing.keys import SigningKey, verify
from mpcnode.sealing.messages import sign_call
from mpcnode.types import QueryId
from mpcnode.v1 import blob_pb2
from tests.support.peer_tls import (
    BANK,
    CHAIN,
    INSURER_MPC,
    MEMBERS,
    OPERATOR,
    REGULATOR,
    code_of,
    fingerprint,
    identity,
    tls,
)

KEY = bytes(range(32))
BODY = keystream(b"body".ljust(32), 3 * CHUNK_BYTES + 5000).tobytes()
LABEL = BlobLabel(query=QueryId(b"q" * 32), attempt=1, kind=BlobKind.ROWS, author=BANK)
ASKED = BlobLabel(query=QueryId(b"q" * 32), attempt=EVERY_ATTEMPT, kind=BlobKind.IDENTIFIERS, author=INQUIRER)
UNTIL = Millis(2_000_000_000_000)
LENDER, STRANGER = SigningKey(b"\x11" * 32), SigningKey(b"\x12" * 32)


def sealed(label, body=BODY):
    sealer = BlobSealer(KEY)
    chunks = list(sealer.feed(body))
    last, manifest = sealer.finish()
    return [*chunks, last], BlobOffer(label=label, manifest=manifest)


CHUNKS, OFFER = sealed(LABEL)
BLOB = OFFER.manifest.blob


class Keeper:
    """Takes the bank's blobs and the lender's, and gives them to the lender."""

    def __init__(self) -> None:
        self.known = True

    def admit(self, sender, offer):
        if sender not in {BANK, LENDER.public}:
            raise NotAllowedError("neither the bank nor the lender")
        if not self.known:
            raise UnavailableError("not on the own ledger yet")
        return UNTIL

    def check_reader(self, reader, label):
        if reader != LENDER.public:
            raise NotAllowedError("not the lender")


class BrokenStreamError(Exception):
    pass


class Holder:
    """The regulator's listener for peers, or the operator's for inquirers, on a folder that outlives it."""

    def __init__(self, folder, *, inquiry=False) -> None:
        self.folder = folder
        self.inquiry = inquiry
        self.me = OPERATOR if inquiry else REGULATOR
        self.keeper = Keeper()
        self.breaks_at: int | None = None
        """Chunk whose arrival ends the stream, once."""
        self.port = 0

    @asynccontextmanager
    async def running(self):
        self.store = BlobStore(BlobFiles(self.folder, 1 << 30, free_min=0))
        put = self.store.put

        async def breaking(blob, number, chunk):
            if number == self.breaks_at:
                self.breaks_at = None
                raise BrokenStreamError
            return await put(blob, number, chunk)

        self.store.put = breaking  # type: ignore[method-assign]
        gate = CallGate(CHAIN, SystemClock(), self._check_inquirer)
        directory = PeerDirectory({fingerprint(tls(index)): index for index in MEMBERS})
        servicer = BlobServicer(
            chain=CHAIN,
            blobs=self.store,
            keeper=self.keeper,
            authenticate=of_signed_call(gate) if self.inquiry else of_certificate(directory),
            sign=identity(self.me).sign,
        )
        own = tls(self.me)
        if self.inquiry:
            options, credentials = INQUIRY_BYTES_MAX, inquiry_server_credentials(own.key, own.certificate)
        else:
            roots = [tls(index).certificate for index in MEMBERS]
            options, credentials = CONTROL_BYTES_MAX, peer_server_credentials(own.key, own.certificate, roots)
        server = grpc.aio.server(options=server_options(options))
        add_blob_service(server, servicer)
        self.port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        try:
            yield self
        finally:
            await server.stop(0)

    def _check_inquirer(self, key):
        if key not in {LENDER.public, b"?"}:
            raise NotAllowedError("a stranger", ErrorCode.UNKNOWN_INQUIRER)

    @asynccontextmanager
    async def link(self, *, member=BANK, key=None, holder=None):
        async with self.channel(member) as channel:
            sign = None if key is None else lambda method, payload: signed(key, method, payload)
            yield BlobLink(blob_stub(channel), CHAIN, holder or identity(self.me).public, sign)

    def channel(self, member=BANK):
        trusted = tls(self.me).certificate
        pair = tls(member)
        credentials = (
            inquiry_channel_credentials(trusted)
            if self.inquiry
            else peer_channel_credentials(pair.key, pair.certificate, trusted)
        )
        return grpc.aio.secure_channel(
            f"127.0.0.1:{self.port}", credentials, options=channel_options(f"member-{self.me}")
        )


def signed(key, method, payload):
    expiry = Millis(SystemClock().now_ms() + 60_000)
    return sign_call(key, CHAIN, method=method, nonce=random_bytes(32), expiry_ms=expiry, payload=payload)


async def chunk(number):
    return CHUNKS[number]


async def refused(work):
    with pytest.raises(PeerRefusedError) as raised:
        await work
    return raised.value.code


def test_a_blob_arrives_whole_and_its_holder_says_so(tmp_path):
    async def work():
        seen: list[int] = []
        async with Holder(tmp_path).running() as holder, holder.link() as link:
            waits = asyncio.get_running_loop().create_task(holder.store.whole(LABEL))
            held = await link.send(OFFER, chunk, seen.append)
            assert await waits == OFFER.manifest
            stated = encode_held_statement(HeldStatement(chain=CHAIN, label=LABEL, blob=BLOB, until=UNTIL))
            assert (held.chunks, held.until) == (4, UNTIL)
            assert verify(identity(REGULATOR).public, stated, held.signature)
            assert seen == [0, 4]
            assert b"".join(holder.store.read(BlobReference(blob=BLOB, key=KEY))) == BODY

    asyncio.run(work())


@pytest.mark.parametrize("at", range(4))
def test_a_sender_goes_on_where_its_stream_broke(tmp_path, at):
    async def work():
        asked = []

        async def counted(number):
            asked.append(number)
            return CHUNKS[number]

        async with Holder(tmp_path).running() as holder, holder.link() as link:
            holder.breaks_at = at
            assert (await link.send(OFFER, counted)).chunks == 4
            assert asked.index(at) < len(asked) - 1
            assert [number for number in asked if number < at] == list(range(at)), "a chunk was sent twice"

    asyncio.run(work())


@pytest.mark.parametrize("at", range(1, 4))
def test_a_sender_goes_on_when_its_receiver_was_started_again(tmp_path, at):
    async def work():
        async with Holder(tmp_path).running() as holder, holder.link() as link:

            async def gone(number):
                if number == at:
                    await asyncio.Event().wait()
                return CHUNKS[number]

            sending = asyncio.get_running_loop().create_task(link.send(OFFER, gone))
            while await holder.store.offer(OFFER, UNTIL) < at:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        sent = []

        async def rest(number):
            sent.append(number)
            return CHUNKS[number]

        async with Holder(tmp_path).running() as holder, holder.link() as link:
            await link.send(OFFER, rest)
            assert sent == list(range(at, 4))

    asyncio.run(work())


@pytest.mark.parametrize("at", range(4))
def test_an_inquirer_fetches_on_where_it_was(tmp_path, at):
    async def work():
        async with Holder(tmp_path, inquiry=True).running() as holder, holder.link(key=LENDER) as link:
            await holder.store.create(LABEL, KEY, [BODY], UNTIL)
            found = []

            async def put(manifest, number, data):
                if number == at and not broken:
                    broken.append(number)
                    raise UnavailableError("the inquirer's disk was away for a moment")
                manifest.check_chunk(number, data)
                found.append(data)

            broken: list[int] = []
            assert await link.fetch(BLOB, 0, put) == OFFER.manifest
            assert found == CHUNKS
            found.clear()
            await link.fetch(BLOB, at, put)
            assert found == CHUNKS[at:]

    asyncio.run(work())


def test_an_inquirer_puts_what_it_signs_for(tmp_path):
    chunks, offer = sealed(ASKED)

    async def one(number):
        return chunks[number]

    async def work():
        async with Holder(tmp_path, inquiry=True).running() as holder:
            async with holder.link(key=LENDER) as link:
                assert (await link.send(offer, one)).chunks == 4
            async with holder.link(key=STRANGER) as link:
                assert await refused(link.send(offer, one)) is ErrorCode.UNKNOWN_INQUIRER
            async with holder.link() as link:
                assert await refused(link.send(offer, one)) is ErrorCode.MALFORMED_MESSAGE

    asyncio.run(work())


def test_a_call_is_for_one_blob_and_made_once(tmp_path):
    other = sealed(ASKED, b"another body")[1]

    async def offered(stub, offer, call):
        try:
            await stub.Offer(blob_pb2.OfferRequest(offer=encode_offer(offer), call=sent_call(call)), timeout=20)
        except grpc.aio.AioRpcError as failure:
            return code_of(failure)
        return "ok"

    async def work():
        async with Holder(tmp_path, inquiry=True).running() as holder, holder.channel() as channel:
            stub = blob_stub(channel)
            call = signed(LENDER, OFFER_BLOB, hashlib.sha256(encode_offer(OFFER)).digest())
            assert await offered(stub, other, call) == "MALFORMED_MESSAGE"
            assert await offered(stub, OFFER, call) == "REPLAYED"
            again = signed(LENDER, OFFER_BLOB, hashlib.sha256(encode_offer(OFFER)).digest())
            assert await offered(stub, OFFER, again) == "ok"

    asyncio.run(work())


def test_peers_put_and_fetch_what_the_role_lets_them(tmp_path):
    async def nothing(*_):
        raise AssertionError("nobody gives anything")

    async def work():
        async with Holder(tmp_path).running() as holder:
            async with holder.link(member=INSURER_MPC) as link:
                assert await refused(link.send(OFFER, chunk)) is ErrorCode.NOT_ALLOWED
                await holder.store.create(LABEL, KEY, [BODY], UNTIL)
                assert await refused(link.fetch(BLOB, 0, nothing)) is ErrorCode.NOT_ALLOWED
                assert (
                    await refused(link.fetch(sealed(LABEL, b"x")[1].manifest.blob, 0, nothing)) is ErrorCode.NOT_READY
                )
            assert not holder.store._waiting

    asyncio.run(work())


def test_chunks_are_taken_from_who_may_send_the_blob_only(tmp_path):
    async def put(stub):
        async def requests():
            yield blob_pb2.PutRequest(blob=BLOB, first=0)
            yield blob_pb2.PutRequest(piece=CHUNKS[0])

        try:
            return (await stub.Put(requests(), timeout=20)).held.chunks
        except grpc.aio.AioRpcError as failure:
            return code_of(failure)

    async def work():
        async with (
            Holder(tmp_path).running() as holder,
            holder.channel() as bank,
            holder.channel(INSURER_MPC) as other,
        ):
            await blob_stub(bank).Offer(blob_pb2.OfferRequest(offer=encode_offer(OFFER)), timeout=20)
            assert await put(blob_stub(other)) == "NOT_ALLOWED"
            assert await put(blob_stub(bank)) == 1

    asyncio.run(work())


def changed(chunk):
    return bytes((chunk[0] ^ 1, *chunk[1:]))


LIES = {
    "another blob": (sealed(LABEL, b"another body")[1], None, "expected its manifest"),
    "a chunk changed": (None, changed, "expected chunk 0 of it"),
    "a chunk too long": (None, lambda chunk: chunk + b"!", "expected chunk 1 of it"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_desk_that_gives_something_else_is_found_before_it_is_kept(tmp_path, lie):
    other, change, message = LIES[lie]

    async def work():
        async with Holder(tmp_path, inquiry=True).running() as holder, holder.link(key=LENDER) as link:
            await holder.store.create(LABEL, KEY, [BODY], UNTIL)
            about, get = holder.store.about, holder.store.get

            async def lying_about(blob):
                offer, until = await about(blob)
                return other or offer, until

            async def lying_get(blob, number):
                chunk = await get(blob, number)
                return change(chunk) if change else chunk

            holder.store.about = lying_about
            holder.store.get = lying_get
            kept = []

            async def put(_manifest, number, data):
                kept.append((number, data))

            with pytest.raises(MalformedMessageError, match=message):
                await link.fetch(BLOB, 0, put)
            assert all(data == CHUNKS[number] for number, data in kept)

    asyncio.run(work())


def test_a_sender_waits_until_the_receiver_knows_the_query(tmp_path):
    async def work():
        async with Holder(tmp_path).running() as holder, holder.link() as link:
            holder.keeper.known = False
            sending = asyncio.get_running_loop().create_task(link.send(OFFER, chunk))
            await asyncio.sleep(0.3)
            assert (sending.done(), link.refused.code) == (False, ErrorCode.UNAVAILABLE)
            holder.keeper.known = True
            assert ((await sending).chunks, link.refused) == (4, None)

    asyncio.run(work())


def test_bytes_that_are_not_the_blobs_are_not_kept(tmp_path):
    async def put(stub, first, *pieces):
        async def requests():
            yield blob_pb2.PutRequest(blob=BLOB, first=first)
            for piece in pieces:
                yield blob_pb2.PutRequest(piece=piece)

        try:
            return (await stub.Put(requests(), timeout=20)).held.chunks
        except grpc.aio.AioRpcError as failure:
            return code_of(failure)

    async def work():
        async with Holder(tmp_path).running() as holder, holder.channel() as channel:
            stub = blob_stub(channel)
            assert await put(stub, 0, CHUNKS[0]) == "NOT_READY"
            await stub.Offer(blob_pb2.OfferRequest(offer=encode_offer(OFFER)), timeout=20)
            assert await put(stub, 0, CHUNKS[1]) == "MALFORMED_MESSAGE"
            assert await put(stub, 1, CHUNKS[1]) == "MALFORMED_MESSAGE"
            assert await put(stub, 0, CHUNKS[0][:-1]) == 0, "a chunk that did not arrive whole does not count"
            assert await put(stub, 0, *CHUNKS[:3], CHUNKS[3] + b"!") == "MALFORMED_MESSAGE"
            assert await put(stub, 4) == 4
            assert await put(stub, 4, b"!") == "MALFORMED_MESSAGE"

    asyncio.run(work())


@pytest.mark.parametrize("first", [1, 3, 4, 5, 2**32 - 1])
def test_nobody_gets_a_holders_word_for_chunks_that_it_did_not_send(tmp_path, first):
    async def work():
        async def nothing():
            yield blob_pb2.PutRequest(blob=BLOB, first=first)

        async with Holder(tmp_path).running() as holder, holder.channel() as channel:
            stub = blob_stub(channel)
            await stub.Offer(blob_pb2.OfferRequest(offer=encode_offer(OFFER)), timeout=20)
            held = (await stub.Put(nothing(), timeout=20)).held
            assert (held.chunks, held.signature) == (0, b"")

    asyncio.run(work())


def test_a_sender_has_a_few_streams_and_no_more(tmp_path):
    async def work():
        async with Holder(tmp_path).running() as holder, holder.channel() as channel:
            stub: Any = blob_stub(channel)  # stubs: no read/write
            await stub.Offer(blob_pb2.OfferRequest(offer=encode_offer(OFFER)), timeout=20)
            calls = [stub.Put(timeout=20) for _ in range(STREAMS_MAX)]
            for call in calls:
                await call.write(blob_pb2.PutRequest(blob=BLOB, first=0))
            codes = set()
            for _ in range(50):
                extra = stub.Put(timeout=20)
                try:
                    with suppress(asyncio.InvalidStateError):  # it may be refused before it has written
                        await extra.write(blob_pb2.PutRequest(blob=BLOB, first=0))
                        await extra.done_writing()
                    await extra
                except grpc.aio.AioRpcError as failure:
                    codes.add(code_of(failure))
                    break
                await asyncio.sleep(0.05)
            assert codes == {"BUSY"}
            for call in calls:
                call.cancel()

    asyncio.run(work())


def test_a_holders_word_must_be_its_own(tmp_path):
    async def work():
        async with Holder(tmp_path).running() as holder, holder.link(holder=identity(BANK).public) as link:
            with pytest.raises(WrongSignatureError, match="held"):
                await link.send(OFFER, chunk)

    asyncio.run(work())
