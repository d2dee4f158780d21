"""Keys that nodes exchange: each is its owner's, for this exchange; what another node's owner said is no use."""

from functools import partial

import pytest

from mpcnode.mpc.paillier import PaillierMultiplier, accept
from mpcnode.mpc.paillier.introduction import introduce
from mpcnode.types import Rank
from tests.support.joint import seed
from tests.support.paillier import SHORT_BITS, key_of, seeded
from tests.support.talks import Meddle, deviates, honest, run_talks

CHECK = partial(accept, modulus_bits_min=SHORT_BITS)
CONTEXT = seed("exchange")


def exchange(meddle: Meddle = honest) -> list[PaillierMultiplier]:
    talks = [introduce(Rank(i), 3, CONTEXT, key_of(i), seeded(i), check=CHECK) for i in range(3)]
    return run_talks(talks, meddle)[0]


def test_everybody_knows_everybodys_key() -> None:
    assert [repr(multiplier) for multiplier in exchange()] == ["PaillierMultiplier(3 nodes)"] * 3


def test_a_node_that_hands_on_anothers_announcement_as_its_own_is_named() -> None:
    """With another's modulus it could answer for it, and hand on what others encrypt."""
    others = set(next(introduce(Rank(0), 3, CONTEXT, key_of(0), seeded(0), check=CHECK)).values()).pop()

    def copy(at: int, sender: int, receiver: int, message: bytes) -> bytes:
        return others if sender == 1 else message

    with deviates(1, "node 1: modulus proof, challenge 0: expected an n-th root"):
        exchange(copy)


def test_an_announcement_of_another_exchange_is_refused() -> None:
    (old,) = next(introduce(Rank(1), 2, seed("another exchange"), key_of(1), seeded(1), check=CHECK)).values()

    def replay(at: int, sender: int, receiver: int, message: bytes) -> bytes:
        return old if sender == 1 else message

    with deviates(1, "node 1: modulus proof, challenge 0: expected an n-th root"):
        exchange(replay)


def test_a_node_that_sends_ones_own_key_back_is_named() -> None:
    """Proven anew for its own name, by who made it: two nodes with one modulus are refused all the same."""
    talks = [introduce(Rank(i), 2, CONTEXT, key_of(0), seeded(i), check=CHECK) for i in range(2)]
    with deviates(1, "node 1: expected a modulus of its own, got that of node 0"):
        run_talks(talks)


@pytest.mark.parametrize("size", [0, 31, 64])
def test_a_context_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"context: expected 32 bytes, got {size}"):
        next(introduce(Rank(0), 2, bytes(size), key_of(0), seeded(0)))
