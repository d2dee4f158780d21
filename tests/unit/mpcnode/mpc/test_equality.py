"""Equality, all and any against their definitions."""

from functools import reduce

import numpy as np
import pytest

from mpcnode.mpc import AllBits, Equality
from tests.support.joint import run_gadgets, share_bits, share_integers


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("bits", [1, 2, 4, 5, 8, 17, 32, 63, 64])
@pytest.mark.parametrize(("leaf", "fan"), [(4, 4), (1, 2), (8, 3)])
def test_equality_at_edges(bits: int, parties: int, leaf: int, fan: int) -> None:
    """Every value with every number: 0, all ones, single bits, and whatever differs from them in one bit."""
    mask = (1 << bits) - 1
    some = sorted({0, 1, mask, mask - 1 if mask > 1 else 0, 1 << (bits - 1), (1 << (bits - 1)) ^ 1 if bits > 1 else 1})
    values = np.array([some, some[::-1]], np.uint64)
    of = tuple(v for v in (0, 1) for _ in some)
    gadget = Equality(
        label="=", bits=bits, values=2, of=of, targets=(*some, *some), subjects=len(some), leaf=leaf, fan=fan
    )
    beyond = np.uint64(0xAB << bits & (1 << 64) - 1)  # what is beyond k bits does not count
    shares = share_integers(values + beyond, parties, "=")
    results, rounds = run_gadgets(parties, "=", gadget.correlations, lambda party, i: gadget.run(party, shares[i]))
    assert len(rounds) == 1 + len(gadget.every.layers)
    found = gadget.lanes_out.unpack(reduce(np.bitwise_xor, results))
    assert (found == (values[list(of)] == np.array([*some, *some], np.uint64)[:, None])).all()


def test_a_negative_number_is_its_residue() -> None:
    values = np.array([[-5, -4, 5]], np.int64).view(np.uint64)
    gadget = Equality(label="=", bits=16, values=1, of=(0,), targets=(-5,), subjects=3)
    shares = share_integers(values, 2, "=")
    results, _ = run_gadgets(2, "=", gadget.correlations, lambda party, i: gadget.run(party, shares[i]))
    assert gadget.lanes_out.unpack(reduce(np.bitwise_xor, results)).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("inputs", [2, 4, 5, 9, 17])
@pytest.mark.parametrize("fan", [2, 3, 4, 8])
def test_all_and_any(inputs: int, fan: int, parties: int) -> None:
    """Random bits, dense ones and sparse ones, so that all and any are 0 and 1 somewhere."""
    rng = np.random.default_rng(inputs * fan)
    rows = rng.integers(0, 1 << 64, (inputs, 6), dtype=np.uint64)
    rows[:, 2:4] = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
    rows[:, 4:] = 0
    rows[-1, 3] ^= np.uint64(1 << 63)
    rows[0, 5] ^= np.uint64(1)
    gadget = AllBits(label="&", inputs=inputs, words=6, fan=fan)
    shares = share_bits(rows, parties, "&")
    every, rounds = run_gadgets(parties, "&", (gadget,), lambda party, i: gadget.all(party, shares[i]))
    some, again = run_gadgets(parties, "|", (gadget,), lambda party, i: gadget.any(party, shares[i]))
    assert len(rounds) == len(again) == len(gadget.layers)
    assert (reduce(np.bitwise_xor, every) == np.bitwise_and.reduce(rows)).all()
    assert (reduce(np.bitwise_xor, some) == np.bitwise_or.reduce(rows)).all()
