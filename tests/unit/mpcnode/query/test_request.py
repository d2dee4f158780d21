"""A request survives its statement; every rule that it may break is named."""

import dataclasses

import pytest

from ledger import merkle
from ledger.errors import DecodeError
from ledger.types import ChainId, Millis, Signature
from mpcnode.errors import ErrorCode, RequestError, WrongSignatureError
from mpcnode.query.request import (
    NO_BLOB,
    REQUEST_BYTES,
    check_own_token,
    check_sealed_request,
    check_signed_request,
    check_window,
    decode_request,
    decode_sealed_request,
    encode_request,
    encode_sealed_request,
    read_request,
)
from mpcnode.types import SUBJECTS_MAX, BlobId, MemberIndex
from scripts.vector_query import CHAIN, INQUIRER, NOW
from tests.support.queries import ASKED, REQUEST, SEALED, changed_request, resealed


def with_word(place, value):
    stated = ASKED.statement
    return stated[: 32 * place] + value + stated[32 * (place + 1) :]


def test_a_request_survives_its_statement():
    assert len(encode_request(REQUEST)) == REQUEST_BYTES == 576
    assert decode_request(encode_request(REQUEST)) == REQUEST


def test_a_request_about_many_says_where_they_are():
    many = dataclasses.replace(
        REQUEST, subjects=SUBJECTS_MAX, pseudonyms=BlobId(b"p" * 32), identifiers=BlobId(b"i" * 32)
    )
    assert decode_request(encode_request(many)) == many
    for one in ({"pseudonyms": NO_BLOB}, {"identifiers": NO_BLOB}, {"subjects": 1}):
        with pytest.raises(RequestError, match=r"^subjects: "):
            decode_request(encode_request(dataclasses.replace(many, **one)))


@pytest.mark.parametrize(
    ("place", "value", "name"),
    [
        (0, b"mpcnode/request/2".ljust(32, b"\0"), "statement"),
        (4, b"\x01" + bytes(31), "panel"),
        (4, bytes(32), "panel"),
        (5, bytes(32), "purpose"),
        (5, b"a\0b".ljust(32, b"\0"), "purpose"),
        (5, b"\xff" * 32, "purpose"),
        (7, b"\xff" * 32, "contribute_by"),
        (8, b"\xff" * 32, "deadline"),
        (8, bytes(32), "deadline"),
        (9, bytes(32), "result key"),
        (9, (1).to_bytes(32, "little"), "result key"),
        (10, b"oprf".ljust(32, b"\0"), "scheme"),
        (10, b"keyed\0x".ljust(32, b"\0"), "scheme"),
        (14, b"\x01" + bytes(31), "epoch"),
        (15, bytes(32), "subjects"),
        (15, (2).to_bytes(32, "big"), "subjects"),
        (15, (SUBJECTS_MAX + 1).to_bytes(32, "big"), "subjects"),
        (15, b"\x01" + bytes(31), "subjects"),
        (16, b"\x01" * 32, "subjects"),
        (17, b"\x01" * 32, "subjects"),
    ],
)
def test_a_wrong_word_is_refused_by_name(place, value, name):
    with pytest.raises(RequestError, match=f"^{name}: "):
        decode_request(with_word(place, value))


@pytest.mark.parametrize("stated", [b"", ASKED.statement[:-1], ASKED.statement + bytes(32)])
def test_a_request_has_18_words(stated):
    with pytest.raises(RequestError, match="576 bytes"):
        decode_request(stated)


@pytest.mark.parametrize(("place", "value"), [(9, (1).to_bytes(32, "little")), (10, b"\xff" * 32)])
def test_what_the_contract_registers_can_be_read(place, value):
    with pytest.raises(RequestError):
        decode_request(with_word(place, value))
    assert read_request(with_word(place, value)).query == REQUEST.query


def test_the_inquirer_signed_it_on_this_chain():
    assert check_signed_request(ASKED.statement, ASKED.signature, INQUIRER.public, CHAIN) == REQUEST
    with pytest.raises(WrongSignatureError):
        check_signed_request(ASKED.statement, Signature(bytes(64)), INQUIRER.public, CHAIN)
    with pytest.raises(WrongSignatureError):
        check_signed_request(with_word(5, b"fraud".ljust(32, b"\0")), ASKED.signature, INQUIRER.public, CHAIN)
    with pytest.raises(RequestError, match=r"^chain: "):
        check_signed_request(ASKED.statement, ASKED.signature, INQUIRER.public, ChainId(bytes(32)))


def test_a_sealed_request_passes_every_check():
    assert check_sealed_request(SEALED, CHAIN, now=NOW) == REQUEST


@pytest.mark.parametrize(
    ("sealed", "code"),
    [
        (dataclasses.replace(SEALED, tokens=SEALED.tokens[:1]), ErrorCode.TOKENS_MISMATCH),
        (dataclasses.replace(SEALED, tokens=SEALED.tokens[::-1]), ErrorCode.TOKENS_MISMATCH),
        (dataclasses.replace(SEALED, tokens=(SEALED.tokens[0], bytes(200))), ErrorCode.TOKENS_MISMATCH),
        (dataclasses.replace(SEALED, supervisor_copy=bytes(312)), ErrorCode.COPY_MISMATCH),
        (dataclasses.replace(SEALED, supervisor_copy=b""), ErrorCode.COPY_MISMATCH),
        (resealed(deadline=Millis(NOW + 3_600_001)), ErrorCode.WINDOW),
        (resealed(deadline=REQUEST.contribute_by), ErrorCode.WINDOW),
        (resealed(contribute_by=NOW), ErrorCode.PAST_DEADLINE),
        (resealed(panel=0b10000), ErrorCode.TOKENS_MISMATCH),
        (resealed(scheme="other"), ErrorCode.REQUEST_FORM),
    ],
)
def test_a_sealed_request_that_breaks_a_rule_is_refused_with_its_code(sealed, code):
    with pytest.raises(RequestError) as caught:
        check_sealed_request(sealed, CHAIN, now=NOW)
    assert caught.value.code is code


def test_tokens_of_another_width_are_refused_even_if_they_were_signed():
    tokens = (bytes(199), bytes(200))
    sealed = dataclasses.replace(resealed(tokens_root=merkle.root(tokens)), tokens=tokens)
    with pytest.raises(RequestError, match="token 0: expected 200 bytes, got 199"):
        check_sealed_request(sealed, CHAIN, now=NOW)


def test_the_window_has_edges():
    check_window(REQUEST, Millis(REQUEST.contribute_by - 1))
    with pytest.raises(RequestError):
        check_window(REQUEST, REQUEST.contribute_by)
    check_window(changed_request(deadline=Millis(NOW + 3_600_000)), NOW)


def test_a_member_finds_its_own_token_under_the_root():
    for seat, member in enumerate((4, 5)):
        path = merkle.path(SEALED.tokens, seat)
        check_own_token(REQUEST, MemberIndex(member), SEALED.tokens[seat], path)
        with pytest.raises(RequestError) as caught:
            check_own_token(REQUEST, MemberIndex(member), SEALED.tokens[1 - seat], path)
        assert caught.value.code is ErrorCode.TOKENS_MISMATCH
    with pytest.raises(RequestError) as caught:
        check_own_token(REQUEST, MemberIndex(3), SEALED.tokens[0], merkle.path(SEALED.tokens, 0))
    assert caught.value.code is ErrorCode.NOT_IN_PANEL


def test_a_sealed_request_survives_the_journal():
    assert decode_sealed_request(encode_sealed_request(SEALED)) == SEALED
    with pytest.raises(DecodeError):
        decode_sealed_request(encode_sealed_request(SEALED) + b"\0")
