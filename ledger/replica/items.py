"""What replicas send each other beside consensus messages, and its bytes: tags from 128, below are consensus' own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ledger.consensus import Message, decode_message, encode_message
from ledger.encoding import TX_BYTES_MAX, Reader, Writer, decode_vote, encode_vote
from ledger.errors import DecodeError
from ledger.types import Height, PublicKey, Vote

GOSSIP_TXS_MAX = 64
"""Transactions in one item."""

_VOTE_BYTES_MAX = 256


@dataclass(frozen=True, slots=True)
class Transactions:
    """New transactions of the sender's own users; nobody passes them on."""

    txs: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AskVotes:
    """Asks where the receiver is and for the newest vote of a key that it knows: its owner may have lost its log."""

    key: PublicKey


@dataclass(frozen=True, slots=True)
class TellVotes:
    """Answers `AskVotes`."""

    height: Height
    """Height that the sender is deciding."""
    newest: Vote | None


Item: TypeAlias = Message | Transactions | AskVotes | TellVotes

_TRANSACTIONS, _ASK_VOTES, _TELL_VOTES = range(128, 131)


def encode_item(item: Item) -> bytes:
    """Encode an item."""
    match item:
        case Transactions():
            writer = Writer().uint(_TRANSACTIONS, 1).uint(len(item.txs), 4)
            for tx in item.txs:
                writer.blob(tx)
            return writer.bytes()
        case AskVotes():
            return Writer().uint(_ASK_VOTES, 1).fixed(item.key, 32).bytes()
        case TellVotes():
            newest = b"" if item.newest is None else encode_vote(item.newest)
            return Writer().uint(_TELL_VOTES, 1).uint(item.height, 8).blob(newest).bytes()
        case _:
            return encode_message(item)


def decode_item(data: bytes) -> Item:
    """Decode an item.

    Raises:
        DecodeError: not the encoding of an item.
    """
    if not data or data[0] < _TRANSACTIONS:
        return decode_message(data)
    reader = Reader(data, "item")
    tag = reader.uint(1)
    item: Item
    if tag == _TRANSACTIONS:
        item = Transactions(reader.items(GOSSIP_TXS_MAX, lambda: reader.blob(TX_BYTES_MAX)))
    elif tag == _ASK_VOTES:
        item = AskVotes(PublicKey(reader.fixed(32)))
    elif tag == _TELL_VOTES:
        height, newest = Height(reader.uint(8)), reader.blob(_VOTE_BYTES_MAX)
        item = TellVotes(height, decode_vote(newest) if newest else None)
    else:
        raise DecodeError(f"item: expected a tag of {_TRANSACTIONS} to {_TELL_VOTES}, got {tag}")
    reader.end()
    return item


def gossip(txs: Sequence[bytes]) -> list[bytes]:
    """Encode transactions as items, as many as fit each."""
    starts = range(0, len(txs), GOSSIP_TXS_MAX)
    return [encode_item(Transactions(tuple(txs[start : start + GOSSIP_TXS_MAX]))) for start in starts]
