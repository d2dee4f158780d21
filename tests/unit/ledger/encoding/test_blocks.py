"""Rules of votes and certificates that their bytes already decide."""

from dataclasses import replace

import pytest
from hypothesis import given

from ledger.encoding import (
    block_hash,
    decode_certificate,
    decode_vote,
    encode_certificate,
    encode_header,
    encode_vote,
)
from ledger.errors import DecodeError
from ledger.types import NO_BLOCK, BlockHash, Certificate, Height, Signature, View, Vote, VoteKind
from tests.support import ledger_values as values

SOME = BlockHash(bytes([9] * 32))
VOTE = Vote(
    kind=VoteKind.NOTARIZE,
    height=Height(3),
    view=View(1),
    block_hash=SOME,
    signer=2,
    signature=Signature(bytes(64)),
)
CERTIFICATE = Certificate(
    kind=VoteKind.FINALIZE,
    height=Height(3),
    view=View(1),
    block_hash=SOME,
    signers=(0, 2, 5),
    signatures=(Signature(bytes(64)),) * 3,
)


def test_a_vote_has_its_documented_bytes():
    expected = b"\1" + bytes(7) + b"\3" + bytes(3) + b"\1" + SOME + b"\0\2" + bytes(64)
    assert encode_vote(VOTE) == expected


@pytest.mark.parametrize("number", [0, 4, 255])
def test_an_unknown_kind_of_vote_is_refused(number):
    with pytest.raises(DecodeError, match="expected 1, 2 or 3"):
        decode_vote(bytes([number]) + encode_vote(VOTE)[1:])


def test_view_0_is_refused():
    with pytest.raises(DecodeError, match="view: expected 1 or more"):
        decode_vote(encode_vote(replace(VOTE, view=View(0))))


@pytest.mark.parametrize(
    ("kind", "voted"), [(VoteKind.NULLIFY, SOME), (VoteKind.NOTARIZE, NO_BLOCK), (VoteKind.FINALIZE, NO_BLOCK)]
)
def test_a_block_hash_is_zero_for_nullify_only(kind, voted):
    with pytest.raises(DecodeError, match="expected zero for NULLIFY only"):
        decode_vote(encode_vote(replace(VOTE, kind=kind, block_hash=voted)))


@pytest.mark.parametrize("signers", [(0, 0, 5), (2, 0, 5), (0, 5, 2)])
def test_signers_that_do_not_ascend_are_refused(signers):
    with pytest.raises(DecodeError, match="ascending"):
        decode_certificate(encode_certificate(replace(CERTIFICATE, signers=signers)))


@given(header=values.headers, other=values.headers)
def test_a_block_hash_names_one_header(header, other):
    assert (block_hash(header) == block_hash(other)) == (encode_header(header) == encode_header(other))
    assert (encode_header(header) == encode_header(other)) == (header == other)
