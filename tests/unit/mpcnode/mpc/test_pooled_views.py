"""What all nodes but one see together says nothing, gadget by gadget; and planted leaks are found.

A test that could not find those would prove nothing.

The view is everything opened, and everything that nodes 1 and 2 of three were dealt or hold as inputs: node 1's share,
and the sum of both. Each subject of a batch is a sample: all have the same inputs, every one has masks of its own. A
view is a matrix of bits, a sample in each column. Every opened row must be a fair coin, so must its XOR with every
other row of the view, and every four opened rows must be a uniform number.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
import pytest

from mpcnode.mpc import (
    Array,
    Bits,
    BitsToIntegers,
    BitTimesValue,
    Comparison,
    Correlation,
    Lanes,
    Material,
    Opening,
    OutputMask,
    Party,
    Protocol,
    Words,
    ZeroShares,
    parallel,
)
from tests.support.gadgets import (
    Gadget,
    RunGadget,
    comparison_gadget,
    division_gadget,
    equality_gadget,
    every_gadget,
    extreme_gadget,
    pack,
    product_gadget,
    select_gadget,
)
from tests.support.joint import run_gadgets, share_bits, share_integers

SAMPLES = 8192
PARTIES = 3
ONE = Lanes(1, SAMPLES)
GADGETS = [gadget for gadget in every_gadget(1) if not gadget.silent]
# Chi-square of one degree of freedom passes 49, or 7 deviations, with a probability of 3e-12; all gadgets together
# make fewer than 1e7 of them.
COIN_LIMIT = 49.0

Spoil = Callable[[list[Material]], None]


def rows_of(array: Array, ring: int) -> Bits:
    """An array of a view as rows of bits [rows, SAMPLES]: bits as they are, of integers the low `ring` bits."""
    if ring == 0:
        return ONE.unpack(array.view(np.uint64).reshape(-1, ONE.words))[:, 0]
    return np.concatenate([ONE.unpack(ONE.slice(row, ring))[:, 0] for row in array.reshape(-1, SAMPLES)])


def pooled(shares: Sequence[Array], ring: int) -> list[Bits]:
    """What is known of a shared array: node 1's share, and the sum of node 1's and node 2's. Of integers a low bit."""
    one, two = (share.astype(np.uint64, copy=False) for share in shares)
    both = one + two if ring else one ^ two
    return [rows_of(array, min(ring, 1)) for array in (one, both) if array.size]


def watch(running: Protocol[Array], opened: list[Bits]) -> Protocol[Array]:
    """Run a protocol and note down what it opens."""
    try:
        asked = next(running)
        while True:
            values = yield asked
            opened += [rows_of(found, opening.bits) for opening, found in zip(asked, values, strict=True)]
            asked = running.send(values)
    except StopIteration as stop:
        result: Array = stop.value
        return result


def view(gadget: Gadget, spoil: Spoil | None = None) -> tuple[Bits, Bits]:
    """What is opened, and what nodes 1 and 2 hold: rows of bits."""
    values = np.full((gadget.values, SAMPLES), min(gadget.high, 77), np.int64).view(np.uint64)
    bits = ONE.pack(np.ones((gadget.bits, 1, SAMPLES), np.uint8))
    of_values, of_bits = share_integers(values, PARTIES, "v"), share_bits(bits, PARTIES, "b")
    held = [*pooled(of_values[1:], 64), *pooled(of_bits[1:], 0)]
    opened: list[Bits] = []

    def look(materials: list[Material]) -> None:
        if spoil:
            spoil(materials)
        for item in gadget.correlations:
            for part in (*item.free, *item.corrected):
                shares = [material._left[item.label][part.name] for material in materials[1:]]
                held.extend(pooled(shares, part.ring))

    def side(party: Party, node: int) -> Protocol[Array]:
        running = gadget.run(party, of_values[node], ONE.unpack(of_bits[node])[:, 0])
        return running if node else watch(running, opened)

    run_gadgets(PARTIES, "uniform", gadget.correlations, side, look)
    return np.concatenate(opened), np.concatenate(held)


def coins(opened: Bits, held: Bits) -> float:
    """Largest chi-square, of one degree of freedom, of an opened row and of its XOR with any row of the view."""
    mine, others = (1 - 2 * part.astype(np.float32) for part in (opened, held))
    pairs = mine @ mine.T
    np.fill_diagonal(pairs, 0)
    excess = max(np.abs(found).max() for found in (mine.sum(axis=1), pairs, mine @ others.T))
    return float(excess**2 / SAMPLES)


def numbers(opened: Bits, bits: int) -> tuple[float, int]:
    """Chi-square of every `bits` opened rows as a number, and its degrees of freedom."""
    groups = opened[: len(opened) // bits * bits].reshape(-1, bits, SAMPLES)
    found = np.einsum("gbs,b->gs", groups, 1 << np.arange(bits))
    counts = np.array([np.bincount(group, minlength=1 << bits) for group in found], np.float64)
    expected = SAMPLES / (1 << bits)
    return float(((counts - expected) ** 2).sum() / expected), len(groups) * ((1 << bits) - 1)


def is_low(chi_square: float, freedom: int) -> bool:
    """Whether a chi-square is less than 5 deviations too high (normal approximation)."""
    return bool(chi_square < freedom + 5 * np.sqrt(2 * freedom))


def is_uniform(opened: Bits, held: Bits) -> bool:
    """The test: of single rows, of pairs, and of numbers."""
    return coins(opened, held) < COIN_LIMIT and is_low(*numbers(opened, min(4, len(opened))))


@pytest.mark.parametrize("which", range(len(GADGETS)), ids=[f"{i}-{gadget.name}" for i, gadget in enumerate(GADGETS)])
def test_view_of_all_nodes_but_one_is_uniform(which: int) -> None:
    gadget = [gadget for gadget in every_gadget(SAMPLES) if not gadget.silent][which]
    assert is_uniform(*view(gadget))


def test_a_million_opened_values_are_uniform() -> None:
    """A million bytes of several gadgets, seeds being fixed as everywhere here."""
    gadgets = (
        comparison_gadget(SAMPLES, 64),
        equality_gadget(SAMPLES, 64),
        product_gadget(SAMPLES, 64),
        select_gadget(SAMPLES, 64),
        division_gadget(SAMPLES, 7, 64),
        extreme_gadget(SAMPLES, 3, least=False),
    )
    opened = np.concatenate([view(gadget)[0] for gadget in gadgets])
    assert opened.size // 8 >= 1_000_000
    assert is_low(*numbers(opened, 8))


# ---- planted leaks: every result stays right, or wrong for all subjects alike

TWICE = tuple(BitTimesValue(label=label, items=1, subjects=SAMPLES, bits=31) for label in ("one", "two"))
COMPARE = Comparison(label="c", bits=18, values=1, of=(0, 0), thresholds=(-500, 78), subjects=SAMPLES)
CONVERT = BitsToIntegers(label="b", items=1, subjects=SAMPLES, ring=64)
MASK = ZeroShares(label="mask", words=COMPARE.lanes_out.words)
RHO = OutputMask(label="rho", words=COMPARE.lanes_out.words)


def twice(party: Party, values: Words, bits: Bits) -> Protocol[Array]:
    """Two products of the same factors."""
    one, two = yield from parallel(*(item.run(party, pack(bits), values) for item in TWICE))
    return np.concatenate([one[1], two[1]])


def beside(party: Party, values: Words, bits: Bits) -> Protocol[Array]:
    """A comparison and a conversion side by side."""
    found, _ = yield from parallel(COMPARE.run(party, values), CONVERT.run(party, pack(bits)))
    return found


def answer(party: Party, values: Words, bits: Bits) -> Protocol[Array]:
    """A comparison whose result leaves re-randomised; the inquirer pools what all nodes seal to it."""
    found = yield from COMPARE.run(party, values)
    yield (Opening(MASK.mask(party, found)),)
    return found


def masked(party: Party, values: Words, bits: Bits) -> Protocol[Array]:
    """The same under a mask that the dealer alone knows."""
    found = yield from COMPARE.run(party, values)
    yield (Opening(RHO.mask(party, found)),)
    return found


def planted(run: RunGadget, *correlations: Correlation) -> Gadget:
    return Gadget(
        name=run.__name__,
        correlations=correlations,
        run=run,
        clear=lambda values, _: values.view(np.uint64),
        subjects=SAMPLES,
        values=1,
        bits=1,
        high=77,
    )


PAIR = planted(twice, *TWICE)
BESIDE = planted(beside, COMPARE, CONVERT)
ANSWER = planted(answer, COMPARE, MASK)
MASKED = planted(masked, COMPARE, RHO)


def reused_correlation(materials: list[Material]) -> None:
    """Two products have one item."""
    for material in materials:
        material._left["two"] = {name: array.copy() for name, array in material._left["one"].items()}


def one_stream_for_two_gadgets(materials: list[Material]) -> None:
    """The mask of a bit is also a bit of the comparison's mask."""
    for material in materials:
        material._left["b"]["d"][...] = material._left["c"]["bits"][0]


def unmasked_output(materials: list[Material]) -> None:
    """The mask is one of shares of 0, which hide where a share comes from but not what all make."""
    assert not reduce(np.bitwise_xor, [material._left["mask"]["zero"] for material in materials]).any()


def mask_of_all_nodes_but_one(materials: list[Material]) -> None:
    """One node forgot to mask: the pool knows what the others did."""
    materials[0]._left["rho"]["mask"][...] = 0


def constant_mask(materials: list[Material]) -> None:
    """Every subject has the first one's mask."""
    for material in materials:
        material._left["one"]["r"][...] = material._left["one"]["r"][0, 0]


def no_mask_of_a_value(materials: list[Material]) -> None:
    for material in materials:
        material._left["c"]["r"][...] = 0


def no_mask_of_one_node(materials: list[Material]) -> None:
    """The sum of masks is uniform, but the pool knows it."""
    materials[0]._left["c"]["r"][...] = 0


def no_mask_of_a_wire(materials: list[Material]) -> None:
    for material in materials:
        material._left["c"]["a0"][...] = 0


def one_mask_for_two_wires(materials: list[Material]) -> None:
    for material in materials:
        material._left["c"]["b1"][...] = material._left["c"]["a1"][:, 1:]


@pytest.mark.parametrize("gadget", [PAIR, BESIDE, MASKED], ids=["pair", "beside", "masked"])
def test_what_leaks_are_planted_in_is_uniform(gadget: Gadget) -> None:
    assert is_uniform(*view(gadget))


@pytest.mark.parametrize(
    ("gadget", "spoil"),
    [
        (PAIR, reused_correlation),
        (BESIDE, one_stream_for_two_gadgets),
        (ANSWER, unmasked_output),
        (MASKED, mask_of_all_nodes_but_one),
        (PAIR, constant_mask),
        (BESIDE, no_mask_of_a_value),
        (BESIDE, no_mask_of_one_node),
        (BESIDE, no_mask_of_a_wire),
        (BESIDE, one_mask_for_two_wires),
    ],
)
def test_planted_leak_is_found(gadget: Gadget, spoil: Spoil) -> None:
    opened, held = view(gadget, spoil)
    assert not is_uniform(opened, held)
    assert coins(opened, held) > 100 * COIN_LIMIT, "found for certain, not by chance"


@pytest.mark.parametrize(("gadget", "spoil"), [(PAIR, constant_mask), (BESIDE, no_mask_of_a_value)])
def test_what_is_constant_is_found_by_numbers_alone(gadget: Gadget, spoil: Spoil) -> None:
    assert not is_low(*numbers(view(gadget, spoil)[0], 4))
