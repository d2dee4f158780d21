import pytest
from gmpy2 import mpz, powmod
from hypothesis import given
from hypothesis import strategies as st

from mpcnode.mpc.paillier.powers import Crt, FixedBase, product_of_powers

MODULUS = mpz((1 << 127) - 1) * 1009
BASES = st.integers(0, int(MODULUS) - 1).map(mpz)
EXPONENTS = st.one_of(st.sampled_from([0, 1, 2, 7, 8, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1))


@given(BASES, st.binary(min_size=0, max_size=5))
def test_fixed_base_gives_powers(base, exponent):
    expected = powmod(base, int.from_bytes(exponent, "little"), MODULUS)
    assert FixedBase(base, MODULUS, len(exponent)).power(exponent) == expected


def test_an_exponent_of_another_length_is_refused():
    with pytest.raises(ValueError, match="zip"):
        FixedBase(mpz(3), MODULUS, 4).power(bytes(3))
    with pytest.raises(ValueError, match="zip"):
        FixedBase(mpz(3), MODULUS, 4).power(bytes(5))


@given(st.lists(st.tuples(BASES, EXPONENTS), max_size=12))
def test_products_of_powers(pairs):
    expected = mpz(1)
    for base, exponent in pairs:
        expected = expected * powmod(base, exponent, MODULUS) % MODULUS
    assert product_of_powers([base for base, _ in pairs], [exponent for _, exponent in pairs], MODULUS) == expected


@given(st.integers(0, 1009 * 2003 - 1))
def test_residues_are_joined(number):
    assert Crt(mpz(1009), mpz(2003)).join(mpz(number % 1009), mpz(number % 2003)) == number
