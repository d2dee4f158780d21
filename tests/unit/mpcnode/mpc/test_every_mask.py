"""Gadgets of few bits for every input under every mask: one party runs them, which is what all nodes together do."""

from collections.abc import Sequence

import numpy as np
import pytest

from mpcnode.mpc import Array, Comparison, Correlation, Division, Equality, Lookup, Material, Party, Words
from mpcnode.mpc.openings import run_alone
from tests.support.gadgets import pack

BITS = 6
MASKS = 1 << BITS


def every(values: Sequence[int]) -> tuple[np.ndarray, Words]:
    """Each value with each mask: [1, values · masks], twice."""
    x, r = np.meshgrid(np.array(values, np.int64), np.arange(MASKS, dtype=np.uint64))
    return x.reshape(1, -1), r.reshape(1, -1)


def party(mask: Words, *items: Correlation) -> Party:
    """Somebody who knows everything; of the first item the mask r is given."""
    rng = np.random.default_rng(1)
    material: dict[str, dict[str, Array]] = {}
    for item in items:
        free = {part.name: rng.integers(0, 1 << 64, part.shape, np.uint64) for part in item.free}
        free |= {"r": mask} if not material else {}
        material[item.label] = {**free, **item.derive(free)}
    return Party(is_first=True, material=Material(material))


def alone(protocol) -> Array:
    return run_alone(protocol, lambda _: None)


@pytest.mark.parametrize("divisor", [2, 3, 5, 7, 8, 12, 31, 32, 33, 63, 64, 65, 200])
def test_division(divisor: int) -> None:
    x, r = every(range(MASKS // 2))
    item = Division(label="d", items=1, subjects=x.size, divisor=divisor, bits=BITS)
    found = alone(item.run(party(r, item), x.view(np.uint64)))
    assert (found.view(np.int64) == x // divisor).all()


@pytest.mark.parametrize("threshold", [-20, -1, 0, 1, 31])
@pytest.mark.parametrize(("leaf", "fan"), [(4, 4), (1, 2), (2, 3), (5, 2)])
def test_comparison(threshold: int, leaf: int, fan: int) -> None:
    x, r = every(range(threshold - MASKS // 2, threshold + MASKS // 2))
    item = Comparison(
        label="c", bits=BITS, values=1, of=(0,), thresholds=(threshold,), subjects=x.size, leaf=leaf, fan=fan
    )
    found = alone(item.run(party(r, item), x.view(np.uint64)))
    assert (found == pack(x >= threshold)).all()


@pytest.mark.parametrize("target", [-32, -1, 0, 1, 31])
def test_equality(target: int) -> None:
    x, r = every(range(-MASKS // 2, MASKS // 2))
    item = Equality(label="e", bits=BITS, values=1, of=(0,), targets=(target,), subjects=x.size)
    found = alone(item.run(party(r, *item.correlations), x.view(np.uint64)))
    assert (found == pack(x == target)).all()


@pytest.mark.parametrize("ring", [16, 32, 64])
def test_lookup(ring: int) -> None:
    x, r = every(range(MASKS))
    table = tuple(((i - 20) ** 3) << (ring - 20 if ring > 20 else 0) for i in range(MASKS))  # some below 0
    item = Lookup(label="l", items=1, subjects=x.size, table=table, ring=ring)
    found = alone(item.run(party(r, item), x.view(np.uint64)))
    assert found.reshape(-1).tolist() == [table[i] % (1 << ring) for i in x.reshape(-1)]
