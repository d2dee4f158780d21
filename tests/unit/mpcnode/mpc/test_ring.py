import numpy as np
import pytest

from mpcnode.mpc import Lanes
from mpcnode.mpc.ring import slice_bits


@pytest.mark.parametrize("bits", [1, 7, 8, 9, 31, 33, 64])
def test_slicing_agrees_with_the_definition(bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 1 << 64, 192, dtype=np.uint64)
    rows = slice_bits(values, bits)
    assert rows.shape == (bits, 3)
    for i in range(bits):
        for place in range(192):
            assert int(rows[i, place // 64]) >> (place % 64) & 1 == int(values[place]) >> i & 1


@pytest.mark.parametrize("items", [1, 5, 70])
@pytest.mark.parametrize("subjects", [1, 3, 63, 64, 65, 200])
def test_lanes_keep_every_bit(items: int, subjects: int) -> None:
    lanes = Lanes(items, subjects)
    bits = np.random.default_rng(1).integers(0, 2, (2, items, subjects)).astype(np.uint8)
    rows = lanes.pack(bits)
    assert rows.shape == (2, lanes.words)
    assert (lanes.unpack(rows) == bits).all()
    values = np.random.default_rng(2).integers(0, 1 << 64, (items, subjects), dtype=np.uint64)
    sliced = lanes.unpack(lanes.slice(values, 64))
    assert (sliced[63] == values >> np.uint64(63)).all()
    assert (sliced[0] == values & np.uint64(1)).all()
    chosen = [items - 1, 0, 0, items // 2]
    assert (Lanes(4, subjects).unpack(lanes.pick(rows, chosen)) == bits[:, chosen]).all()


def test_few_subjects_waste_no_words() -> None:
    assert Lanes(64, 1).words == 1
    assert Lanes(65, 1).words == 2
    assert Lanes(3, 63).words == 3
    assert Lanes(3, 65).words == 6
