"""What costs no round and no byte: linear forms of integers, and intervals between thresholds.

Right mod 2^64, or mod 2^k if the shares are: shares are linear. [x >= low] ^ [x >= high] is [low <= x < high] since the
second bit implies the first. Private since nothing is sent. (Folklore.)
"""

from collections.abc import Sequence

import numpy as np

from mpcnode.mpc import kernels
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import Lanes, Words

_MASK = (1 << 64) - 1


def linear(party: Party, weights: Sequence[int], shares: Words, constant: int = 0) -> Words:
    """Sum of public weights times shares [items, N], and a constant; the result is [N], mod 2^64."""
    factors = np.array([weight & _MASK for weight in weights], np.uint64)
    total: Words = kernels.chosen().weigh(factors, shares)
    return total + np.uint64(constant & _MASK) if party.is_first else total


def interval_bits(
    party: Party, lanes: Lanes, reached: Words, intervals: Sequence[tuple[int | None, int | None]]
) -> Words:
    """Whether a value lies between two thresholds, low <= high.

    Args:
        party: who runs this.
        lanes: where the bits are.
        reached: XOR shares of [x >= t], an item of `lanes` each.
        intervals: items of the thresholds (low, high), low included and high not; None: no such end.

    Returns:
        XOR shares, a row of `Lanes(len(intervals), subjects)`.
    """
    bits = lanes.unpack(reached)
    always = np.full((1, lanes.subjects), party.is_first, np.uint8)
    rows = np.concatenate([bits, always, np.zeros_like(always)])
    low = [lanes.items if item is None else item for item, _ in intervals]
    high = [lanes.items + 1 if item is None else item for _, item in intervals]
    return Lanes(len(intervals), lanes.subjects).pack(rows[low] ^ rows[high])
