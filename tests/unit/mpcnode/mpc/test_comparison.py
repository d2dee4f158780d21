"""Comparisons against their definition, for every width, committee and kind of edge."""

from functools import reduce

import numpy as np
import pytest

from mpcnode.mpc import Comparison
from tests.support.joint import run_gadgets, share_integers


def compare(
    parties: int, bits: int, values: np.ndarray, of: tuple[int, ...], thresholds: tuple[int, ...]
) -> np.ndarray:
    gadget = Comparison(
        label="c", bits=bits, values=values.shape[0], of=of, thresholds=thresholds, subjects=values.shape[1]
    )
    shares = share_integers(values.view(np.uint64), parties, f"{bits}")
    results, rounds = run_gadgets(parties, f"{bits}", (gadget,), lambda party, i: gadget.run(party, shares[i]))
    assert len(rounds) == (2 if bits <= 17 else 3)
    return gadget.lanes_out.unpack(reduce(np.bitwise_xor, results))


def edges(bits: int) -> list[int]:
    """Values around 0, the ends and powers of two, all within 2^(bits-2)."""
    most = 1 << (bits - 2)
    near = {sign * (1 << p) + d for p in range(bits - 2) for sign in (-1, 1) for d in (-1, 0, 1)}
    return sorted({v for v in near | {0, most - 1, 1 - most, -most} if -most <= v < most})


@pytest.mark.parametrize("bits", [*range(8, 65)])
def test_every_width_at_its_edges(bits: int) -> None:
    values = np.array([edges(bits)], np.int64)
    thresholds = tuple(dict.fromkeys([0, 1, -1, edges(bits)[0], edges(bits)[-1], edges(bits)[len(edges(bits)) // 3]]))
    found = compare(3, bits, values, (0,) * len(thresholds), thresholds)
    assert (found == (values >= np.array(thresholds)[:, None])).all()


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_exhaustive_at_eight_bits(parties: int) -> None:
    """Every (x, t) with |x - t| < 128 for a spread of thresholds."""
    for threshold in (-100, -1, 0, 1, 77, 1000):
        values = np.arange(threshold - 127, threshold + 128, dtype=np.int64)[None]
        found = compare(parties, 8, values, (0,), (threshold,))
        assert (found[0] == (values[0] >= threshold)).all()


def test_widest_distance_is_right_and_one_more_is_not() -> None:
    values = np.array([[127, -128, 128]], np.int64)
    assert compare(2, 8, values, (0,), (0,))[0].tolist() == [1, 0, 0]


def test_64_bits_reach_the_ends_of_int64() -> None:
    ends = [-(1 << 63), -(1 << 62), -1, 0, 1, (1 << 62), (1 << 63) - 1]
    values = np.array([ends], np.int64)
    assert (compare(3, 64, values, (0,), (0,))[0] == (values[0] >= 0)).all()


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("bits", [8, 13, 17, 18, 32, 33, 40, 64])
@pytest.mark.parametrize("subjects", [1, 63, 130])
def test_many_values_with_thresholds_of_their_own(bits: int, subjects: int, parties: int) -> None:
    rng = np.random.default_rng(bits * subjects)
    most = 1 << (bits - 2)
    of = (0, 0, 1, 3, 3, 3, 3)  # value 2 has none
    thresholds = tuple(int(t) for t in rng.integers(-most, most, len(of)))
    values = rng.integers(-most, most, (4, subjects))
    values[0, 0], values[3, -1] = thresholds[0], thresholds[4] - 1
    found = compare(parties, bits, values, of, thresholds)
    assert (found == (values[list(of)] >= np.array(thresholds)[:, None])).all()


def test_seven_bits_of_padding_are_not_wires_of_another_size() -> None:
    """The layers' shapes: blocks of four, then fan-in four, then whatever is left."""
    shapes = {bits: [(layer.groups, layer.fan) for layer in gadget(bits).layers] for bits in (8, 9, 10, 17, 18, 33, 64)}
    assert shapes == {
        8: [(1, 2)],
        9: [(1, 2)],
        10: [(1, 3)],
        17: [(1, 4)],
        18: [(2, 4), (1, 2)],
        33: [(2, 4), (1, 2)],
        64: [(4, 4), (1, 4)],
    }


def gadget(bits: int) -> Comparison:
    return Comparison(label="c", bits=bits, values=1, of=(0,), thresholds=(0,), subjects=1)


@pytest.mark.parametrize("bits", [2, 3, 7, 8, 9, 16, 17, 31, 32, 63, 64])
@pytest.mark.parametrize(("leaf", "fan"), [(1, 2), (2, 4), (3, 3), (4, 8), (6, 2), (8, 4)])
def test_other_leaves_and_groups_find_the_same(bits: int, leaf: int, fan: int) -> None:
    most = 1 << (bits - 2)
    values = np.array([sorted({-most, -1 if most > 1 else 0, 0, most // 2, most - 1})], np.int64)
    thresholds = (0, -most, most - 1)
    gadget = Comparison(
        label="c",
        bits=bits,
        values=1,
        of=(0, 0, 0),
        thresholds=thresholds,
        subjects=values.shape[1],
        leaf=leaf,
        fan=fan,
    )
    shares = share_integers(values.view(np.uint64), 3, "s")
    results, rounds = run_gadgets(3, "s", (gadget,), lambda party, i: gadget.run(party, shares[i]))
    assert len(rounds) == 1 + len(gadget.layers)
    found = gadget.lanes_out.unpack(reduce(np.bitwise_xor, results))
    assert (found == (values >= np.array(thresholds)[:, None])).all()


def test_groups_of_one_lead_nowhere() -> None:
    endless = Comparison(label="c", bits=32, values=1, of=(0,), thresholds=(0,), subjects=1, fan=1)
    with pytest.raises(ValueError, match="groups of two inputs or more, got 1"):
        _ = endless.layers
