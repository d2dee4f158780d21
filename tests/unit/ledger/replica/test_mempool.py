"""What the mempool takes, in which order it gives, and when it lets go."""

import pytest

from ledger.encoding import decode_transaction, transaction_id
from ledger.errors import ExpiredError, InvalidTransactionError, UnavailableError
from ledger.replica.mempool import Mempool, Pooled
from ledger.types import Millis
from tests.support.chains import NOW, member_key, public_key, transaction

MEMBERS = {public_key(member_key(index)) for index in range(2)}


def pooled(number, **options):
    data = transaction(number, **options)
    tx = decode_transaction(data)
    return Pooled(tx_id=transaction_id(tx), tx=tx, data=data)


@pytest.fixture
def mempool():
    return Mempool(may_send=MEMBERS.__contains__, size_max=5, per_sender_max=3)


def test_oldest_come_first(mempool):
    added = [pooled(number, sender=number % 2) for number in range(5)]
    assert all(mempool.add(one, NOW) for one in added)
    assert mempool.oldest(NOW, 3) == tuple(added[:3])
    assert list(mempool) == added
    assert len(mempool) == 5


def test_the_same_again_is_no_news(mempool):
    assert mempool.add(pooled(1), NOW)
    assert not mempool.add(pooled(1), NOW)
    assert len(mempool) == 1


def test_only_members_send(mempool):
    with pytest.raises(InvalidTransactionError, match="member"):
        mempool.add(pooled(1, sender=2), NOW)


def test_expiry_must_lie_within_the_next_hour(mempool):
    with pytest.raises(ExpiredError):
        mempool.add(pooled(1, expiry_ms=NOW - 1), NOW)
    with pytest.raises(InvalidTransactionError, match="hour"):
        mempool.add(pooled(1, expiry_ms=NOW + 3_600_001), NOW)
    assert mempool.add(pooled(1, expiry_ms=NOW), NOW)
    assert mempool.add(pooled(2, expiry_ms=NOW + 3_600_000), NOW)


def test_one_sender_cannot_take_all_room(mempool):
    for number in range(3):
        mempool.add(pooled(number), NOW)
    with pytest.raises(UnavailableError, match="room"):
        mempool.add(pooled(3), NOW)
    mempool.add(pooled(4, sender=1), NOW)
    mempool.add(pooled(5, sender=1), NOW)
    with pytest.raises(UnavailableError, match="room"):
        mempool.add(pooled(6, sender=1), NOW)


def test_removal_makes_room(mempool):
    kept = [pooled(number) for number in range(3)]
    for one in kept:
        mempool.add(one, NOW)
    mempool.remove([kept[0].tx_id, kept[0].tx_id, pooled(9).tx_id])
    assert kept[0].tx_id not in mempool
    assert mempool.add(pooled(3), NOW)


def test_what_is_over_is_dropped(mempool):
    first, second = pooled(1, expiry_ms=NOW + 5), pooled(2, expiry_ms=NOW + 50)
    mempool.add(first, NOW)
    mempool.add(second, NOW)
    assert mempool.expire(Millis(NOW + 5)) == []
    assert mempool.expire(Millis(NOW + 6)) == [first.tx_id]
    assert list(mempool) == [second]


def test_includable_is_judged_by_the_time_of_the_block(mempool):
    mempool.add(pooled(1, expiry_ms=NOW + 5), NOW)
    assert mempool.has_includable(NOW)
    assert not mempool.has_includable(Millis(NOW + 6))
    assert mempool.oldest(Millis(NOW + 6), 10) == ()
