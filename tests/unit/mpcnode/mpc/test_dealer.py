from typing import Any

import numpy as np
import pytest

from mpcnode.errors import CorrelationReuseError, DealError
from mpcnode.mpc import (
    AndBits,
    BitsToIntegers,
    Comparison,
    Program,
    ZeroShares,
    compile_body,
    corrections_size,
    deal,
    expand,
    total,
)
from mpcnode.types import Rank
from tests.support.joint import Gadgets, dealt, seeds_for, session_id

ITEMS = (
    Comparison(label="x", bits=21, values=3, of=(0, 0, 2, 1), thresholds=(1, 2, 3, 4), subjects=5),
    BitsToIntegers(label="y", items=3, subjects=70, ring=16),
    AndBits(label="z", words=2),
    ZeroShares(label="0", words=3),
)


def program(parties: int) -> Program:
    return Program(parties=parties, body=Gadgets(correlations=ITEMS), rounds=())


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_shares_of_all_nodes_make_the_total(parties: int) -> None:
    materials = dealt(program(parties), "deal")
    whole = total(program(parties), session_id("deal"), seeds_for("deal", parties))
    for item in ITEMS:
        shares = [material.take(item.label) for material in materials]
        expected = whole.take(item.label)
        for field in (*item.free, *item.corrected):
            parts: list[Any] = [share[field.name] for share in shares]
            joined = np.add.reduce(parts, dtype=field.dtype) if field.ring else np.bitwise_xor.reduce(parts)
            assert joined.dtype == np.dtype(field.dtype)
            assert np.array_equal(joined, expected[field.name]), field.name


def test_derived_values_are_what_they_say() -> None:
    whole = total(program(2), session_id("d"), seeds_for("d", 2))
    z, y, zero = whole.take("z"), whole.take("y"), whole.take("0")["zero"]
    assert (z["ab"] == z["a"] & z["b"]).all()
    assert (y["integers"] == ITEMS[1].lanes.unpack(y["d"].view(np.uint64))).all()
    assert y["integers"].any()
    assert not zero.any()


def test_only_the_last_node_gets_corrections_and_no_share_is_plain() -> None:
    seeds = seeds_for("c", 3)
    corrections = deal(program(3), session_id("c"), seeds)
    assert len(corrections) == corrections_size(program(3))
    for rank in (0, 2):
        material = expand(program(3), session_id("c"), Rank(rank), seeds[rank], corrections if rank == 2 else None)
        assert material.take("0")["zero"].all()  # random, though the total is 0
    with pytest.raises(DealError, match="for node 2 only, got rank 1"):
        expand(program(3), session_id("c"), Rank(1), seeds[1], corrections)
    with pytest.raises(DealError, match="for node 2 only, got rank 2"):
        expand(program(3), session_id("c"), Rank(2), seeds[2], None)
    with pytest.raises(DealError, match=f"of {len(corrections)} bytes, got {len(corrections) - 1}"):
        expand(program(3), session_id("c"), Rank(2), seeds[2], corrections[1:])
    with pytest.raises(DealError, match="a seed for each of 3 nodes, got 2"):
        deal(program(3), session_id("c"), seeds[:2])


def test_material_is_used_once() -> None:
    material = dealt(program(2), "once")[0]
    material.take("x")
    with pytest.raises(CorrelationReuseError, match="correlation x: expected to be taken once"):
        material.take("x")


def test_programs_have_two_parties_and_distinct_labels() -> None:
    with pytest.raises(ValueError, match="two nodes or more, got 1"):
        compile_body(Gadgets(correlations=ITEMS), 1)
    with pytest.raises(ValueError, match="labels of their own"):
        compile_body(Gadgets(correlations=(ITEMS[0], ITEMS[0])), 2)
