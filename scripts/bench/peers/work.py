"""The work that every system does: plain functions of companies' values, and what must come out.

Imports numpy only: each peer runs this in an environment of its own, without this project's packages.

- `score`: 12 attributes, 4 of each of 3 companies, weighted and summed up; the sum compared with 6 public thresholds.
- `max`: a value of each of 3 companies; the largest compared with 6 public thresholds.

Only the grade leaves, how many thresholds are reached: 0 to 6. Values have 20 bits.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

OWNERS = 3
ATTRIBUTES = 4
"""Of each owner, in `score`."""
VALUE_BITS = 20
WEIGHTS = tuple(tuple(5 * (ATTRIBUTES * owner + i + 1) for i in range(ATTRIBUTES)) for owner in range(OWNERS))
STEPS = 6
"""Thresholds."""
WORKS = ("score", "max")


def values(subjects: int) -> Integers:
    """Return what the companies know [owners, attributes, subjects]; `max` takes the first attribute of each.

    The same numbers every time, without a pattern (Steele et al., SplitMix, OOPSLA 2014).
    """
    numbers = np.arange(1, OWNERS * ATTRIBUTES * subjects + 1, dtype=np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15)
    for shift, factor in ((30, 0xBF58_476D_1CE4_E5B9), (27, 0x94D0_49BB_1331_11EB)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    high: NDArray[Any] = numbers >> np.uint64(64 - VALUE_BITS)
    return high.astype(np.int64).reshape(OWNERS, ATTRIBUTES, subjects)


def thresholds(work: str) -> tuple[int, ...]:
    """Return a work's public thresholds: 6 that cut the range of its results into equal parts."""
    top = (1 << VALUE_BITS) - 1
    if work == "score":
        top *= sum(map(sum, WEIGHTS))
    return tuple(top * i // (STEPS + 1) for i in range(1, STEPS + 1))


def expected(work: str, known: Integers) -> Integers:
    """Return every subject's grade, computed in clear."""
    if work == "score":
        result: Integers = np.einsum("oa,oan->n", np.array(WEIGHTS), known)
    else:
        result = known[:, 0].max(axis=0)
    return np.searchsorted(np.array(thresholds(work)), result, side="right")
