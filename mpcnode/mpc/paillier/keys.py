"""Paillier keys: `phe`'s key objects, GMP's arithmetic, and blinding by short exponents.

A ciphertext is (1 + mn)·ρ mod n², where ρ is an n-th power. `phe` draws r < n and takes ρ = r^n, thousands of
multiplications. Damgård, Jurik and Nielsen (Int. J. Inf. Secur. 9, 2010, section 4) take ρ = h_s^e for h_s = h^n and
h = -x² mod n, which the owner publishes; with e of 256 bits and a table of powers that is 31 multiplications.

Who does not know the factors can tell a ciphertext from another only by telling h^e from a random power of h, or by
breaking Paillier: that h^e with e of 256 bits looks random is an assumption (256 = twice the security level, since a
meet in the middle takes the square root).

Who knows the factors is shielded by no assumption: see `ANSWER_EXPONENT_BYTES`.
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
"""Of a fresh ciphertext's blinding."""

ANSWER_EXPONENT_BYTES = 50
"""Of an answer's blinding: 400 bits.

The owner of the key knows the exponents e_j < 2^256 of the ciphertexts c_j that an answer Π c_j^{b_j} is made of, and
may be able to take logarithms mod p and q. If it can, it learns Σ e_j b_j + e. Were e of 256 bits, too, the high bits
of that would tell the b_j. Σ e_j b_j has at most 256 + 64 + 6 bits, for 64 summands; 400 bits hide it statistically.
"""


class EncryptionKey:
    """What everybody may know of a key. Of another node's, nothing is believed: it comes from `accept`."""

    def __init__(self, n: mpz, h: mpz) -> None:
        self.n = mpz(n)
        self.h = mpz(h)
        self.n_squared = self.n * self.n
        self.public = PaillierPublicKey(int(n))

    def __repr__(self) -> str:
        return f"EncryptionKey({self.n.bit_length()} bits)"

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

    @cached_property
    def _blinding(self) -> FixedBase:
        # h_s is computed, not received: an n-th power for certain
        return FixedBase(powmod(self.h, self.n, self.n_squared), self.n_squared, ANSWER_EXPONENT_BYTES)

    def encrypt(self, plaintext: mpz, source: Source) -> mpz:
        """Encrypt a number from 0 to n - 1 so that even the owner of the key sees nothing in the blinding.

        Raises:
            ValueError: another number.
        """
        blinding = self._blinding.power(source(ANSWER_EXPONENT_BYTES))
        return (1 + _in_range(plaintext, self.n) * self.n) * blinding % self.n_squared


class DecryptionKey:
    """A key pair. It is never shown, sent or logged; a node makes a new one when it starts."""

    def __init__(self, private: PaillierPrivateKey, h: mpz) -> None:
        self.private = private
        self.encryption = EncryptionKey(mpz(private.public_key.n), h)
        self.p, self.q = mpz(private.p), mpz(private.q)
        self.p_squared, self.q_squared = self.p * self.p, self.q * self.q
        self.modulo_n = Crt(self.p, self.q)
        self._modulo_n_squared = Crt(self.p_squared, self.q_squared)

    def __repr__(self) -> str:
        return f"DecryptionKey({self.encryption.modulus_bits} bits)"

    @cached_property
    def _blinding(self) -> tuple[FixedBase, FixedBase]:
        n, h = self.encryption.n, self.encryption.h
        at_p, at_q = powmod(h, n, self.p_squared), powmod(h, n, self.q_squared)
        return FixedBase(at_p, self.p_squared, EXPONENT_BYTES), FixedBase(at_q, self.q_squared, EXPONENT_BYTES)

    @cached_property
    def _decryption(self) -> tuple[mpz, mpz]:
        return mpz(self.private.hp), mpz(self.private.hq)

    def encrypt(self, plaintext: mpz, source: Source) -> mpz:
        """Encrypt a number from 0 to n - 1; half as long as `EncryptionKey.encrypt` takes, thanks to the factors.

        Raises:
            ValueError: another number.
        """
        n = self.encryption.n
        exponent = source(EXPONENT_BYTES)
        at_p, at_q = (table.power(exponent) for table in self._blinding)
        blinding = self._modulo_n_squared.join(at_p, at_q)
        return (1 + _in_range(plaintext, n) * n) * blinding % self.encryption.n_squared

    def decrypt(self, ciphertext: mpz) -> mpz:
        """Decrypt to a number from 0 to n - 1, mod p and mod q (Paillier, EUROCRYPT 1999, section 7)."""
        hp, hq = self._decryption
        at_p = (powmod(ciphertext, self.p - 1, self.p_squared) - 1) // self.p * hp % self.p
        at_q = (powmod(ciphertext, self.q - 1, self.q_squared) - 1) // self.q * hq % self.q
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


def _in_range(plaintext: mpz, n: mpz) -> mpz:
    if not 0 <= plaintext < n:
        raise ValueError(f"plaintext: expected 0 to n - 1, n of {n.bit_length()} bits, got a number outside")
    return plaintext
