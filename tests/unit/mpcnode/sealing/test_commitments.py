"""Commitments bind every field, and open for nothing else."""

import dataclasses
import hashlib
import struct
from typing import Any

import pytest

from ledger import merkle
from ledger.types import ChainId, Height
from mpcnode.errors import SealedBoxError
from mpcnode.sealing.commitments import (
    OutputShare,
    ShareLabel,
    chunk_hash,
    commitments_root,
    consent_hash,
    corrections_hash,
    decode_output,
    encode_output,
    opens_output,
    opens_share,
    output_commitment,
    seed_hash,
    seeds_hash,
    session_id,
    share_commitment,
    statement_hash,
)
from mpcnode.types import Attempt, MemberIndex, ModelHash, QueryId, SessionId

CHAIN, QUERY, MODEL = ChainId(b"\x07" * 32), QueryId(b"\x08" * 32), ModelHash(b"\x05" * 32)
SALT = b"\x06" * 32
LABEL = ShareLabel(chain=CHAIN, query=QUERY, attempt=Attempt(1), participant=MemberIndex(4), node=MemberIndex(2))
SESSION = SessionId(b"\x0a" * 32)
OUTPUT = OutputShare(query=QUERY, session=SESSION, node=MemberIndex(2), salt=SALT, share=b"\x01\x02\x03")


def prefixed(*fields):
    return b"".join(struct.pack(">I", len(item)) + item for item in fields)


def test_a_share_commitment_is_blake2b_over_prefixed_fields():
    joined = prefixed(b"mpcnode/share/1", CHAIN, QUERY, b"\x01", b"\x04", b"\x02", b"sent", SALT)
    assert share_commitment(LABEL, b"sent", SALT) == hashlib.blake2b(joined, digest_size=32).digest()


def test_a_share_commitment_binds_every_field():
    changes: dict[str, Any] = {
        "chain": ChainId(b"\x17" * 32),
        "query": QueryId(b"\x18" * 32),
        "attempt": Attempt(2),
        "participant": MemberIndex(5),
        "node": MemberIndex(3),
    }
    commitment = share_commitment(LABEL, b"sent", SALT)
    assert opens_share(LABEL, b"sent", SALT, commitment)
    for name, value in changes.items():
        assert not opens_share(dataclasses.replace(LABEL, **{name: value}), b"sent", SALT, commitment), name
    assert not opens_share(LABEL, b"sen", SALT, commitment)
    assert not opens_share(LABEL, b"sent", b"\x16" * 32, commitment)
    assert not opens_share(LABEL, b"sent", SALT[:-1], commitment)


def test_the_commitments_root_is_ordered_by_participant_then_rank():
    root = commitments_root({MemberIndex(9): [b"c" * 32, b"d" * 32], MemberIndex(4): [b"b" * 32, b"a" * 32]})
    assert root == merkle.root([b"b" * 32, b"a" * 32, b"c" * 32, b"d" * 32])


def test_a_session_binds_every_field():
    fields: dict[str, Any] = {
        "chain": CHAIN,
        "query": QUERY,
        "attempt": Attempt(1),
        "model": MODEL,
        "committee": [MemberIndex(2), MemberIndex(0)],
        "inputs_root": b"\x0b" * 32,
        "height": Height(77),
    }
    named = session_id(**fields)
    parts = (CHAIN, QUERY, b"\x01", MODEL, b"\x02\x00", b"\x0b" * 32, (77).to_bytes(8, "big"))
    head = prefixed(b"mpcnode/session/1") + struct.pack(">I", len(parts))
    assert named == hashlib.sha256(head + prefixed(*parts)).digest()
    changes: dict[str, Any] = {
        "chain": b"\x17" * 32,
        "query": b"\x18" * 32,
        "attempt": 2,
        "model": b"\x15" * 32,
        "committee": [MemberIndex(0), MemberIndex(2)],
        "inputs_root": b"\x1b" * 32,
        "height": 78,
    }
    assert len({session_id(**(fields | {name: value})) for name, value in changes.items()} | {named}) == 8


def test_seed_hashes_name_their_node_and_keep_their_order():
    one, two = seed_hash(SESSION, MemberIndex(1), b"s" * 32, SALT), seed_hash(SESSION, MemberIndex(2), b"s" * 32, SALT)
    assert one != two
    assert seeds_hash([one, two]) != seeds_hash([two, one])


def test_plain_hashes():
    assert chunk_hash(b"bytes") == statement_hash(b"bytes") == hashlib.sha256(b"bytes").digest()
    assert corrections_hash([chunk_hash(b"bytes")]) == merkle.leaf_hash(chunk_hash(b"bytes"))
    assert consent_hash(SALT, b"ref") != consent_hash(b"\x16" * 32, b"ref")


def test_an_output_survives_its_layout():
    plain = encode_output(OUTPUT)
    assert plain == QUERY + SESSION + b"\x02" + SALT + b"\x01\x02\x03"
    assert decode_output(plain, 3) == OUTPUT


@pytest.mark.parametrize("share_bytes", [2, 4])
def test_an_output_of_another_width_is_refused(share_bytes):
    with pytest.raises(SealedBoxError, match=f"expected {97 + share_bytes} bytes, got 100"):
        decode_output(encode_output(OUTPUT), share_bytes)


def test_an_output_opens_its_commitment_and_no_other():
    commitment = output_commitment(SESSION, MemberIndex(2), OUTPUT.share, SALT)
    right: dict[str, Any] = {"query": QUERY, "session": SESSION, "node": MemberIndex(2), "commitment": commitment}
    assert opens_output(OUTPUT, **right)
    wrong: dict[str, Any] = {"query": b"\x18" * 32, "session": b"\x1a" * 32, "node": 3, "commitment": b"\x00" * 32}
    for name, value in wrong.items():
        assert not opens_output(OUTPUT, **(right | {name: value})), name
    assert not opens_output(dataclasses.replace(OUTPUT, share=b"\x01\x02\x04"), **right)
    assert not opens_output(dataclasses.replace(OUTPUT, salt=b"\x16" * 32), **right)


def test_salts_have_32_bytes():
    with pytest.raises(ValueError, match="got 31"):
        share_commitment(LABEL, b"sent", SALT[:-1])


def test_shares_do_not_print():
    assert repr(OUTPUT.share) not in repr(OUTPUT)
    assert repr(SALT) not in repr(OUTPUT)
