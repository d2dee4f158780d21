"""What costs no round and no byte: linear forms of integers, and intervals between thresholds.

Right in the ring of the shares, which is that of their type, and mod every 2^k below: shares are linear, and reduction
mod 2^k is a ring homomorphism. [x >= low] ^ [x >= high] is [low <= x < high] since the
second bit implies the first. Private since nothing is sent. (Folklore.)
"""

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from mpcnode.mpc import kernels
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import Lanes, Words

_Integer = TypeVar("_Integer", bound=np.unsignedinteger[Any])


def weighted(weights: Sequence[int], shares: NDArray[_Integer]) -> NDArray[_Integer]:
    """Sum of public weights times shares [items, N]; the result is [N], in the ring of the shares."""
    factors = np.array([reduced(weight, shares.dtype) for weight in weights], shares.dtype)
    return cast("NDArray[_Integer]", kernels.chosen().weigh(factors, shares))


def linear(party: Party, weights: Sequence[int], shares: NDArray[_Integer], constant: int = 0) -> NDArray[_Integer]:
    """Sum of public weights times shares [items, N], and a constant; the result is [N], in the ring of the shares."""
    total = weighted(weights, shares)
    if party.is_first:
        total += shares.dtype.type(reduced(constant, shares.dtype))
    return total


def reduced(number: int, ring: np.dtype[Any]) -> int:
    """A number mod 2^16, 2^32 or 2^64, whichever the type holds."""
    return number & ((1 << 8 * ring.itemsize) - 1)


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
