"""Kernels tried on a few numbers: a node whose compiled ones are wrong must not learn it from an audit."""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np

from mpcnode.mpc.kernels.interface import Integers, Kernels, Words

_WORDS = 5
_ITEMS = 3
_SUBJECTS = 67

_Results = tuple[Integers, ...]


def differing(kernels: Kernels, reference: Kernels) -> tuple[str, ...]:
    """Return the names of kernels that give other results than the reference, on fixed numbers."""
    return tuple(
        name
        for name, work in _trials().items()
        if not all(
            np.array_equal(found, expected) for found, expected in zip(work(kernels), work(reference), strict=True)
        )
    )


def _trials() -> dict[str, Callable[[Kernels], _Results]]:
    """One use of every kernel and shape that has a loop of its own."""
    of = np.array([0, 0, 1, 2, 2, 0])
    trials: dict[str, Callable[[Kernels], _Results]] = {
        "slice_bits": lambda kernels: (kernels.slice_bits(_some(64 * _WORDS), 31),),
        "join_bits": lambda kernels: (kernels.join_bits(_some(11, _WORDS)),),
        "subtract_public": lambda kernels: (kernels.subtract_public(_some(31, 3, _WORDS), of, _some(len(of)), 33),),
        "fold_leaf": lambda kernels: kernels.fold_leaf(_some(3, 16, 3, _WORDS), _some(3, 4, len(of), _WORDS), of),
        "combine_wires of 4": lambda kernels: kernels.combine_wires(*_wires(4, 4), is_last=False),
        "combine_wires of the last 4": lambda kernels: kernels.combine_wires(*_wires(4, 3), is_last=True)[:1],
        "combine_wires of the last 2": lambda kernels: kernels.combine_wires(*_wires(2, 1), is_last=True)[:1],
    }
    rings: tuple[type[np.unsignedinteger[Any]], ...] = (np.uint16, np.uint32, np.uint64)
    for ring in rings:
        shares = _some(_ITEMS, _SUBJECTS).astype(ring)
        trials[f"flip in {ring.__name__}"] = partial(_flips, shares)
        trials[f"weigh in {ring.__name__}"] = partial(_weighs, shares)
    return trials


def _flips(shares: Integers, kernels: Kernels) -> _Results:
    opened, stride = _some(_ITEMS * 2), 2 * 64
    return tuple(kernels.flip(opened, stride, shares, is_first=is_first) for is_first in (True, False))


def _weighs(shares: Integers, kernels: Kernels) -> _Results:
    return (kernels.weigh(shares[:, 0], shares),)


def _wires(fan: int, equals: int, groups: int = 2) -> tuple[Words, Words, Words, Words]:
    """Arguments of `combine_wires`."""
    return (
        _some(groups, fan + equals, _WORDS),
        _some(groups, fan, _WORDS),
        _some(groups, 1 << equals, _WORDS),
        _some(groups, (1 << fan) - 1 - fan, _WORDS),
    )


def _some(*shape: int) -> Words:
    """Numbers without a pattern, the same ones every time (Steele et al., SplitMix, OOPSLA 2014)."""
    numbers = np.arange(1, prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return (numbers ^ (numbers >> np.uint64(31))).reshape(shape)
