"""What a receiver holds of one peer's messages, and what a sender makes of answers that nobody should give."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import grpc
import pytest

from mpcnode.errors import CallerError, ErrorCode, NodeError, UnavailableError
from mpcnode.rpc import deliveries
from mpcnode.rpc.deliveries import DELIVERY_S, IN_WORK_MAX, Deliveries, DeliveriesServer, _Stream
from mpcnode.rpc.statuses import CODE_KEY
from mpcnode.types import MemberIndex
from mpcnode.v1 import peer_pb2
from tests.support.virtual_time import run

PEER = MemberIndex(3)


class Flood:
    """A peer that sends without end, and reads no answer."""

    def __init__(self) -> None:
        self.sent = 0

    async def read(self) -> peer_pb2.DeliverRequest:
        await asyncio.sleep(0.001)
        self.sent += 1
        return peer_pb2.DeliverRequest(kind="accept", number=self.sent)

    async def write(self, _answer: peer_pb2.DeliverResponse) -> None:
        await asyncio.Event().wait()


def test_a_peer_that_reads_no_answers_is_read_no_more():
    async def scenario():
        flood, taken = Flood(), []

        async def take(_peer: MemberIndex, message: peer_pb2.DeliverRequest) -> None:
            taken.append(message.number)

        server = DeliveriesServer(take)
        serving = asyncio.ensure_future(server.serve(PEER, cast("Any", flood)))
        await asyncio.sleep(10)
        assert taken == list(range(1, IN_WORK_MAX + 1))
        assert flood.sent == IN_WORK_MAX + 1
        server.close()
        await asyncio.wait([serving])
        assert len(asyncio.all_tasks()) == 1

    run(scenario())


class Call:
    """A stream whose other side answers by a rule."""

    def __init__(self, answers: Callable[[int], list[tuple[int, str]]]) -> None:
        self.answers = answers
        self.said: asyncio.Queue[peer_pb2.DeliverResponse] = asyncio.Queue()
        self.got: list[tuple[int, str]] = []
        self.is_cancelled = False

    async def write(self, message: peer_pb2.DeliverRequest) -> None:
        self.got.append((message.number, message.kind))
        for number, code in self.answers(message.number):
            self.said.put_nowait(peer_pb2.DeliverResponse(number=number, code=code))

    async def read(self) -> peer_pb2.DeliverResponse:
        return await self.said.get()

    def cancel(self) -> None:
        self.is_cancelled = True


class Stub:
    def __init__(self, answers: Callable[[int], list[tuple[int, str]]]) -> None:
        self.answers = answers
        self.calls: list[Call] = []

    def Deliver(self) -> Call:  # noqa: N802 - gRPC's name
        self.calls.append(Call(self.answers))
        return self.calls[-1]


def sent_to(answers: Callable[[int], list[tuple[int, str]]], *kinds: str) -> tuple[list[object], Stub, float]:
    """What became of messages that leave together, all of them on one stream, and how long it took."""

    async def scenario() -> tuple[list[object], Stub, float]:
        stub, streams = Stub(answers), list[_Stream]()

        def opened() -> _Stream:
            streams.append(_Stream())
            return streams[-1]

        monkeypatch.setattr(deliveries, "_Stream", opened)
        box = Deliveries(PEER, cast("Any", stub))
        running = asyncio.ensure_future(box.run())
        sends = [box.send(peer_pb2.DeliverRequest(kind=kind)) for kind in kinds]
        said: list[object] = list(await asyncio.gather(*sends, return_exceptions=True))
        assert not running.done()
        took = asyncio.get_running_loop().time()
        assert [stream.unanswered for stream in streams] == [{}]
        running.cancel()
        await asyncio.wait([running])
        assert len(asyncio.all_tasks()) == 1
        assert all(call.is_cancelled for call in stub.calls)
        return said, stub, took

    with pytest.MonkeyPatch.context() as monkeypatch:
        return run(scenario())


def test_answers_to_messages_that_nobody_sent_and_second_answers_are_passed_over():
    def answers(number: int) -> list[tuple[int, str]]:
        return [(0, ""), (number + 7, ""), (number, ""), (number, "NOT_ALLOWED"), (2**64 - 1, "INTERNAL")]

    said, stub, _ = sent_to(answers, "one", "two", "three")
    assert said == [None, None, None]
    assert [call.got for call in stub.calls] == [[(1, "one"), (2, "two"), (3, "three")]]


def test_the_first_answer_counts():
    said, _, _ = sent_to(lambda number: [(number, "NOT_ALLOWED"), (number, "")], "one")
    assert [(type(error), cast("CallerError", error).code) for error in said] == [(CallerError, ErrorCode.NOT_ALLOWED)]


@pytest.mark.parametrize("given", [lambda _: [], lambda number: [(number + 1_000, "")]])
def test_a_peer_that_never_answers_costs_its_own_messages_their_time(given):
    said, stub, took = sent_to(given, "one", "two")
    assert all(isinstance(error, UnavailableError) and error.code is ErrorCode.TIMED_OUT for error in said)
    assert took == pytest.approx(DELIVERY_S)
    assert len(stub.calls) == 1


def test_who_gives_up_while_the_stream_breaks_ends_nobody():
    async def scenario():
        stream, box = _Stream(), Deliveries(PEER, cast("Any", None))
        given_up, waiting = (asyncio.get_running_loop().create_future() for _ in range(2))
        stream.add(given_up)
        stream.add(waiting)
        given_up.cancel()
        box._tell(stream, ConnectionError("the stream broke"))
        with pytest.raises(UnavailableError):
            await waiting

    run(scenario())


class Idle:
    """A peer that opened a stream and says nothing."""

    async def read(self) -> object:
        return await asyncio.get_running_loop().create_future()


def test_of_a_peers_streams_the_newest_stays():
    async def scenario():
        async def take(_peer: MemberIndex, _message: peer_pb2.DeliverRequest) -> None:
            pass

        server, streams = DeliveriesServer(take), []
        for _ in range(100):
            streams.append(asyncio.ensure_future(server.serve(PEER, cast("Any", Idle()))))
            await asyncio.sleep(1)
            assert [stream.done() for stream in streams] == [True] * (len(streams) - 1) + [False]
        server.close()
        assert await asyncio.gather(*streams) == [None] * 100

    run(scenario())


REFUSED = grpc.aio.AioRpcError(
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.aio.Metadata(),
    grpc.aio.Metadata((CODE_KEY, str(ErrorCode.WRONG_PEER))),
    "refused",
    None,
)

ENDS = {
    "refused": (REFUSED, ErrorCode.WRONG_PEER),
    "unreachable": (
        grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "", None),
        ErrorCode.UNAVAILABLE,
    ),
    "over": (asyncio.InvalidStateError("RPC already finished."), ErrorCode.UNAVAILABLE),
    "used wrongly, as gRPC finds": (grpc.aio.UsageError("Channel is closed."), ErrorCode.UNAVAILABLE),
    "failed in gRPC": (grpc.aio.InternalError("Failed grpc_call_start_batch"), ErrorCode.UNAVAILABLE),
    "cancelled by gRPC": (asyncio.CancelledError(), ErrorCode.UNAVAILABLE),
}


@pytest.mark.parametrize("at", ["read", "write"])
@pytest.mark.parametrize("how", ENDS)
def test_however_a_stream_ends_who_waits_is_told_and_the_next_one_opens(how, at):
    async def scenario():
        raised, code = ENDS[how]
        stub = Stub(lambda number: [(number, "")])

        async def ends(*_: object) -> None:
            await asyncio.sleep(0.1)
            raise raised

        def broken() -> Call:
            call = Call(lambda _: [])
            setattr(call, at, ends)
            stub.Deliver = whole  # type: ignore[method-assign]
            return call

        whole, stub.Deliver = stub.Deliver, broken  # type: ignore[method-assign]
        box = Deliveries(PEER, cast("Any", stub))
        running = asyncio.ensure_future(box.run())
        with pytest.raises(NodeError) as caught:
            await box.send(peer_pb2.DeliverRequest(kind="one"))
        assert caught.value.code is code
        assert asyncio.get_running_loop().time() == pytest.approx(0.1)
        await box.send(peer_pb2.DeliverRequest(kind="two"))
        assert not running.done()
        running.cancel()

    run(scenario())
