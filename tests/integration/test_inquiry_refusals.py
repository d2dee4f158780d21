"""What the operator's desk refuses of inquirers and strangers, over a real channel, and what the client makes of it."""

import asyncio
import dataclasses
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest

from ledger.types import ChainId, Height, Millis
from mpcnode.adapters.clock import SystemClock
from mpcnode.adapters.randomness import random_bytes
from mpcnode.cli.main import explain
from mpcnode.errors import (
    CATALOGUE,
    CallerError,
    ErrorCode,
    Exit,
    MalformedMessageError,
    NodeError,
    NotAllowedError,
    RequestError,
    UnavailableError,
)
from mpcnode.query.request import SealedRequest
from mpcnode.rpc import calls, inquiry
from mpcnode.rpc.calls import CallGate
from mpcnode.rpc.inquiry import FOLLOW, GET_PANEL, GET_RECEIPT, InquiryChannel, InquiryServicer, add_inquiry_service
from mpcnode.rpc.tls import INQUIRY_BYTES_MAX, channel_options, inquiry_server_credentials, server_options
from mpcnode.sealing.keys import SigningKey
from mpcnode.sealing.messages import CALL_AHEAD_MS_MAX, CLOCK_SKEW_MS, SignedCall, sign_call
from mpcnode.types import Bitmap, QueryId
from mpcnode.v1 import inquiry_pb2, inquiry_pb2_grpc
from tests.support.peer_tls import CHAIN, code_of, tls_of
from tests.support.queries import SEALED, folded, registered

LENDER, STRANGER = SigningKey(b"\x11" * 32), SigningKey(b"\x12" * 32)
QUERY, NOT_MINE = QueryId(b"\x21" * 32), QueryId(b"\x22" * 32)
MODEL = b"\x23" * 32
OPERATOR = tls_of("operator")


class Desk:
    """Knows one inquirer and one query of it; what `ask` raises can be set."""

    def __init__(self) -> None:
        self.asked: list[SealedRequest] = []
        self.error: Exception | None = None

    def check_inquirer(self, inquirer):
        if inquirer != LENDER.public:
            raise NotAllowedError("a stranger", ErrorCode.UNKNOWN_INQUIRER)

    async def ask(self, request):
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return Height(7)

    async def follow(self, query, inquirer):
        self._check(query, inquirer)
        view = folded(registered()).open()[0]
        yield view

    async def receipt(self, query, inquirer):
        self._check(query, inquirer)
        return b"receipt"

    async def panel(self, model):
        assert model == MODEL
        return Bitmap(0b1011)

    def _check(self, query, inquirer):
        if (query, inquirer) != (QUERY, LENDER.public):
            raise NotAllowedError("another inquirer's")


class Place:
    """The desk, its servicer and where it listens."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.servicer = InquiryServicer(self.desk, CallGate(CHAIN, SystemClock(), self.desk.check_inquirer))
        self.port = 0

    @asynccontextmanager
    async def open(self):
        server = grpc.aio.server(options=server_options(INQUIRY_BYTES_MAX), maximum_concurrent_rpcs=16)
        add_inquiry_service(server, self.servicer)
        self.port = server.add_secure_port(
            "127.0.0.1:0", inquiry_server_credentials(OPERATOR.key, OPERATOR.certificate)
        )
        await server.start()
        try:
            async with InquiryChannel(f"127.0.0.1:{self.port}", "operator", OPERATOR.certificate) as channel:
                yield channel
        finally:
            await server.stop(0)

    def raw(self) -> Any:
        """A channel without serialisers: bytes as they are."""
        credentials = grpc.ssl_channel_credentials(OPERATOR.certificate)
        options = [*channel_options("operator"), ("grpc.max_send_message_length", -1)]
        return grpc.aio.secure_channel(f"127.0.0.1:{self.port}", credentials, options=options)


def call(key=LENDER, method=FOLLOW, query=QUERY, *, chain=CHAIN, ahead_ms=60_000, nonce=None) -> SignedCall:
    expiry = Millis(SystemClock().now_ms() + ahead_ms)
    return sign_call(key, chain, method=method, nonce=nonce or random_bytes(32), expiry_ms=expiry, payload=bytes(query))


async def followed(channel, signed):
    try:
        return [state async for state in channel.follow(signed, 20)]
    except NodeError as error:
        return str(error.code)


async def receipt(channel, signed):
    try:
        return await channel.receipt(signed, 20)
    except NodeError as error:
        return str(error.code)


async def panel(channel, signed):
    try:
        return await channel.panel(signed, 20)
    except NodeError as error:
        return str(error.code)


def test_the_inquirer_is_answered():
    async def work():
        async with Place().open() as channel:
            assert await channel.ask(SEALED, 20) == 7
            assert len(await followed(channel, call())) == 1
            assert await receipt(channel, call(method=GET_RECEIPT)) == b"receipt"
            assert await panel(channel, call(method=GET_PANEL, query=MODEL)) == 0b1011

    asyncio.run(work())


def test_who_takes_part_is_told_to_inquirers_only():
    async def work():
        async with Place().open() as channel:
            assert await panel(channel, call(STRANGER, GET_PANEL, MODEL)) == "UNKNOWN_INQUIRER"
            assert await panel(channel, call(method=GET_PANEL, query=MODEL[1:])) == "MALFORMED_MESSAGE"
            assert await panel(channel, call(method=FOLLOW, query=MODEL)) == "WRONG_SIGNATURE"

    asyncio.run(work())


def test_who_has_seen_enough_leaves_no_stream_behind(monkeypatch):
    """The operator's streams last until a query is settled; a client that stopped reading must give its place back."""

    async def endless(desk, query, inquirer):
        yield folded(registered()).open()[0]
        await asyncio.Event().wait()

    async def work():
        monkeypatch.setattr(Desk, "follow", endless)
        async with Place().open() as channel:
            for _ in range(40):
                async with aclosing(channel.follow(call(), 20)) as states:
                    assert (await anext(states)).attempt == 1
            assert await receipt(channel, call(method=GET_RECEIPT)) == b"receipt"

    asyncio.run(work())


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_reaches_the_client_and_its_documented_exit_code(code, capsys):
    """The message stays behind: only the code, its status and the catalogue's public text cross the channel."""

    async def work():
        place = Place()
        kind = UnavailableError if CATALOGUE[code].grpc == "UNAVAILABLE" else RequestError
        place.desk.error = kind("4711-planted-in-a-message", code)
        async with place.open() as channel:
            with pytest.raises((CallerError, UnavailableError)) as caught:
                await channel.ask(SEALED, 20)
            return caught.value

    error = asyncio.run(work())
    assert error.code is code
    assert str(error) == CATALOGUE[code].public
    assert explain(error) == CATALOGUE[code].exit != Exit.OK
    assert "4711" not in capsys.readouterr().err


def test_an_unforeseen_error_is_internal_and_tells_nothing():
    async def work():
        place = Place()
        place.desk.error = KeyError("4711")
        async with place.open() as channel:
            with pytest.raises(NodeError) as caught:
                await channel.ask(SEALED, 20)
            return caught.value

    assert "4711" not in str(error := asyncio.run(work()))
    assert error.code is ErrorCode.INTERNAL


# --------------------------------------------------------------------------- signed calls


def changed(signed: SignedCall, **changes) -> SignedCall:
    return dataclasses.replace(signed, **changes)


REFUSED_CALLS = {
    "for another method": (lambda: call(method=GET_RECEIPT), "WRONG_SIGNATURE"),
    "for another chain": (lambda: call(chain=ChainId(bytes(32))), "WRONG_SIGNATURE"),
    "expired": (lambda: call(ahead_ms=-CLOCK_SKEW_MS - 1_000), "REPLAYED"),
    "too far ahead": (lambda: call(ahead_ms=CALL_AHEAD_MS_MAX + CLOCK_SKEW_MS + 60_000), "REPLAYED"),
    "a stranger's": (lambda: call(STRANGER), "UNKNOWN_INQUIRER"),
    "a stranger's, in the inquirer's name": (
        lambda: changed(call(STRANGER), inquirer=LENDER.public),
        "WRONG_SIGNATURE",
    ),
    "about another inquirer's query": (lambda: call(query=NOT_MINE), "NOT_ALLOWED"),
    "another nonce than signed": (lambda: changed(call(), nonce=bytes(32)), "WRONG_SIGNATURE"),
    "another expiry than signed": (lambda: changed(call(), expiry_ms=call().expiry_ms + 1), "WRONG_SIGNATURE"),
    "another query than signed": (lambda: changed(call(), payload=bytes(NOT_MINE)), "WRONG_SIGNATURE"),
    "a short nonce": (lambda: changed(call(), nonce=bytes(31)), "MALFORMED_MESSAGE"),
    "a short query id": (lambda: call(query=QueryId(b"short")), "MALFORMED_MESSAGE"),
    "no key": (lambda: changed(call(), inquirer=b""), "WRONG_SIGNATURE"),
    "a key of small order": (lambda: changed(call(), inquirer=bytes(32)), "WRONG_SIGNATURE"),
    "no signature": (lambda: changed(call(), signature=b""), "WRONG_SIGNATURE"),
    "the last expiry there is": (lambda: changed(call(), expiry_ms=2**64 - 1), "REPLAYED"),
}


@pytest.mark.parametrize("case", REFUSED_CALLS)
def test_a_call_that_is_not_the_inquirers_own_is_refused(case):
    make, code = REFUSED_CALLS[case]

    async def work():
        async with Place().open() as channel:
            return await followed(channel, make())

    assert asyncio.run(work()) == code


def test_a_call_is_made_once_whatever_its_method():
    async def work():
        nonce = random_bytes(32)
        async with Place().open() as channel:
            signed = call(nonce=nonce)
            assert len(await followed(channel, signed)) == 1
            assert await followed(channel, signed) == "REPLAYED"
            assert await receipt(channel, call(method=GET_RECEIPT, nonce=nonce)) == "REPLAYED"
            assert await receipt(channel, call(method=GET_RECEIPT, query=NOT_MINE)) == "NOT_ALLOWED"

    asyncio.run(work())


def test_no_stranger_and_no_other_inquirer_fills_the_memory_of_calls(monkeypatch):
    monkeypatch.setattr(calls, "CALLS_MAX", 5)

    async def work():
        place = Place()
        async with place.open() as channel:
            for number in range(10):
                stranger = SigningKey(bytes([100 + number]) * 32)
                assert await followed(channel, call(stranger)) == "UNKNOWN_INQUIRER"
            assert place.servicer._calls._windows == {}
            said = [await followed(channel, call()) for _ in range(6)]
            assert [len(states) for states in said[:5]] == [1] * 5
            assert said[5] == "BUSY"

    asyncio.run(work())


# --------------------------------------------------------------------------- any bytes


GARBAGE = (b"\xff" * 9, b"\x0a\xff\xff\xff\xff\x0f", b"\x12" + b"\x80" * 11, b"\x0b" * 50_000, bytes(1_000))


def test_malformed_bytes_get_a_status_and_the_next_call_an_answer():
    async def tried(raw, name, data):
        path = f"/mpcnode.v1.InquiryService/{name}"
        answer = (
            raw.unary_stream(path)(data, timeout=20) if name == "Follow" else raw.unary_unary(path)(data, timeout=5)
        )
        return await answer.code()

    async def work():
        place = Place()
        async with place.open() as channel, place.raw() as raw:
            place.desk.error = RequestError("empty")
            names = ("Ask", "GetReceipt", "GetPanel", "Follow", "Nothing")
            said = [await tried(raw, name, data) for name in names for data in (*GARBAGE, b"")]
            place.desk.error = None
            assert await channel.ask(SEALED, 20) == 7
            return said

    assert not set(asyncio.run(work())) & {grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED}


def test_oversize_messages_and_metadata_are_refused_before_anybody_reads_them():
    async def work():
        place = Place()
        async with place.open() as channel, place.raw() as raw:
            stub: Any = inquiry_pb2_grpc.InquiryServiceStub(raw)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Ask(inquiry_pb2.AskRequest(inquirer=bytes(INQUIRY_BYTES_MAX)), timeout=20)
            assert code_of(caught.value) == "RESOURCE_EXHAUSTED"
            metadata = (("padding", "x" * 64 * 1024),)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Ask(inquiry_pb2.AskRequest(), metadata=metadata, timeout=20)
            assert code_of(caught.value) == "RESOURCE_EXHAUSTED"
            assert await channel.ask(SEALED, 20) == 7
            assert len(place.desk.asked) == 1

    asyncio.run(work())


# --------------------------------------------------------------------------- an evil operator


EVIL_STATES: dict[str, dict[str, Any]] = {
    "a state that there is not": {"state": 99},
    "a reason that there is not": {"reason": 77},
    "a mode that there is not": {"mode": 0},
    "a verdict that there is not": {"verdict": 9},
    "a set of 17 bytes": {"panel": bytes(17)},
    "no set": {"waited": b""},
}


@pytest.mark.parametrize("data", [b"", bytes(15), bytes(17)])
def test_a_client_takes_no_set_of_another_width(data):
    with pytest.raises(MalformedMessageError, match=f"panel: expected a set of members, got a set of {len(data)}"):
        inquiry._panel(inquiry_pb2.GetPanelResponse(panel=data))


@pytest.mark.parametrize("case", EVIL_STATES)
def test_a_client_names_what_an_operator_made_up(case):
    fields: dict[str, Any] = {"state": 1, "mode": 2, "attempt": 1}
    sets = dict.fromkeys(("waited", "panel", "committed", "refused"), bytes(16))
    response = inquiry_pb2.FollowResponse(**(fields | sets | EVIL_STATES[case]))
    with pytest.raises(MalformedMessageError, match="progress: expected what the protocol knows"):
        inquiry._progress(response)
