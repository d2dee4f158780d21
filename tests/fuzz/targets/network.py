"""What replicas send each other: every consensus message, gossip, and questions about votes."""

from ledger.consensus import Decided, GetBlock, Message, Status, decode_message, encode_message
from ledger.consensus.messages import BlockMessage
from ledger.encoding import decode_certificate, decode_vote
from ledger.replica.items import AskVotes, Item, TellVotes, Transactions, decode_item, encode_item
from ledger.types import BlockHash, Height, PublicKey, View
from tests.fuzz.target import Target, codec
from tests.fuzz.targets.chain import (
    LENGTHS,
    REFUSED,
    real_block,
    real_certificate,
    real_proposals,
    real_transactions,
    real_vote,
)


def real_messages() -> tuple[Message, ...]:
    """One of every kind."""
    certificate = decode_certificate(real_certificate())
    return (
        decode_vote(real_vote()),
        certificate,
        *real_proposals(),
        Status(height=Height(41), view=View(2)),
        GetBlock(height=Height(41), block_hash=BlockHash(b"\x11" * 32)),
        BlockMessage(block=real_block()),
        Decided(block=real_block(), certificate=certificate),
    )


def real_items() -> tuple[Item, ...]:
    """One of every kind that is no message."""
    return (
        Transactions(real_transactions()[:2]),
        Transactions((b"",) * 64),
        AskVotes(PublicKey(b"\x22" * 32)),
        TellVotes(Height(41), None),
        TellVotes(Height(41), decode_vote(real_vote())),
    )


def message() -> Target:
    return Target(
        check=codec(decode_message, encode_message, REFUSED),
        seeds=tuple(map(encode_message, real_messages())),
        words=LENGTHS,
        size_max=16 << 10,
    )


def item() -> Target:
    return Target(
        check=codec(decode_item, encode_item, REFUSED),
        seeds=tuple(map(encode_item, (*real_items(), *real_messages()))),
        words=LENGTHS,
        size_max=16 << 10,
    )
