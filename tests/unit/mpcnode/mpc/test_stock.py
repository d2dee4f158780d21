"""What a committee makes next, and that a node's stock hands an item to one session."""

import pytest

from mpcnode.errors import CorrelationReuseError
from mpcnode.mpc import Material
from mpcnode.mpc.pools import BATCH_ITEMS, ClaimedBatch, ItemName, PoolId, Standing
from mpcnode.mpc.stock import Offer, Slice, Stock, agree
from mpcnode.types import SessionId

POOL = PoolId(bytes(range(32)))
UNUSED = Standing(reserved=0, marks=(0, 0))
GOAL = 4


def session(number: int) -> SessionId:
    return SessionId(bytes([number]) * 32)


def item(index: int, batch: int = 7) -> ItemName:
    return ItemName(pool=POOL, batch=batch, index=index)


def filled(count: int = GOAL, first: int = 0) -> Stock:
    stock = Stock(GOAL)
    batch = ClaimedBatch(POOL, 7)
    for made in batch.begin(first, count):
        batch.stock(made, Material({}))
    stock.keep(batch)
    return stock


@pytest.mark.parametrize(
    ("offers", "agreed"),
    [
        ([(0, 0, 4), (0, 0, 4)], (0, 0, 4)),
        ([(2, 8, 4), (2, 9, 3)], (2, 9, 3)),
        ([(2, 990, 4), (3, 0, 4)], (3, 0, 4)),
        ([(2, 998, 4), (2, 990, 4)], (2, 998, 2)),
        ([(2, 8, 4), (2, 8, 0)], (2, 8, 0)),
        ([(2, BATCH_ITEMS + 5, 4), (2, 8, 4)], (2, BATCH_ITEMS + 5, 0)),
    ],
)
def test_a_committee_makes_what_none_of_it_has_begun_and_all_have_room_for(offers, agreed) -> None:
    given = [Offer(batch=batch, index=index, room=room) for batch, index, room in offers]
    batch, first, count = agreed
    assert agree(given) == agree(given[::-1]) == Slice(batch=batch, first=first, count=count)


def test_a_node_offers_the_rest_of_its_batch_or_the_first_that_it_may_claim() -> None:
    stock = Stock(GOAL)
    assert stock.offer(POOL, Standing(reserved=3, marks=(5, 0)), 0) == Offer(batch=5, index=0, room=GOAL)
    stock = filled()
    assert stock.offer(POOL, UNUSED, 0) == Offer(batch=7, index=4, room=0)
    stock.draw(POOL, session(1))
    assert stock.offer(POOL, UNUSED, 0) == Offer(batch=7, index=4, room=1)
    stock = filled(1, BATCH_ITEMS - 1)
    assert stock.offer(POOL, Standing(reserved=8, marks=(8, 8)), 0) == Offer(batch=8, index=0, room=GOAL)


def test_items_that_the_keeper_has_no_more_take_no_room_and_go_in_the_end() -> None:
    stock = filled()
    assert stock.offer(POOL, UNUSED, 3).room == GOAL - 1
    stock.burn(POOL, 7, GOAL + 2)
    assert [stock.take(item(index), session(9)) is None for index in (0, 1)] == [True, True]
    assert (stock.count(POOL), stock.oldest(POOL)) == (2, 2)
    stock.burn(POOL, 8, 0)  # of another batch: the keeper restarted
    assert stock.count(POOL) == 0
    assert stock.offer(POOL, Standing(reserved=8, marks=(8, 8)), 0) == Offer(batch=8, index=0, room=GOAL)


def test_more_is_made_when_half_is_left() -> None:
    stock = filled()
    assert not stock.is_low(POOL)
    stock.draw(POOL, session(1))
    assert not stock.is_low(POOL)
    stock.draw(POOL, session(2))
    assert stock.is_low(POOL)
    assert not Stock(0).is_low(POOL)


def test_the_keeper_draws_the_oldest_and_another_node_takes_what_it_named() -> None:
    keeper, other = filled(), filled()
    for number in range(GOAL):
        drawn = keeper.draw(POOL, session(number))
        assert drawn is not None
        assert drawn.item == item(number)
        taken = other.take(drawn.item, session(number))
        assert taken is not None
        assert taken.item == drawn.item
    assert keeper.draw(POOL, session(9)) is None
    assert (len(keeper), len(other)) == (0, 0)


def test_no_item_serves_two_sessions_and_no_session_has_two_items() -> None:
    stock = filled()
    stock.take(item(1), session(1))
    with pytest.raises(CorrelationReuseError, match="got one that was handed out"):
        stock.take(item(1), session(2))
    with pytest.raises(CorrelationReuseError, match="got one that was given 1"):
        stock.take(item(2), session(1))
    with pytest.raises(CorrelationReuseError, match="got one that was given 1"):
        stock.draw(POOL, session(1))


def test_what_is_not_there_is_not_handed_out() -> None:
    stock = filled()
    unknown = ItemName(pool=PoolId(bytes(32)), batch=7, index=0)
    for missing in (item(GOAL), item(BATCH_ITEMS + 1), item(0, batch=6), unknown):
        assert stock.take(missing, session(1)) is None
    assert Stock(GOAL).draw(POOL, session(1)) is None
    assert Stock(GOAL).oldest(POOL) == 0


def test_a_refused_item_burns_its_batch_and_no_other() -> None:
    stock = filled()
    stock.drop(item(0, batch=6))
    assert stock.count(POOL) == GOAL
    stock.drop(item(3))
    assert (stock.count(POOL), repr(stock)) == (0, "Stock(0 items of 0 pools)")
    assert stock.take(item(0), session(1)) is None


def test_a_pool_that_nobody_asks_is_forgotten() -> None:
    stock = filled()
    stock.forget(POOL)
    assert stock.draw(POOL, session(1)) is None
