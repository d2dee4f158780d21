"""A message belongs to one sender, one receiver, one kind; a call to one method and five minutes."""

import dataclasses
from typing import Any

import pytest

from ledger.types import ChainId, Millis
from mpcnode.errors import (
    ErrorCode,
    MalformedMessageError,
    ReplayedError,
    UnavailableError,
    WrongPeerError,
    WrongSignatureError,
)
from mpcnode.sealing.keys import SigningKey
from mpcnode.sealing.messages import (
    CALL_AHEAD_MS_MAX,
    CLOCK_SKEW_MS,
    CallWindow,
    check_call,
    check_message,
    sign_call,
    sign_message,
)
from mpcnode.types import MemberIndex

CHAIN = ChainId(b"\x07" * 32)
KEY, OTHER = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
SENDER, RECEIVER = MemberIndex(3), MemberIndex(5)
NOW = Millis(1_000_000_000)
MESSAGE = sign_message(KEY, CHAIN, kind="shares", sender=SENDER, receiver=RECEIVER, payload=b"payload")
RIGHT: dict[str, Any] = {"peer": SENDER, "peer_key": KEY.public, "me": RECEIVER}


def a_call(**changes):
    values: dict[str, Any] = {
        "method": "Follow",
        "nonce": b"\x0c" * 32,
        "expiry_ms": Millis(NOW + 60_000),
        "payload": b"payload",
    }
    return sign_call(KEY, CHAIN, **(values | changes))


def test_a_message_gives_its_payload():
    assert check_message(MESSAGE, CHAIN, **RIGHT) == b"payload"


@pytest.mark.parametrize(
    "change",
    [{"kind": "deal"}, {"payload": b"payloae"}, {"payload": b""}, {"signature": bytes(64)}, {"signature": b""}],
)
def test_a_changed_message_is_refused(change):
    with pytest.raises(WrongSignatureError):
        check_message(dataclasses.replace(MESSAGE, **change), CHAIN, **RIGHT)


def test_a_message_of_another_chain_or_key_is_refused():
    with pytest.raises(WrongSignatureError):
        check_message(MESSAGE, ChainId(b"\x17" * 32), **RIGHT)
    with pytest.raises(WrongSignatureError):
        check_message(MESSAGE, CHAIN, **(RIGHT | {"peer_key": OTHER.public}))


def test_the_sender_is_the_authenticated_peer_and_the_receiver_is_me():
    with pytest.raises(WrongPeerError, match="expected sender 4, got 3"):
        check_message(MESSAGE, CHAIN, **(RIGHT | {"peer": MemberIndex(4)}))
    with pytest.raises(WrongPeerError, match="expected receiver 6, got 5"):
        check_message(MESSAGE, CHAIN, **(RIGHT | {"me": MemberIndex(6)}))


def test_a_redirected_message_is_refused_even_if_it_names_the_new_receiver():
    with pytest.raises(WrongSignatureError):
        check_message(dataclasses.replace(MESSAGE, receiver=MemberIndex(6)), CHAIN, **(RIGHT | {"me": MemberIndex(6)}))


@pytest.mark.parametrize("kind", ["", "k" * 33, "caf\u00e9", "a\0"])
def test_a_kind_that_is_no_word_is_malformed(kind):
    with pytest.raises(MalformedMessageError):
        check_message(dataclasses.replace(MESSAGE, kind=kind), CHAIN, **RIGHT)


def test_a_call_gives_its_payload():
    assert check_call(a_call(), CHAIN, method="Follow", now=NOW) == b"payload"


@pytest.mark.parametrize(
    "change",
    [{"nonce": b"\x0d" * 32}, {"expiry_ms": NOW + 1}, {"payload": b""}, {"inquirer": OTHER.public}, {"signature": b""}],
)
def test_a_changed_call_is_refused(change):
    with pytest.raises(WrongSignatureError):
        check_call(dataclasses.replace(a_call(), **change), CHAIN, method="Follow", now=NOW)


def test_a_call_of_another_method_is_refused():
    with pytest.raises(MalformedMessageError):
        check_call(a_call(), CHAIN, method="GetReceipt", now=NOW)
    with pytest.raises(WrongSignatureError):
        check_call(dataclasses.replace(a_call(), method="GetReceipt"), CHAIN, method="GetReceipt", now=NOW)


@pytest.mark.parametrize("change", [{"nonce": bytes(31)}, {"expiry_ms": -1}, {"expiry_ms": 1 << 64}])
def test_a_malformed_call_is_refused(change):
    with pytest.raises(MalformedMessageError):
        check_call(dataclasses.replace(a_call(), **change), CHAIN, method="Follow", now=NOW)


def test_a_call_lives_from_its_making_to_its_expiry():
    oldest, furthest = Millis(NOW - CLOCK_SKEW_MS), Millis(NOW + CALL_AHEAD_MS_MAX + CLOCK_SKEW_MS)
    for expiry in (oldest, furthest):
        check_call(a_call(expiry_ms=expiry), CHAIN, method="Follow", now=NOW)
    for outside in (oldest - 1, furthest + 1):
        with pytest.raises(ReplayedError):
            check_call(a_call(expiry_ms=Millis(outside)), CHAIN, method="Follow", now=NOW)


def test_a_call_is_admitted_once_until_it_could_no_longer_be_replayed():
    window, call = CallWindow(8), a_call()
    window.admit(call, NOW)
    last = Millis(call.expiry_ms + CLOCK_SKEW_MS)
    check_call(call, CHAIN, method="Follow", now=last)
    with pytest.raises(ReplayedError):
        window.admit(call, last)
    window.admit(a_call(nonce=b"\x0d" * 32), NOW)


def test_the_window_is_bounded_and_forgets_what_expired():
    window = CallWindow(2)
    window.admit(a_call(nonce=b"\x01" * 32, expiry_ms=Millis(NOW)), NOW)
    window.admit(a_call(nonce=b"\x02" * 32), NOW)
    with pytest.raises(UnavailableError) as caught:
        window.admit(a_call(nonce=b"\x03" * 32), NOW)
    assert caught.value.code is ErrorCode.BUSY
    window.admit(a_call(nonce=b"\x03" * 32), Millis(NOW + CLOCK_SKEW_MS + 1))
