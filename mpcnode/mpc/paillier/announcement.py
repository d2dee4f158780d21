"""A node's key as others receive it, and all that they check before they use it.

The modulus must be long enough, odd, free of small factors, no prime and no power, and proven to be a product of two
Blum primes (`modulus_proof`): what CVE-2023-33241 was made of is refused. The owner's h must be one that can blind. Not
proven: that both primes are large (beyond trial division), and how h was drawn. So the protocol is passive: a key made
to deceive costs its owner's counterparties the privacy of what they answer with.
"""

from gmpy2 import gcd, is_odd, is_power, is_prime, jacobi, mpz, primorial

from mpcnode.errors import InvalidKeyError
from mpcnode.mpc.paillier.drawing import Source
from mpcnode.mpc.paillier.keys import MODULUS_BITS, DecryptionKey, EncryptionKey
from mpcnode.mpc.paillier.modulus_proof import proof_bytes, prove_modulus, verify_modulus

MODULUS_BITS_MAX = 8192
"""Longer moduli are refused: each of a proof's checks takes the cube of the length."""

TRIAL_DIVISION_BOUND = 1 << 20

_LENGTH_BYTES = 2


def announce(key: DecryptionKey, context: bytes, source: Source) -> bytes:
    """Return what others need of a key: n, h and the proof of n.

    Args:
        key: one's own.
        context: whose it is and what for; others must name the same.
        source: random bytes.
    """
    public = key.encryption
    size = public.modulus_bytes
    numbers = b"".join(number.to_bytes(size, "little") for number in (public.n, public.h))
    return size.to_bytes(_LENGTH_BYTES, "little") + numbers + prove_modulus(key, context, source)


def accept(announced: bytes, context: bytes, *, modulus_bits_min: int = MODULUS_BITS) -> EncryptionKey:
    """Check another node's announcement; at 3072 bits this takes about a second.

    Args:
        announced: its bytes.
        context: whose it is and what for.
        modulus_bits_min: shorter moduli are refused; tests alone give another than the default.

    Raises:
        InvalidKeyError: something of it is not as it should be; names what.
    """
    size = int.from_bytes(announced[:_LENGTH_BYTES], "little")
    body = announced[_LENGTH_BYTES:]
    if not modulus_bits_min <= 8 * size <= MODULUS_BITS_MAX:
        raise InvalidKeyError(f"modulus: expected {modulus_bits_min} to {MODULUS_BITS_MAX} bits, got {size} bytes")
    expected = 2 * size + proof_bytes(size)
    if len(body) != expected:
        raise InvalidKeyError(f"announcement: expected {expected} bytes after its length, got {len(body)}")
    n, h = (mpz.from_bytes(body[at : at + size], "little") for at in (0, size))
    _check_modulus(n, size, modulus_bits_min)
    _check_blinding_base(h, n)
    verify_modulus(n, body[2 * size :], context)
    return EncryptionKey(n, h)


def _check_modulus(n: mpz, size: int, bits_min: int) -> None:
    bits = n.bit_length()
    if bits < bits_min or -(-bits // 8) != size:
        raise InvalidKeyError(f"modulus: expected {max(bits_min, 8 * size - 7)} to {8 * size} bits, got {bits}")
    if not is_odd(n):
        raise InvalidKeyError("modulus: expected an odd number, got an even one")
    if gcd(n, primorial(TRIAL_DIVISION_BOUND) % n) != 1:
        raise InvalidKeyError(f"modulus: expected no prime factor below {TRIAL_DIVISION_BOUND}, got one")
    if is_prime(n):
        raise InvalidKeyError("modulus: expected a product of two primes, got a prime")
    if is_power(n):
        raise InvalidKeyError("modulus: expected a product of two primes, got a power")


def _check_blinding_base(h: mpz, n: mpz) -> None:
    if not 0 < h < n or gcd(h, n) != 1:
        raise InvalidKeyError("h: expected a number between 0 and n without a common factor, got another")
    if h * h % n == 1:
        raise InvalidKeyError("h: expected a number that can blind, got a root of 1")
    if jacobi(h, n) != 1:
        raise InvalidKeyError("h: expected the negative of a square, got a number with Jacobi symbol -1")
