"""Comparison of shared integers with public thresholds: [x >= t], for many values and thresholds in one batch.

Open m = x + r mod 2^k once for each value, r uniform and known to the dealer. With c = m - t mod 2^k, which is public,
x - t = c - r, so [x >= t] = not MSB(c - r) = 1 ^ MSB(c) ^ MSB(r) ^ [c' < r'], where c', r' are the low k - 1 bits. Only
the last comparison, of a public number with a random one, costs anything:

- *Leaf*, no round: the dealer shares all products of `leaf` adjacent bits of r. Then g = [r_b > c_b] and
  p = [r_b = c_b] of every block b are sums of those products with public coefficients.
- *Layers*, a round each: blocks combine lexicographically, F = g_f + p_f g_(f-1) + ..., P = p_f p_(f-1) ..., as
  multi-input ANDs: open every wire masked (a, b), then F and P are sums of dealt products of masks.

Rounds: 1 and one for each layer. Bytes to each other node for a subject: ceil(k/8) for a value, and for a threshold a
bit for each wire, 2 · fan · groups of every layer, one less in the last. Wider leaves and groups trade rounds and bytes
for dealt ones, which grow as 2^leaf and 2^fan.

Right if |x - t| < 2^(k-1), private always: every opening is masked by a value used for nothing else. (Multi-input ANDs:
Patra et al., ABY2.0, USENIX Security 2021. Public-against-shared comparison: Makri et al., Rabbit, FC 2021.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from mpcnode.mpc import kernels
from mpcnode.mpc.correlations import Array, Arrays, Field
from mpcnode.mpc.leaf import AgainstPublic, Leaf
from mpcnode.mpc.openings import Opening, Protocol, open_one
from mpcnode.mpc.products import fans, monomials, products, several
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import FULL, Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One round of multi-input ANDs: `groups` groups of `fan` wires, the lowest first."""

    number: int
    groups: int
    fan: int
    is_last: bool
    """The last layer needs no P, so no p of its lowest wire."""

    @property
    def equals(self) -> int:
        """Wires of a group whose p is used: in the last layer not the lowest."""
        return self.fan - 1 if self.is_last else self.fan


@dataclass(frozen=True, kw_only=True)
class Comparison(AgainstPublic):
    """A batch of comparisons: the i-th compares value `of[i]` with `thresholds[i]`, in 2 bits or more.

    Also the correlation for it. Shapes: V values, T thresholds, N subjects; a row of bits has `lanes_in.words` words
    where it is about values, and `lanes_out.words` where it is about thresholds.
    """

    thresholds: tuple[int, ...]

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """None for one block, one for up to `fan` blocks, and so on."""
        sizes = fans(-(-(self.bits - 1) // self.leaf), self.fan)
        return tuple(
            Layer(number=i, groups=prod(sizes[i + 1 :]), fan=size, is_last=i == len(sizes) - 1)
            for i, size in enumerate(sizes)
        )

    @property
    def blocks(self) -> int:
        """Blocks of the low k - 1 bits of r, padded with zeros so that every group is full."""
        return prod(layer.fan for layer in self.layers)

    @property
    def leaves(self) -> Leaf:
        """What is known of those blocks without a round."""
        return Leaf(self.bits - 1, self.leaf, self.blocks)

    @cached_property
    def free(self) -> tuple[Field, ...]:
        """The mask r, and for each layer the wires' masks a (of g) and b (of p)."""
        words = self.lanes_out.words
        fields = [Field("r", (self.values, self.subjects), 64)]
        for layer in self.layers:
            fields.append(Field(f"a{layer.number}", (layer.groups, layer.fan, words)))
            fields.append(Field(f"b{layer.number}", (layer.groups, layer.equals, words)))
        return tuple(fields)

    @cached_property
    def corrected(self) -> tuple[Field, ...]:
        """The bits of r, their products by block, and for each layer the products of b's and of an a with b's."""
        words = self.lanes_out.words
        fields = [
            Field("bits", (self.bits, self.lanes_in.words)),
            self.leaves.field(self.lanes_in.words),
        ]
        for layer in self.layers:
            fields.append(Field(f"bb{layer.number}", (layer.groups, len(several(layer.equals)), words)))
            fields.append(Field(f"ab{layer.number}", (layer.groups, (1 << layer.fan) - 1 - layer.fan, words)))
        return tuple(fields)

    def derive(self, free: Arrays) -> Arrays:
        """Compute the corrected values; the dealer's part."""
        bits = self.lanes_in.slice(free["r"].astype(np.uint64), self.bits)
        derived: dict[str, Array] = {"bits": bits, "leaf": self.leaves.derive(bits)}
        for layer in self.layers:
            a, b = _words(free[f"a{layer.number}"]), _words(free[f"b{layer.number}"])
            table = products(b)
            derived[f"bb{layer.number}"] = table[:, several(layer.equals)]
            derived[f"ab{layer.number}"] = np.concatenate(
                [a[:, i : i + 1] & above[:, 1:] for i, above in enumerate(tables_above(table, layer))], axis=1
            )
        return derived

    def run(self, party: Party, shares: Array) -> Protocol[Words]:
        """Compare.

        Args:
            party: who runs this.
            shares: additive shares [V, N], mod 2^j for some j >= k, where j is the width of their type.

        Returns:
            XOR shares of [x >= t], a row of `lanes_out`.

        Raises:
            ValueError: j < k.
        """
        dealt = party.material.take(self.label)
        opened = yield from open_one(self.opening(shares, dealt["r"]))
        inverted = self._differences(opened)  # the bits of c, each inverted
        top = inverted[self.bits - 1].copy()
        greater, equal = self._leaf(party, dealt, inverted)
        for layer in self.layers:
            greater, equal = yield from _combine(party, layer, dealt, greater, equal)
        result: Words = greater[0] ^ self.lanes_in.pick(_words(dealt["bits"])[self.bits - 1], self.of)
        if party.is_first:
            result ^= top
        return result

    @property
    def _has_whole_words(self) -> bool:
        """Whether the bits of a value begin at a word."""
        return self.lanes_in.stride % 64 == 0

    def _differences(self, opened: Words) -> Words:
        """Bits of m - t mod 2^k, each inverted, for opened m [V, N]: [rows, W], at least k rows, ones above."""
        thresholds = np.array(self.thresholds, np.int64).view(np.uint64)
        of = np.array(self.of)
        size = max(self.bits, self.leaf * self.blocks)
        if self._has_whole_words:
            rows = self.lanes_in.slice(opened, self.bits).reshape(self.bits, self.values, -1)
            return kernels.chosen().subtract_public(rows, of, thresholds, size).reshape(size, -1)
        inverted = np.full((size, self.lanes_out.words), FULL)
        np.invert(self.lanes_out.slice(opened[of] - thresholds[:, None], self.bits), out=inverted[: self.bits])
        return inverted

    def _leaf(self, party: Party, dealt: Arrays, inverted: Words) -> tuple[Words, Words]:
        """Shares of [r_b > c_b] and [r_b = c_b] for every block, [blocks, W] each."""
        table = self.leaves.shares(party, _words(dealt["bits"]), dealt["leaf"])
        inverted[self.bits - 1] = FULL  # the leaves compare without the highest bit
        by_block = inverted[: self.leaf * self.blocks].reshape(self.blocks, self.leaf, -1)
        if self._has_whole_words:
            folded = kernels.chosen().fold_leaf(
                table.reshape(self.blocks, 1 << self.leaf, self.values, -1),
                by_block.reshape(self.blocks, self.leaf, len(self.thresholds), -1),
                np.array(self.of),
            )
        else:
            picked = self.lanes_in.pick(table, self.of)
            folded = kernels.chosen().fold_leaf(picked[:, :, None], by_block[:, :, None], np.zeros(1, np.int64))
        greater, equal = (shares.reshape(self.blocks, -1) for shares in folded)
        return greater, equal


def _combine(party: Party, layer: Layer, dealt: Arrays, greater: Words, equal: Words) -> Protocol[tuple[Words, Words]]:
    """Combine the wires of every group in one round: [groups · fan, W] becomes [groups, W], for g and for p."""
    a, b = _words(dealt[f"a{layer.number}"]), _words(dealt[f"b{layer.number}"])
    unused = layer.fan - layer.equals
    wires = np.empty((layer.groups, layer.fan + layer.equals, greater.shape[-1]), np.uint64)
    np.bitwise_xor(greater.reshape(a.shape), a, out=wires[:, : layer.fan])
    np.bitwise_xor(equal.reshape(a.shape)[:, unused:], b, out=wires[:, layer.fan :])
    opened = yield from open_one(Opening(wires))
    table = monomials(party, b, dealt[f"bb{layer.number}"])
    ab = _words(dealt[f"ab{layer.number}"])
    return kernels.chosen().combine_wires(opened, a, table, ab, is_last=layer.is_last)


def _table_above_first(table: Words, layer: Layer) -> Words:
    """Products of the b's above wire 0, by set; the last layer has no b of wire 0."""
    return table if layer.is_last else table[:, 0::2]


def tables_above(table: Words, layer: Layer) -> Iterator[Words]:
    """Yield for every wire, the lowest first, the products of the b's above it, by set."""
    above = _table_above_first(table, layer)
    for _ in range(layer.fan):
        yield above
        above = above[:, 0::2]


def _words(array: Array) -> Words:
    return array.view(np.uint64)
