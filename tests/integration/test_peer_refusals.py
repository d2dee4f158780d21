"""What a member's listener refuses of its peers: certificates, senders, receivers, roles, signatures, and any bytes."""

import asyncio
import dataclasses
import struct
from contextlib import suppress
from typing import Any

import grpc
import pytest
import structlog

from ledger.types import ChainId
from mpcnode.errors import ErrorCode
from mpcnode.query.messages import Kind
from mpcnode.rpc.peers import KINDS
from mpcnode.rpc.permissions import PERMISSIONS
from mpcnode.rpc.tls import CONTROL_BYTES_MAX
from mpcnode.sealing.messages import sign_message
from mpcnode.types import Role
from mpcnode.v1 import peer_pb2, peer_pb2_grpc
from tests.support.peer_tls import (
    BANK,
    BANK_MPC,
    CHAIN,
    EXPIRED_MPC,
    INSURER,
    INSURER_MPC,
    MEMBERS,
    OPERATOR,
    REGULATOR,
    Listener,
    code_of,
    identity,
    tls,
    tls_of,
)

ALLOWED = {
    ("operator", "order", "mpc"),
    ("operator", "order", "participant"),
    ("participant", "shares", "mpc"),
    ("supervisor", "deal", "mpc"),
    ("mpc", "accept", "mpc"),
    ("mpc", "accept", "supervisor"),
    ("mpc", "end", "mpc"),
    ("mpc", "abort", "mpc"),
    ("mpc", "draw", "mpc"),
    ("mpc", "stock", "mpc"),
    ("supervisor", "recall", "mpc"),
    ("mpc", "frames", "supervisor"),
    ("mpc", "differ", "supervisor"),
}
"""Who may say what to whom, written down a second time."""

SENDERS = (OPERATOR, INSURER, INSURER_MPC, REGULATOR)
RECEIVERS = (OPERATOR, BANK, BANK_MPC, REGULATOR)


def role_name(member):
    return (MEMBERS[member].roles.name or "").lower()


def request(signer, to, said="accept", body=b"payload", *, chain=CHAIN, key=None, **changes):
    """A message as `signer` would sign it for `to`, then changed."""
    signed = sign_message(key or identity(signer), chain, kind=said, sender=signer, receiver=to, payload=body)
    fields = {"kind": said, "sender": signer, "receiver": to, "payload": body, "signature": signed.signature}
    return peer_pb2.DeliverRequest(**(fields | changes))


async def answer(channel, message, metadata=None):
    """The code of the refusal, `ok`, or the bare status of a stream that reached no handler."""
    call = peer_pb2_grpc.PeerServiceStub(channel).Deliver(timeout=20, metadata=metadata)
    try:
        with suppress(asyncio.InvalidStateError):  # the refusal may come before everything is written
            await call.write(message)
        answered = await call.read()
        if isinstance(answered, peer_pb2.DeliverResponse):
            assert answered.number == message.number
            return answered.code or "ok"
        return (await call.code()).name
    except grpc.aio.AioRpcError as failure:
        return code_of(failure)
    finally:
        call.cancel()


async def rounds_answer(channel):
    call = peer_pb2_grpc.PeerServiceStub(channel).Rounds(timeout=0.3)
    try:
        await call.read()
        await call.code()
    except grpc.aio.AioRpcError as failure:
        return code_of(failure)
    finally:
        call.cancel()
    return (await call.code()).name


def tried(me, pair, message, members=MEMBERS):
    """Send one message to a member over a channel; what was said, and what reached a handler."""

    async def work():
        listener = Listener(me, members)
        async with listener.running(), listener.channel(pair) as channel:
            return await answer(channel, message), listener.taken

    return asyncio.run(work())


def test_what_a_member_may_say_is_taken():
    said, taken = tried(BANK_MPC, tls(INSURER_MPC), request(INSURER_MPC, BANK_MPC))
    assert (said, taken) == ("ok", [(Kind.ACCEPT, INSURER_MPC, b"payload")])


# --------------------------------------------------------------------------- certificates


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(None, id="none"),
        pytest.param(tls_of("member-5", days_ago=3), id="same name, another key"),
        pytest.param(tls_of("stranger"), id="a stranger's"),
        pytest.param(tls(EXPIRED_MPC), id="expired"),
    ],
)
def test_no_call_gets_through_with_another_certificate(pair):
    said, taken = tried(BANK_MPC, pair, request(INSURER_MPC, BANK_MPC))
    assert said in {"UNAVAILABLE", "WRONG_PEER"}
    assert taken == []


def test_a_certificate_speaks_for_its_own_member_only():
    """The right certificate of one member, the right signature of another."""
    said, taken = tried(BANK_MPC, tls(REGULATOR), request(INSURER_MPC, BANK_MPC))
    assert (said, taken) == ("NOT_ALLOWED", [])
    said, taken = tried(BANK_MPC, tls(INSURER_MPC), request(BANK_MPC, BANK_MPC))
    assert (said, taken) == ("WRONG_PEER", [])


def test_a_member_that_is_not_active_is_refused():
    members = {**MEMBERS, INSURER_MPC: dataclasses.replace(MEMBERS[INSURER_MPC], active=False)}
    said, taken = tried(BANK_MPC, tls(INSURER_MPC), request(INSURER_MPC, BANK_MPC), members)
    assert (said, taken) == ("NOT_ALLOWED", [])


def test_a_client_does_not_talk_to_another_member_than_it_dialled():
    async def work():
        listener = Listener(BANK_MPC)
        wrong = tls(INSURER_MPC).certificate
        async with listener.running(), listener.channel(tls(INSURER), trusts=wrong) as channel:
            return await answer(channel, request(INSURER, BANK_MPC, "shares")), listener.taken

    assert asyncio.run(work()) == ("UNAVAILABLE", [])


# --------------------------------------------------------------------------- messages


CHANGED = {
    "another sender field": (request(INSURER_MPC, BANK_MPC, sender=REGULATOR), "WRONG_PEER"),
    "a sender that does not exist": (request(INSURER_MPC, BANK_MPC, sender=2**32 - 1), "WRONG_PEER"),
    "another receiver": (request(INSURER_MPC, INSURER), "WRONG_PEER"),
    "a message to another receiver, its field changed": (
        request(INSURER_MPC, INSURER, receiver=BANK_MPC),
        "WRONG_SIGNATURE",
    ),
    "another kind": (request(INSURER_MPC, BANK_MPC, "accept", kind="end"), "WRONG_SIGNATURE"),
    "another payload": (request(INSURER_MPC, BANK_MPC, payload=b"payloae"), "WRONG_SIGNATURE"),
    "another member's signature": (request(INSURER_MPC, BANK_MPC, key=identity(REGULATOR)), "WRONG_SIGNATURE"),
    "another chain": (request(INSURER_MPC, BANK_MPC, chain=ChainId(bytes(32))), "WRONG_SIGNATURE"),
    "no signature": (request(INSURER_MPC, BANK_MPC, signature=b""), "WRONG_SIGNATURE"),
    "a longer signature": (request(INSURER_MPC, BANK_MPC, signature=bytes(65)), "WRONG_SIGNATURE"),
    "a signature of zeros": (request(INSURER_MPC, BANK_MPC, signature=bytes(64)), "WRONG_SIGNATURE"),
    "a kind that nobody knows": (request(INSURER_MPC, BANK_MPC, "gossip"), "NOT_ALLOWED"),
    "an empty kind": (request(INSURER_MPC, BANK_MPC, kind=""), "NOT_ALLOWED"),
    "nothing at all": (peer_pb2.DeliverRequest(), "NOT_ALLOWED"),
}


def test_every_changed_message_is_refused_before_its_handler():
    async def work():
        listener = Listener(BANK_MPC)
        async with listener.running(), listener.channel(tls(INSURER_MPC)) as channel:
            said = {name: await answer(channel, message) for name, (message, _) in CHANGED.items()}
            return said, listener.taken

    said, taken = asyncio.run(work())
    assert said == {name: code for name, (_, code) in CHANGED.items()}
    assert taken == []


# --------------------------------------------------------------------------- roles


def test_every_pair_of_roles_and_every_kind():
    """The whole matrix over real channels; every role has handlers for everything, so only the table refuses."""

    async def at(receiver):
        listener, found = Listener(receiver), {}
        async with listener.running():
            for sender in SENDERS:
                async with listener.channel(tls(sender)) as channel:
                    for kind in Kind:
                        said = await answer(channel, request(sender, receiver, str(kind)))
                        found[role_name(sender), str(kind), role_name(receiver)] = said
            taken = {(role_name(sender), str(kind), role_name(receiver)) for kind, sender, _ in listener.taken}
        return found, taken

    for receiver in RECEIVERS:
        found, taken = asyncio.run(at(receiver))
        wanted = {cell for cell in ALLOWED if cell[2] == role_name(receiver)}
        assert {cell for cell, said in found.items() if said == "ok"} == wanted
        assert {said for cell, said in found.items() if cell not in wanted} == {"NOT_ALLOWED"}
        assert taken == wanted


def test_rounds_run_between_mpc_nodes_only():
    async def at(receiver):
        listener, found = Listener(receiver), {}
        async with listener.running():
            for sender in SENDERS:
                async with listener.channel(tls(sender)) as channel:
                    found[role_name(sender)] = await rounds_answer(channel)
        return found

    for receiver in (OPERATOR, BANK, REGULATOR):
        assert set(asyncio.run(at(receiver)).values()) == {"NOT_ALLOWED"}
    found = asyncio.run(at(BANK_MPC))
    assert found.pop("mpc") == "MALFORMED_MESSAGE"  # the member with the lower index dials
    assert set(found.values()) == {"NOT_ALLOWED"}


def test_every_kind_has_its_row_and_every_rpc_its_rule():
    """A new kind without a row is refused to everybody, and this fails until somebody has thought about it."""
    assert set(PERMISSIONS) == set(Kind) == set(KINDS.values())
    rows = {
        (str(sender.name).lower(), str(kind), str(receiver.name).lower())
        for kind, permission in PERMISSIONS.items()
        for sender in Role
        if sender & permission.senders
        for receiver in Role
        if receiver & permission.receivers
    }
    assert rows == ALLOWED
    service = peer_pb2.DESCRIPTOR.services_by_name["PeerService"]
    assert [method.name for method in service.methods] == ["Deliver", "Rounds", "Corrections"]


def test_what_is_refused_does_not_fill_the_log():
    with structlog.testing.capture_logs() as logs:
        said, _ = tried(BANK_MPC, tls(INSURER_MPC), request(INSURER_MPC, BANK_MPC, kind="k" * 1_000_000))
    assert said == "NOT_ALLOWED"
    assert 0 < len(str(logs)) < 1_000


# --------------------------------------------------------------------------- any bytes

GARBAGE = (
    b"",
    b"\xff" * 7,
    b"\x0a\xff\xff\xff\xff\x0f",  # a length beyond the end
    bytes([0x22]) + b"\x80" * 10,  # a length of 70 bits
    b"\x0a\x02\xc3\x28",  # a text that is no UTF-8
    struct.pack("<BQ", 0x11, 2**64 - 1),
    b"\x0b" * 100_000,  # groups, nested
)


async def refusal_of(call):
    """Some of it is a message, of no kind, which is answered; the rest ends the stream."""
    with suppress(grpc.aio.AioRpcError):
        answered = await call.read()
        if isinstance(answered, bytes):
            return peer_pb2.DeliverResponse.FromString(answered).code
    return await call.code()


def test_malformed_bytes_get_a_status_and_the_next_message_an_answer():
    async def work():
        listener = Listener(BANK_MPC)
        async with listener.running(), listener.channel(tls(INSURER_MPC)) as channel:
            raw: Any = channel  # no serialisers: bytes as they are
            deliver = raw.stream_stream("/mpcnode.v1.PeerService/Deliver")
            unknown = raw.unary_unary("/mpcnode.v1.PeerService/Nothing")
            rounds = raw.stream_stream("/mpcnode.v1.PeerService/Rounds")
            said = []
            for data in GARBAGE:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await unknown(data, timeout=20)
                said.append(caught.value.code())
                for method in (deliver, rounds):
                    call, is_written = method(timeout=20), False
                    # the refusal may come before everything is written; its status is what counts
                    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                        await call.write(data)
                        await call.done_writing()
                        is_written = True
                    async with asyncio.timeout(20):
                        status = await refusal_of(call) if method is deliver else await call.code()
                    # a client whose write fails sets this status itself, if it is faster than the other side's
                    is_cut_off = status is grpc.StatusCode.INTERNAL and not is_written
                    said.append(grpc.StatusCode.INVALID_ARGUMENT if is_cut_off else status)
            assert await answer(channel, request(INSURER_MPC, BANK_MPC)) == "ok"
            return said, listener.taken

    said, taken = asyncio.run(work())
    assert said.count("NOT_ALLOWED") == 2
    # of messages the others, and all rounds: who dials is wrong
    assert said.count(grpc.StatusCode.INVALID_ARGUMENT) == len(GARBAGE) - 2 + len(GARBAGE)
    assert grpc.StatusCode.OK not in said
    assert grpc.StatusCode.DEADLINE_EXCEEDED not in said
    assert len(taken) == 1


def test_oversize_messages_and_metadata_are_refused():
    async def work():
        listener = Listener(BANK_MPC)
        async with listener.running():
            channel = grpc.aio.secure_channel(
                f"127.0.0.1:{listener.port}",
                grpc.ssl_channel_credentials(
                    tls(BANK_MPC).certificate, tls(INSURER_MPC).key, tls(INSURER_MPC).certificate
                ),
                options=[("grpc.ssl_target_name_override", "member-2"), ("grpc.max_send_message_length", -1)],
            )
            async with channel:
                large = request(INSURER_MPC, BANK_MPC, body=bytes(CONTROL_BYTES_MAX))
                refused = await answer(channel, large)
                padded = await answer(channel, request(INSURER_MPC, BANK_MPC), (("padding", "x" * 64 * 1024),))
                assert await answer(channel, request(INSURER_MPC, BANK_MPC)) == "ok"
                return refused, padded, len(listener.taken)

    assert asyncio.run(work()) == ("RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", 1)


def test_whatever_a_handler_raises_is_a_code_without_its_message():
    async def work():
        listener = Listener(BANK_MPC)
        listener.fails_with = KeyError("4711-planted-in-an-exception")
        async with listener.running(), listener.channel(tls(INSURER_MPC)) as channel:
            stub: Any = peer_pb2_grpc.PeerServiceStub(channel)
            call = stub.Deliver(timeout=20)
            await call.write(request(INSURER_MPC, BANK_MPC, number=7))
            answered = await call.read()
            call.cancel()
            return answered

    with structlog.testing.capture_logs() as logs:
        answered = asyncio.run(work())
    assert answered == peer_pb2.DeliverResponse(number=7, code=ErrorCode.INTERNAL)
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["call.failed"]
