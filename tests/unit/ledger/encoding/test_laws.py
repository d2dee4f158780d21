"""Laws of every codec: decode after encode is the identity; whatever bytes come, one value or `DecodeError`."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.encoding import (
    decode_block,
    decode_certificate,
    decode_header,
    decode_proposal,
    decode_receipt,
    decode_transaction,
    decode_vote,
    encode_block,
    encode_certificate,
    encode_header,
    encode_proposal,
    encode_receipt,
    encode_transaction,
    encode_vote,
)
from ledger.errors import DecodeError
from tests.support import ledger_values as values


@dataclass(frozen=True)
class Codec:
    values: st.SearchStrategy
    encode: Callable
    decode: Callable


CODECS = {
    "header": Codec(values.headers, encode_header, decode_header),
    "transaction": Codec(values.transactions, encode_transaction, decode_transaction),
    "receipt": Codec(values.receipts, encode_receipt, decode_receipt),
    "block": Codec(values.blocks, encode_block, decode_block),
    "vote": Codec(values.votes(), encode_vote, decode_vote),
    "certificate": Codec(values.certificates(), encode_certificate, decode_certificate),
    "proposal": Codec(values.proposals, encode_proposal, decode_proposal),
}
every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


def check_the_one_encoding(codec: Codec, data: bytes) -> None:
    """Either nothing is decoded, or a value whose encoding is these very bytes."""
    try:
        value = codec.decode(data)
    except DecodeError:
        return
    assert codec.encode(value) == data


@every_codec
@given(data=st.data())
def test_decoding_undoes_encoding(codec, data):
    value = data.draw(codec.values)
    assert codec.decode(codec.encode(value)) == value


@every_codec
@given(data=st.data())
def test_changed_bytes_are_another_value_or_refused(codec, data):
    encoded = bytearray(codec.encode(data.draw(codec.values)))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    check_the_one_encoding(codec, bytes(encoded))


@every_codec
@given(data=st.data())
def test_trailing_and_missing_bytes_are_refused(codec, data):
    encoded = codec.encode(data.draw(codec.values))
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(DecodeError):
        codec.decode(encoded[:cut])
    with pytest.raises(DecodeError):
        codec.decode(encoded + data.draw(st.binary(min_size=1, max_size=40)))


@every_codec
@given(noise=st.binary(max_size=600))
def test_noise_is_refused_or_is_a_value(codec, noise):
    check_the_one_encoding(codec, noise)


@every_codec
@given(data=st.data())
def test_lengths_are_checked_before_anything_is_taken(codec, data):
    # any four bytes may be a length or a count: the largest one must not be believed
    encoded = codec.encode(data.draw(codec.values))
    at = data.draw(st.integers(0, len(encoded) - 4))
    check_the_one_encoding(codec, encoded[:at] + b"\xff\xff\xff\xff" + encoded[at + 4 :])
