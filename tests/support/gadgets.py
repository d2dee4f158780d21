"""Every gadget with its definition in clear: what the tests of correctness, privacy, replay and cost run over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, reduce
from typing import Any

import numpy as np

from mpcnode.mpc import (
    AllBits,
    AndBits,
    Array,
    Bits,
    BitsToIntegers,
    BitTimesValue,
    Comparison,
    Correlation,
    Division,
    Equality,
    Extreme,
    Lanes,
    Lookup,
    MeanComparison,
    Opening,
    Party,
    Product,
    Protocol,
    RatioComparison,
    Row,
    RowShape,
    TopSet,
    Words,
    ZeroIntegers,
    ZeroShares,
    interval_bits,
    linear,
)

RunGadget = Callable[[Party, Words, Bits], Protocol[Array]]
"""(party, additive shares [V, N], XOR shares of bits [B, N]) -> shares of a result"""


@dataclass(frozen=True, kw_only=True)
class Gadget:
    """One gadget for N subjects."""

    name: str
    correlations: tuple[Correlation, ...]
    run: RunGadget
    clear: Callable[[np.ndarray, Bits], Array]
    """(int64 [V, N], bits [B, N]) -> the result, as `run` gives it: words of bits, or integers"""
    subjects: int
    values: int = 0
    bits: int = 0
    low: int = 0
    """Least value allowed."""
    high: int = 1
    """Most."""
    ring: int = 0
    """As in `Field`, of the result."""
    exact: int = 64
    """Integers are right mod 2^exact."""
    results: int = 1
    """Bits are those of so many items."""
    silent: bool = False
    """Opens nothing."""

    def same(self, found: Array, expected: Array) -> bool:
        """Whether results agree; unused bits of a row say nothing."""
        if not self.ring:
            lanes = Lanes(self.results, self.subjects)
            return bool((lanes.unpack(found) == lanes.unpack(expected)).all())
        mask = found.dtype.type((1 << min(self.exact, self.ring)) - 1)
        return bool(((found ^ expected.reshape(found.shape).astype(found.dtype)) & mask == 0).all())

    def join(self, shares: Sequence[Array]) -> Array:
        """Put the shares of a result together."""
        return reduce(np.add if self.ring else np.bitwise_xor, shares)


@dataclass(frozen=True, kw_only=True)
class OpenedGadget:
    """A program: a gadget whose result is opened in a round of its own, so that a transcript covers it."""

    gadget: Gadget = field(compare=False)
    name: str

    @cached_property
    def rows(self) -> tuple[RowShape, ...]:
        return (RowShape(max(self.gadget.values, self.gadget.bits, 1), self.gadget.subjects),)

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        return self.gadget.correlations

    @property
    def output_bytes(self) -> int:
        return 1

    def run(self, party: Party, rows: Sequence[Row]) -> Protocol[Bits]:
        values, bits = rows[0].values[: self.gadget.values], rows[0].bits[: self.gadget.bits]
        result = yield from self.gadget.run(party, values, bits)
        yield (Opening(result.astype(np.uint64), min(self.gadget.ring, self.gadget.exact)),)
        return np.zeros((self.gadget.subjects, 1), np.uint8)

    def mask(self, party: Party) -> Bits:
        return np.zeros((self.gadget.subjects, 1), np.uint8)


def pack(bits: Any) -> Words:
    """Bits [items, N] as a row."""
    array = np.asarray(bits, np.uint8)
    return Lanes(*array.shape).pack(array)


def comparison_gadget(subjects: int, bits: int, **how: int) -> Gadget:
    edge = 1 << (bits - 2)
    thresholds = (0, edge - 1, -edge, edge // 2)
    of = (0, 0, 1, 1)
    item = Comparison(label="c", bits=bits, values=2, of=of, thresholds=thresholds, subjects=subjects, **how)
    return Gadget(
        name=f"comparison-{bits}",
        correlations=(item,),
        run=lambda party, values, _: item.run(party, values),
        clear=lambda values, _: pack(values[list(of)] >= np.array(thresholds)[:, None]),
        subjects=subjects,
        values=2,
        low=-edge,
        high=edge - 1,
        results=4,
    )


def equality_gadget(subjects: int, bits: int) -> Gadget:
    edge = (1 << (bits - 1)) - 1
    targets = (0, edge, -edge - 1)
    item = Equality(label="e", bits=bits, values=1, of=(0, 0, 0), targets=targets, subjects=subjects)
    return Gadget(
        name=f"equality-{bits}",
        correlations=item.correlations,
        run=lambda party, values, _: item.run(party, values),
        clear=lambda values, _: pack(values == np.array(targets)[:, None]),
        subjects=subjects,
        values=1,
        low=-edge - 1,
        high=edge,
        results=3,
    )


def interval_gadget(subjects: int) -> Gadget:
    thresholds = (-100, 0, 7)
    intervals = ((None, 0), (0, 1), (1, 2), (2, None), (0, 2), (None, None))
    item = Comparison(label="i", bits=20, values=1, of=(0, 0, 0), thresholds=thresholds, subjects=subjects)

    def run(party: Party, values: Words, bits: Bits) -> Protocol[Array]:
        reached = yield from item.run(party, values)
        return interval_bits(party, item.lanes_out, reached, intervals)

    def clear(values: np.ndarray, bits: Bits) -> Array:
        ends = [(None if i is None else thresholds[i], None if j is None else thresholds[j]) for i, j in intervals]
        return pack([[(a is None or x >= a) and (b is None or x < b) for x in values[0]] for a, b in ends])

    return Gadget(
        name="intervals",
        correlations=(item,),
        run=run,
        clear=clear,
        subjects=subjects,
        values=1,
        low=-(1 << 18),
        high=(1 << 18) - 1,
        results=6,
    )


def any_gadget(subjects: int, inputs: int, *, every: bool) -> Gadget:
    name = "all" if every else "any"
    item = AllBits(label=name, inputs=inputs, words=Lanes(1, subjects).words)
    lanes, choose = Lanes(1, subjects), item.all if every else item.any
    return Gadget(
        name=name,
        correlations=(item,),
        run=lambda party, _, bits: choose(party, lanes.pack(bits[:, None])),
        clear=lambda _, bits: pack(bits.min(axis=0, keepdims=True) if every else bits.max(axis=0, keepdims=True)),
        subjects=subjects,
        bits=inputs,
    )


def and_gadget(subjects: int) -> Gadget:
    item = AndBits(label="and", words=Lanes(1, subjects).words)

    return Gadget(
        name="and",
        correlations=(item,),
        run=lambda party, _, bits: item.run(party, pack(bits[:1]), pack(bits[1:])),
        clear=lambda _, bits: pack((bits[0] & bits[1])[None]),
        subjects=subjects,
        bits=2,
    )


def b2a_gadget(subjects: int, ring: int) -> Gadget:
    item = BitsToIntegers(label="b2a", items=3, subjects=subjects, ring=ring)
    return Gadget(
        name=f"bits-to-integers-{ring}",
        correlations=(item,),
        run=lambda party, _, bits: item.run(party, pack(bits)),
        clear=lambda _, bits: bits.astype(np.uint64),
        subjects=subjects,
        bits=3,
        ring=ring,
    )


def count_gadget(subjects: int) -> Gadget:
    item = BitsToIntegers(label="count", items=5, subjects=subjects, ring=16)
    return Gadget(
        name="count",
        correlations=(item,),
        run=lambda party, _, bits: item.count(party, pack(bits)),
        clear=lambda _, bits: bits.sum(axis=0, dtype=np.uint64),
        subjects=subjects,
        bits=5,
        ring=16,
    )


def product_gadget(subjects: int, bits: int) -> Gadget:
    item = Product(label="p", items=2, subjects=subjects, bits=bits)
    edge = (1 << (bits - 1)) - 1
    return Gadget(
        name=f"product-{bits}",
        correlations=(item,),
        run=lambda party, values, _: item.run(party, values[:2], values[2:]),
        clear=lambda values, _: values[:2].view(np.uint64) * values[2:].view(np.uint64),
        subjects=subjects,
        values=4,
        low=-edge - 1,
        high=edge,
        ring=64,
        exact=bits,
    )


def select_gadget(subjects: int, bits: int) -> Gadget:
    item = BitTimesValue(label="s", items=2, subjects=subjects, bits=bits)
    edge = (1 << (bits - 1)) - 1

    def run(party: Party, values: Words, flags: Bits) -> Protocol[Array]:
        ones, products = yield from item.run(party, pack(flags), values)
        return np.concatenate([ones, products])

    return Gadget(
        name=f"bit-times-value-{bits}",
        correlations=(item,),
        run=run,
        clear=lambda values, flags: np.concatenate([flags, flags * values]).astype(np.int64).view(np.uint64),
        subjects=subjects,
        values=2,
        bits=2,
        low=-edge - 1,
        high=edge,
        ring=64,
        exact=bits,
    )


def extreme_gadget(subjects: int, items: int, *, least: bool, bits: int = 64) -> Gadget:
    name = f"{'min' if least else 'max'}-{items}"
    item = Extreme(label=name, items=items, subjects=subjects, bits=bits, least=least)
    edge = 1 << (bits - 2)

    def run(party: Party, values: Words, flags: Bits) -> Protocol[Array]:
        result, _ = yield from item.run(party, values)
        return result

    return Gadget(
        name=name,
        correlations=item.correlations,
        run=run,
        clear=lambda values, _: (values.min(axis=0) if least else values.max(axis=0)).view(np.uint64),
        subjects=subjects,
        values=items,
        low=-edge,
        high=edge - 1,
        ring=64,
    )


def ratio_gadget(subjects: int) -> Gadget:
    thresholds = (Fraction(0), Fraction(1, 3), Fraction(-7, 5), Fraction(12))
    item = RatioComparison(label="r", thresholds=thresholds, subjects=subjects, bits=48)

    def clear(values: np.ndarray, bits: Bits) -> Array:
        return pack([[int(a) >= t * int(b) for a, b in values.T] for t in thresholds])

    return Gadget(
        name="ratio",
        correlations=item.correlations,
        run=lambda party, values, _: item.run(party, values[0], values[1]),
        clear=clear,
        subjects=subjects,
        values=2,
        low=0,
        high=1 << 40,
        results=4,
    )


def mean_gadget(subjects: int) -> Gadget:
    weights, thresholds = (1, 3, 2), (Fraction(0), Fraction(5, 2), Fraction(1000))
    item = MeanComparison(label="m", weights=weights, thresholds=thresholds, subjects=subjects, bits=40)

    def clear(values: np.ndarray, bits: Bits) -> Array:
        present = bits.astype(np.int64) * np.array(weights)[:, None]
        above, below = (present * values).sum(axis=0), present.sum(axis=0)
        return pack([[int(a) >= t * int(b) for a, b in zip(above, below, strict=True)] for t in thresholds])

    return Gadget(
        name="mean",
        correlations=item.correlations,
        run=lambda party, values, bits: item.run(party, pack(bits), values),
        clear=clear,
        subjects=subjects,
        values=3,
        bits=3,
        low=-(1 << 24),
        high=1 << 24,
        results=3,
    )


def division_gadget(subjects: int, divisor: int, bits: int) -> Gadget:
    item = Division(label="d", items=2, subjects=subjects, divisor=divisor, bits=bits)
    return Gadget(
        name=f"division-{divisor}-{bits}",
        correlations=(item,),
        run=lambda party, values, _: item.run(party, values),
        clear=lambda values, _: (values // divisor).view(np.uint64),
        subjects=subjects,
        values=2,
        high=(1 << (bits - 1)) - 1,
        ring=64,
    )


def lookup_gadget(subjects: int, bits: int, ring: int) -> Gadget:
    table = tuple((i * i * 2654435761 - 5) % (1 << ring) for i in range(1 << bits))
    item = Lookup(label="l", items=2, subjects=subjects, table=table, ring=ring)
    return Gadget(
        name=f"lookup-{bits}-{ring}",
        correlations=(item,),
        run=lambda party, values, _: item.run(party, values),
        clear=lambda values, _: np.array(table, np.uint64)[values],
        subjects=subjects,
        values=2,
        high=(1 << bits) - 1,
        ring=ring,
    )


def top_gadget(subjects: int, items: int, top: int, bits: int = 32) -> Gadget:
    item = TopSet(label="top", items=items, top=top, subjects=subjects, bits=bits)

    def clear(values: np.ndarray, flags: Bits) -> Array:
        order = np.argsort(-values, axis=0, kind="stable")[:top]
        found = np.zeros(values.shape, np.uint8)
        np.put_along_axis(found, order, 1, axis=0)
        return pack(found & (values > 0))

    return Gadget(
        name=f"top-{top}-of-{items}",
        correlations=item.correlations,
        run=lambda party, values, _: item.run(party, values),
        clear=clear,
        subjects=subjects,
        values=items,
        low=-(1 << (bits - 2)),
        high=(1 << (bits - 2)) - 1,
        results=items,
    )


def linear_gadget(subjects: int) -> Gadget:
    weights = (3, -7, 1 << 40)

    def run(party: Party, values: Words, bits: Bits) -> Protocol[Array]:
        yield from ()
        return linear(party, weights, values, constant=-11)

    return Gadget(
        name="linear",
        correlations=(),
        run=run,
        clear=lambda values, _: ((values * np.array(weights)[:, None]).sum(axis=0) - 11).view(np.uint64),
        subjects=subjects,
        values=3,
        low=-(1 << 63),
        high=(1 << 63) - 1,
        ring=64,
        silent=True,
    )


def zero_gadget(subjects: int, ring: int) -> Gadget:
    integers = ZeroIntegers(label="z", items=2, subjects=subjects, ring=ring or 64)
    words = ZeroShares(label="z", words=Lanes(2, subjects).words)

    def run(party: Party, values: Words, bits: Bits) -> Protocol[Array]:
        yield from ()
        if ring:
            return integers.mask(party, values.astype(f"u{ring // 8}"))
        return words.mask(party, pack(bits))

    return Gadget(
        name=f"zero-{ring}",
        correlations=(integers if ring else words,),
        run=run,
        clear=lambda values, bits: values.view(np.uint64) if ring else pack(bits),
        subjects=subjects,
        values=2 if ring else 0,
        bits=0 if ring else 2,
        high=100,
        ring=ring,
        results=2,
        silent=True,
    )


def every_gadget(subjects: int) -> tuple[Gadget, ...]:
    """All gadgets, in several rings."""
    return (
        linear_gadget(subjects),
        *(comparison_gadget(subjects, bits) for bits in (2, 5, 8, 17, 18, 32, 64)),
        comparison_gadget(subjects, 32, leaf=2, fan=8),
        *(equality_gadget(subjects, bits) for bits in (1, 2, 8, 33, 64)),
        interval_gadget(subjects),
        any_gadget(subjects, 6, every=True),
        any_gadget(subjects, 6, every=False),
        and_gadget(subjects),
        *(b2a_gadget(subjects, ring) for ring in (16, 32, 64)),
        count_gadget(subjects),
        *(product_gadget(subjects, bits) for bits in (1, 8, 31, 64)),
        *(select_gadget(subjects, bits) for bits in (1, 8, 31, 64)),
        extreme_gadget(subjects, 2, least=True),
        extreme_gadget(subjects, 3, least=False),
        extreme_gadget(subjects, 5, least=True, bits=20),
        ratio_gadget(subjects),
        mean_gadget(subjects),
        *(
            division_gadget(subjects, divisor, bits)
            for divisor, bits in ((2, 2), (7, 64), (12, 33), (60, 64), (300, 8))
        ),
        *(lookup_gadget(subjects, bits, ring) for bits, ring in ((1, 16), (4, 32), (8, 64))),
        top_gadget(subjects, 2, 1),
        top_gadget(subjects, 5, 2, bits=20),
        *(zero_gadget(subjects, ring) for ring in (0, 16, 64)),
    )


def random_inputs(gadget: Gadget, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random values of every size, every third one an edge or a neighbour's equal; random bits."""
    rng = np.random.default_rng(seed)
    shape = (gadget.values, gadget.subjects)
    size = rng.integers(0, 64, shape)
    values = np.clip(rng.integers(-(1 << 63), (1 << 63) - 1, shape) >> size, gadget.low, gadget.high)
    edges = np.array([v for v in (0, 1, -1, gadget.low, gadget.high) if gadget.low <= v <= gadget.high])
    values = np.where(rng.integers(0, 3, shape) == 0, rng.choice(edges, shape), values)
    if gadget.values > 1:
        values[1] = np.where(rng.integers(0, 3, gadget.subjects) == 0, values[0], values[1])
    bits = rng.integers(0, 2, (gadget.bits, gadget.subjects)).astype(np.uint8)
    bits[:, ::3] = bits[:1, ::3]  # all or none
    return values, bits
