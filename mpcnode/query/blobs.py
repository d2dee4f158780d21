"""What blobs a query has, whose they are, and a holder's signed word that it has one (docs/protocol.md section 9).

A label has one blob: of a second one under the same label nobody takes anything.
"""

from dataclasses import dataclass
from enum import IntEnum

from ledger.encoding import Reader, Writer, split_words, statement
from ledger.types import ChainId, Millis
from mpcnode.errors import MalformedMessageError
from mpcnode.query.statements import read_member
from mpcnode.sealing.blobs import CHUNKS_MAX, Manifest, encode_manifest, take_manifest
from mpcnode.types import ATTEMPTS_MAX, NOBODY, BlobId, QueryId

HELD = "mpcnode/held/1"
HELD_WORDS = 8

EVERY_ATTEMPT = 0
"""Stands for the attempt in what the inquirer sends: it serves all of them."""

INQUIRER = NOBODY
"""Stands for the author in what the inquirer sends."""

OFFER_BYTES_MAX = 32 + 3 + 8 + 4 + 32 * CHUNKS_MAX


class BlobKind(IntEnum):
    """What a blob holds."""

    PSEUDONYMS = 1
    """Of all subjects; from the inquirer, for the panel."""
    IDENTIFIERS = 2
    """Identifiers of all subjects; from the inquirer, for the supervisor."""
    ROWS = 3
    """Corrections of a participant's rows; for the last node and the supervisor."""
    OUTPUT = 4
    """A node's output shares; for the inquirer and the supervisor."""
    MASK = 5
    """What the outputs are masked with; from the supervisor, for the inquirer."""


OF_INQUIRER = (BlobKind.PSEUDONYMS, BlobKind.IDENTIFIERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobLabel:
    """Which blob: of which query and attempt, of what kind, and whose."""

    query: QueryId
    attempt: int
    """`EVERY_ATTEMPT` in what the inquirer sends."""
    kind: BlobKind
    author: int
    """Member index; `INQUIRER` for the inquirer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobOffer:
    """What an author announces before it sends."""

    label: BlobLabel
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldStatement:
    """A holder's word that it has a whole blob on its disk."""

    chain: ChainId
    label: BlobLabel
    blob: BlobId
    until: Millis
    """How long it keeps it at least."""


def encode_offer(offer: BlobOffer) -> bytes:
    """Encode an offer: query 32 · attempt u8 · kind u8 · author u8 · manifest."""
    label = offer.label
    writer = Writer().fixed(label.query, 32).uint(label.attempt, 1).uint(label.kind, 1).uint(label.author, 1)
    return writer.bytes() + encode_manifest(offer.manifest)


def decode_offer(data: bytes) -> BlobOffer:
    """Decode an offer.

    Raises:
        DecodeError: not the encoding of one.
        MalformedMessageError: there are no such blobs.
    """
    reader = Reader(data, "blob offer")
    label = _label(QueryId(reader.fixed(32)), reader.uint(1), reader.uint(1), reader.uint(1))
    manifest = take_manifest(reader)
    reader.end()
    return BlobOffer(label=label, manifest=manifest)


def encode_held_statement(held: HeldStatement) -> bytes:
    """Encode what a holder signs."""
    label = held.label
    return statement(HELD, held.chain, label.query, label.attempt, label.kind, label.author, held.blob, held.until)


def decode_held_statement(data: bytes) -> HeldStatement:
    """Decode what a holder signs.

    Raises:
        DecodeError: not that statement.
        MalformedMessageError: there are no such blobs.
    """
    words = split_words(data, HELD, HELD_WORDS)
    attempt, kind, author, until = (int.from_bytes(words[place], "big") for place in (2, 3, 4, 6))
    if author != INQUIRER:
        read_member(words[4], "author")
    return HeldStatement(
        chain=ChainId(words[0]),
        label=_label(QueryId(words[1]), attempt, kind, author),
        blob=BlobId(words[5]),
        until=Millis(until),
    )


def _label(query: QueryId, attempt: int, kind: int, author: int) -> BlobLabel:
    if kind not in set(BlobKind):
        raise MalformedMessageError(f"blob: expected a kind of blob, got {kind}")
    label = BlobLabel(query=query, attempt=attempt, kind=BlobKind(kind), author=author)
    of_inquirer = label.kind in OF_INQUIRER
    if of_inquirer != (author == INQUIRER) or of_inquirer != (attempt == EVERY_ATTEMPT) or attempt > ATTEMPTS_MAX:
        expected = "of the inquirer for every attempt" if of_inquirer else "of a member for one attempt"
        raise MalformedMessageError(f"blob: expected one {expected}, got author {author}, attempt {attempt}")
    return label
