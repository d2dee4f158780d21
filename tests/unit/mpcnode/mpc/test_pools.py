"""Names of pools and items, what may be claimed, and that a batch hands nothing out twice."""

import pytest

from ledger.types import ChainId
from mpcnode.errors import CorrelationReuseError
from mpcnode.mpc import AndBits, Correlation, Lookup, Material, Program
from mpcnode.mpc.pools import BATCH_ITEMS, ClaimedBatch, ItemName, Mark, PoolId, Reserve, Standing, claim, pool_id
from mpcnode.types import MemberIndex, SessionId
from tests.support.joint import Gadgets

CHAIN = ChainId(bytes(range(32)))
POOL = PoolId(bytes(range(32)))
COMMITTEE = tuple(MemberIndex(i) for i in (4, 2, 9))


def program(*items: Correlation, parties: int = 3) -> Program:
    return Program(parties=parties, body=Gadgets(correlations=items), rounds=())


def session(number: int) -> SessionId:
    return SessionId(bytes([number]) * 32)


def test_a_pool_is_one_committees_for_one_type_of_items_of_one_source() -> None:
    table = Lookup(label="l", items=1, subjects=1, table=(1, 2, 3, 4))
    other = Lookup(label="l", items=1, subjects=1, table=(1, 2, 3, 5))
    names = {
        pool_id(CHAIN, "ot", COMMITTEE, program(table)),
        pool_id(CHAIN, "ot", COMMITTEE, program(other)),  # of the same size
        pool_id(CHAIN, "ot", COMMITTEE, program(table, AndBits(label="a", words=1))),
        pool_id(CHAIN, "ot", COMMITTEE[:2], program(table, parties=2)),
        pool_id(CHAIN, "paillier", COMMITTEE, program(table)),
        pool_id(ChainId(bytes(32)), "ot", COMMITTEE, program(table)),
    }
    assert len(names) == 6
    assert {len(name) for name in names} == {32}
    assert pool_id(CHAIN, "ot", COMMITTEE[::-1], program(table)) in names  # whoever is first in it


def test_items_have_names_of_their_own() -> None:
    items = [
        ItemName(pool=POOL, batch=0, index=0),
        ItemName(pool=POOL, batch=0, index=1),
        ItemName(pool=POOL, batch=1, index=0),
        ItemName(pool=POOL, batch=256, index=0),
        ItemName(pool=PoolId(bytes(32)), batch=0, index=0),
    ]
    assert items[3].encode().hex() == POOL.hex() + "00010000" + "00000000"
    assert len({item.session for item in items}) == len(items)


def begun(number: int, standing: Standing) -> list[Reserve | Mark]:
    """What a claim wants done, if all of it succeeds."""
    steps = claim(POOL, number, standing)
    wanted = [next(steps)]
    wanted.append(steps.send(True))
    with pytest.raises(StopIteration) as stop:
        steps.send(True)
    batch = stop.value.value
    assert (batch.pool, batch.number, batch.size) == (POOL, number, BATCH_ITEMS)
    return wanted


@pytest.mark.parametrize(
    ("standing", "floor"),
    [
        (Standing(reserved=0, marks=(0, 0, 0)), 0),
        (Standing(reserved=3, marks=(1, 2, 0)), 3),
        (Standing(reserved=3, marks=(1, 7, 0)), 7),
    ],
)
def test_the_floor_may_be_claimed_and_any_batch_above(standing: Standing, floor: int) -> None:
    assert standing.floor == floor
    for number in (floor, floor + 5):
        assert begun(number, standing) == [Reserve(POOL, number), Mark(POOL, number + 1)]


def test_a_batch_that_another_node_has_just_claimed_may_be_claimed() -> None:
    assert begun(6, Standing(reserved=3, marks=(1, 7, 0)))


@pytest.mark.parametrize("number", [-1, 2, 1 << 32])
def test_no_batch_below_what_is_reserved_and_none_that_no_disk_ever_saw(number: int) -> None:
    with pytest.raises(CorrelationReuseError, match=f"batch {number}: expected 3 or a higher one"):
        next(claim(POOL, number, Standing(reserved=3, marks=(1, 2))))


def test_no_batch_that_another_node_has_used_up() -> None:
    with pytest.raises(CorrelationReuseError, match="batch 5: expected 7 or a higher one, got a batch that is used up"):
        next(claim(POOL, 5, Standing(reserved=3, marks=(0, 7))))


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ((False,), "batch 3: reserved before, by this daemon or by another one on its directory"),
        (
            (True, False),
            "batch 3: the ledger's mark is beyond it; this daemon was restored from a backup or runs twice",
        ),
    ],
)
def test_what_disk_or_ledger_refuse_is_burned(answers: tuple[bool, ...], said: str) -> None:
    steps = claim(POOL, 3, Standing(reserved=3, marks=(3, 3)))
    next(steps)
    for answer in answers[:-1]:
        steps.send(answer)
    with pytest.raises(CorrelationReuseError, match=said):
        steps.send(answers[-1])


def filled(size: int = 3) -> ClaimedBatch:
    batch = ClaimedBatch(POOL, 1, size)
    for item in batch.begin(0, batch.size):
        batch.stock(item, Material({"made": {}}))
    return batch


def test_items_are_made_once_and_handed_out_once() -> None:
    batch = ClaimedBatch(POOL, 1, 3)
    names = [item.index for item in batch.begin(0, batch.size)]
    assert names == [0, 1, 2]
    batch = filled()
    assert repr(batch) == "ClaimedBatch(1, 3 in stock)"
    assert batch.available() == 0
    assert repr(batch.take(1, session(1))) == "Material(1 left)"
    assert batch.available() == 0
    batch.take(0, session(2))
    assert batch.available() == 2
    batch.take(2, session(3))
    assert batch.available() is None
    for index in range(3):
        with pytest.raises(CorrelationReuseError, match=rf"batch 1, item {index}: .* got one that was handed out"):
            batch.take(index, session(9))


def test_a_session_is_given_one_item() -> None:
    batch = filled()
    batch.take(1, session(1))
    for index in (0, 1, 2):
        with pytest.raises(CorrelationReuseError, match="expected a session without an item, got one that was given 1"):
            batch.take(index, session(1))


def test_what_was_not_made_is_not_handed_out() -> None:
    with pytest.raises(CorrelationReuseError, match="item 0: expected an unused item, got one that is not in stock"):
        ClaimedBatch(POOL, 1, 3).take(0, session(1))


@pytest.mark.parametrize(
    "item",
    [
        ItemName(pool=POOL, batch=1, index=0),
        ItemName(pool=POOL, batch=1, index=1),
        ItemName(pool=POOL, batch=1, index=2),
        ItemName(pool=POOL, batch=0, index=2),
        ItemName(pool=PoolId(bytes(32)), batch=1, index=2),
        ItemName(pool=POOL, batch=1, index=3),
    ],
    ids=["used", "in stock", "not begun", "other batch", "other pool", "beyond"],
)
def test_nothing_else_comes_into_stock(item: ItemName) -> None:
    batch = ClaimedBatch(POOL, 1, 3)
    for made in batch.begin(0, 2):
        batch.stock(made, Material({}))
    batch.take(0, session(1))
    with pytest.raises(CorrelationReuseError, match="expected an item that was just made, got another"):
        batch.stock(item, Material({}))


def test_slices_of_a_batch_begin_once_and_pass_over_what_they_burn() -> None:
    batch = ClaimedBatch(POOL, 1, 10)
    assert [item.index for item in batch.begin(2, 3)] == [2, 3, 4]
    assert batch.begun == 5
    for first, count in ((0, 1), (4, 1), (4, 3), (9, 2), (10, 1), (5, -1)):
        with pytest.raises(CorrelationReuseError, match=f"item {first}: expected {count} items from 5 on and below 10"):
            batch.begin(first, count)
    assert [item.index for item in batch.begin(9, 1)] == [9]
    assert batch.begin(10, 0) == ()


def test_what_is_burned_never_comes_back() -> None:
    batch = filled()
    batch.burn_below(2)
    assert (len(batch), batch.available(), batch.count_from(0), batch.count_from(3)) == (1, 2, 1, 0)
    with pytest.raises(CorrelationReuseError, match="item 0: expected an unused item, got one that is not in stock"):
        batch.take(0, session(1))
    with pytest.raises(CorrelationReuseError, match="expected an item that was just made, got another"):
        batch.stock(ItemName(pool=POOL, batch=1, index=0), Material({}))
