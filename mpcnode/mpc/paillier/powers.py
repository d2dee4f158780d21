"""Powers mod a number, where GMP's own power is not the fastest way: many of one base, products of many.

Which entries of a table are read depends on the exponent: none of this takes constant time.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from gmpy2 import invert, mpz

_WINDOW_BITS = 3
_DIGIT_MASK = (1 << _WINDOW_BITS) - 1


class Crt:
    """Residues mod two coprime numbers, joined to one mod their product."""

    def __init__(self, left: mpz, right: mpz) -> None:
        self._left = left
        self._right = right
        self._inverse = invert(left, right)

    def __repr__(self) -> str:
        return "Crt()"

    def join(self, at_left: mpz, at_right: mpz) -> mpz:
        """Return the number with these residues."""
        return at_left + self._left * ((at_right - at_left) * self._inverse % self._right)


class FixedBase:
    """Powers of one base: a table holds base^(d·256^i) for every byte d of an exponent (Brickell et al., 1992)."""

    def __init__(self, base: mpz, modulus: mpz, exponent_bytes: int) -> None:
        self._modulus = modulus
        self._rows: list[list[mpz]] = []
        for _ in range(exponent_bytes):
            row = [mpz(1)]
            for _ in range(255):
                row.append(row[-1] * base % modulus)
            self._rows.append(row)
            base = row[-1] * base % modulus

    def __repr__(self) -> str:
        return f"FixedBase({len(self._rows)} bytes)"

    def power(self, exponent: bytes) -> mpz:
        """Return base^exponent of a little-endian exponent as long as the table."""
        modulus = self._modulus
        result = mpz(1)
        for row, digit in zip(self._rows, exponent, strict=True):
            result = result * row[digit] % modulus
        return result


def product_of_powers(bases: Sequence[mpz], exponents: Sequence[int], modulus: mpz) -> mpz:
    """Return the product of base^exponent: squarings are shared (Straus, 1964), digits are odd (Möller, SAC 2001)."""
    factors: defaultdict[int, list[mpz]] = defaultdict(list)
    for base, exponent in zip(bases, exponents, strict=True):
        digits = list(_odd_digits(exponent))
        powers = _odd_powers(base, max((digit for _, digit in digits), default=0), modulus)
        for place, digit in digits:
            factors[place].append(powers[digit >> 1])
    result = mpz(1)
    for place in range(max(factors, default=0), -1, -1):
        result = result * result % modulus
        for factor in factors.get(place, ()):
            result = result * factor % modulus
    return result


def _odd_digits(exponent: int) -> Iterator[tuple[int, int]]:
    """Write an exponent as a sum of digit·2^place with odd digits of a window's bits."""
    place = 0
    while exponent:
        zeros = (exponent & -exponent).bit_length() - 1
        exponent >>= zeros
        place += zeros
        yield place, exponent & _DIGIT_MASK
        exponent >>= _WINDOW_BITS
        place += _WINDOW_BITS


def _odd_powers(base: mpz, highest: int, modulus: mpz) -> list[mpz]:
    """Return base^1, base^3, … up to the highest."""
    powers = [base]
    if highest > 1:
        square = base * base % modulus
        while len(powers) < (highest + 1) // 2:
            powers.append(powers[-1] * square % modulus)
    return powers
