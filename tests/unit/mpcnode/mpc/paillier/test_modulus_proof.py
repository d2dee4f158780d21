import pytest
from gmpy2 import invert, is_prime, jacobi, legendre, mpz, next_prime, powmod

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


def best_effort(primes, context):
    """What a cheat can do who knows all factors: right roots wherever there are any. Says how many of each it found."""
    n = mpz(1)
    for prime in primes:
        n *= prime
    size = -(-n.bit_length() // 8)
    w = next(mpz(w) for w in range(2, 99) if jacobi(w, n) == -1)
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
            if all(legendre(square, prime) == 1 for prime in primes):
                x, choice = join([powmod(square, ((p + 1) // 4) ** 2, p) for p in primes], primes), number
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


def test_three_primes_are_found():
    n, proof, roots, fourth_roots = best_effort(
        [blum_prime(3 << 170), blum_prime(5 << 170), blum_prime(7 << 169)], CONTEXT
    )
    assert roots == CHALLENGES
    assert 30 < fourth_roots < 98  # half of them
    with pytest.raises(InvalidKeyError, match="expected a fourth root"):
        verify_modulus(n, proof, CONTEXT)


def test_a_factor_in_common_with_the_groups_order_is_found():
    p = blum_prime(3 << 240)
    k = next(k for k in range(1, 9999) if is_prime(2 * k * p + 1) and (2 * k * p + 1) % 4 == 3)
    n, proof, roots, fourth_roots = best_effort([p, 2 * k * p + 1], CONTEXT)
    assert roots == 0
    assert fourth_roots == CHALLENGES
    with pytest.raises(InvalidKeyError, match="challenge 0: expected an n-th root"):
        verify_modulus(n, proof, CONTEXT)


def test_primes_that_are_1_mod_4_are_found():
    p, q = (
        next(x for x in range(int(start) + 1, int(start) + 9999, 4) if is_prime(x)) for start in (3 << 254, 7 << 253)
    )
    n = mpz(p) * q
    w = next(w for w in range(2, 99) if jacobi(w, n) == -1)
    squares = 0
    for y in _challenges(n, mpz(w), 64, CONTEXT):
        squares += any(legendre(s * y, p) == legendre(s * y, q) == 1 for s in (1, -1, w, -w))
    assert squares < 110  # -1 is a square mod both: half of the challenges have no square among the four


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
