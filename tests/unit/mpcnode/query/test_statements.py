"""Statements survive their bytes, and refuse words that mean nothing."""

import dataclasses
from typing import Any

import pytest

from ledger.errors import DecodeError
from mpcnode.query.statements import (
    decode_accept_statement,
    decode_corrections_statement,
    decode_deal_statement,
    decode_end_statement,
    decode_flush_statement,
    decode_release_statement,
    decode_shares_statement,
    encode_accept_statement,
    encode_corrections_statement,
    encode_deal_statement,
    encode_end_statement,
    encode_flush_statement,
    encode_release_statement,
    encode_shares_statement,
    frames_root,
)
from mpcnode.types import Attempt, SessionId
from tests.support.queries import ACCEPT, CORRECTIONS, DEAL, END, FLUSH, RELEASE, SESSION, SHARES, some_digest

KINDS: dict[str, Any] = {
    "shares": (SHARES, encode_shares_statement, decode_shares_statement, 7),
    "deal": (DEAL, encode_deal_statement, decode_deal_statement, 6),
    "corrections": (CORRECTIONS, encode_corrections_statement, decode_corrections_statement, 5),
    "accept": (ACCEPT, encode_accept_statement, decode_accept_statement, 4),
    "flush": (FLUSH, encode_flush_statement, decode_flush_statement, 6),
    "end": (END, encode_end_statement, decode_end_statement, 10),
    "release": (RELEASE, encode_release_statement, decode_release_statement, 7),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_statement_survives_its_bytes(kind):
    value, encode, decode, words = KINDS[kind]
    assert len(encode(value)) == 32 * words
    assert decode(encode(value)) == value


@pytest.mark.parametrize("kind", KINDS)
def test_a_statement_of_another_kind_or_length_is_refused(kind):
    _, _, decode, _ = KINDS[kind]
    for other, (value, encode, _, _) in KINDS.items():
        data = encode(value)
        if other != kind:
            with pytest.raises(DecodeError):
                decode(data)
        else:
            with pytest.raises(DecodeError):
                decode(data[:-32])
            with pytest.raises(DecodeError):
                decode(data + bytes(32))


@pytest.mark.parametrize(("kind", "place"), [("shares", 3), ("end", 3), ("release", 3)])
@pytest.mark.parametrize("attempt", [0, 4, 2**200])
def test_attempts_are_1_to_3(kind, place, attempt):
    value, encode, decode, _ = KINDS[kind]
    data = encode(value)
    with pytest.raises(DecodeError, match=f"attempt: expected 1 to 3, got {attempt}"):
        decode(data[: 32 * place] + attempt.to_bytes(32, "big") + data[32 * (place + 1) :])


@pytest.mark.parametrize(("kind", "place"), [("shares", 4), ("shares", 5), ("deal", 5), ("flush", 2), ("flush", 3)])
def test_members_are_below_128(kind, place):
    value, encode, decode, _ = KINDS[kind]
    data = encode(value)
    with pytest.raises(DecodeError, match="below 128, got 128"):
        decode(data[: 32 * place] + (128).to_bytes(32, "big") + data[32 * (place + 1) :])


def test_every_field_of_an_end_is_in_its_bytes():
    other: dict[str, Any] = {"chain": some_digest("x"), "attempt": Attempt(2)}
    encoded = {encode_end_statement(END)}
    for field in dataclasses.fields(END):
        value: Any = other.get(field.name, some_digest(f"other {field.name}"))
        encoded.add(encode_end_statement(dataclasses.replace(END, **{field.name: value})))
    assert len(encoded) == 10


def test_the_frames_root_binds_session_chunk_round_data_and_order():
    frames = [(SESSION, 0, 1, b"a"), (SESSION, 0, 2, b"b")]
    other = SessionId(some_digest("other"))
    roots = {
        frames_root(frames),
        frames_root(frames[::-1]),
        frames_root([(other, 0, 1, b"a"), frames[1]]),
        frames_root([(SESSION, 1, 1, b"a"), frames[1]]),
        frames_root([(SESSION, 0, 3, b"a"), frames[1]]),
        frames_root([(SESSION, 0, 1, b"c"), frames[1]]),
        frames_root([]),
    }
    assert len(roots) == 7
