from itertools import pairwise

import pytest
from gmpy2 import mpz, next_prime
from hypothesis import given
from hypothesis import strategies as st

from mpcnode.errors import InvalidKeyError
from mpcnode.mpc.paillier import MODULUS_BITS, MODULUS_BITS_MAX, EncryptionKey, accept, announce
from mpcnode.mpc.paillier.modulus_proof import proof_bytes
from tests.support.paillier import SHORT_BITS, key_of, seeded

KEY = key_of(0)
N = KEY.encryption.n
SIZE = KEY.encryption.modulus_bytes
CONTEXT = b"node 0, epoch 1"
ANNOUNCED = announce(KEY, CONTEXT, seeded(1))
PROOF = ANNOUNCED[2 + SIZE :]


def announced(n=N, proof=PROOF, size=SIZE):
    return size.to_bytes(2, "little") + int(n).to_bytes(size, "little") + proof


def accept_short(data, context=CONTEXT):
    return accept(data, context, modulus_bits_min=SHORT_BITS)


def a_prime_of(bits):
    return next_prime(mpz(15) << (bits - 4))


def smooth(bits):
    """A product of 16-bit primes and one that makes it as long as asked."""
    product = mpz(1)
    prime = mpz(1 << 15)
    while product.bit_length() < bits - 100:
        prime = next_prime(prime)
        product *= prime
    return product * next_prime((mpz(1) << bits) // product - (mpz(1) << 60))


def test_an_announced_key_is_the_key():
    accepted = accept_short(ANNOUNCED)
    assert isinstance(accepted, EncryptionKey)
    assert accepted.n == N
    assert announced() == ANNOUNCED
    assert KEY.decrypt(accepted.encrypt(mpz(9), seeded(2))) == 9


def test_a_key_of_3072_bits_is_accepted_with_nothing_told():
    key = key_of(1, MODULUS_BITS)
    assert accept(announce(key, CONTEXT, seeded(3)), CONTEXT).n == key.encryption.n


def test_shorter_keys_are_refused_unless_a_test_allows_them():
    assert MODULUS_BITS == 3072
    with pytest.raises(InvalidKeyError, match="modulus: expected 3072 to 8192 bits, got 64 bytes"):
        accept(ANNOUNCED, CONTEXT)


def test_the_bytes_alone_of_a_full_length_are_not_enough():
    size = MODULUS_BITS // 8
    with pytest.raises(InvalidKeyError, match="modulus: expected 3072 to 3072 bits, got 3071"):
        accept(announced((1 << 3071) - 1, bytes(proof_bytes(size)), size), CONTEXT)


MALFORMED = {
    "empty": (b"", "modulus: expected 512 to 8192 bits, got 0 bytes"),
    "too long a modulus": (announced(size=MODULUS_BITS_MAX // 8 + 1), "expected 512 to 8192 bits, got 1025 bytes"),
    "short": (ANNOUNCED[:-1], f"announcement: expected {len(ANNOUNCED) - 2} bytes after its length"),
    "long": (ANNOUNCED + b"0", f"announcement: expected .* got {len(ANNOUNCED) - 1}"),
    "even": (announced(n=N - 1), "modulus: expected an odd number, got an even one"),
    "short modulus": (announced(n=N >> 1), "modulus: expected 512 to 512 bits, got 511"),
    "zero": (announced(n=0), "modulus: expected 512 to 512 bits, got 0"),
    "small factor": (announced(n=3 * a_prime_of(510)), "modulus: expected no prime factor below 1048576"),
    "16-bit primes": (announced(n=smooth(512)), "modulus: expected no prime factor below 1048576"),
    "prime": (announced(n=a_prime_of(512)), "modulus: expected a product of two primes, got a prime"),
    "square": (announced(n=KEY.p**2), "modulus: expected a product of two primes, got a power"),
    "fourth power": (announced(n=a_prime_of(128) ** 4), "modulus: expected a product of two primes, got a power"),
    "another modulus": (announced(n=key_of(2).encryption.n), "modulus proof"),
    "no proof": (announced(proof=bytes(len(PROOF))), "modulus proof: expected w between 0 and n"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_announcement_is_refused_by_name(name):
    data, said = MALFORMED[name]
    with pytest.raises(InvalidKeyError, match=said):
        accept_short(data)


def test_a_key_announced_for_something_else_is_refused():
    with pytest.raises(InvalidKeyError, match="modulus proof, challenge 0: expected an n-th root"):
        accept_short(ANNOUNCED, b"node 1, epoch 1")


@given(st.binary(max_size=3000), st.booleans())
def test_any_bytes_at_all_are_a_key_or_an_error_of_ours(data, framed):
    length = proof_bytes(SIZE) + SIZE
    with pytest.raises(InvalidKeyError):
        accept_short(SIZE.to_bytes(2, "little") + (data * length)[:length].ljust(length, b"\x01") if framed else data)


def test_no_changed_byte_of_numbers_or_proof_is_accepted():
    places = [*range(0, 2 + SIZE, 7), *range(2 + SIZE, len(ANNOUNCED), 701)]
    assert all(left < right for left, right in pairwise(places))
    for place in places:
        changed = bytearray(ANNOUNCED)
        changed[place] ^= 4
        with pytest.raises(InvalidKeyError):
            accept_short(bytes(changed))
