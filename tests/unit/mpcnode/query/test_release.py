"""What is released under audit before release: it opens for inquirer and supervisor, and for one result only."""

import dataclasses

import pytest

from ledger.errors import DecodeError
from mpcnode.errors import ResultError, SealedBoxError
from mpcnode.query.release import (
    RELEASE_SECRET_BYTES,
    Release,
    decode_release,
    open_release,
    seal_release,
    split_release,
    unmask,
)
from mpcnode.query.statements import ReleaseStatement, encode_release_statement
from mpcnode.query.view import QueryView
from mpcnode.sealing.boxes import open_box
from mpcnode.sealing.commitments import masked_hash
from mpcnode.sealing.envelopes import has_archive_wrap, open_by_archive, open_by_audit
from mpcnode.sealing.keys import OpeningKey
from mpcnode.types import AuditMode, Verdict
from scripts.vector_query import ARCHIVE, AUDIT, EPOCH, IDENTITIES, KEYS, QUERY, RESULT, SHARE_BYTES, seed
from tests.support.queries import TO_ANSWERED, attested, folded, some_digest

SUPERVISOR = IDENTITIES[6]
SALT, MASK, MASKED = seed("release salt"), seed("mask", SHARE_BYTES), seed("masked", SHARE_BYTES)


def answered() -> QueryView:
    view = folded(*TO_ANSWERED, mode=AuditMode.BEFORE_RELEASE).get(QUERY)
    assert view is not None
    return view


def stated(**changes) -> ReleaseStatement:
    view = answered()
    assert view.session is not None
    assert view.result is not None
    made = ReleaseStatement(
        chain=view.terms.chain,
        query=view.query,
        attempt=view.attempt,
        session=view.session,
        transcript_hash=view.result.ends[0].transcript_hash,
        masked_hash=masked_hash(view.session, MASKED, SALT),
    )
    return dataclasses.replace(made, **changes)


def release(signer=SUPERVISOR, **changes) -> Release:
    statement = encode_release_statement(stated(**changes))
    return Release(statement=statement, signature=signer.sign(statement), salt=SALT, mask=MASK)


def sealed(made: Release, to=RESULT) -> bytes:
    return seal_release(made, to.public, KEYS, seed("release secrets", RELEASE_SECRET_BYTES))


def with_release(data: bytes) -> QueryView:
    attestation = dataclasses.replace(attested(Verdict.MATCH), release=data)
    return dataclasses.replace(answered(), attestation=attestation)


def test_the_inquirer_opens_it_and_takes_the_mask_off():
    opened = open_release(with_release(sealed(release())), RESULT, SHARE_BYTES, SUPERVISOR.public)
    assert opened == release()
    assert unmask(opened, MASKED) == bytes(a ^ b for a, b in zip(MASK, MASKED, strict=True))


def test_the_supervisor_opens_it_today_and_in_years():
    box, envelope = split_release(sealed(release()))
    today = open_by_audit(envelope, EPOCH, AUDIT)
    assert decode_release(today.plaintext, SHARE_BYTES) == release()
    assert has_archive_wrap(envelope, today, ARCHIVE.public)
    assert decode_release(open_by_archive(envelope, EPOCH, ARCHIVE).plaintext, SHARE_BYTES) == release()
    with pytest.raises(SealedBoxError):
        open_box(box, AUDIT)


def test_its_width_says_nothing_but_the_models():
    other = dataclasses.replace(release(), mask=bytes(SHARE_BYTES), salt=seed("x"))
    assert len(sealed(other)) == len(sealed(release()))


@pytest.mark.parametrize("masked", [MASK, bytes(SHARE_BYTES), bytes((MASKED[0] ^ 1, *MASKED[1:]))])
def test_shares_that_make_something_else_are_no_answer(masked):
    with pytest.raises(ResultError, match="do not make the output that the supervisor signed"):
        unmask(release(), masked)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "expected 4 bytes"),
        (sealed(release()) + b"\0", "expected the end"),
        (sealed(release(), to=OpeningKey(seed("another"))), "sealed to"),
        (sealed(release(signer=IDENTITIES[1])), "expected a signature of"),
        (sealed(release(session=some_digest("another"))), "of this session"),
        (sealed(release(query=some_digest("another"))), "of this session"),
        (sealed(release(transcript_hash=some_digest("another"))), "of this session"),
        (sealed(release(attempt=2)), "of this session"),
        (sealed(release(chain=some_digest("another"))), "of this session"),
        (sealed(dataclasses.replace(release(), mask=bytes(SHARE_BYTES + 1))), "expected the end"),
    ],
)
def test_what_is_not_the_release_of_this_result_is_refused(data, why):
    with pytest.raises(ResultError, match=why):
        open_release(with_release(data), RESULT, SHARE_BYTES, SUPERVISOR.public)


def test_without_an_attestation_there_is_none():
    with pytest.raises(ResultError, match="expected an audited result"):
        open_release(answered(), RESULT, SHARE_BYTES, SUPERVISOR.public)


def test_a_decoder_refuses_every_cut():
    data = sealed(release())
    for size in range(0, len(data), 7):
        with pytest.raises(DecodeError):
            split_release(data[:size])
