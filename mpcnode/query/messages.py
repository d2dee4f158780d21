"""Payloads that daemons deliver to each other (docs/protocol.md section 7): frozen values and their bytes.

A payload travels inside a signed message; what it carries beyond that signature (statements and signatures of its own)
is evidence that must outlive the channel. Decoders give a value or `DecodeError`.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from ledger.encoding import WORD_BYTES, Reader, Writer
from ledger.types import PublicKey, Signature
from mpcnode.query.request import REQUEST_BYTES
from mpcnode.query.statements import ACCEPT_WORDS, DEAL_WORDS, END_WORDS
from mpcnode.types import COMMITTEE_MAX, MemberIndex

DEAL_BYTES = DEAL_WORDS * WORD_BYTES
ACCEPT_BYTES = ACCEPT_WORDS * WORD_BYTES
END_BYTES = END_WORDS * WORD_BYTES

TOKEN_BYTES_MAX = 1024
PATH_MAX = 16
BOX_BYTES_MAX = 12 * 1024


class Kind(StrEnum):
    """What a message is about; also its word in the signed statement."""

    ORDER = "order"
    SHARES = "shares"
    DEAL = "deal"
    ACCEPT = "accept"
    END = "end"
    ABORT = "abort"
    RECALL = "recall"
    FRAMES = "frames"
    STOCK = "stock"
    DRAW = "draw"
    DIFFER = "differ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The operator's word that a query is to be worked on."""

    statement: bytes = field(repr=False)
    """The inquirer's request, 18 words."""
    signature: Signature = field(repr=False)
    inquirer: PublicKey
    token: bytes = field(repr=False)
    """Sealed to the receiver; empty for committee members outside the panel."""
    path: tuple[bytes, ...] = field(repr=False)
    """Merkle path of the token to the request's token root."""


def encode_order(order: Order) -> bytes:
    """Encode an order."""
    writer = Writer().fixed(order.statement, REQUEST_BYTES).fixed(order.signature, 64).fixed(order.inquirer, 32)
    writer.blob(order.token).uint(len(order.path), 4)
    for node in order.path:
        writer.fixed(node, 32)
    return writer.bytes()


def decode_order(data: bytes) -> Order:
    """Decode an order."""
    reader = Reader(data, "order")
    order = Order(
        statement=reader.fixed(REQUEST_BYTES),
        signature=Signature(reader.fixed(64)),
        inquirer=PublicKey(reader.fixed(32)),
        token=reader.blob(TOKEN_BYTES_MAX),
        path=reader.items(PATH_MAX, lambda: reader.fixed(32)),
    )
    reader.end()
    return order


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """A participant's share for one committee member."""

    query: bytes
    attempt: int
    salt: bytes = field(repr=False)
    """32 bytes; opens the commitment on the ledger."""
    sent: bytes = field(repr=False)
    """A 32-byte seed, or the correction for the last node in rank order."""
    signature: Signature = field(repr=False)
    """The participant's, over the statement mpcnode/shares/1."""


def encode_shares(shares: Shares) -> bytes:
    """Encode a share message."""
    writer = Writer().fixed(shares.query, 32).uint(shares.attempt, 1).fixed(shares.salt, 32).blob(shares.sent)
    return writer.fixed(shares.signature, 64).bytes()


def decode_shares(data: bytes) -> Shares:
    """Decode a share message."""
    reader = Reader(data, "shares")
    shares = Shares(
        query=reader.fixed(32),
        attempt=reader.uint(1),
        salt=reader.fixed(32),
        sent=reader.blob(BOX_BYTES_MAX),
        signature=Signature(reader.fixed(64)),
    )
    reader.end()
    return shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """The seed of one node for one session; the last node pulls its corrections beside it, chunk by chunk."""

    statement: bytes
    """The deal record, 6 words; the same for every node."""
    signature: Signature = field(repr=False)
    seed_hashes: tuple[bytes, ...]
    """One for each node in rank order; their digest is in the record."""
    seed: bytes = field(repr=False)
    salt: bytes = field(repr=False)


def encode_deal(deal: Deal) -> bytes:
    """Encode a deal."""
    writer = Writer().fixed(deal.statement, DEAL_BYTES).fixed(deal.signature, 64).uint(len(deal.seed_hashes), 4)
    for seed_hash in deal.seed_hashes:
        writer.fixed(seed_hash, 32)
    return writer.fixed(deal.seed, 32).fixed(deal.salt, 32).bytes()


def decode_deal(data: bytes) -> Deal:
    """Decode a deal."""
    reader = Reader(data, "deal")
    deal = Deal(
        statement=reader.fixed(DEAL_BYTES),
        signature=Signature(reader.fixed(64)),
        seed_hashes=reader.items(COMMITTEE_MAX, lambda: reader.fixed(32)),
        seed=reader.fixed(32),
        salt=reader.fixed(32),
    )
    reader.end()
    return deal


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """A node's word that its shares and its deal are good; later complaints about them are void."""

    statement: bytes
    signature: Signature = field(repr=False)


def encode_accept(accept: Accept) -> bytes:
    """Encode an accept."""
    return Writer().fixed(accept.statement, ACCEPT_BYTES).fixed(accept.signature, 64).bytes()


def decode_accept(data: bytes) -> Accept:
    """Decode an accept."""
    reader = Reader(data, "accept")
    accept = Accept(statement=reader.fixed(ACCEPT_BYTES), signature=Signature(reader.fixed(64)))
    reader.end()
    return accept


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A node's signed end of a session and its two output boxes."""

    statement: bytes
    signature: Signature = field(repr=False)
    inquirer_box: bytes = field(repr=False)
    supervisor_box: bytes = field(repr=False)


def encode_end(end: End) -> bytes:
    """Encode an end."""
    writer = Writer().fixed(end.statement, END_BYTES).fixed(end.signature, 64)
    return writer.blob(end.inquirer_box).blob(end.supervisor_box).bytes()


def decode_end(data: bytes) -> End:
    """Decode an end."""
    reader = Reader(data, "end")
    end = End(
        statement=reader.fixed(END_BYTES),
        signature=Signature(reader.fixed(64)),
        inquirer_box=reader.blob(BOX_BYTES_MAX),
        supervisor_box=reader.blob(BOX_BYTES_MAX),
    )
    reader.end()
    return end


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort:
    """A node cannot or will not go on with a session."""

    session: bytes
    reason: int
    """docs/protocol.md 6.3."""


def encode_abort(abort: Abort) -> bytes:
    """Encode an abort."""
    return Writer().fixed(abort.session, 32).uint(abort.reason, 1).bytes()


def decode_abort(data: bytes) -> Abort:
    """Decode an abort."""
    reader = Reader(data, "abort")
    abort = Abort(session=reader.fixed(32), reason=reader.uint(1))
    reader.end()
    return abort


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """The auditor's request for the evidence of a session."""

    session: bytes
    first: int
    """The chunk from which on it is to be shown."""


def encode_recall(recall: Recall) -> bytes:
    """Encode a recall."""
    return Writer().fixed(recall.session, 32).uint(recall.first, 4).bytes()


def decode_recall(data: bytes) -> Recall:
    """Decode a recall."""
    reader = Reader(data, "recall")
    recall = Recall(session=reader.fixed(32), first=reader.uint(4))
    reader.end()
    return recall


@dataclass(frozen=True, slots=True, kw_only=True)
class StockOffer:
    """What a node can take part in making for a pool of correlations, in one run of its committee."""

    pool: bytes
    run: bytes
    """32 random bytes of the pool's keeper, which begins the run."""
    batch: int
    index: int
    """Of the first item of that batch that the node may make."""
    room: int
    """Items that it has room for."""
    oldest: int
    """Index of the oldest item that the keeper still has of its batch; others' word for it counts for nothing."""


def encode_stock_offer(offer: StockOffer) -> bytes:
    """Encode a stock offer."""
    writer = Writer().fixed(offer.pool, 32).fixed(offer.run, 32).uint(offer.batch, 4).uint(offer.index, 4)
    return writer.uint(offer.room, 4).uint(offer.oldest, 4).bytes()


def decode_stock_offer(data: bytes) -> StockOffer:
    """Decode a stock offer."""
    reader = Reader(data, "stock offer")
    offer = StockOffer(
        pool=reader.fixed(32),
        run=reader.fixed(32),
        batch=reader.uint(4),
        index=reader.uint(4),
        room=reader.uint(4),
        oldest=reader.uint(4),
    )
    reader.end()
    return offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """A pool keeper's word which item of its committee's pool a session gets."""

    session: bytes
    item: tuple[int, int] | None
    """Batch and index; None if there is none, and the committee makes what it needs now."""


def encode_draw(draw: Draw) -> bytes:
    """Encode a draw."""
    writer = Writer().fixed(draw.session, 32).uint(draw.item is not None, 4)
    for number in draw.item or ():
        writer.uint(number, 4)
    return writer.bytes()


def decode_draw(data: bytes) -> Draw:
    """Decode a draw."""
    reader = Reader(data, "draw")
    session = reader.fixed(32)
    items = reader.items(1, lambda: (reader.uint(4), reader.uint(4)))
    reader.end()
    return Draw(session=session, item=items[0] if items else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Differ:
    """A node's word that another one signed the end of the same session with another transcript."""

    own: bytes
    """The sender's end statement."""
    own_signature: Signature = field(repr=False)
    member: MemberIndex
    """Whose the other end is."""
    other: bytes
    other_signature: Signature = field(repr=False)


def encode_differ(differ: Differ) -> bytes:
    """Encode it."""
    writer = Writer().fixed(differ.own, END_BYTES).fixed(differ.own_signature, 64).uint(differ.member, 1)
    return writer.fixed(differ.other, END_BYTES).fixed(differ.other_signature, 64).bytes()


def decode_differ(data: bytes) -> Differ:
    """Decode it."""
    reader = Reader(data, "differ")
    differ = Differ(
        own=reader.fixed(END_BYTES),
        own_signature=Signature(reader.fixed(64)),
        member=MemberIndex(reader.uint(1)),
        other=reader.fixed(END_BYTES),
        other_signature=Signature(reader.fixed(64)),
    )
    reader.end()
    return differ
