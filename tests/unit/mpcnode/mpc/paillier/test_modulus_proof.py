import pytest
from gmpy2 import invert, is_prime, jacobi, mpz, next_prime, powmod

from mpcnode.errors import InvalidKeyError
from mpcnode.mpc.paillier.modulus_proof import CHALLENGES, _challenges, proof_bytes, prove_modulus, verify_modulus
from tests.support.paillier import key_of, seeded

KEY = key_of(0)
N = KEY.encryption.n
SIZE = KEY.encryption.modulus_bytes
CONTEXT = b"node 0"
PROOF = prove_modulus(KEY, CONTEXT, seeded(1))
STEP = 2 * SIZE + 1


def blum_prime(start):
    found = next_prime(mpz(start))
    while found % 4 != 3:
        found = next_prime(found)
    return found


def join(residues, primes):
    n = mpz(1)
    for prime in primes:
        n *= prime
    return sum(r * (n // p) * invert(n // p, p) for r, p in zip(residues, primes, strict=True)) % n


def square_root(number, prime):
    """A root mod a prime that is 3 mod 4 or 5 mod 8; None if there is none."""
    root = powmod(number, (prime + 1) // 4 if prime % 4 == 3 else (prime + 3) // 8, prime)
    if powmod(root, 2, prime) != number % prime and prime % 8 == 5:
        root = root * powmod(2, (prime - 1) // 4, prime) % prime
    return root if powmod(root, 2, prime) == number % prime else None


def fourth_root(number, prime):
    root = square_root(number, prime)
    found = [] if root is None else [square_root(sign * root % prime, prime) for sign in (1, -1)]
    return next((found_root for found_root in found if found_root is not None), None)


def best_effort(primes, context, w=None):
    """What a cheat can do who knows all factors: right roots wherever there are any. Says how many of each it found."""
    n = mpz(1)
    for prime in primes:
        n *= prime
    size = -(-n.bit_length() // 8)
    w = w or next(mpz(w) for w in range(2, 99) if jacobi(w, n) == -1)
    parts, roots, fourth_roots = [w.to_bytes(size, "little")], 0, 0
    for y in _challenges(n, w, size, context):
        try:
            z = join([powmod(y, invert(n, prime - 1), prime) for prime in primes], primes)
            roots += 1
        except ZeroDivisionError:  # n has no inverse: a factor in common with the group's order
            z = mpz(1)
        x, choice = mpz(1), 0
        for number in range(4):
            square = y * (w if number & 2 else 1) * (-1 if number & 1 else 1) % n
            found = [fourth_root(square, prime) for prime in primes]
            if None not in found:
                x, choice = join(found, primes), number
                fourth_roots += 1
                break
        parts += [x.to_bytes(size, "little"), z.to_bytes(size, "little"), bytes([choice])]
    return n, b"".join(parts), roots, fourth_roots


def test_a_proof_holds_and_is_as_long_as_said():
    verify_modulus(N, PROOF, CONTEXT)
    assert len(PROOF) == proof_bytes(SIZE) == SIZE + 128 * STEP
    assert prove_modulus(KEY, CONTEXT, seeded(2)) != PROOF


def test_a_cheat_with_two_blum_primes_is_none():
    n, proof, roots, fourth_roots = best_effort([KEY.p, KEY.q], CONTEXT)
    assert (n, roots, fourth_roots) == (N, CHALLENGES, CHALLENGES)
    verify_modulus(n, proof, CONTEXT)


def test_a_factor_in_common_with_the_groups_order_is_found():
    p = blum_prime(3 << 240)
    k = next(k for k in range(1, 9999) if is_prime(2 * k * p + 1) and (2 * k * p + 1) % 4 == 3)
    n, proof, roots, fourth_roots = best_effort([p, 2 * k * p + 1], CONTEXT)
    assert roots == 0
    assert fourth_roots == CHALLENGES
    with pytest.raises(InvalidKeyError, match="challenge 0: expected an n-th root"):
        verify_modulus(n, proof, CONTEXT)


def prime_5_mod_8(start):
    return next(mpz(x) for x in range(int(start) + 5, int(start) + 9999, 8) if is_prime(x))


WRONG_MODULI = {
    "one prime 1 mod 4": [prime_5_mod_8(3 << 254), blum_prime(7 << 253)],
    "both primes 1 mod 4": [prime_5_mod_8(3 << 254), prime_5_mod_8(7 << 253)],
    "three primes": [blum_prime(3 << 170), blum_prime(5 << 170), blum_prime(7 << 169)],
    "four primes": [blum_prime(3 << 126), blum_prime(5 << 126), blum_prime(7 << 125), blum_prime(9 << 125)],
}


@pytest.mark.parametrize("name", WRONG_MODULI)
def test_whatever_w_a_cheat_takes_about_half_of_its_challenges_have_no_fourth_root(name):
    """w is all that it may choose, and every w has other challenges: so it needs about 2^128 of them."""
    primes = WRONG_MODULI[name]
    n = mpz(1)
    for prime in primes:
        n *= prime
    for w in [mpz(w) for w in range(2, 99) if jacobi(w, n) == -1][:8]:
        _, proof, roots, fourth_roots = best_effort(primes, CONTEXT, w)
        assert roots == CHALLENGES
        assert fourth_roots < 98
        with pytest.raises(InvalidKeyError, match="expected a fourth root"):
            verify_modulus(n, proof, CONTEXT)


def test_a_modulus_that_a_square_divides_is_found():
    """p divides n and the order of the group mod p²: one in p numbers has an n-th root."""
    p, q = blum_prime(3 << 168), blum_prime(5 << 170)
    n = p * p * q
    size = -(-n.bit_length() // 8)
    w = next(mpz(w) for w in range(2, 99) if jacobi(w, n) == -1)
    assert not any(powmod(y, p - 1, p * p) == 1 for y in _challenges(n, w, size, CONTEXT))
    nothing = w.to_bytes(size, "little") + CHALLENGES * (2 * (b"\1" + bytes(size - 1)) + b"\0")
    with pytest.raises(InvalidKeyError, match="challenge 0: expected an n-th root"):
        verify_modulus(n, nothing, CONTEXT)


TAMPERED = {
    "short": (PROOF[:-1], f"modulus proof: expected {len(PROOF)} bytes, got {len(PROOF) - 1}"),
    "w is 0": (bytes(SIZE) + PROOF[SIZE:], "modulus proof: expected w between 0 and n"),
    "w is a square": ((4).to_bytes(SIZE, "little") + PROOF[SIZE:], "expected w with Jacobi symbol -1"),
    "x is 0": (PROOF[:SIZE] + bytes(SIZE) + PROOF[2 * SIZE :], "expected x of challenge 0 between 0 and n"),
    "x is n": (
        PROOF[:SIZE] + N.to_bytes(SIZE, "little") + PROOF[2 * SIZE :],
        "expected x of challenge 0 between 0 and n",
    ),
    "z is 0": (PROOF[: 2 * SIZE] + bytes(SIZE) + PROOF[3 * SIZE :], "expected z of challenge 0 between 0 and n"),
    "choice": (PROOF[:-1] + b"\x04", "modulus proof, challenge 127: expected a choice of 0 to 3, got 4"),
    "other choice": (PROOF[:-1] + bytes([PROOF[-1] ^ 1]), "modulus proof, challenge 127: expected a fourth root"),
    "x and z swapped": (
        PROOF[:SIZE] + PROOF[2 * SIZE : 3 * SIZE] + PROOF[SIZE : 2 * SIZE] + PROOF[3 * SIZE :],
        "modulus proof, challenge 0: expected an n-th root",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_proof_is_refused(name):
    proof, said = TAMPERED[name]
    with pytest.raises(InvalidKeyError, match=said):
        verify_modulus(N, proof, CONTEXT)


def test_challenges_depend_on_all_that_a_prover_may_choose():
    chosen = [(N, 2, CONTEXT), (N, 3, CONTEXT), (N + 2, 2, CONTEXT), (N, 2, b"node 1"), (N, 2, b"")]
    first = {int(_challenges(n, mpz(w), SIZE, context)[0]) for n, w, context in chosen}
    assert len(first) == len(chosen)
    assert len(set(map(int, _challenges(N, mpz(2), SIZE, CONTEXT)))) == CHALLENGES


def test_a_proof_holds_for_its_modulus_and_context_only():
    other = key_of(1).encryption.n
    for n, context in ((N, b"node 1"), (other, CONTEXT)):
        with pytest.raises(InvalidKeyError, match="modulus proof"):
            verify_modulus(n, PROOF, context)
