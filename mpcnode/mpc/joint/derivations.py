"""Joint derivations: what a dealer computes in clear, computed by the nodes on shares.

*Elementary* correlations are products, bits times something or integers times integers: pairs of nodes make them, each
pair its cross terms (`mpcnode.mpc.ot`). All others are derived from free values that nobody knows by a protocol of
openings which consumes elementary ones, as any gadget does; so the same code runs on whatever makes those.
"""

from dataclasses import dataclass
from functools import cached_property, singledispatch
from typing import Protocol as Interface

import numpy as np

from mpcnode.mpc.arithmetic import BitTimesValue, Product
from mpcnode.mpc.bits import AndBits, BitsToIntegers, ZeroIntegers, ZeroShares
from mpcnode.mpc.comparison import Comparison, Layer, tables_above
from mpcnode.mpc.conjunction import AllBits
from mpcnode.mpc.correlations import Array, Arrays, Correlation
from mpcnode.mpc.division import Division
from mpcnode.mpc.equality import Equality
from mpcnode.mpc.joint.circuits import BitProducts, SumBits
from mpcnode.mpc.joint.residues import DivisionDerivation
from mpcnode.mpc.joint.scaling import BitTimesBits
from mpcnode.mpc.leaf import Leaf
from mpcnode.mpc.lookup import Lookup
from mpcnode.mpc.openings import Protocol, parallel
from mpcnode.mpc.products import monomials
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import RINGS, Lanes
from mpcnode.types import Rank

ELEMENTARY = (AndBits, BitTimesBits, BitsToIntegers, BitTimesValue, Product, ZeroShares, ZeroIntegers)
"""Correlations that need no derivation."""


class Derivation(Interface):
    """How the nodes compute a correlation's corrected values."""

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """The elementary correlations that it consumes, their labels below its own."""
        ...

    def run(self, party: Party, rank: Rank, free: Arrays) -> Protocol[Arrays]:
        """Turn this node's shares of the free values into its shares of the corrected ones."""
        ...


@singledispatch
def derivation(item: Correlation, parties: int) -> Derivation:
    """Find how a correlation that is not elementary is derived by so many nodes.

    Raises:
        ValueError: there is no way, or none for groups this large; names the correlation.
    """
    raise ValueError(
        f"correlation {item.label}, for {parties} nodes: {type(item).__name__} has no joint derivation; "
        "have it dealt, or compute without it"
    )


@dataclass(frozen=True, kw_only=True)
class MaskedBits:
    """Bits of a mask r and products of them by block: what comparisons and equalities share."""

    label: str
    parties: int
    bits: int
    """k"""
    lanes: Lanes
    leaf: Leaf

    @cached_property
    def sum(self) -> SumBits:
        """Of the nodes' own numbers."""
        return SumBits(label=f"{self.label}.sum", numbers=self.parties, bits=self.bits, words=self.lanes.words)

    @cached_property
    def products(self) -> BitProducts:
        """Of the blocks that hold a bit; blocks of padding are public zeros."""
        blocks = -(-self.leaf.bits // self.leaf.width)
        return BitProducts(label=f"{self.label}.leaf", groups=blocks, members=self.leaf.width, words=self.lanes.words)

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """What it needs."""
        return (*self.sum.correlations, *self.products.correlations)

    def run(self, party: Party, rank: Rank, free: Arrays) -> Protocol[dict[str, Array]]:
        """Compute both from this node's share of r: a number of its own, of which the others know nothing."""
        numbers = np.zeros((self.parties, self.bits, self.lanes.words), np.uint64)
        numbers[rank] = self.lanes.slice(free["r"].astype(np.uint64), self.bits)
        bits = yield from self.sum.run(party, numbers)
        found = yield from self.products.run(party, self.leaf.arrange(bits)[: self.products.groups])
        leaf = np.zeros((self.leaf.blocks, *found.shape[1:]), np.uint64)
        leaf[: self.products.groups] = found
        return {"bits": bits, "leaf": leaf}


@dataclass(frozen=True, kw_only=True)
class LayerProducts:
    """Products of the wires' masks of one layer of a comparison."""

    label: str
    layer: Layer
    words: int

    @cached_property
    def b(self) -> BitProducts:
        """Products of b's."""
        return BitProducts(
            label=f"{self.label}.b", groups=self.layer.groups, members=self.layer.equals, words=self.words
        )

    @cached_property
    def a(self) -> tuple[BitTimesBits, ...]:
        """Products of every wire's a with those of the b's above it; the highest wire has none."""
        words = self.layer.groups * self.words
        above = range(self.layer.fan - 1, 0, -1)
        return tuple(
            BitTimesBits(label=f"{self.label}.a{i}", rows=(1 << count) - 1, words=words)
            for i, count in enumerate(above)
        )

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """What it needs."""
        return (*self.b.correlations, *self.a)

    def run(self, party: Party, free: Arrays) -> Protocol[dict[str, Array]]:
        """Multiply."""
        number = self.layer.number
        a, b = free[f"a{number}"].view(np.uint64), free[f"b{number}"].view(np.uint64)
        bb = yield from self.b.run(party, b)
        tables = tables_above(monomials(party, b, bb), self.layer)
        found = yield from parallel(
            *(
                triple.run(party, a[:, i].reshape(-1), above[:, 1:].swapaxes(0, 1).reshape(triple.rows, -1))
                for i, (triple, above) in enumerate(zip(self.a, tables, strict=False))
            )
        )
        by_group = [product.reshape(len(product), self.layer.groups, -1).swapaxes(0, 1) for product in found]
        return {f"bb{number}": bb, f"ab{number}": np.concatenate(by_group, axis=1)}


@dataclass(frozen=True)
class ComparisonDerivation:
    """Bits and leaves of a mask beside the products of each layer's masks."""

    masked: MaskedBits
    layers: tuple[LayerProducts, ...]

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """What it needs."""
        return (*self.masked.correlations, *(item for layer in self.layers for item in layer.correlations))

    def run(self, party: Party, rank: Rank, free: Arrays) -> Protocol[Arrays]:
        """Derive."""
        found = yield from parallel(
            self.masked.run(party, rank, free), *(layer.run(party, free) for layer in self.layers)
        )
        return {name: array for part in found for name, array in part.items()}


@derivation.register
def _(item: Comparison, parties: int) -> Derivation:
    masked = MaskedBits(label=item.label, parties=parties, bits=item.bits, lanes=item.lanes_in, leaf=item.leaves)
    words = item.lanes_out.words
    return ComparisonDerivation(
        masked,
        tuple(
            LayerProducts(label=f"{item.label}.layer{layer.number}", layer=layer, words=words) for layer in item.layers
        ),
    )


@derivation.register
def _(item: Equality, parties: int) -> Derivation:
    return MaskedBits(label=item.label, parties=parties, bits=item.bits, lanes=item.lanes_in, leaf=item.leaves)


@dataclass(frozen=True)
class AllBitsDerivation:
    """Products of each layer's masks."""

    products: tuple[BitProducts, ...]

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """What it needs."""
        return tuple(item for layer in self.products for item in layer.correlations)

    def run(self, party: Party, rank: Rank, free: Arrays) -> Protocol[Arrays]:  # noqa: ARG002 (of all ranks alike)
        """Derive."""
        found = yield from parallel(
            *(layer.run(party, free[f"b{i}"].view(np.uint64)) for i, layer in enumerate(self.products))
        )
        return {f"bb{i}": array for i, array in enumerate(found)}


@derivation.register
def _(item: AllBits, parties: int) -> Derivation:  # noqa: ARG001 (of any number alike)
    return AllBitsDerivation(
        tuple(
            BitProducts(label=f"{item.label}.layer{i}", groups=groups, members=fan, words=item.words)
            for i, (groups, fan) in enumerate(item.layers)
        )
    )


@dataclass(frozen=True, kw_only=True)
class LookupDerivation:
    """A table rotated by r: which number r is, a bit for each it may be, and a sum of entries times those bits.

    The bit [r = v] is the XOR of the products of all sets of r's bits that contain v's ones.
    """

    item: Lookup
    masked: MaskedBits

    @cached_property
    def integers(self) -> BitsToIntegers:
        """The bits [r = v] as integers."""
        item = self.item
        items = len(item.table) * item.items
        return BitsToIntegers(label=f"{item.label}.integers", items=items, subjects=item.subjects, ring=item.ring)

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """What it needs."""
        return (*self.masked.correlations, self.integers)

    def run(self, party: Party, rank: Rank, free: Arrays) -> Protocol[Arrays]:
        """Derive."""
        item, lanes = self.item, self.masked.lanes
        found = yield from self.masked.run(party, rank, free)
        table = monomials(party, found["bits"].view(np.uint64)[None], found["leaf"])[0]
        for i in range(item.bits):
            halves = table.reshape(-1, 2, 1 << i, lanes.words)
            halves[:, 0] ^= halves[:, 1]
        flat = lanes.unpack(table).reshape(-1, item.subjects)
        integers = yield from self.integers.run(party, self.integers.lanes.pack(flat))
        return {"rotated": self._rotate(integers.reshape(len(item.table), item.items, item.subjects))}

    def _rotate(self, is_r: Array) -> Array:
        """Sum up, for each place v, f(v - u) [r = u] over all u."""
        entries = np.array([entry & ((1 << self.item.ring) - 1) for entry in self.item.table], RINGS[self.item.ring])
        places = np.arange(len(entries))
        rotated = np.zeros_like(is_r)
        for u in places:
            rotated += entries[(places - u) % len(entries)][:, None, None] * is_r[u]
        return rotated


@derivation.register
def _(item: Lookup, parties: int) -> Derivation:
    lanes, leaf = Lanes(item.items, item.subjects), Leaf(item.bits, item.bits, 1)
    masked = MaskedBits(label=item.label, parties=parties, bits=item.bits, lanes=lanes, leaf=leaf)
    return LookupDerivation(item=item, masked=masked)


@derivation.register
def _(item: Division, parties: int) -> Derivation:
    return DivisionDerivation(item=item, parties=parties)
