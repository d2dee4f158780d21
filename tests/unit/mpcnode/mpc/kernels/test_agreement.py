"""All kernels give the same bits: the loops, run as they are written, those of numpy; numpy's the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpcnode.mpc.kernels.compiled import Compiled
from mpcnode.mpc.kernels.loops import LOOPS
from mpcnode.mpc.kernels.reference import Reference
from mpcnode.mpc.kernels.trial import differing
from tests.support.kernels import arrays, as_written, check_same, differences, drawings, flips, leaves, weights, wires

REFERENCE = Reference()


def bit(words, place: int) -> int:
    return int(words[place // 64]) >> (place % 64) & 1


@given(drawings)
def test_loops_agree_with_numpy(drawn):
    with np.errstate(over="ignore"):
        check_same(Compiled(as_written()), drawn)


@given(differences())
def test_differences_are_those_of_integers(drawn):
    rows, of, thresholds, size = drawn
    bits, _, words = rows.shape
    inverted = REFERENCE.subtract_public(rows, of, thresholds, size)
    for place, (value, threshold) in enumerate(zip(of, thresholds, strict=True)):
        for subject in (0, 64 * words - 1):
            x = sum(bit(rows[i, value], subject) << i for i in range(bits))
            difference = (x - int(threshold)) % (1 << bits)
            found = [bit(inverted[i, place], subject) for i in range(size)]
            assert found == [1 - (difference >> i & 1) for i in range(size)]


@given(leaves())
def test_leaves_are_polynomials_with_public_coefficients(drawn):
    """With n = not c: [r = c] is the product of all r_i ^ n_i, [r > c] the sum of r_i n_i times those above i."""
    table, inverted, of = drawn
    width = inverted.shape[1]
    greater, equal = REFERENCE.fold_leaf(table, inverted, of)
    expected_equal, expected_greater = np.zeros_like(equal), np.zeros_like(greater)
    for members in range(1 << width):
        outside = [i for i in range(width) if not members >> i & 1]
        shares = table[:, members, of]
        expected_equal ^= shares & product(inverted, outside)
        if members:
            lowest = (members & -members).bit_length() - 1
            expected_greater ^= shares & product(inverted, [lowest, *(i for i in outside if i > lowest)])
    assert np.array_equal(equal, expected_equal)
    assert np.array_equal(greater, expected_greater)


@given(wires())
def test_wires_combine_lexicographically(drawn):
    """In clear: with masks a and b, and all products of theirs, the result is F and P of what is under the masks."""
    opened, a, _, _, is_last = drawn
    groups, fan, words = a.shape
    equals = fan - is_last
    b = opened[:, fan:] ^ np.roll(opened[:, fan:], 1, axis=2)  # any masks
    members = range(fan - equals, fan)
    table = np.stack([product(b, [i for i in range(equals) if chosen >> i & 1]) for chosen in range(1 << equals)], 1)
    pairs = []
    for i in range(fan):
        above = [j for j in members if j > i]
        for chosen in range(1, 1 << len(above)):
            picked = [above[k] - (fan - equals) for k in range(len(above)) if chosen >> k & 1]
            pairs.append(a[:, i] & product(b, picked))
    products = np.stack(pairs, 1)
    g, p = opened[:, :fan] ^ a, opened[:, fan:] ^ b
    expected = g[:, 0]
    for i in range(1, fan):
        expected = g[:, i] ^ (p[:, i - (fan - equals)] & expected)
    found, both = REFERENCE.combine_wires(opened, a, table, products, is_last=is_last)
    assert found.shape == (groups, words)
    assert np.array_equal(found, expected)
    if not is_last:
        assert np.array_equal(both, np.bitwise_and.reduce(p, axis=1))


def product(rows, members):
    return np.bitwise_and.reduce(rows[:, members], axis=1) if members else np.full_like(rows[:, 0], (1 << 64) - 1)


@given(flips(), flips())
def test_flipped_shares_make_the_bit(drawn, other):
    """With d shared by two, u = e ^ d."""
    opened, stride, mine, _ = drawn
    ring = mine.dtype.type
    items, subjects = mine.shape
    d = (mine >> ring(3)) & ring(1)
    shares = (
        REFERENCE.flip(opened, stride, mine, is_first=True),
        REFERENCE.flip(opened, stride, d - mine, is_first=False),
    )
    made = shares[0] + shares[1]
    for item in range(items):
        for subject in range(subjects):
            e = bit(opened, item * stride + subject)
            assert int(made[item, subject]) == e ^ int(d[item, subject])


@given(weights())
def test_weighted_sums_wrap(drawn):
    factors, shares = drawn
    modulus = 1 << (8 * shares.dtype.itemsize)
    found = REFERENCE.weigh(factors, shares)
    expected = [sum(int(w) * int(x) for w, x in zip(factors, column, strict=True)) % modulus for column in shares.T]
    assert found.tolist() == expected


@given(st.data(), st.integers(1, 64), st.integers(1, 4))
def test_slicing_and_joining_are_inverse(data, bits, words):
    values = data.draw(arrays((64 * words,)))
    rows = REFERENCE.slice_bits(values, bits)
    assert rows.shape == (bits, words)
    joined = REFERENCE.join_bits(rows)
    assert joined.shape == (64 * words, -(-bits // 8))
    for value, found in zip(values, joined, strict=True):
        assert int.from_bytes(found.tobytes(), "little") == int(value) & ((1 << bits) - 1)


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.name)
def test_trial_finds_a_loop_that_is_wrong_in_one_bit(loop):
    def wrong(*arguments):
        loop.function(*arguments)
        arguments[-1].reshape(-1)[-1] ^= arguments[-1].dtype.type(1)

    with np.errstate(over="ignore"):
        assert differing(Compiled(as_written()), REFERENCE) == ()
        assert len(differing(Compiled({**as_written(), loop.name: wrong}), REFERENCE)) == 1
