"""Laws of everything that is signed or hashed about a query: injective, one encoding, a value or our error."""

import dataclasses
import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.encoding import digest
from ledger.errors import DecodeError
from ledger.types import ChainId, Digest, Millis
from mpcnode.errors import InputError, KeyFileError, MalformedIdError, RequestError, SealedBoxError
from mpcnode.mpc import RowShape
from mpcnode.query.contribution import decode_audit_record
from mpcnode.query.request import (
    REQUEST,
    Request,
    decode_request,
    decode_sealed_request,
    encode_request,
    read_request,
)
from mpcnode.query.statements import (
    decode_accept_statement,
    decode_deal_statement,
    decode_end_statement,
    decode_flush_statement,
    decode_shares_statement,
)
from mpcnode.sealing.boxes import open_box, seal
from mpcnode.sealing.commitments import ShareLabel, decode_output, share_commitment
from mpcnode.sealing.envelopes import open_by_audit, seal_envelope
from mpcnode.sealing.keyfile import KeyKind, decode_key_file
from mpcnode.sealing.keys import OpeningKey
from mpcnode.sealing.pseudonyms import (
    make_pseudonym,
    normalise,
    open_token,
    read_supervisor_copy,
    subject_binding,
)
from mpcnode.types import (
    Attempt,
    Bitmap,
    Epoch,
    EpochKeys,
    MemberIndex,
    ModelHash,
    QueryId,
    SealingKey,
)

words = st.binary(min_size=32, max_size=32)
good_keys = words.map(lambda secret: SealingKey(OpeningKey(secret).public))
requests = st.builds(
    Request,
    chain=words.map(ChainId),
    query=words.map(QueryId),
    model=words.map(ModelHash),
    panel=st.integers(1, 2**128 - 1).map(Bitmap),
    purpose=st.text(st.characters(min_codepoint=1, max_codepoint=127), min_size=1, max_size=32),
    consent_hash=words.map(Digest),
    contribute_by=st.integers(0, 2**47).map(Millis),
    deadline=st.integers(2**47 + 1, 2**48 - 1).map(Millis),
    result_key=good_keys,
    scheme=st.just("keyed"),
    binding=words.map(Digest),
    copy_hash=words.map(Digest),
    tokens_root=words.map(Digest),
    epoch=st.integers(0, 2**32 - 1).map(Epoch),
)
KEY = OpeningKey(b"\x11" * 32)
KEYS = EpochKeys(epoch=Epoch(1), audit=KEY.public, archive=OpeningKey(b"\x12" * 32).public)


@given(requests)
def test_a_request_survives_its_statement(request):
    assert decode_request(encode_request(request)) == request == read_request(encode_request(request))


@given(requests, requests)
def test_distinct_requests_have_distinct_statements(one, other):
    assert (encode_request(one) == encode_request(other)) == (one == other)


@given(requests, st.data())
def test_a_statement_binds_every_field_of_a_request(request, data):
    name = data.draw(st.sampled_from([field.name for field in dataclasses.fields(Request) if field.name != "scheme"]))
    changes: Any = {name: getattr(data.draw(requests), name)}
    changed = dataclasses.replace(request, **changes)
    assert (encode_request(changed) == encode_request(request)) == (changed == request)


@given(st.lists(words, max_size=16).map(b"".join) | st.binary(max_size=600))
def test_any_bytes_are_a_statement_or_our_error(data):
    for decode in (
        decode_request,
        read_request,
        decode_sealed_request,
        decode_shares_statement,
        decode_deal_statement,
        decode_accept_statement,
        decode_flush_statement,
        decode_end_statement,
    ):
        try:
            decode(data)
        except (DecodeError, RequestError):
            continue


@given(st.lists(words, min_size=14, max_size=14).map(b"".join))
def test_any_words_after_the_domain_are_a_request_or_a_request_error(tail):
    data = REQUEST.encode().ljust(32, b"\0") + tail
    try:
        assert encode_request(decode_request(data)) == data
    except RequestError:
        return


@given(st.binary(max_size=700))
def test_any_bytes_open_or_give_our_error(data):
    for attempt in (
        lambda: open_box(data, KEY),
        lambda: open_token(data, KEY),
        lambda: open_by_audit(data, Epoch(1), KEY),
        lambda: read_supervisor_copy(data),
        lambda: decode_output(data, 3),
        lambda: decode_audit_record(data, RowShape(3), 3),
        lambda: decode_key_file(data, KeyKind.VOTE, None),
    ):
        try:
            attempt()
        except (SealedBoxError, InputError, KeyFileError):
            continue


@given(st.text(max_size=80))
def test_any_text_is_an_identifier_or_our_error(text):
    try:
        normal = normalise(text)
    except MalformedIdError:
        return
    assert 1 <= len(normal) <= 64
    assert b"\0" not in normal


@given(st.binary(max_size=300), words, words)
def test_a_box_opens_to_its_plaintext_and_never_shows_it(plaintext, secret, ephemeral):
    key = OpeningKey(secret)
    box = seal(plaintext, key.public, ephemeral)
    assert open_box(box, key) == plaintext
    assert len(plaintext) < 4 or plaintext not in box


@given(st.binary(max_size=300), st.binary(min_size=96, max_size=96))
def test_an_envelope_opens_to_its_plaintext(plaintext, secrets):
    assert open_by_audit(seal_envelope(plaintext, KEYS, secrets), Epoch(1), KEY).plaintext == plaintext


domains = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)
fields = st.lists(st.binary(max_size=5), max_size=4)


@given(domains, fields, domains, fields)
def test_distinct_tuples_have_distinct_digests(domain, values, other_domain, other_values):
    same = (domain, values) == (other_domain, other_values)
    assert (digest(domain, *values) == digest(other_domain, *other_values)) == same


labels = st.builds(
    ShareLabel,
    chain=words.map(ChainId),
    query=words.map(QueryId),
    attempt=st.integers(1, 3).map(Attempt),
    participant=st.integers(0, 127).map(MemberIndex),
    node=st.integers(0, 127).map(MemberIndex),
)


shares = st.tuples(labels, st.binary(max_size=40), words)


@given(shares, shares)
def test_distinct_shares_have_distinct_commitments(share, other):
    assert (share_commitment(*share) == share_commitment(*other)) == (share == other)


@given(st.binary(max_size=64), st.binary(max_size=64), words)
def test_distinct_subjects_have_distinct_pseudonyms_and_bindings(one, other, key):
    first, second = make_pseudonym(key, one), make_pseudonym(key, other)
    assert (first == second) == (one == other)
    chain, query, inquirer = ChainId(key), QueryId(key), hashlib.sha256(key).digest()
    bindings = {subject_binding(chain, query, inquirer, item, key) for item in (first, second)}  # type: ignore[arg-type]
    assert (len(bindings) == 1) == (one == other)
