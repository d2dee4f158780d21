"""Numbers out of random bytes. The bytes are an argument: the operating system's in a daemon, a stream in a test."""

from collections.abc import Callable

from gmpy2 import gcd, mpz

Source = Callable[[int], bytes]
"""Returns so many random bytes, fit for keys."""


def draw_bits(source: Source, bits: int) -> mpz:
    """Draw a number below 2^bits."""
    size = -(-bits // 8)
    return mpz.from_bytes(source(size), "little") >> (8 * size - bits)


def draw_below(source: Source, bound: mpz) -> mpz:
    """Draw a number below a bound; no number is likelier than another."""
    bits = (bound - 1).bit_length()
    while True:
        drawn = draw_bits(source, bits)
        if drawn < bound:
            return drawn


def draw_unit(source: Source, n: mpz) -> mpz:
    """Draw a number below n that has an inverse mod n."""
    while True:
        drawn = draw_below(source, n)
        if gcd(drawn, n) == 1:
            return drawn
