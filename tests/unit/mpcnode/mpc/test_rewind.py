"""Why a session must never be run again, not even with the same inputs.

Two of three nodes collude. They let the third run its part 16 times: same input share, same seed, same corrections, as
after a restart that "resumes". It sends the same first message every time; the attackers choose theirs so that each
block of the public number takes every value once. All openings of one run are uniform. The differences between runs are
the honest node's shares of [r_b > c_b], its wires' masks cancelled: the attackers read r off them, and with it x.
"""

from functools import reduce

import numpy as np
import pytest

from mpcnode.errors import CorrelationReuseError
from mpcnode.mpc import Comparison, Opening, Party, Program, Words
from mpcnode.mpc.kernels import chosen
from tests.support.joint import Gadgets, dealt, share_integers

SUBJECTS = 64
COMPARE = Comparison(label="c", bits=32, values=1, of=(0,), thresholds=(1000,), subjects=SUBJECTS)
PROGRAM = Program(parties=3, body=Gadgets(correlations=(COMPARE,)), rounds=())
HONEST = 0
NIBBLES = 0x1111_1111


def first_layer_wires(shares: np.ndarray, chosen: int) -> np.ndarray:
    """What the honest node sends in round 2 if the attackers steer the opened value to this; it starts afresh."""
    material = dealt(PROGRAM, "again")[HONEST]  # nothing but its seed: a restored backup has no more
    running = COMPARE.run(Party(is_first=True, material=material), shares)
    next(running)
    (opening,) = running.send((np.full(SUBJECTS, chosen, np.uint64),))
    return opening.share[:, : COMPARE.layers[0].fan].reshape(COMPARE.blocks, -1)


def attackers_part(chosen: int) -> np.ndarray:
    """The attackers' own shares of [r_b > c_b] for a public number, from their own material."""
    parts = []
    for material in dealt(PROGRAM, "again")[1:]:
        greater, _ = COMPARE._leaf(
            Party(is_first=False, material=material),
            material.take("c"),
            ~COMPARE.lanes_out.slice(np.full((1, SUBJECTS), chosen - 1000, np.uint64), 32),
        )
        parts.append(greater)
    return reduce(np.bitwise_xor, parts)


def test_running_one_honest_node_again_gives_away_its_inputs() -> None:
    secrets = np.random.default_rng(7).integers(0, 1 << 30, (1, SUBJECTS), dtype=np.uint64)
    shares = share_integers(secrets, 3, "x")[HONEST]
    steered = [1000 + value * NIBBLES for value in range(16)]
    runs = [first_layer_wires(shares, value) ^ attackers_part(value) for value in steered]
    # no block is above 15, so the last run shows the wires' masks alone
    above = [COMPARE.lanes_out.unpack(found ^ runs[15])[:, 0] for found in runs]
    blocks: Words = np.stack(above).sum(axis=0, dtype=np.uint64)  # r_b > c_b holds for r_b values of c_b
    blocks[7] //= np.uint64(2)  # the top block has 3 bits, and met each of its values twice
    mask = np.bitwise_or.reduce([blocks[b] << np.uint64(4 * b) for b in range(COMPARE.blocks)])
    opened = np.zeros((1, SUBJECTS), np.uint64)  # an ordinary opening, which everybody sees
    for share, material in zip(share_integers(secrets, 3, "x"), dealt(PROGRAM, "again"), strict=True):
        opened += share + material.take("c")["r"]
    recovered = (opened[0] - mask) & np.uint64((1 << 31) - 1)
    assert (recovered == secrets[0]).all()


def test_one_run_shows_nothing_of_the_mask() -> None:
    """The control: the same arithmetic on runs of different sessions finds coin flips."""
    shares = share_integers(np.zeros((1, SUBJECTS), np.uint64), 3, "x")[HONEST]
    one = first_layer_wires(shares, 1000)
    other = dealt(PROGRAM, "another session")[HONEST]
    running = COMPARE.run(Party(is_first=True, material=other), shares)
    next(running)
    (opening,) = running.send((np.full(SUBJECTS, 1000 + 15 * NIBBLES, np.uint64),))
    difference = one ^ opening.share[:, : COMPARE.layers[0].fan].reshape(COMPARE.blocks, -1)
    assert 0.4 < COMPARE.lanes_out.unpack(difference).mean() < 0.6


def test_material_that_is_still_in_memory_cannot_be_used_again() -> None:
    material = dealt(PROGRAM, "again")[HONEST]
    party = Party(is_first=True, material=material)
    shares = np.zeros((1, SUBJECTS), np.uint64)
    first: tuple[Opening, ...] = next(COMPARE.run(party, shares))
    assert len(first) == 1
    with pytest.raises(CorrelationReuseError):
        next(COMPARE.run(party, shares))


def test_fold_leaf_is_the_definition() -> None:
    """In clear: one party with the products of r's bits finds [r > c] and [r = c]."""
    full = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
    for r in range(16):
        products = np.array([[[full if r & members == members else 0] for members in range(16)]], np.uint64)
        for c in range(16):
            inverted = np.array([[[0 if c >> i & 1 else full] for i in range(4)]], np.uint64)
            greater, equal = (
                shares[:, 0]
                for shares in chosen().fold_leaf(products[:, :, None], inverted[:, :, None], np.zeros(1, np.int64))
            )
            assert (greater[0, 0] == full) == (r > c)
            assert (equal[0, 0] == full) == (r == c)
