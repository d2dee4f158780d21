from fractions import Fraction

import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from mpcnode.mpc.paillier import MODULUS_BITS_MAX
from mpcnode.mpc.paillier.slots import STATISTICAL_BITS, Slots
from tests.support.paillier import key_of, seeded

N = key_of(0).encryption.n


@pytest.mark.parametrize(
    ("bits", "modulus_bits", "count"),
    [(64, 2048, 10), (64, 3072, 15), (1, 2048, 30), (1, 3072, 46), (32, 3072, 23), (64, 257, 1), (1, 130, 1)],
)
def test_how_many_share_a_plaintext(bits, modulus_bits, count):
    assert Slots(bits, modulus_bits).count == count


@pytest.mark.parametrize("modulus_bits", [512, 2048, 3072, MODULUS_BITS_MAX])
@pytest.mark.parametrize("bits", range(1, 65))
def test_nothing_overflows_at_the_bounds(bits, modulus_bits):
    slots = Slots(bits, modulus_bits)
    product = ((1 << bits) - 1) ** 2
    mask = (1 << slots.width) - (1 << slots.product_bits) - 1
    assert product < 1 << slots.product_bits
    assert product + mask < 1 << slots.width
    for n in ((mpz(1) << (modulus_bits - 1)) + 1, (mpz(1) << modulus_bits) - 1):  # least and greatest
        above = (n >> (slots.count * slots.width)) - 1
        full = slots.pack([mpz(product + mask)] * slots.count + [above])
        assert full < n
        assert slots.unpack(full, slots.count) == [(product + mask) % (1 << bits)] * slots.count


@pytest.mark.parametrize("modulus_bits", [512, 2048, 3072, MODULUS_BITS_MAX])
@pytest.mark.parametrize("bits", range(1, 65))
def test_masks_leave_out_no_more_than_64_bits_allow(bits, modulus_bits):
    slots = Slots(bits, modulus_bits)
    n = (mpz(1) << (modulus_bits - 1)) + 1
    in_slots = slots.count * slots.width
    assert STATISTICAL_BITS == 64
    assert (1 << slots.product_bits) << 64 <= 1 << slots.width
    assert n - ((n >> in_slots) << in_slots) <= n >> 64


@pytest.mark.parametrize("modulus_bits", [2048, 3072, MODULUS_BITS_MAX])
def test_a_mask_is_uniform_mod_n_but_for_2_to_the_minus_57(modulus_bits):
    """Every mask is as likely as any other, so its distance to uniform is the part of numbers below n that are none."""
    distances = []
    for bits in range(1, 65):
        slots = Slots(bits, modulus_bits)
        for n in ((mpz(1) << (modulus_bits - 1)) + 1, (mpz(1) << modulus_bits) - 1):
            room = (mpz(1) << slots.width) - (mpz(1) << slots.product_bits)
            masks = room**slots.count * (n >> (slots.count * slots.width))
            distances.append(1 - Fraction(int(masks), int(n)))
    assert max(distances) < Fraction(1, 1 << 57)
    assert max(distances) < Fraction(1, 1 << 58) or modulus_bits == MODULUS_BITS_MAX


class Recording:
    """Remembers the bounds that masks are drawn below, and draws the greatest."""

    def __init__(self):
        self.bounds = []

    def __call__(self, source, bound):
        self.bounds.append(bound)
        return bound - 1


def test_a_mask_covers_every_slot_and_what_is_above(monkeypatch):
    drawing = Recording()
    monkeypatch.setattr("mpcnode.mpc.paillier.slots.draw_below", drawing)
    slots = Slots(64, 512)
    mask, parts = slots.draw_mask(seeded(1), N)
    assert drawing.bounds == [(1 << 192) - (1 << 128)] * 2 + [N >> 384]
    assert parts == [bound - 1 for bound in drawing.bounds[:2]]
    assert mask == parts[0] + (parts[1] << 192) + ((N >> 384) - 1 << 384)
    assert mask + slots.place((1 << 64) - 1, 0) * ((1 << 64) - 1) < N


def test_masks_are_as_likely_anywhere_below_n():
    slots = Slots(64, 512)
    cells = [0] * 16
    for seed in range(1000):
        cells[int(16 * slots.draw_mask(seeded(seed), N)[0] // N)] += 1
    # 15 degrees of freedom: 99.99 % are below 45
    assert sum((count - 62.5) ** 2 / 62.5 for count in cells) < 45


@pytest.mark.parametrize("bits", [0, 65, -1])
def test_factors_of_no_or_too_many_bits_are_refused(bits):
    with pytest.raises(ValueError, match=f"factors: expected 1 to 64 bits, got {bits}"):
        Slots(bits, 3072)


def test_a_modulus_too_short_for_one_product_is_refused():
    with pytest.raises(ValueError, match="modulus: expected more than 256 bits, got 256"):
        Slots(64, 256)


@pytest.mark.parametrize("factor", [-1, 256])
def test_a_factor_outside_its_bits_is_refused(factor):
    with pytest.raises(ValueError, match="factor 3: expected 8 bits"):
        Slots(8, 512).place(factor, 3)


@given(st.integers(1, 64), st.data())
def test_what_is_packed_is_unpacked(bits, data):
    slots = Slots(bits, 3072)
    values = data.draw(st.lists(st.integers(0, (1 << slots.width) - 1), max_size=slots.count))
    packed = slots.pack([mpz(value) for value in values])
    assert slots.unpack(packed, len(values)) == [value % (1 << bits) for value in values]
    factors = [value % (1 << bits) for value in values]
    placed = sum(slots.place(factor, slots.count * 2 + slot) for slot, factor in enumerate(factors))
    assert slots.unpack(mpz(placed), len(factors)) == factors
