import pytest
from gmpy2 import gcd, is_prime, is_strong_prp, mpz

from mpcnode.mpc.paillier import primes
from mpcnode.mpc.paillier.drawing import draw_below, draw_bits, draw_unit
from mpcnode.mpc.paillier.primes import draw_blum_primes
from tests.support.paillier import seeded


@pytest.mark.parametrize("modulus_bits", [512, 514, 768, 1024])
def test_two_blum_primes_whose_product_has_all_the_bits(modulus_bits):
    for seed in range(5):
        p, q = draw_blum_primes(seeded(seed), modulus_bits)
        assert p % 4 == q % 4 == 3
        assert gcd(p - 1, q - 1) == 2
        assert p != q
        assert p.bit_length() == q.bit_length() == modulus_bits // 2
        assert (p * q).bit_length() == modulus_bits
        assert is_prime(p, 40)
        assert is_prime(q, 40)


def test_every_prime_passes_64_rounds_of_bases_drawn_afresh(monkeypatch):
    bases = []

    def counting(candidate, base):
        bases.append((candidate, base))
        return is_strong_prp(candidate, base)

    monkeypatch.setattr(primes, "is_strong_prp", counting)
    for prime in draw_blum_primes(seeded(1), 512):
        used = [base for candidate, base in bases if candidate == prime]
        assert len(set(used)) == 64
        assert all(2 <= base <= prime - 2 for base in used)


def test_a_pseudoprime_to_the_first_bases_does_not_pass():
    # strong pseudoprime to the bases 2, 3, 5 and 7 (Pomerance, Selfridge, Wagstaff, 1980)
    assert not primes._passes_miller_rabin(mpz(3215031751), seeded(2))


def test_primes_that_are_close_or_share_a_factor_are_drawn_again(monkeypatch):
    p, q = draw_blum_primes(seeded(3), 512)
    close, sharing = p + 4, 3 * (p - 1) + 1
    drawn = iter([p, p, close, sharing, q])
    monkeypatch.setattr(primes, "_draw_blum_prime", lambda *_: next(drawn))
    assert draw_blum_primes(seeded(0), 512) == (p, q)


def test_numbers_are_drawn_from_their_whole_range_and_no_other():
    source = seeded(5)
    assert {int(draw_bits(source, 3)) for _ in range(200)} == set(range(8))
    assert {int(draw_below(source, mpz(5))) for _ in range(200)} == set(range(5))
    assert {int(draw_unit(source, mpz(15))) for _ in range(400)} == {1, 2, 4, 7, 8, 11, 13, 14}
    assert draw_bits(lambda count: b"\xff" * count, 13) == (1 << 13) - 1
