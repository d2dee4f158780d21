"""Items between replicas: one encoding each, and consensus messages pass as they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.consensus import Status, encode_message
from ledger.errors import DecodeError
from ledger.replica.items import (
    GOSSIP_TXS_MAX,
    AskVotes,
    TellVotes,
    Transactions,
    decode_item,
    encode_item,
    gossip,
)
from ledger.types import Height, PublicKey, View, VoteKind
from tests.ports.store_suite import vote
from tests.support.chains import transaction

ITEMS = [
    Transactions((transaction(1), transaction(2))),
    Transactions(()),
    AskVotes(PublicKey(b"\x05" * 32)),
    TellVotes(Height(7), None),
    TellVotes(Height(7), vote(VoteKind.FINALIZE, 6, 2)),
    Status(height=Height(3), view=View(2)),
    vote(VoteKind.NOTARIZE, 1, 1),
]


@pytest.mark.parametrize("item", ITEMS)
def test_items_are_read_back(item):
    assert decode_item(encode_item(item)) == item


def test_consensus_messages_have_no_second_form():
    status = Status(height=Height(3), view=View(2))
    assert encode_item(status) == encode_message(status)


@pytest.mark.parametrize("item", ITEMS)
def test_nothing_may_follow_or_miss(item):
    data = encode_item(item)
    for wrong in (data + b"\0", data[:-1]):
        with pytest.raises(DecodeError):
            decode_item(wrong)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x83", b"\x80\xff\xff\xff\xff", b"\x80" + (65).to_bytes(4, "big")])
def test_bytes_that_are_no_item(data):
    with pytest.raises(DecodeError):
        decode_item(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_item_or_an_error(data):
    try:
        item = decode_item(data)
    except DecodeError:
        return
    assert encode_item(item) == data


def test_gossip_is_cut_into_items_of_bounded_length():
    txs = [transaction(number) for number in range(GOSSIP_TXS_MAX + 3)]
    items = [decode_item(data) for data in gossip(txs)]
    assert [len(item.txs) for item in items if isinstance(item, Transactions)] == [GOSSIP_TXS_MAX, 3]
    assert [tx for item in items if isinstance(item, Transactions) for tx in item.txs] == txs
    assert gossip([]) == []
