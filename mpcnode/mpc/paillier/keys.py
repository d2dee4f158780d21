"""Paillier keys: `phe`'s key objects, GMP's arithmetic, and the owner's short exponents.

A ciphertext of m is (1 + mn)·ρ mod n² with an n-th power ρ, its blinding. The textbook draws r < n and takes ρ = r^n,
thousands of multiplications. The owner of a key, who encrypts most, takes ρ = h_s^e with h_s = h^n, h = -x² mod n and e
of 256 bits (Damgård, Jurik, Nielsen, Int. J. Inf. Secur. 9, 2010, section 4): with tables of powers, and mod p² and q²
apart, 31 small multiplications each. That h^e with e of 256 bits looks like any power of h is an assumption, beside
Paillier's own (256 is twice the security level: a meet in the middle takes the square root).

Who encrypts for the owner of a key hides from the owner, who may take logarithms mod p and q. No exponent is short
enough then, so this is done the textbook's way: the blinding is uniform, and no assumption is needed.
"""

from functools import cached_property

from gmpy2 import mpz, powmod
from phe import PaillierPrivateKey, PaillierPublicKey

from mpcnode.mpc.paillier.drawing import Source, draw_unit
from mpcnode.mpc.paillier.powers import Crt, FixedBase
from mpcnode.mpc.paillier.primes import draw_blum_primes

MODULUS_BITS = 3072
"""Of a key unless told, and the least that is accepted: 128 bits of security (NIST SP 800-57)."""

EXPONENT_BYTES = 32
"""Of the blinding of what an owner encrypts."""


class EncryptionKey:
    """What everybody may know of a key. Of another node's, nothing is believed: it comes from `accept`."""

    def __init__(self, public: PaillierPublicKey) -> None:
        self.public = public
        self.n = mpz(public.n)
        self.n_squared = self.n * self.n

    def __repr__(self) -> str:
        return f"EncryptionKey({self.modulus_bits} bits)"

    @property
    def modulus_bits(self) -> int:
        """Bits of n."""
        return int(self.n.bit_length())

    @property
    def modulus_bytes(self) -> int:
        """Bytes of a number mod n."""
        return -(-self.modulus_bits // 8)

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of a ciphertext."""
        return 2 * self.modulus_bytes

    def encrypt(self, plaintext: mpz, source: Source) -> mpz:
        """Encrypt a number from 0 to n - 1: any ciphertext of it is as likely as any other.

        Raises:
            ValueError: another number.
        """
        return self.blind(plaintext, powmod(draw_unit(source, self.n), self.n, self.n_squared))

    def blind(self, plaintext: mpz, blinding: mpz) -> mpz:
        """Encrypt a number from 0 to n - 1 with a given n-th power.

        Raises:
            ValueError: another number.
        """
        if not 0 <= plaintext < self.n:
            raise ValueError(f"plaintext: expected 0 to n - 1, n of {self.modulus_bits} bits, got a number outside")
        return (1 + plaintext * self.n) * blinding % self.n_squared


class DecryptionKey:
    """A key pair, with its owner's h. It is never shown, sent, logged or stored: another is made in a second."""

    def __init__(self, private: PaillierPrivateKey, h: mpz) -> None:
        self.private = private
        self.h = h
        self.encryption = EncryptionKey(private.public_key)
        self.p, self.q = mpz(private.p), mpz(private.q)
        self.modulo_n = Crt(self.p, self.q)
        self._p_squared, self._q_squared = self.p * self.p, self.q * self.q
        self._modulo_n_squared = Crt(self._p_squared, self._q_squared)
        self._hp, self._hq = mpz(private.hp), mpz(private.hq)

    def __repr__(self) -> str:
        return f"DecryptionKey({self.encryption.modulus_bits} bits)"

    @cached_property
    def _blindings(self) -> tuple[FixedBase, FixedBase]:
        """Powers of h_s mod p² and mod q²."""
        squares = (self._p_squared, self._q_squared)
        at_p, at_q = (FixedBase(powmod(self.h, self.encryption.n, m), m, EXPONENT_BYTES) for m in squares)
        return at_p, at_q

    def encrypt(self, plaintext: mpz, source: Source) -> mpz:
        """Encrypt a number from 0 to n - 1, the owner's way.

        Raises:
            ValueError: another number.
        """
        exponent = source(EXPONENT_BYTES)
        at_p, at_q = (table.power(exponent) for table in self._blindings)
        return self.encryption.blind(plaintext, self._modulo_n_squared.join(at_p, at_q))

    def decrypt(self, ciphertext: mpz) -> mpz:
        """Decrypt to a number from 0 to n - 1, mod p and mod q apart (Paillier, EUROCRYPT 1999, section 7)."""
        at_p = (powmod(ciphertext, self.p - 1, self._p_squared) - 1) // self.p * self._hp % self.p
        at_q = (powmod(ciphertext, self.q - 1, self._q_squared) - 1) // self.q * self._hq % self.q
        return self.modulo_n.join(at_p, at_q)


def generate(source: Source, *, modulus_bits: int = MODULUS_BITS) -> DecryptionKey:
    """Make a key pair; at 3072 bits this takes about a second.

    Args:
        source: random bytes.
        modulus_bits: of n, even; below `MODULUS_BITS` in tests only: others refuse the key.
    """
    p, q = draw_blum_primes(source, modulus_bits)
    n = p * q
    x = draw_unit(source, n)
    return DecryptionKey(PaillierPrivateKey(PaillierPublicKey(int(n)), int(p), int(q)), -x * x % n)
