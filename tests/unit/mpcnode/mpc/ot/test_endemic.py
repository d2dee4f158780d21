import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings as sodium

from mpcnode.errors import SessionError
from mpcnode.mpc.ot.endemic import KeyChooser, KeyMaker, agree, half
from mpcnode.types import Rank
from tests.support.talks import deviates

COUNT = 5
CHOICES = bytes([0, 1, 1, 0, 1])
CONTEXT = b"c" * 32
IDENTITY = bytes([1]) + bytes(31)
SMALL_ORDER = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")  # of order 8


def source(name: str, size: int) -> bytes:
    return hashlib.shake_256(name.encode()).digest(size)


def chooser(context: bytes = CONTEXT, choices: bytes = CHOICES) -> KeyChooser:
    return KeyChooser(Rank(4), context, choices, source("chooser", 128 * len(choices)))


def maker(context: bytes = CONTEXT, count: int = COUNT) -> KeyMaker:
    return KeyMaker(Rank(7), context, count, source("maker", 64 * count))


def replace(message: bytes, place: int, point: bytes) -> bytes:
    return message[: 32 * place] + point + message[32 * place + 32 :]


def test_the_chosen_key_of_two_and_no_other() -> None:
    one, two = chooser(), maker()
    assert (len(one.message), len(two.message)) == (64 * COUNT, 32 * COUNT)
    chosen, pairs = one.keys(two.message), two.keys(one.message)
    assert chosen == [pair[choice] for pair, choice in zip(pairs, CHOICES, strict=True)]
    assert len({key for pair in pairs for key in pair}) == 2 * COUNT


def test_keys_depend_on_the_context_and_the_place() -> None:
    one, two = chooser(choices=bytes(2)), maker(count=2)
    same = [one.message[:64] * 2, two.message[:32] * 2]
    assert len(set(two.keys(same[0]))) == 2
    other = maker(context=b"d" * 32, count=2)
    assert not {*two.keys(one.message)} & {*other.keys(one.message)}


P = 2**255 - 19
TORSION = [  # all other points of small order: orders 2, 4, 4, 8, 8 and 8
    (P - 1).to_bytes(32, "little"),
    (2**255).to_bytes(32, "little"),
    *(
        bytes.fromhex(half_point)
        for half_point in (
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        )
    ),
]
NOT_CANONICAL = [  # of points that have a second encoding: y + P, or the sign of x = 0
    *(((P + y) | sign << 255).to_bytes(32, "little") for y in range(19) for sign in (0, 1)),
    (1 | 1 << 255).to_bytes(32, "little"),
    ((P - 1) | 1 << 255).to_bytes(32, "little"),
]


def torsion(point: bytes) -> bytes:
    """A point of the curve, but not of its prime-order group."""
    mixed: bytes = sodium.crypto_core_ed25519_add(point, SMALL_ORDER)
    return mixed


@pytest.mark.parametrize(
    "bad",
    [IDENTITY, SMALL_ORDER, bytes(32), b"\xff" * 32, torsion(half(source("t", 64))[1]), *TORSION, *NOT_CANONICAL],
    ids=lambda b: b.hex()[:8] + b.hex()[-8:],
)
def test_points_outside_the_group_are_refused(bad: bytes) -> None:
    with deviates(4, f"node 4: expected a point of ed25519's prime-order group, got {bad.hex()}"):
        chooser().keys(replace(maker().message, 3, bad))
    for place in (0, 9):
        with deviates(7, "node 7: expected a point of ed25519's prime-order group"):
            maker().keys(replace(chooser().message, place, bad))
    with deviates(2, "node 2: expected a point of ed25519's prime-order group"):
        agree(Rank(2), CONTEXT, half(source("a", 64))[0], bad)


@given(st.binary(min_size=1, max_size=99))
def test_any_bytes_at_all_are_points_or_an_error_of_ours(data: bytes) -> None:
    for side, size in ((maker(count=1), 64), (chooser(choices=b"\1"), 32)):
        with suppress(SessionError):
            assert len(side.keys((data * size)[:size])) == 1


def test_points_that_cancel_are_refused() -> None:
    """r_0 = -H_0(r_1) would make one key the hash of a public point."""
    r_1 = chooser().message[32:64]
    hashed = hashlib.blake2b(CONTEXT + bytes(4) + b"\0" + r_1, person=b"mpc-ot-point").digest()
    image = sodium.crypto_core_ed25519_add(
        *(sodium.crypto_core_ed25519_from_uniform(hashed[i : i + 32]) for i in (0, 32))
    )
    minus = sodium.crypto_core_ed25519_sub(image, sodium.crypto_core_ed25519_add(image, image))
    with deviates(7, "node 7: expected two points that do not cancel, got such in transfer 0"):
        maker().keys(replace(chooser().message, 0, minus))


def test_messages_of_another_length_are_refused() -> None:
    with deviates(4, "node 4: expected 160 bytes of points, got 159"):
        chooser().keys(maker().message[1:])
    with deviates(7, "node 7: expected 320 bytes of points, got 352"):
        maker().keys(chooser().message + bytes(32))
    with deviates(1, "node 1: expected 32 bytes of a point, got 0"):
        agree(Rank(1), CONTEXT, half(source("a", 64))[0], b"")


def test_two_nodes_agree_on_a_seed() -> None:
    (a, to_b), (b, to_a) = half(source("a", 64)), half(source("b", 64))
    shared = agree(Rank(1), CONTEXT, a, to_a)
    assert shared == agree(Rank(0), CONTEXT, b, to_b)
    assert shared not in {agree(Rank(0), CONTEXT, b, to_a), agree(Rank(0), b"d" * 32, b, to_b)}


def test_a_key_that_was_not_chosen_is_no_hash_of_what_the_chooser_can_compute() -> None:
    """With its scalars and all that it sees, combined in every way that opens one: the other key is none of these."""
    one, two = chooser(), maker()
    chosen, pairs = one.keys(two.message), two.keys(one.message)
    for i, (choice, pair) in enumerate(zip(CHOICES, pairs, strict=True)):
        points = one.message[64 * i : 64 * i + 32], one.message[64 * i + 32 : 64 * i + 64]
        sent = two.message[32 * i : 32 * i + 32]
        known = source("chooser", 128 * COUNT)[128 * i :][:128]
        scalars = [sodium.crypto_core_ed25519_scalar_reduce(known[at : at + 64]) for at in (0, 64)]
        scalars += [sodium.crypto_core_ed25519_scalar_add(*scalars), sodium.crypto_core_ed25519_scalar_sub(*scalars)]
        tried = {
            hashlib.blake2b(
                CONTEXT + i.to_bytes(4, "little") + points[0] + points[1] + sent + shared,
                digest_size=32,
                person=b"mpc-ot-key",
            ).digest()
            for shared in (
                *(sodium.crypto_scalarmult_ed25519_noclamp(scalar, sent) for scalar in scalars),
                sent,
                *points,
            )
        }
        assert chosen[i] in tried
        assert pair[1 - choice] not in tried
