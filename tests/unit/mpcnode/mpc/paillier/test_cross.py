import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from mpcnode.mpc.paillier.cross import answer, ask, conclude
from mpcnode.mpc.paillier.keys import MODULUS_BITS
from mpcnode.mpc.paillier.slots import Slots
from mpcnode.types import Rank
from tests.support.paillier import key_of, seeded
from tests.support.talks import deviates

KEY = key_of(0)
MOST = (1 << 64) - 1
ALICE, BOB = Rank(0), Rank(1)


def cross(key, left, right, bits, seed=0):
    asked = ask(key, left, bits=bits, source=seeded(seed))
    answered, bobs = answer(key.encryption, ALICE, asked, right, bits=bits, source=seeded(seed + 1))
    return conclude(key, BOB, answered, count=len(left), bits=bits), bobs


def check(key, left, right, bits, seed=0):
    alices, bobs = cross(key, left, right, bits, seed)
    ring = 1 << bits
    assert [(a + b) % ring for a, b in zip(alices, bobs, strict=True)] == [
        x * y % ring for x, y in zip(left, right, strict=True)
    ]
    assert all(0 <= share < ring for share in (*alices, *bobs))


def factors(bits):
    edges = st.sampled_from([0, 1, (1 << bits) - 1, 1 << (bits - 1)])
    return st.one_of(edges, st.integers(0, (1 << bits) - 1))


@given(st.integers(1, 64), st.data(), st.integers(0, 2**32))
def test_shares_of_cross_terms_of_every_width(bits, data, seed):
    pairs = data.draw(st.lists(st.tuples(factors(bits), factors(bits)), max_size=9))
    check(KEY, [a for a, _ in pairs], [b for _, b in pairs], bits, seed)


@pytest.mark.parametrize("bits", range(1, 65))
def test_greatest_factors_of_every_width_in_full_and_part_filled_plaintexts(bits):
    count = Slots(bits, 512).count + 1
    check(KEY, [(1 << bits) - 1] * count, [(1 << bits) - 1] * count, bits)


@settings(max_examples=3)
@given(st.integers(0, 2**32))
def test_cross_terms_at_3072_bits(seed):
    key = key_of(1, MODULUS_BITS)
    draw = seeded(seed)
    for bits, count in ((64, 16), (1, 47)):
        left, right = ([int.from_bytes(draw(8), "little") >> (64 - bits) for _ in range(count)] for _ in "ab")
        left[0] = right[0] = left[-1] = right[-1] = (1 << bits) - 1
        check(key, left, right, bits, seed)


def test_greatest_masks_do_not_reach_the_next_slot(monkeypatch):
    monkeypatch.setattr("mpcnode.mpc.paillier.slots.draw_below", lambda _, bound: bound - 1)
    count = 2 * Slots(64, 512).count
    alices, bobs = cross(KEY, [MOST] * count, [MOST] * count, 64)
    assert bobs == [1] * count
    assert alices == [0] * count


def chi_square(values, cells):
    counts = [0] * cells
    for value in values:
        counts[value] += 1
    expected = len(values) / cells
    return sum((count - expected) ** 2 / expected for count in counts)


@pytest.mark.parametrize("bits", [1, 8, 64])
@pytest.mark.parametrize("factor", ["least", "greatest"])
def test_shares_are_uniform_whatever_is_multiplied(bits, factor):
    value = 0 if factor == "least" else (1 << bits) - 1
    alices, bobs = cross(KEY, [value] * 2000, [value] * 2000, bits, seed=6)
    top = min(bits, 4)
    for shares in (alices, bobs):
        # 15 degrees of freedom at most: 99.99 % are below 45
        assert chi_square([share >> (bits - top) for share in shares], 1 << top) < 45
        assert chi_square([share & ((1 << top) - 1) for share in shares], 1 << top) < 45


def test_every_answer_has_a_mask_and_a_blinding_of_its_own():
    slots, source, drawn = Slots(64, 512), seeded(9), []

    def recording(size):
        drawn.append(source(size))
        return drawn[-1]

    asked = ask(KEY, [5] * 5, bits=64, source=seeded(0))
    answer(KEY.encryption, ALICE, asked, [0] * 5, bits=64, source=recording)
    assert len(set(drawn)) == len(drawn)
    sizes = [len(data) for data in drawn]
    assert sizes.count(slots.width // 8) == 3 * slots.count  # the last answer's second slot holds no product
    assert sizes.count(KEY.encryption.modulus_bytes) >= 3


def test_an_answer_that_multiplies_nothing_does_not_show():
    # all of Bob's factors are 0: his answer is still blinded
    asked = ask(KEY, [5, 6], bits=64, source=seeded(0))
    answers = {answer(KEY.encryption, ALICE, asked, [0, 0], bits=64, source=seeded(seed))[0] for seed in range(20)}
    assert len(answers) == 20


ASKED = ask(KEY, [1, 2, 3], bits=64, source=seeded(0))
SIZE = KEY.encryption.ciphertext_bytes
SQUARED = KEY.encryption.n_squared


def with_ciphertext(place, value):
    return ASKED[: place * SIZE] + int(value).to_bytes(SIZE, "little") + ASKED[(place + 1) * SIZE :]


MALFORMED = {
    "short": (ASKED[:-1], f"node 0: expected 3 ciphertexts of {SIZE} bytes, got {3 * SIZE - 1} bytes"),
    "long": (ASKED + b"0", f"got {3 * SIZE + 1} bytes"),
    "empty": (b"", "got 0 bytes"),
    "one too few": (ASKED[SIZE:], f"got {2 * SIZE} bytes"),
    "zero": (with_ciphertext(1, 0), "node 0, ciphertext 1: expected 0 < c < n², got a number outside"),
    "n squared": (with_ciphertext(2, SQUARED), "ciphertext 2: expected 0 < c < n²"),
    "overflow": (with_ciphertext(0, 2 ** (8 * SIZE) - 1), "ciphertext 0: expected 0 < c < n²"),
    "n": (with_ciphertext(2, KEY.encryption.n), "node 0, ciphertext 2: expected no common factor with n, got one"),
    "a multiple of p": (with_ciphertext(1, 4 * KEY.p), "ciphertext 1: expected no common factor"),
    "two that make n": (
        with_ciphertext(0, KEY.p)[:SIZE] + with_ciphertext(1, KEY.q)[SIZE:],
        "ciphertext 0: expected no common factor",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_ciphertexts_are_refused_by_both_sides(name):
    data, said = MALFORMED[name]
    with deviates(0, said):
        answer(KEY.encryption, ALICE, data, [1, 2, 3], bits=64, source=seeded(1))
    with deviates(0, said):
        conclude(KEY, ALICE, data, count=3 * Slots(64, 512).count, bits=64)


def test_what_lies_above_the_slots_changes_no_share():
    slots = Slots(64, 512)
    high = mpz(3) << (slots.width * slots.count)
    message = KEY.encrypt(high + slots.pack([mpz(7), mpz(8)]), seeded(1)).to_bytes(SIZE, "little")
    assert conclude(KEY, BOB, message, count=2, bits=64) == [7, 8]


@pytest.mark.parametrize("factor", [-1, 1 << 64])
def test_a_factor_outside_its_ring_is_refused(factor):
    with pytest.raises(ValueError, match="factor 1: expected 64 bits"):
        ask(KEY, [0, factor], bits=64, source=seeded(1))
