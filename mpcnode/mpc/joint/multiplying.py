"""The maker of elementary correlations from products of shared numbers, whoever multiplies (`mpcnode.mpc.multiplier`).

- *Bits times bits*: AND of words; a bit that is multiplied with several is repeated.
- *Products* mod 2^64: themselves.
- *Bits as integers*: node after node, from p = d_0, p <- p + d_i - 2 d_i p, in which node i alone has d_i: products mod
  2^w. *Bit times value*: that, times the value.
- *Zero shares*: shares of 0 times 0, since shares of a product are uniform but for what they make.

Right by these identities; private as products are, for nothing else is sent. What is alike is multiplied at once, in
batches of about 4,000 products, so that a message stays near 4 MB.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from mpcnode.mpc.arithmetic import BitTimesValue, Product
from mpcnode.mpc.bits import AndBits, BitsToIntegers, ZeroIntegers, ZeroShares
from mpcnode.mpc.correlations import Array, Arrays, Correlation
from mpcnode.mpc.joint.derivations import ELEMENTARY
from mpcnode.mpc.joint.scaling import BitTimesBits
from mpcnode.mpc.joint.talk import Talk
from mpcnode.mpc.multiplier import Multiplier
from mpcnode.mpc.ring import RINGS, Words
from mpcnode.types import Rank

BATCH_PRODUCTS = 4096
"""Products of one call; a word of bits is 64."""

_WORD_BITS = 64
_VALUE_RING = 64

Factors = tuple[Words, Words]
"""Two rows of shares of one length."""

_Made = dict[str, dict[str, Array]]
_Multiply = Callable[[Words, Words], Talk[Words]]


class MultiplierMaker:
    """Makes elementary correlations; a `Maker`."""

    def __init__(self, multiplier: Multiplier, rank: Rank, parties: int) -> None:
        """Take this node's part in multiplying, its place and the size of the committee."""
        self._multiplier = multiplier
        self._rank = rank
        self._parties = parties

    def __call__(self, items: Sequence[Correlation], free: Mapping[str, Arrays]) -> Talk[Mapping[str, Arrays]]:
        """Make correlations.

        Raises:
            PeerDeviatedError: another node sent what no honest one does; names it.
            ValueError: a correlation is not elementary; names it.
        """
        strange = next((item for item in items if not isinstance(item, ELEMENTARY)), None)
        if strange is not None:
            raise ValueError(f"correlation {strange.label}: expected an elementary one, got a {type(strange).__name__}")
        made: _Made = {item.label: {} for item in items}
        yield from self._ands(items, free, made)
        for ring in RINGS:
            yield from self._integers(ring, items, free, made)
        for ring in RINGS:
            yield from self._products(ring, items, free, made)
        return made

    def _ands(self, items: Sequence[Correlation], free: Mapping[str, Arrays], made: _Made) -> Talk[None]:
        """Make what consists of bits."""
        factors: dict[str, Factors] = {}
        for item in items:
            match item:
                case AndBits():
                    factors[item.label] = _words(free[item.label]["a"]), _words(free[item.label]["b"])
                case BitTimesBits():
                    b = _words(free[item.label]["b"])
                    factors[item.label] = np.broadcast_to(_words(free[item.label]["a"]), b.shape), b
                case ZeroShares():
                    factors[item.label] = _zeros(item), _zeros(item)
        found = yield from _in_batches(self._multiplier.and_words, factors, BATCH_PRODUCTS // _WORD_BITS)
        _keep(items, found, made)

    def _integers(self, ring: int, items: Sequence[Correlation], free: Mapping[str, Arrays], made: _Made) -> Talk[None]:
        """Make bits integers of one ring: node after node multiplies what there is by its bit."""
        lanes = {
            item.label: item.lanes
            for item in items
            if (isinstance(item, BitsToIntegers) and item.ring == ring)
            or (isinstance(item, BitTimesValue) and ring == _VALUE_RING)
        }
        own = {label: lane.unpack(_words(free[label]["d"])).astype(np.uint64) for label, lane in lanes.items()}
        none = {label: np.zeros_like(bits) for label, bits in own.items()}
        sums = own if self._rank == 0 else none
        for holder in range(1, self._parties):
            bits = own if self._rank == holder else none
            multiply = partial(self._multiplier.products, bits=ring, holder=Rank(holder))
            factors = {label: (bits[label], sums[label]) for label in lanes}
            found = yield from _in_batches(multiply, factors, BATCH_PRODUCTS)
            sums = {label: sums[label] + bits[label] - found[label] - found[label] for label in lanes}
        for label in lanes:
            made[label]["integers"] = sums[label].astype(RINGS[ring])

    def _products(self, ring: int, items: Sequence[Correlation], free: Mapping[str, Arrays], made: _Made) -> Talk[None]:
        """Make products of one ring, those of bits that are integers by now among them, and zeros."""
        factors: dict[str, Factors] = {}
        for item in items:
            match item:
                case Product() if ring == _VALUE_RING:
                    factors[item.label] = _words(free[item.label]["s"]), _words(free[item.label]["r"])
                case BitTimesValue() if ring == _VALUE_RING:
                    factors[item.label] = _words(made[item.label]["integers"]), _words(free[item.label]["r"])
                case ZeroIntegers() if item.ring == ring:
                    factors[item.label] = _zeros(item), _zeros(item)
        found = yield from _in_batches(partial(self._multiplier.products, bits=ring), factors, BATCH_PRODUCTS)
        _keep(items, found, made)


def _words(array: Array) -> Words:
    return array.view(np.uint64)


def _zeros(item: ZeroShares | ZeroIntegers) -> Words:
    return np.zeros(item.corrected[0].shape, np.uint64)


def _keep(items: Sequence[Correlation], found: Mapping[str, Words], made: _Made) -> None:
    """Keep products as the last corrected values of their correlations."""
    for item in items:
        if item.label in found:
            field = item.corrected[-1]
            made[item.label][field.name] = found[item.label].astype(field.dtype)


def _in_batches(multiply: _Multiply, factors: Mapping[str, Factors], size: int) -> Talk[dict[str, Words]]:
    """Multiply all factors, side by side and cut anew; the results have the shapes of their factors."""
    if not factors:
        return {}
    left, right = (np.concatenate([pair[side].reshape(-1) for pair in factors.values()]) for side in (0, 1))
    parts: list[Words] = []
    for start in range(0, len(left), size):
        part = yield from multiply(left[start : start + size], right[start : start + size])
        parts.append(part)
    flat = np.concatenate(parts)
    found: dict[str, Words] = {}
    at = 0
    for label, (_, row) in factors.items():
        found[label] = flat[at : at + row.size].reshape(row.shape)
        at += row.size
    return found
