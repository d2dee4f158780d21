"""A node's key as others receive it, and all that they check before they use it.

The modulus must be long enough, odd, free of small factors, no prime and no power, and proven to be a product of two
Blum primes with gcd(n, φ(n)) = 1 (`modulus_proof`): what CVE-2023-33241 was made of is refused. That both primes are
large is not proven beyond trial division: a node that can factor its own modulus anyway gains nothing from small ones,
since answers are uniform ciphertexts (`cross`).
"""

from gmpy2 import gcd, is_odd, is_power, is_prime, mpz, primorial
from phe import PaillierPublicKey

from mpcnode.errors import InvalidKeyError
from mpcnode.mpc.paillier.drawing import Source
from mpcnode.mpc.paillier.keys import MODULUS_BITS, DecryptionKey, EncryptionKey
from mpcnode.mpc.paillier.modulus_proof import proof_bytes, prove_modulus, verify_modulus

MODULUS_BITS_MAX = 8192
"""Longer moduli are refused: each of a proof's checks takes the cube of the length."""

TRIAL_DIVISION_BOUND = 1 << 20

_LENGTH_BYTES = 2


def announce(key: DecryptionKey, context: bytes, source: Source) -> bytes:
    """Return what others need of a key: n and the proof of it.

    Args:
        key: one's own.
        context: whose it is and what for; others must name the same.
        source: random bytes.
    """
    public = key.encryption
    size = public.modulus_bytes
    length, n = size.to_bytes(_LENGTH_BYTES, "little"), public.n.to_bytes(size, "little")
    return b"".join((length, n, prove_modulus(key, context, source)))


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
    expected = size + proof_bytes(size)
    if len(body) != expected:
        raise InvalidKeyError(f"announcement: expected {expected} bytes after its length, got {len(body)}")
    n = mpz.from_bytes(body[:size], "little")
    _check_modulus(n, size, modulus_bits_min)
    verify_modulus(n, body[size:], context)
    return EncryptionKey(PaillierPublicKey(int(n)))


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
