import pytest

from ledger.errors import DecodeError
from ledger.types import ChainId, Digest, Millis
from mpcnode.errors import MalformedMessageError
from mpcnode.query.blobs import (
    EVERY_ATTEMPT,
    INQUIRER,
    OFFER_BYTES_MAX,
    BlobKind,
    BlobLabel,
    BlobOffer,
    HeldStatement,
    decode_held_statement,
    decode_offer,
    encode_held_statement,
    encode_offer,
)
from mpcnode.sealing.blobs import BLOB_BYTES_MAX, CHUNKS_MAX, Manifest
from mpcnode.types import BlobId, QueryId

QUERY = QueryId(b"q" * 32)
ROWS = BlobLabel(query=QUERY, attempt=2, kind=BlobKind.ROWS, author=7)
SUBJECTS = BlobLabel(query=QUERY, attempt=EVERY_ATTEMPT, kind=BlobKind.IDENTIFIERS, author=INQUIRER)
MANIFEST = Manifest(length=5, chunks=(Digest(b"c" * 32),))


@pytest.mark.parametrize("label", [ROWS, SUBJECTS])
def test_offers_and_held_statements_come_back(label):
    offer = BlobOffer(label=label, manifest=MANIFEST)
    assert decode_offer(encode_offer(offer)) == offer
    held = HeldStatement(chain=ChainId(b"h" * 32), label=label, blob=BlobId(b"b" * 32), until=Millis(1_800_000_000_000))
    assert decode_held_statement(encode_held_statement(held)) == held
    assert len(encode_held_statement(held)) == 8 * 32


def test_the_widest_offer_fits():
    widest = Manifest(length=BLOB_BYTES_MAX, chunks=(Digest(bytes(32)),) * CHUNKS_MAX)
    assert len(encode_offer(BlobOffer(label=ROWS, manifest=widest))) == OFFER_BYTES_MAX


@pytest.mark.parametrize(
    ("attempt", "kind", "author"),
    [
        pytest.param(0, 4, 7, id="a member's for every attempt"),
        pytest.param(4, 4, 7, id="a fourth attempt"),
        pytest.param(2, 3, INQUIRER, id="rows of the inquirer"),
        pytest.param(0, 1, 7, id="pseudonyms of a member"),
        pytest.param(1, 1, INQUIRER, id="pseudonyms for one attempt"),
        pytest.param(0, 0, INQUIRER, id="no kind"),
        pytest.param(1, 6, 7, id="an unknown kind"),
    ],
)
def test_labels_that_no_blob_has(attempt, kind, author):
    encoded = bytearray(encode_offer(BlobOffer(label=ROWS, manifest=MANIFEST)))
    encoded[32:35] = bytes((attempt, kind, author))
    with pytest.raises(MalformedMessageError):
        decode_offer(bytes(encoded))
    stated = bytearray(
        encode_held_statement(
            HeldStatement(chain=ChainId(bytes(32)), label=ROWS, blob=BlobId(bytes(32)), until=Millis(1))
        )
    )
    for place, value in ((3, attempt), (4, kind), (5, author)):
        stated[place * 32 : (place + 1) * 32] = value.to_bytes(32, "big")
    with pytest.raises(MalformedMessageError):
        decode_held_statement(bytes(stated))


def test_an_offer_ends_where_it_ends():
    encoded = encode_offer(BlobOffer(label=ROWS, manifest=MANIFEST))
    for broken in (encoded[:-1], encoded + b"\0", b""):
        with pytest.raises(DecodeError):
            decode_offer(broken)
