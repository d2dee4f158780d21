"""Proof that a modulus is a product of two primes, both 3 mod 4, with gcd(n, φ(n)) = 1; it tells nothing else.

Canetti, Gennaro, Goldfeder, Makriyannis, Peled, ePrint 2021/060, figure 16 (Π^mod), made non-interactive by hashing.
For w with Jacobi symbol -1 and challenges y_i that nobody chose, the prover shows an n-th root z_i of y_i and a fourth
root x_i of one of y_i, -y_i, w·y_i, -w·y_i. If n is anything else, a challenge has both with probability 1/2 at most.
"""

import hashlib
from collections.abc import Sequence

from gmpy2 import invert, jacobi, legendre, mpz, powmod

from mpcnode.errors import InvalidKeyError
from mpcnode.mpc.paillier.drawing import Source, draw_below
from mpcnode.mpc.paillier.keys import DecryptionKey

CHALLENGES = 128
"""A false proof costs 2^128 attempts at hashing."""

_DOMAIN = b"mpcnode/paillier-blum-modulus/1"
_EXCESS_BYTES = 16  # a challenge is this much longer than n before it is reduced: uniform but for 2^-128


def proof_bytes(modulus_bytes: int) -> int:
    """Bytes of a proof: w, then x, z and which of the four for every challenge."""
    return modulus_bytes + CHALLENGES * (2 * modulus_bytes + 1)


def prove_modulus(key: DecryptionKey, context: bytes, source: Source) -> bytes:
    """Prove it of one's own modulus.

    Args:
        key: one's own.
        context: whose it is and what for; the proof holds for nothing else.
        source: random bytes.
    """
    n, p, q, size = key.encryption.n, key.p, key.q, key.encryption.modulus_bytes
    w = draw_below(source, n)
    while jacobi(w, n) != -1:
        w = draw_below(source, n)
    root_p, root_q = invert(n, p - 1), invert(n, q - 1)
    fourth_p, fourth_q = (((prime + 1) // 4) ** 2 % (prime - 1) for prime in (p, q))
    parts = [w.to_bytes(size, "little")]
    for y in _challenges(n, w, size, context):
        use_w = legendre(y, p) != legendre(y, q)  # w is a square mod one of the primes: it makes both symbols alike
        square = y * w % n if use_w else y
        negate = legendre(square, p) == -1
        square = -square % n if negate else square
        x = key.modulo_n.join(powmod(square, fourth_p, p), powmod(square, fourth_q, q))
        z = key.modulo_n.join(powmod(y, root_p, p), powmod(y, root_q, q))
        parts += [x.to_bytes(size, "little"), z.to_bytes(size, "little"), bytes([negate + 2 * use_w])]
    return b"".join(parts)


def verify_modulus(n: mpz, proof: bytes, context: bytes) -> None:
    """Check the proof of an odd number that is no prime.

    Raises:
        InvalidKeyError: it does not hold; says where.
    """
    size = -(-n.bit_length() // 8)
    if len(proof) != proof_bytes(size):
        raise InvalidKeyError(f"modulus proof: expected {proof_bytes(size)} bytes, got {len(proof)}")
    w = _below(n, proof[:size], "w")
    if jacobi(w, n) != -1:
        raise InvalidKeyError("modulus proof: expected w with Jacobi symbol -1, got another")
    step = 2 * size + 1
    for place, y in enumerate(_challenges(n, w, size, context)):
        part = proof[size + place * step : size + (place + 1) * step]
        x = _below(n, part[:size], f"x of challenge {place}")
        z = _below(n, part[size:-1], f"z of challenge {place}")
        if part[-1] > 3:
            raise InvalidKeyError(f"modulus proof, challenge {place}: expected a choice of 0 to 3, got {part[-1]}")
        square = y * (w if part[-1] & 2 else 1) * (-1 if part[-1] & 1 else 1) % n
        if powmod(z, n, n) != y:
            raise InvalidKeyError(f"modulus proof, challenge {place}: expected an n-th root, got another number")
        if powmod(x, 4, n) != square:
            raise InvalidKeyError(f"modulus proof, challenge {place}: expected a fourth root, got another number")


def _challenges(n: mpz, w: mpz, size: int, context: bytes) -> Sequence[mpz]:
    hashed = hashlib.shake_256(_DOMAIN)
    for part in (context, n.to_bytes(size, "little"), w.to_bytes(size, "little")):
        hashed.update(len(part).to_bytes(4, "little") + part)
    step = size + _EXCESS_BYTES
    stream = hashed.digest(CHALLENGES * step)
    return [mpz.from_bytes(stream[at : at + step], "little") % n for at in range(0, len(stream), step)]


def _below(n: mpz, data: bytes, what: str) -> mpz:
    number = mpz.from_bytes(data, "little")
    if not 0 < number < n:
        raise InvalidKeyError(f"modulus proof: expected {what} between 0 and n, got a number outside")
    return number
