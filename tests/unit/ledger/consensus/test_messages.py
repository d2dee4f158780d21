"""The law of the decoder: a value or `DecodeError`; one value, one encoding."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.consensus import (
    BlockMessage,
    Decided,
    GetBlock,
    Message,
    Status,
    decode_message,
    encode_message,
    height_of,
)
from ledger.encoding import BLOCK_BYTES_MAX, MESSAGE_BYTES_MAX, TX_BYTES_MAX, VALIDATORS_MAX, VIEWS_AHEAD_MAX
from ledger.errors import DecodeError
from ledger.types import Block, Certificate, FinalBlock, Height, Signature, View
from tests.unit.ledger.consensus.lab import F, Lab, N, X, hash_of

LAB = Lab()
BLOCK = LAB.block(b"one", b"two")
MESSAGES: tuple[Message, ...] = (
    LAB.vote(1, N, 3, BLOCK),
    LAB.vote(1, X, 3),
    LAB.certificate(F, 2, BLOCK),
    LAB.proposal(BLOCK, 4, 2, (LAB.certificate(N, 2, BLOCK), LAB.certificate(X, 3))),
    Status(height=Height(7), view=View(8)),
    GetBlock(height=Height(1), block_hash=hash_of(BLOCK)),
    BlockMessage(block=BLOCK),
    Decided(block=BLOCK, certificate=LAB.certificate(F, 2, BLOCK)),
)
ENCODED = tuple(map(encode_message, MESSAGES))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives_its_encoding(message):
    assert decode_message(encode_message(message)) == message


def test_every_kind_has_its_own_tag():
    tags = {type(message): encode_message(message)[0] for message in MESSAGES}
    assert sorted(tags.values()) == list(range(1, 8))


def test_every_message_speaks_of_a_height():
    assert [height_of(message) for message in MESSAGES] == [1, 1, 1, 1, 7, 1, 1, 1]


def test_a_decided_block_is_what_the_store_holds():
    decided = MESSAGES[-1]
    assert isinstance(decided, Decided)
    assert decided.final == FinalBlock(block=decided.block, certificate=decided.certificate)


@given(st.binary(max_size=300))
@example(b"")
@example(b"\x00")
@example(b"\x08")
def test_bytes_are_a_message_or_a_decode_error(data):
    try:
        message = decode_message(data)
    except DecodeError:
        return
    assert encode_message(message) == data


@given(st.sampled_from(ENCODED), st.data())
def test_damaged_messages_are_another_message_or_a_decode_error(encoded, data):
    start = data.draw(st.integers(0, len(encoded)))
    end = data.draw(st.integers(start, min(len(encoded), start + 8)))
    damaged = encoded[:start] + data.draw(st.binary(max_size=8)) + encoded[end:]
    try:
        message = decode_message(damaged)
    except DecodeError:
        return
    assert encode_message(message) == damaged


@pytest.mark.parametrize("encoded", ENCODED, ids=lambda encoded: str(encoded[0]))
def test_cut_or_extended_messages_are_refused(encoded):
    for damaged in (encoded[:-1], encoded + b"\0"):
        with pytest.raises(DecodeError):
            decode_message(damaged)


def test_an_oversized_message_is_refused():
    with pytest.raises(DecodeError, match=f"expected 1 to {MESSAGE_BYTES_MAX} bytes"):
        decode_message(bytes(MESSAGE_BYTES_MAX + 1))


def test_the_largest_proposal_fits_a_message():
    tx = bytes(TX_BYTES_MAX)
    count = (BLOCK_BYTES_MAX - 400) // (TX_BYTES_MAX + 4)
    block = Block(header=BLOCK.header, txs=(tx,) * count)
    signatures = (Signature(bytes(64)),) * VALIDATORS_MAX
    wide = Certificate(
        kind=X,
        height=Height(1),
        view=View(1),
        block_hash=LAB.vote(1, X).block_hash,
        signers=tuple(range(VALIDATORS_MAX)),
        signatures=signatures,
    )
    proposal = LAB.proposal(block, 100, 0, (wide,) * (VIEWS_AHEAD_MAX + 1))
    assert len(encode_message(BlockMessage(block=block))) > BLOCK_BYTES_MAX - TX_BYTES_MAX - 404
    assert decode_message(encode_message(proposal)) == proposal
