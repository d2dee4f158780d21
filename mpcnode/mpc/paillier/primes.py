"""Two Blum primes for a Paillier modulus.

p = q = 3 mod 4 and gcd(p - 1, q - 1) = 2: then -1 is no square mod p or q though its Jacobi symbol mod pq is 1, and the
group that blinding draws from is cyclic (Damgård, Jurik, Nielsen, Int. J. Inf. Secur. 9, 2010, section 4).
"""

from gmpy2 import gcd, is_prime, is_strong_prp, mpz, primorial

from mpcnode.mpc.paillier.drawing import Source, draw_below, draw_bits

MILLER_RABIN_ROUNDS = 64
"""Bases tried, each drawn afresh: a composite passes with probability 2^-128 at most."""

_SIEVE = primorial(1 << 12)
_DISTANCE_BITS = 100  # FIPS 186-5, A.1.3: |p - q| > 2^(half - 100), or n falls to Fermat's method


def draw_blum_primes(source: Source, modulus_bits: int) -> tuple[mpz, mpz]:
    """Draw two primes of half the bits each, whose product has all the bits."""
    half = modulus_bits // 2
    p = _draw_blum_prime(source, half)
    while True:
        q = _draw_blum_prime(source, half)
        if gcd(p - 1, q - 1) == 2 and abs(p - q) > 1 << (half - _DISTANCE_BITS):
            return p, q


def _draw_blum_prime(source: Source, bits: int) -> mpz:
    while True:
        # the two highest bits make the product of two as long as it should be, the two lowest make it 3 mod 4
        candidate = draw_bits(source, bits) | mpz(3) << (bits - 2) | 3
        if gcd(candidate, _SIEVE) == 1 and is_prime(candidate) and _passes_miller_rabin(candidate, source):
            return candidate


def _passes_miller_rabin(candidate: mpz, source: Source) -> bool:
    bases = (draw_below(source, candidate - 3) + 2 for _ in range(MILLER_RABIN_ROUNDS))
    return all(is_strong_prp(candidate, base) for base in bases)
