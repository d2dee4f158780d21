import hashlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.encoding import Reader
from ledger.errors import DecodeError
from mpcnode.errors import MalformedMessageError, SealedBoxError
from mpcnode.mpc import keystream
from mpcnode.sealing.blobs import (
    BLOB_BYTES_MAX,
    CHUNK_BYTES,
    BlobReference,
    BlobSealer,
    Manifest,
    chunk_count,
    decode_reference,
    derive_blob_key,
    encode_manifest,
    encode_reference,
    open_chunk,
    seal_chunk,
    take_manifest,
)
from mpcnode.types import BlobId

KEY = bytes(range(32))
BODY = keystream(b"body".ljust(32), 2 * CHUNK_BYTES + 77).tobytes()


def sealed(body, key=KEY, cuts=()):
    sealer = BlobSealer(key)
    ends = [0, *sorted(cuts), len(body)]
    chunks = [chunk for at, to in pairwise(ends) for chunk in sealer.feed(body[at:to])]
    last, manifest = sealer.finish()
    return [*chunks, *([] if last is None else [last])], manifest


CHUNKS, MANIFEST = sealed(BODY)


@settings(max_examples=10)
@given(st.lists(st.integers(0, len(BODY)), max_size=5))
def test_pieces_of_any_size_make_the_same_blob(cuts):
    assert sealed(BODY, cuts=cuts) == (CHUNKS, MANIFEST)


@pytest.mark.parametrize("size", [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES])
def test_a_body_comes_back(size):
    chunks, manifest = sealed(BODY[:size])
    assert b"".join(open_chunk(KEY, number, chunk) for number, chunk in enumerate(chunks)) == BODY[:size]
    assert [len(chunk) for chunk in chunks] == [manifest.chunk_bytes(number) for number in range(len(chunks))]
    assert sum(map(len, chunks)) == manifest.sealed_bytes
    assert len(manifest.chunks) == chunk_count(size)


def test_an_id_is_what_the_protocol_says():
    leaves = [hashlib.sha256(b"\0" + hashlib.sha256(chunk).digest()).digest() for chunk in CHUNKS]
    node = hashlib.sha256(b"\1" + leaves[0] + leaves[1]).digest()
    root = hashlib.sha256(b"\1" + node + leaves[2]).digest()
    domain = b"mpcnode/blob/1"
    fields = [len(BODY).to_bytes(8, "big"), root]
    encoded = len(domain).to_bytes(4, "big") + domain + (2).to_bytes(4, "big")
    encoded += b"".join(len(item).to_bytes(4, "big") + item for item in fields)
    assert MANIFEST.blob == hashlib.sha256(encoded).digest()


def test_another_length_or_chunk_is_another_blob():
    others = [
        Manifest(length=len(BODY) + 1, chunks=MANIFEST.chunks),
        Manifest(length=len(BODY), chunks=MANIFEST.chunks[::-1]),
        Manifest(length=len(BODY), chunks=MANIFEST.chunks[:2]),
    ]
    assert len({MANIFEST.blob, *(other.blob for other in others)}) == 4


def test_a_chunk_opens_at_its_place_under_its_key_as_it_was():
    with pytest.raises(SealedBoxError, match="chunk 1"):
        open_chunk(KEY, 1, CHUNKS[0])
    with pytest.raises(SealedBoxError):
        open_chunk(bytes(32), 0, CHUNKS[0])
    for at in (0, 16, 17, len(CHUNKS[2]) - 1):
        changed = bytearray(CHUNKS[2])
        changed[at] ^= 1
        with pytest.raises(SealedBoxError):
            open_chunk(KEY, 2, bytes(changed))


def test_who_holds_a_chunk_can_tell_it_from_any_other():
    for number, chunk in enumerate(CHUNKS):
        MANIFEST.check_chunk(number, chunk)
    for number, chunk in [(0, CHUNKS[1]), (2, CHUNKS[2][:-1]), (3, CHUNKS[2]), (-1, CHUNKS[2])]:
        with pytest.raises(MalformedMessageError):
            MANIFEST.check_chunk(number, chunk)


def test_equal_bodies_of_two_keys_show_nothing_in_common():
    other, manifest = sealed(BODY, key=bytes(32))
    assert manifest.blob != MANIFEST.blob
    assert not {*other} & {*CHUNKS}
    assert seal_chunk(KEY, 0, b"x") != seal_chunk(KEY, 1, b"x")


def test_a_manifest_comes_back():
    reader = Reader(encode_manifest(MANIFEST), "manifest")
    assert take_manifest(reader) == MANIFEST
    reader.end()


@pytest.mark.parametrize("length", [0, CHUNK_BYTES, 3 * CHUNK_BYTES + 1, BLOB_BYTES_MAX + 1, (1 << 64) - 1])
def test_a_manifest_has_the_chunks_of_its_length(length):
    encoded = length.to_bytes(8, "big") + encode_manifest(MANIFEST)[8:]
    with pytest.raises((MalformedMessageError, DecodeError)):
        take_manifest(Reader(encoded, "manifest"))


def test_bodies_that_no_blob_can_hold():
    with pytest.raises(MalformedMessageError, match="got 0"):
        BlobSealer(KEY).finish()
    with pytest.raises(MalformedMessageError):
        chunk_count(BLOB_BYTES_MAX + 1)
    assert chunk_count(BLOB_BYTES_MAX) == BLOB_BYTES_MAX // CHUNK_BYTES


def test_a_reference_comes_back():
    reference = BlobReference(blob=BlobId(b"b" * 32), key=KEY)
    assert decode_reference(encode_reference(reference)) == reference
    assert KEY.hex() not in repr(reference)
    with pytest.raises(SealedBoxError, match="expected 64 bytes, got 63"):
        decode_reference(bytes(63))


def test_derived_keys_are_apart():
    keys = {
        derive_blob_key(secret, *context)
        for secret in (KEY, bytes(32))
        for context in ((), (b"a",), (b"b",), (b"a", b"b"), (b"ab",))
    }
    assert len(keys) == 10
