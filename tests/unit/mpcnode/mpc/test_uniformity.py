"""What is opened says nothing: over many sessions with one and the same input, openings are uniform and independent.

Each subject of a batch is a sample: all have the same values, every one has masks of its own. The last tests plant
leaks, each of which must be found; a test that cannot find them would prove nothing.
"""

import numpy as np
import pytest

from mpcnode.mpc import BitsToIntegers, Comparison, Material, parallel
from tests.support.joint import run_gadgets, share_bits, share_integers

SAMPLES = 8192
VALUE, THRESHOLDS = 77, (-500, 78)
COMPARE = Comparison(label="c", bits=18, values=1, of=(0, 0), thresholds=THRESHOLDS, subjects=SAMPLES)
CONVERT = BitsToIntegers(label="b", items=1, subjects=SAMPLES, ring=16)


def opened_bits(spoil=None) -> np.ndarray:
    """Every opened bit as a row of samples, [bits, SAMPLES]."""
    values = share_integers(np.full((1, SAMPLES), VALUE, np.uint64), 2, "v")
    flags = share_bits(CONVERT.lanes.pack(np.ones((1, SAMPLES), np.uint8)), 2, "f")
    _, rounds = run_gadgets(
        2,
        "uniform",
        (COMPARE, CONVERT),
        lambda party, i: parallel(COMPARE.run(party, values[i]), CONVERT.run(party, flags[i])),
        spoil,
    )
    masked = COMPARE.lanes_in.unpack(COMPARE.lanes_in.slice(rounds[0][0].reshape(1, -1), 18))[:, 0]
    flags_opened = CONVERT.lanes.unpack(rounds[0][1])
    wires = [
        COMPARE.lanes_out.unpack(opened[0].reshape(-1, COMPARE.lanes_out.words)).reshape(-1, SAMPLES)
        for opened in rounds[1:]
    ]
    return np.concatenate([masked, flags_opened, *wires])


def worst_deviation(bits: np.ndarray) -> float:
    """Largest distance from a fair coin, in standard deviations, over single bits and XORs of two."""
    signs = 1.0 - 2.0 * bits.astype(np.float64)
    singles = np.abs(signs.sum(axis=1))
    pairs = np.abs(signs @ signs.T)
    np.fill_diagonal(pairs, 0)
    return float(max(singles.max(), pairs.max()) / np.sqrt(bits.shape[1]))


def chi_square(bits: np.ndarray) -> float:
    """Chi-square of the first 4 bits as a number, 15 degrees of freedom."""
    numbers = np.packbits(np.concatenate([np.zeros_like(bits[:4]), bits[:4]]), axis=0)[0]
    counts = np.bincount(numbers, minlength=16)
    expected = bits.shape[1] / 16
    return float(((counts - expected) ** 2 / expected).sum())


# 18 + 1 + 2 · (16 + 3) bits make 1,596 pairs; a fair run passes 5 deviations with a probability under 0.001
LIMIT = 5.0
# chi-square with 15 degrees of freedom passes 37.7 with a probability of 0.001
CHI_LIMIT = 37.7


def test_openings_are_uniform_and_pairwise_independent() -> None:
    bits = opened_bits()
    assert bits.shape == (18 + 1 + 2 * (16 + 3), SAMPLES)
    assert worst_deviation(bits) < LIMIT
    for start in range(0, len(bits) - 3, 4):
        assert chi_square(bits[start : start + 4]) < CHI_LIMIT


def no_mask_on_a_wire(materials: list[Material]) -> None:
    for material in materials:
        material._left["c"]["a0"][...] = 0


def no_mask_on_the_value(materials: list[Material]) -> None:
    for material in materials:
        material._left["c"]["r"][...] = 0


def one_stream_for_two_gadgets(materials: list[Material]) -> None:
    """The mask of a bit is also a bit of the comparison's mask: every result stays right."""
    for material in materials:
        dealt = material._left
        dealt["b"]["d"][...] = dealt["c"]["bits"][0]


def one_mask_for_two_wires(materials: list[Material]) -> None:
    for material in materials:
        material._left["c"]["b1"][...] = material._left["c"]["a1"][:, 1:]


@pytest.mark.parametrize(
    "leak", [no_mask_on_a_wire, no_mask_on_the_value, one_stream_for_two_gadgets, one_mask_for_two_wires]
)
def test_planted_leak_is_found(leak) -> None:
    assert worst_deviation(opened_bits(leak)) > 10 * LIMIT
