import math

import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from mpcnode.mpc.paillier import MODULUS_BITS_MAX
from mpcnode.mpc.paillier.keys import ANSWER_EXPONENT_BYTES, EXPONENT_BYTES
from mpcnode.mpc.paillier.slots import STATISTICAL_BITS, Slots
from tests.support.paillier import seeded


@pytest.mark.parametrize(
    ("bits", "modulus_bits", "count"),
    [(64, 2048, 10), (64, 3072, 15), (1, 2048, 31), (1, 3072, 46), (32, 3072, 23), (64, 194, 1), (1, 67, 1)],
)
def test_how_many_share_a_plaintext(bits, modulus_bits, count):
    assert Slots(bits, modulus_bits).count == count


@pytest.mark.parametrize("modulus_bits", [512, 2048, 3072])
@pytest.mark.parametrize("bits", range(1, 65))
def test_nothing_overflows_at_the_bounds(bits, modulus_bits):
    slots = Slots(bits, modulus_bits)
    greatest = ((1 << bits) - 1) ** 2 + (1 << slots.mask_bits) - 1
    assert greatest < 1 << slots.width
    full = sum(greatest << (slots.width * slot) for slot in range(slots.count))
    assert full < 1 << (modulus_bits - 1)  # which is at most n
    assert slots.unpack(mpz(full), slots.count) == [greatest % (1 << bits)] * slots.count
    assert 1 << slots.mask_bits >= ((1 << bits) - 1) ** 2 << STATISTICAL_BITS
    assert STATISTICAL_BITS == 64


@pytest.mark.parametrize("modulus_bits", [3072, MODULUS_BITS_MAX])
def test_an_answers_exponent_hides_the_sum_of_the_askers_exponents(modulus_bits):
    for bits in range(1, 65):
        most = Slots(bits, modulus_bits).count * ((1 << (8 * EXPONENT_BYTES)) - 1) * ((1 << bits) - 1)
        assert most << STATISTICAL_BITS <= 1 << (8 * ANSWER_EXPONENT_BYTES)


@pytest.mark.parametrize("bits", [0, 65, -1])
def test_factors_of_no_or_too_many_bits_are_refused(bits):
    with pytest.raises(ValueError, match=f"factors: expected 1 to 64 bits, got {bits}"):
        Slots(bits, 3072)


def test_a_modulus_too_short_for_one_product_is_refused():
    with pytest.raises(ValueError, match="modulus: expected more than 193 bits, got 193"):
        Slots(64, 193)


@pytest.mark.parametrize("factor", [-1, 256])
def test_a_factor_outside_its_bits_is_refused(factor):
    with pytest.raises(ValueError, match="factor 3: expected 8 bits"):
        Slots(8, 512).place(factor, 3)


@given(st.integers(1, 64), st.data())
def test_what_is_packed_is_unpacked(bits, data):
    slots = Slots(bits, 3072)
    masks = data.draw(st.lists(st.integers(0, (1 << slots.mask_bits) - 1), max_size=slots.count))
    packed = slots.pack([mpz(mask) for mask in masks])
    assert slots.unpack(packed, len(masks)) == [mask % (1 << bits) for mask in masks]
    factors = [mask % (1 << bits) for mask in masks]
    placed = sum(slots.place(factor, slots.count * 2 + slot) for slot, factor in enumerate(factors))
    assert slots.unpack(mpz(placed), len(factors)) == factors


def test_masks_reach_their_bound():
    slots = Slots(64, 3072)
    masks = slots.draw_masks(seeded(1), 2000)
    assert max(masks) < 1 << slots.mask_bits
    assert math.log2(max(masks)) > slots.mask_bits - 0.1
