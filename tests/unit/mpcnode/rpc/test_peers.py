"""Delivering until a peer has kept it, has refused it for good, or the caller gives up."""

import asyncio
from itertools import pairwise
from typing import Any, cast

import grpc
import pytest

from ledger.types import ChainId
from mpcnode.errors import (
    CATALOGUE,
    CallerError,
    ErrorCode,
    NodeError,
    NotAllowedError,
    PeerRefusedError,
    UnavailableError,
)
from mpcnode.rpc.peers import Peers
from mpcnode.rpc.statuses import CODE_KEY, error_of, is_passing, refusal
from mpcnode.sealing.messages import SignedMessage, check_message
from mpcnode.types import MemberIndex, SessionId
from mpcnode.v1 import peer_pb2
from tests.support.consortium import identity, seed
from tests.support.virtual_time import run

ME, PEER = MemberIndex(1), MemberIndex(2)
CHAIN = ChainId(seed("chain"))


def failure(status: grpc.StatusCode, code: ErrorCode | None = None) -> grpc.aio.AioRpcError:
    sent = grpc.aio.Metadata() if code is None else grpc.aio.Metadata((CODE_KEY, str(code)))
    return grpc.aio.AioRpcError(status, grpc.aio.Metadata(), sent, "of the other side", None)


def failure_of(code: ErrorCode) -> grpc.aio.AioRpcError:
    return failure(grpc.StatusCode[CATALOGUE[code].grpc], code)


class Outbox:
    """A peer that fails, or takes everything at last."""

    def __init__(self, *failures: NodeError, takes_at_last: bool = False) -> None:
        self.failures = list(failures)
        self.takes_at_last = takes_at_last
        self.taken: list[tuple[float, peer_pb2.DeliverRequest]] = []

    async def send(self, request: peer_pb2.DeliverRequest) -> None:
        self.taken.append((asyncio.get_running_loop().time(), request))
        await asyncio.sleep(0.001)
        if self.failures:
            raise self.failures.pop(0) if self.takes_at_last else self.failures[0]


def peers(outbox: Outbox) -> Peers:
    return Peers(
        chain=CHAIN,
        me=ME,
        key=identity(ME),
        outboxes={PEER: cast("Any", outbox)},
        rounds=None,
        pullers={},
        blobs=cast("Any", None),
        links={},
    )


def test_a_message_is_signed_for_its_receiver():
    async def scenario():
        outbox = Outbox()
        await peers(outbox).deliver(PEER, "order", b"payload")
        ((_, request),) = outbox.taken
        signed = SignedMessage(
            kind=request.kind,
            sender=MemberIndex(request.sender),
            receiver=MemberIndex(request.receiver),
            payload=request.payload,
            signature=cast("Any", request.signature),
        )
        assert check_message(signed, CHAIN, peer=ME, peer_key=identity(ME).public, me=PEER) == b"payload"

    run(scenario())


@pytest.mark.parametrize("code", [ErrorCode.UNAVAILABLE, ErrorCode.BUSY, ErrorCode.INTERNAL, ErrorCode.STORAGE])
def test_what_may_pass_is_tried_again_with_the_same_bytes_and_growing_patience(code):
    async def scenario():
        outbox = Outbox(*[refusal(code)] * 12, takes_at_last=True)
        await peers(outbox).deliver(PEER, "shares", b"payload")
        assert len(outbox.taken) == 13
        assert len({request.SerializeToString() for _, request in outbox.taken}) == 1
        times = [at for at, _ in outbox.taken]
        waits = [later - at for at, later in pairwise(times)]
        assert min(waits) >= 0.2
        assert max(waits) <= 3.2
        assert waits[-1] > 2

    run(scenario())


@pytest.mark.parametrize(
    "code", [ErrorCode.MALFORMED_MESSAGE, ErrorCode.NOT_ALLOWED, ErrorCode.WRONG_SIGNATURE, ErrorCode.PAST_DEADLINE]
)
def test_what_is_refused_for_good_is_not_tried_again(code):
    async def scenario():
        outbox = Outbox(refusal(code))
        with pytest.raises(PeerRefusedError) as refused:
            await peers(outbox).deliver(PEER, "order", b"payload")
        assert refused.value.code is code
        assert len(outbox.taken) == 1

    run(scenario())


def test_who_gives_up_leaves_nothing_behind():
    async def scenario():
        outbox = Outbox(UnavailableError("the stream broke"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await peers(outbox).deliver(PEER, "order", b"payload")
        tried = len(outbox.taken)
        await asyncio.sleep(30)
        assert len(outbox.taken) == tried
        assert len(asyncio.all_tasks()) == 1

    run(scenario())


def test_a_daemon_that_does_not_compute_has_no_rounds():
    with pytest.raises(NotAllowedError):
        peers(Outbox()).rounds(SessionId(bytes(32)), [PEER])
    with pytest.raises(NotAllowedError):
        peers(Outbox()).pull(PEER, SessionId(bytes(32)), 0, 10)


PASSING = {
    ErrorCode.UNAVAILABLE,
    ErrorCode.BUSY,
    ErrorCode.OFFERS_FULL,
    ErrorCode.TIMED_OUT,
    ErrorCode.TRANSACTION_EXPIRED,
    *(code for code, entry in CATALOGUE.items() if entry.grpc == "INTERNAL"),
}
"""Nobody's fault, or the other side's own, which its operator may mend."""


@pytest.mark.parametrize("code", ErrorCode)
def test_a_code_comes_back_as_what_it_was(code):
    error = error_of(failure_of(code))
    assert error.code is code
    assert isinstance(error, UnavailableError if code in PASSING else CallerError)
    assert is_passing(failure_of(code)) is (code in PASSING)
    assert str(error) == CATALOGUE[code].public
    refused = refusal(str(code))
    assert (type(refused), refused.code, str(refused)) == (type(error), code, str(error))


def test_a_code_that_is_not_known_here_may_pass():
    refused = refusal("OF_A_LATER_VERSION")
    assert isinstance(refused, UnavailableError)
    assert refused.code is ErrorCode.INTERNAL


@pytest.mark.parametrize(
    "status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN]
)
def test_a_side_that_says_no_code_never_answered(status):
    error = error_of(failure(status))
    assert isinstance(error, UnavailableError)
    assert error.code is ErrorCode.UNAVAILABLE
    assert is_passing(failure(status)) is (status is not grpc.StatusCode.UNIMPLEMENTED)
