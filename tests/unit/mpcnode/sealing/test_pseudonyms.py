"""A subject has one pseudonym per epoch; a token serves one inquirer's one query."""

import hashlib
import hmac
import struct
from typing import Any

import pytest

from ledger import merkle
from ledger.types import ChainId, PublicKey
from mpcnode.errors import MalformedIdError, SealedBoxError
from mpcnode.sealing.blobs import BlobReference
from mpcnode.sealing.boxes import seal
from mpcnode.sealing.envelopes import open_by_audit
from mpcnode.sealing.keys import OpeningKey
from mpcnode.sealing.pseudonyms import (
    COPY_BYTES,
    SUBJECTS_BLOCK,
    TOKEN_BYTES,
    SubjectCopy,
    SubjectToken,
    copy_opens,
    make_pseudonym,
    make_pseudonyms,
    normalise,
    open_token,
    pad_identifiers,
    pseudonyms_key,
    pseudonyms_root,
    read_batch_copy,
    read_supervisor_copy,
    seal_batch_copy,
    seal_supervisor_copy,
    seal_token,
    split_identifiers,
    subject_binding,
    token_opens,
)
from mpcnode.types import BlobId, Epoch, EpochKeys, Pseudonym, QueryId

CHAIN = ChainId(b"\x07" * 32)
QUERY, OTHER_QUERY = QueryId(b"\x08" * 32), QueryId(b"\x88" * 32)
INQUIRER, OTHER_INQUIRER = PublicKey(b"\x09" * 32), PublicKey(b"\x99" * 32)
K_SUBJ = b"\x0a" * 32
NONCE = b"\x0b" * 32
MEMBER = OpeningKey(b"\x0c" * 32)
AUDIT, ARCHIVE = OpeningKey(b"\x31" * 32), OpeningKey(b"\x32" * 32)
KEYS = EpochKeys(epoch=Epoch(3), audit=AUDIT.public, archive=ARCHIVE.public)


def a_token(**changes):
    values: dict[str, Any] = {
        "query": QUERY,
        "inquirer": INQUIRER,
        "epoch": Epoch(3),
        "pseudonym": make_pseudonym(K_SUBJ, b"ID-1"),
        "nonce": NONCE,
    }
    return SubjectToken(**(values | changes))


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("ab12", b"AB12"),
        ("  ab12\t\n", b"AB12"),
        ("e\u0301", "\u00c9".encode()),
        ("\u00e9", "\u00c9".encode()),
        ("stra\u00dfe", b"STRASSE"),
        ("x" * 64, b"X" * 64),
        ("110101199003078515", b"110101199003078515"),
    ],
)
def test_one_form_of_an_identifier(written, normal):
    assert normalise(written) == normal


@pytest.mark.parametrize("written", ["", "  \t", "x" * 65, "a\0b", "a\x1bb", "\ud800", "\u00e9" * 33])
def test_malformed_identifiers_are_refused_and_never_quoted(written):
    with pytest.raises(MalformedIdError) as caught:
        normalise(written)
    assert not written.strip() or written not in str(caught.value)


def test_the_pseudonym_is_an_hmac_over_length_and_identifier():
    assert make_pseudonym(K_SUBJ, b"ID-1") == hmac.new(K_SUBJ, b"\0\0\0\x04ID-1", hashlib.sha256).digest()
    assert make_pseudonym(b"\x0b" * 32, b"ID-1") != make_pseudonym(K_SUBJ, b"ID-1")


def test_the_subject_key_has_32_bytes():
    with pytest.raises(ValueError, match="got 31"):
        make_pseudonym(bytes(31), b"ID-1")


def test_the_binding_is_blake2b_over_prefixed_fields():
    pseudonym = Pseudonym(b"\x0d" * 32)
    fields = [b"mpcnode/subject/1", CHAIN, QUERY, INQUIRER, pseudonym, NONCE]
    joined = b"".join(struct.pack(">I", len(item)) + item for item in fields)
    assert subject_binding(CHAIN, QUERY, INQUIRER, pseudonym, NONCE) == hashlib.blake2b(joined, digest_size=32).digest()


def test_a_token_survives_its_box_and_has_200_bytes():
    box = seal_token(a_token(), MEMBER.public, b"\x0e" * 32)
    assert len(box) == TOKEN_BYTES == 200
    assert open_token(box, MEMBER) == a_token()


def test_a_token_opens_the_binding_of_its_own_query_only():
    token = a_token()
    binding = subject_binding(CHAIN, QUERY, INQUIRER, token.pseudonym, NONCE)
    right: dict[str, Any] = {
        "chain": CHAIN,
        "query": QUERY,
        "inquirer": INQUIRER,
        "epoch": Epoch(3),
        "binding": binding,
    }
    assert token_opens(token, **right)
    wrong: dict[str, Any] = {
        "chain": ChainId(b"\x17" * 32),
        "query": OTHER_QUERY,
        "inquirer": OTHER_INQUIRER,
        "epoch": Epoch(4),
        "binding": b"\x18" * 32,
    }
    for name, value in wrong.items():
        assert not token_opens(token, **(right | {name: value})), name


def test_a_token_copied_into_another_inquirers_query_does_not_open_its_binding():
    """The attacker copies a victim's sealed token, binding and all, into a query of its own."""
    victim = a_token()
    binding = subject_binding(CHAIN, QUERY, INQUIRER, victim.pseudonym, NONCE)
    copied = open_token(seal_token(victim, MEMBER.public, b"\x0e" * 32), MEMBER)
    theft: dict[str, Any] = {"chain": CHAIN, "inquirer": OTHER_INQUIRER, "epoch": Epoch(3), "binding": binding}
    assert not token_opens(copied, query=OTHER_QUERY, **theft)
    assert not token_opens(copied, query=QUERY, **theft)
    renamed = a_token(inquirer=OTHER_INQUIRER, query=OTHER_QUERY)
    assert not token_opens(renamed, query=OTHER_QUERY, **theft)


@pytest.mark.parametrize(
    "change",
    [{"query": OTHER_QUERY}, {"inquirer": OTHER_INQUIRER}, {"epoch": Epoch(4)}, {"nonce": bytes(32)}],
)
def test_a_token_that_names_another_query_is_refused_even_if_its_pseudonym_opens_the_binding(change):
    binding = subject_binding(CHAIN, QUERY, INQUIRER, a_token().pseudonym, NONCE)
    right: dict[str, Any] = {"chain": CHAIN, "query": QUERY, "inquirer": INQUIRER, "epoch": Epoch(3)}
    assert token_opens(a_token(), binding=binding, **right)
    assert not token_opens(a_token(**change), binding=binding, **right)


@pytest.mark.parametrize("plain", [bytes(151), bytes(153), bytes(151) + b"\x01"])
def test_a_box_that_holds_no_token_is_refused(plain):
    with pytest.raises(SealedBoxError):
        open_token(seal(plain, MEMBER.public, b"\x0e" * 32), MEMBER)


def test_the_supervisor_copy_has_one_width_and_opens_the_binding():
    sizes = set()
    for identifier in (b"X", b"X" * 64):
        sealed = seal_supervisor_copy(identifier, NONCE, KEYS, b"\x0f" * 96)
        sizes.add(len(sealed))
        found = read_supervisor_copy(open_by_audit(sealed, Epoch(3), AUDIT).plaintext)
        assert found == SubjectCopy(identifier=identifier, nonce=NONCE)
        binding = subject_binding(CHAIN, QUERY, INQUIRER, make_pseudonym(K_SUBJ, identifier), NONCE)
        assert copy_opens(found, K_SUBJ, chain=CHAIN, query=QUERY, inquirer=INQUIRER, binding=binding)
        assert not copy_opens(found, K_SUBJ, chain=CHAIN, query=OTHER_QUERY, inquirer=INQUIRER, binding=binding)
        assert not copy_opens(found, b"\x1a" * 32, chain=CHAIN, query=QUERY, inquirer=INQUIRER, binding=binding)
    assert sizes == {COPY_BYTES} == {312}


@pytest.mark.parametrize("plain", [bytes(96), bytes(95), b"A\0B" + bytes(93)])
def test_a_malformed_supervisor_copy_is_refused(plain):
    with pytest.raises(SealedBoxError):
        read_supervisor_copy(plain)


@pytest.mark.parametrize("identifier", [b"", b"X" * 65, b"X\0"])
def test_only_normalised_identifiers_are_sealed(identifier):
    with pytest.raises(ValueError, match="normalised"):
        seal_supervisor_copy(identifier, NONCE, KEYS, b"\x0f" * 96)


def test_what_names_a_subject_does_not_print():
    assert a_token().pseudonym.hex() not in repr(a_token())
    assert repr(a_token().pseudonym) not in repr(a_token())
    assert "SECRET" not in repr(SubjectCopy(identifier=b"SECRET", nonce=NONCE))


def some(count):
    return [f"DE-{place:04d}".encode() for place in range(count)]


@pytest.mark.parametrize("count", [1, SUBJECTS_BLOCK - 1, SUBJECTS_BLOCK, SUBJECTS_BLOCK + 1, 2 * SUBJECTS_BLOCK + 5])
def test_the_root_of_many_is_that_of_blocks_however_they_come(count):
    joined = make_pseudonyms(bytes(32), some(count))
    assert joined == b"".join(make_pseudonym(bytes(32), identifier) for identifier in some(count))
    width = 32 * SUBJECTS_BLOCK
    blocks = [joined[at : at + width] for at in range(0, len(joined), width)]
    assert pseudonyms_root([joined]) == bytes(merkle.root(blocks))
    assert pseudonyms_root(joined[at : at + 1000] for at in range(0, len(joined), 1000)) == bytes(merkle.root(blocks))


def test_many_are_named_as_one_is_under_any_key():
    identifiers = [bytes(range(1, 1 + length)) for length in range(1, 65)]
    for key in (bytes(32), bytes(range(32)), b"\xff" * 32):
        each = [hmac.digest(key, len(one).to_bytes(4, "big") + one, "sha256") for one in identifiers]
        assert make_pseudonyms(key, identifiers) == b"".join(each)


def test_many_need_a_key_of_32_bytes():
    with pytest.raises(ValueError, match="expected 32 bytes, got 33"):
        make_pseudonyms(bytes(33), some(1))


def test_another_subject_or_order_is_another_root():
    subjects = some(5)
    roots = {
        pseudonyms_root([make_pseudonyms(bytes(32), of)])
        for of in (subjects, subjects[::-1], subjects[:4], [*subjects[:4], b"X"], [*subjects, subjects[0]])
    }
    assert len(roots) == 5


def test_identifiers_come_back_from_their_padding():
    identifiers = [b"A", b"B" * 64, "ÄÖ".encode(), b"A"]
    assert split_identifiers(pad_identifiers(identifiers)) == identifiers


@pytest.mark.parametrize("wrong", [bytes(64), b"A\0B".ljust(64, b"\0"), b"\0A".ljust(64, b"\0"), b"A" * 63])
def test_padding_that_no_client_makes_is_refused(wrong):
    with pytest.raises(SealedBoxError):
        split_identifiers(pad_identifiers([b"A"]) + wrong)


def test_a_copy_of_many_leads_to_their_identifiers():
    reference = BlobReference(blob=BlobId(b"b" * 32), key=b"k" * 32)
    audit, archive = OpeningKey(b"\1" * 32), OpeningKey(b"\2" * 32)
    keys = EpochKeys(epoch=Epoch(7), audit=audit.public, archive=archive.public)
    sealed = seal_batch_copy(reference, b"n" * 32, keys, bytes(range(96)))
    assert len(sealed) == COPY_BYTES
    plaintext = open_by_audit(sealed, Epoch(7), audit).plaintext
    assert read_batch_copy(plaintext) == (reference, b"n" * 32)
    with pytest.raises(SealedBoxError):
        read_batch_copy(plaintext[:-1])


def test_the_key_of_pseudonyms_is_of_one_query():
    assert pseudonyms_key(b"n" * 32, QueryId(b"q" * 32)) != pseudonyms_key(b"n" * 32, QueryId(b"r" * 32))
    assert pseudonyms_key(b"n" * 32, QueryId(b"q" * 32)) != pseudonyms_key(b"m" * 32, QueryId(b"q" * 32))
