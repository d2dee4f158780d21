"""Ciphertexts as bytes, and what is checked of those that another node sends."""

from collections.abc import Iterable

from gmpy2 import gcd, mpz

from mpcnode.errors import PeerDeviatedError
from mpcnode.mpc.paillier.keys import EncryptionKey
from mpcnode.types import Rank


def encode_ciphertexts(ciphertexts: Iterable[mpz], key: EncryptionKey) -> bytes:
    """Encode ciphertexts of one key, each little-endian in twice the bytes of n."""
    return b"".join(ciphertext.to_bytes(key.ciphertext_bytes, "little") for ciphertext in ciphertexts)


def decode_ciphertexts(data: bytes, count: int, key: EncryptionKey, sender: Rank) -> list[mpz]:
    """Decode so many ciphertexts of a key.

    Raises:
        PeerDeviatedError: another length, a number that is 0 or not below n², or one that shares a factor with n; names
            the sender and the ciphertext.
    """
    size = key.ciphertext_bytes
    if len(data) != count * size:
        why = f"node {sender}: expected {count} ciphertexts of {size} bytes, got {len(data)} bytes"
        raise PeerDeviatedError(why, sender)
    found = [mpz.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]
    product = mpz(1)
    for place, ciphertext in enumerate(found):
        if not 0 < ciphertext < key.n_squared:
            why = f"node {sender}, ciphertext {place}: expected 0 < c < n², got a number outside"
            raise PeerDeviatedError(why, sender)
        product = product * ciphertext % key.n
    if gcd(product, key.n) != 1:  # one gcd for all: a product has an inverse only if every factor has
        place = next(place for place, ciphertext in enumerate(found) if gcd(ciphertext, key.n) != 1)
        why = f"node {sender}, ciphertext {place}: expected no common factor with n, got one"
        raise PeerDeviatedError(why, sender)
    return found
