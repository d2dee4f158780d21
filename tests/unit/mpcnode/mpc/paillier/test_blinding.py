"""What a node learns that has a key made to deceive, or asks with what it should not: nothing of an answer's factors.

The same attacks succeed against answers that are blinded as owners blind, or masked in their slots only.
"""

import random

import pytest
from gmpy2 import invert, is_prime, mpz, next_prime, powmod
from phe import PaillierPrivateKey, PaillierPublicKey

from mpcnode.mpc.paillier import accept, announce
from mpcnode.mpc.paillier.ciphertexts import encode_ciphertexts
from mpcnode.mpc.paillier.cross import answer, ask
from mpcnode.mpc.paillier.keys import EXPONENT_BYTES, DecryptionKey, EncryptionKey
from mpcnode.mpc.paillier.slots import Slots
from mpcnode.types import Rank
from tests.support.paillier import key_of, seeded

ALICE = Rank(0)
BITS = 64
FACTORS = [random.Random(seed).getrandbits(BITS) for seed in range(8)]


def smooth_prime(chance, factors):
    """A prime of about 256 bits that is twice a product of some factors, plus 1; and these."""
    while True:
        chosen = chance.sample(factors, 24)
        product = mpz(2)
        for factor in chosen:
            product *= factor
        if is_prime(product + 1):
            return product + 1, chosen


def weak_key():
    """A key whose owner can take logarithms (Pohlig and Hellman): p - 1 and q - 1 have small factors only."""
    chance = random.Random(1)
    primes = [next_prime(1 << 9)]
    while primes[-1] < 1 << 12:
        primes.append(next_prime(primes[-1]))
    p, of_p = smooth_prime(chance, primes)
    q, of_q = smooth_prime(chance, [prime for prime in primes if prime not in of_p])
    n = p * q
    key = PaillierPrivateKey(PaillierPublicKey(int(n)), int(p), int(q))
    while True:  # until h generates the whole group
        h = -(mpz(chance.getrandbits(500)) ** 2) % n
        orders = [(r, factor) for r, factors in ((p, of_p), (q, of_q)) for factor in factors]
        if all(powmod(h, (r - 1) // factor, r) != 1 for r, factor in orders):
            return DecryptionKey(key, h), orders


WEAK, ORDERS = weak_key()


def logarithm(blinding):
    """The exponent of h_s that a blinding is, mod the odd part of the group's order."""
    base, order = powmod(WEAK.h, WEAK.encryption.n, WEAK.encryption.n), mpz(1)
    for _, factor in ORDERS:
        order *= factor
    found = mpz(0)
    for r, factor in ORDERS:
        generator, target = (powmod(number, (r - 1) // factor, r) for number in (base, blinding))
        digit, power = 0, mpz(1)
        while power != target:
            power = power * generator % r
            digit += 1
        found += digit * (order // factor) * invert(order // factor, factor)
    return found % order


def read_from_blinding(factor, seed):
    """The owner's estimate of Bob's factor, from the logarithm of what blinds his answer and its own exponent."""
    asked = ask(WEAK, [3], bits=BITS, source=seeded(seed))
    mine = int.from_bytes(seeded(seed)(EXPONENT_BYTES), "little")
    answered, _ = answer(WEAK.encryption, ALICE, asked, [factor], bits=BITS, source=seeded(seed + 1))
    ciphertext = mpz.from_bytes(answered, "little")
    blinding = ciphertext * invert(1 + WEAK.decrypt(ciphertext) * WEAK.encryption.n, WEAK.encryption.n_squared)
    return int(logarithm(blinding % WEAK.encryption.n) // mine)


def blind_as_owners_do(key, plaintext, source):
    exponent = int.from_bytes(source(EXPONENT_BYTES), "little")
    return key.blind(plaintext, powmod(WEAK.h, key.n * exponent, key.n_squared))


def test_an_owner_that_takes_logarithms_learns_nothing_from_what_blinds_an_answer(monkeypatch):
    off = [abs(read_from_blinding(factor, 10 * i) - factor) for i, factor in enumerate(FACTORS)]
    assert min(off) > 1 << 128
    monkeypatch.setattr(EncryptionKey, "encrypt", blind_as_owners_do)
    off = [abs(read_from_blinding(factor, 10 * i) - factor) for i, factor in enumerate(FACTORS)]
    assert max(off) < 1000  # all but the last bits of 64


HONEST = key_of(0)
SLOTS = Slots(BITS, 512)
ABOVE = mpz(1) << (SLOTS.count * SLOTS.width)
DECEITFUL = {
    "above the slots": ABOVE,
    "highest bit of a slot": mpz(1) << (SLOTS.width - 1),
    "half of n": HONEST.encryption.n // 2,
    "all of n": HONEST.encryption.n - 1,
}


def decrypted_answers(asked_with, factors):
    asked = encode_ciphertexts([HONEST.encrypt(asked_with, seeded(1))], HONEST.encryption)
    for seed, factor in enumerate(factors):
        answered, _ = answer(HONEST.encryption, ALICE, asked, [factor], bits=BITS, source=seeded(seed))
        yield HONEST.decrypt(mpz.from_bytes(answered, "little"))


@pytest.mark.parametrize("factor", [0, (1 << BITS) - 1])
@pytest.mark.parametrize("asked_with", DECEITFUL)
def test_whatever_is_asked_with_an_answer_is_uniform(asked_with, factor):
    cells, low = [0] * 16, [0] * 16
    for plaintext in decrypted_answers(DECEITFUL[asked_with], [factor] * 1000):
        cells[int(16 * plaintext // HONEST.encryption.n)] += 1
        low[int(plaintext >> (SLOTS.width - 4)) & 15] += 1  # the highest bits of a slot
    for counts in (cells, low):
        # 15 degrees of freedom: 99.99 % are below 45
        assert sum((count - 62.5) ** 2 / 62.5 for count in counts) < 45


def test_masks_in_the_slots_only_would_tell_everything(monkeypatch):
    def in_slots_only(slots, source, n):
        masks = [mpz.from_bytes(source(slots.width // 8 - 1), "little") for _ in range(slots.count)]
        return slots.pack(masks), masks

    monkeypatch.setattr(Slots, "draw_mask", in_slots_only)
    assert [int(plaintext // ABOVE) for plaintext in decrypted_answers(ABOVE, FACTORS)] == FACTORS


def lopsided_key():
    """A modulus that its owner may announce: one of its primes has 24 bits."""
    small, large = blum_prime(mpz(3) << 22), blum_prime(mpz(3) << 486)
    n = small * large
    return DecryptionKey(PaillierPrivateKey(PaillierPublicKey(int(n)), int(small), int(large)), n - 4), small


def blum_prime(start):
    found = next_prime(start)
    while found % 4 != 3:
        found = next_prime(found)
    return found


@pytest.mark.parametrize("factor", [0, 5])
def test_an_owner_with_a_small_prime_is_accepted_and_learns_nothing_more(factor):
    """It asks with a multiple of the large prime, so as to read Bob's factor mod the small one."""
    key, small = lopsided_key()
    context = b"lopsided"
    public = accept(announce(key, context, seeded(1)), context, modulus_bits_min=511)
    asked = encode_ciphertexts([key.encrypt(public.n // small, seeded(2))], public)
    of_plaintexts, of_ciphertexts = [0] * 16, [0] * 16
    for seed in range(1000):
        answered, _ = answer(public, ALICE, asked, [factor], bits=BITS, source=seeded(seed))
        ciphertext = mpz.from_bytes(answered, "little")
        of_plaintexts[int(16 * (key.decrypt(ciphertext) % small) // small)] += 1
        of_ciphertexts[int(16 * (ciphertext % small) // small)] += 1
    for counts in (of_plaintexts, of_ciphertexts):
        # 15 degrees of freedom: 99.99 % are below 45
        assert sum((count - 62.5) ** 2 / 62.5 for count in counts) < 45
