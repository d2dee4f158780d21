from functools import reduce

import numpy as np
import pytest

from mpcnode.mpc import AndBits, BitsToIntegers, Opening, Protocol, Words, ZeroShares, parallel
from tests.support.joint import run_gadgets, share_bits


@pytest.mark.parametrize("ring", [16, 32, 64])
@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("subjects", [1, 90])
def test_bits_become_integers(subjects: int, parties: int, ring: int) -> None:
    gadget = BitsToIntegers(label="b", items=5, subjects=subjects, ring=ring)
    bits = np.random.default_rng(ring).integers(0, 2, (5, subjects)).astype(np.uint8)
    shares = share_bits(gadget.lanes.pack(bits), parties, "b")
    results, rounds = run_gadgets(parties, "b", (gadget,), lambda party, i: gadget.run(party, shares[i]))
    assert len(rounds) == 1
    assert results[0].dtype.itemsize * 8 == ring
    assert (reduce(np.add, results) == bits).all()
    assert any((result > 1).any() for result in results)  # shares are not the bits


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_and_in_one_round(parties: int) -> None:
    gadget = AndBits(label="&", words=4)
    left, right = np.random.default_rng(3).integers(0, 1 << 64, (2, 4), dtype=np.uint64)
    a, b = share_bits(left, parties, "a"), share_bits(right, parties, "b")
    results, rounds = run_gadgets(parties, "&", (gadget,), lambda party, i: gadget.run(party, a[i], b[i]))
    assert len(rounds) == 1
    assert (reduce(np.bitwise_xor, results) == left & right).all()


def test_zero_shares_change_every_share_and_no_result() -> None:
    gadget = ZeroShares(label="0", words=4)
    row = np.arange(4, dtype=np.uint64)

    def masked(is_first: bool) -> Protocol[Words]:
        yield (Opening(np.zeros(1, np.uint64)),)
        return row if is_first else np.zeros(4, np.uint64)

    def side(party, i):
        result = yield from masked(i == 0)
        return gadget.mask(party, result)

    results, _ = run_gadgets(3, "0", (gadget,), side)
    assert (reduce(np.bitwise_xor, results) == row).all()
    assert (results[0] != row).all()
    assert results[1].all()


def counting(rounds: int, bits: int = 0) -> Protocol[list[int]]:
    seen: list[int] = []
    for i in range(rounds):
        (opened,) = yield (Opening(np.array([10 * rounds + i], np.uint64), bits),)
        seen.append(int(opened[0]))
    return seen


def test_parallel_protocols_share_rounds_and_keep_apart() -> None:
    running = parallel(counting(1), counting(3), counting(2))
    asked = next(running)
    sizes = [len(asked)]
    for _ in range(2):
        asked = running.send(tuple(opening.share + np.uint64(100) for opening in asked))
        sizes.append(len(asked))
    assert sizes == [3, 2, 1]
    with pytest.raises(StopIteration) as stop:
        running.send(tuple(opening.share + np.uint64(100) for opening in asked))
    assert stop.value.value == ([110], [130, 131, 132], [120, 121])


@pytest.mark.parametrize("bits", [0, 8, 13, 16, 33, 64])
def test_openings_come_back_from_their_bytes(bits: int) -> None:
    share = np.random.default_rng(bits).integers(0, 1 << 64, 7, dtype=np.uint64)
    opening = Opening(share, bits)
    data = opening.width.encode(opening.reduced())
    assert len(data) == opening.width.size == 7 * (-(-bits // 8) or 8)
    mask = np.uint64((1 << (bits or 64)) - 1)
    assert (opening.width.decode(memoryview(data)) == share & mask).all()
    ones = opening.width.decode(memoryview(b"\xff" * len(data)))
    assert (opening.width.join([ones]) == mask).all()  # bits beyond the ring are cut
    assert str(share[0]) not in repr(opening)
