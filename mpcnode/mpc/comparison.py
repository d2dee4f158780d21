"""Comparison of shared integers with public thresholds: [x >= t], for many values and thresholds in one batch.

Open m = x + r mod 2^k once for each value, r uniform and known to the dealer. With c = m - t mod 2^k, which is public,
x - t = c - r, so [x >= t] = not MSB(c - r) = 1 ^ MSB(c) ^ MSB(r) ^ [c' < r'], where c', r' are the low k - 1 bits. Only
the last comparison, of a public number with a random one, costs anything:

- *Leaf*, no round: the dealer shares all products of 4 adjacent bits of r. Then g = [r_b > c_b] and p = [r_b = c_b] of
  every 4-bit block b are sums of those products with public coefficients.
- *Layers*, a round each: blocks combine lexicographically, F = g_f + p_f g_(f-1) + ..., P = p_f p_(f-1) ..., as
  multi-input ANDs: open every wire masked (a, b), then F and P are sums of dealt products of masks.

Right if |x - t| < 2^(k-1), private always: every opening is masked by a value used for nothing else. (Multi-input ANDs:
Patra et al., ABY2.0, USENIX Security 2021. Public-against-shared comparison: Makri et al., Rabbit, FC 2021.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from mpcnode.mpc.correlations import Array, Arrays, Field
from mpcnode.mpc.openings import Opening, Protocol, open_one
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import FULL, ZERO, Lanes, Words

_LEAF = 4
"""Bits of a block."""

_FAN = 4
"""Blocks or groups that a layer combines."""


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
class Comparison:
    """A batch of comparisons: the i-th compares value `of[i]` with `thresholds[i]`. Also the correlation for it.

    Shapes: V values, T thresholds, N subjects; a row of bits has `lanes_in.words` words where it is about values, and
    `lanes_out.words` where it is about thresholds.
    """

    label: str
    bits: int
    """k, 8 to 64."""
    values: int
    of: tuple[int, ...]
    thresholds: tuple[int, ...]
    subjects: int

    @cached_property
    def lanes_in(self) -> Lanes:
        """Where the bits of a value are."""
        return Lanes(self.values, self.subjects)

    @cached_property
    def lanes_out(self) -> Lanes:
        """Where the bits of a threshold are."""
        return Lanes(len(self.thresholds), self.subjects)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """One layer for up to 4 blocks (k <= 17), else two."""
        blocks = -(-(self.bits - 1) // _LEAF)
        fans = (blocks,) if blocks <= _FAN else (_FAN, -(-blocks // _FAN))
        return tuple(
            Layer(number=i, groups=prod(fans[i + 1 :]), fan=fan, is_last=i == len(fans) - 1)
            for i, fan in enumerate(fans)
        )

    @property
    def blocks(self) -> int:
        """Blocks of r, padded with zeros so that every group is full."""
        return self.layers[0].groups * self.layers[0].fan

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
            Field("leaf", (self.blocks, len(_several(_LEAF)), self.lanes_in.words)),
        ]
        for layer in self.layers:
            fields.append(Field(f"bb{layer.number}", (layer.groups, len(_several(layer.equals)), words)))
            fields.append(Field(f"ab{layer.number}", (layer.groups, (1 << layer.fan) - 1 - layer.fan, words)))
        return tuple(fields)

    def derive(self, free: Arrays) -> Arrays:
        """Compute the corrected values; the dealer's part."""
        bits = self.lanes_in.slice(free["r"].astype(np.uint64), self.bits)
        derived: dict[str, Array] = {
            "bits": bits,
            "leaf": _products(self._in_blocks(bits, ZERO))[:, _several(_LEAF)],
        }
        for layer in self.layers:
            a, b = _words(free[f"a{layer.number}"]), _words(free[f"b{layer.number}"])
            table = _products(b)
            derived[f"bb{layer.number}"] = table[:, _several(layer.equals)]
            derived[f"ab{layer.number}"] = np.concatenate(
                [a[:, i : i + 1] & above[:, 1:] for i, above in enumerate(_tables_above(table, layer))], axis=1
            )
        return derived

    def _in_blocks(self, rows: Words, padding: np.uint64) -> Words:
        """Arrange the low k - 1 rows [k, W] as [blocks, 4, W]."""
        blocks = np.full((self.blocks * _LEAF, rows.shape[-1]), padding)
        blocks[: self.bits - 1] = rows[: self.bits - 1]
        return blocks.reshape(self.blocks, _LEAF, -1)

    def run(self, party: Party, shares: Words) -> Protocol[Words]:
        """Compare.

        Args:
            party: who runs this.
            shares: additive shares [V, N], mod 2^j for some j >= k.

        Returns:
            XOR shares of [x >= t], a row of `lanes_out`.
        """
        dealt = party.material.take(self.label)
        opened = yield from open_one(Opening(shares + dealt["r"], self.bits))
        by_threshold = opened[list(self.of)] - np.array(self.thresholds, np.int64).view(np.uint64)[:, None]
        inverted = ~self.lanes_out.slice(by_threshold, self.bits)  # the bits of c, each inverted
        greater, equal = self._leaf(party, dealt, inverted)
        for layer in self.layers:
            greater, equal = yield from _combine(party, layer, dealt, greater, equal)
        top = self.lanes_in.pick(_words(dealt["bits"])[self.bits - 1], self.of)
        result: Words = greater[0] ^ top
        if party.is_first:
            result ^= inverted[self.bits - 1]
        return result

    def _leaf(self, party: Party, dealt: Arrays, inverted: Words) -> tuple[Words, Words]:
        """Shares of [r_b > c_b] and [r_b = c_b] for every block, [blocks, W] each."""
        bits = self._in_blocks(_words(dealt["bits"]), ZERO)
        products = self.lanes_in.pick(_monomials(party, bits, dealt["leaf"]), self.of)
        return fold_leaf(products, self._in_blocks(inverted, FULL))


def fold_leaf(products: Words, inverted: Words) -> tuple[Words, Words]:
    """Fold the bits of every block, the lowest first.

    Args:
        products: shares of the products of a block's bits [blocks, 16, W], by set of bits.
        inverted: the public number's bits, each inverted [blocks, 4, W].

    Returns:
        Shares of [r_b > c_b] and of [r_b = c_b], [blocks, W] each.
    """
    equal, greater = products, np.zeros_like(products)
    for i in range(_LEAF):
        not_c = inverted[:, i : i + 1]
        # even places: sets of higher bits without bit i, odd ones: with it
        greater = (not_c & (products[:, 1::2] ^ greater[:, 0::2])) ^ greater[:, 1::2]
        equal = equal[:, 1::2] ^ (not_c & equal[:, 0::2])
        products = products[:, 0::2]
    return greater[:, 0], equal[:, 0]


def _combine(party: Party, layer: Layer, dealt: Arrays, greater: Words, equal: Words) -> Protocol[tuple[Words, Words]]:
    """Combine the wires of every group in one round: [groups · fan, W] becomes [groups, W], for g and for p."""
    a, b = _words(dealt[f"a{layer.number}"]), _words(dealt[f"b{layer.number}"])
    unused = layer.fan - layer.equals
    g = greater.reshape(layer.groups, layer.fan, -1)
    p = equal.reshape(layer.groups, layer.fan, -1)[:, unused:]
    opened = yield from open_one(Opening(np.concatenate([g ^ a, p ^ b], axis=1)))
    g, p = opened[:, : layer.fan], opened[:, layer.fan :]
    table = _monomials(party, b, dealt[f"bb{layer.number}"])
    dealt_ab = _words(dealt[f"ab{layer.number}"])

    total = np.zeros((layer.groups, 2 * _table_above_first(table, layer).shape[1], opened.shape[-1]), np.uint64)
    product = table
    at = 0
    for i, above in enumerate(_tables_above(table, layer)):
        # places: sets of wires above i; total holds those of the wires up to i - 1
        found = g[:, i : i + 1] & above
        found[:, 0] ^= a[:, i]
        found[:, 1:] ^= dealt_ab[:, at : at + above.shape[1] - 1]
        at += above.shape[1] - 1
        found ^= total[:, 1::2]
        if i >= unused:
            p_i = p[:, i - unused : i - unused + 1]
            found ^= p_i & total[:, 0::2]
            if not layer.is_last:
                product = product[:, 1::2] ^ (p_i & product[:, 0::2])
        total = found
    return total[:, 0], product[:, 0]


def _table_above_first(table: Words, layer: Layer) -> Words:
    """Products of the b's above wire 0, by set; the last layer has no b of wire 0."""
    return table if layer.is_last else table[:, 0::2]


def _tables_above(table: Words, layer: Layer) -> Iterator[Words]:
    """Yield for every wire, the lowest first, the products of the b's above it, by set."""
    above = _table_above_first(table, layer)
    for _ in range(layer.fan):
        yield above
        above = above[:, 0::2]


def _several(count: int) -> list[int]:
    """Sets of at least two of `count` things, as bit masks, ascending."""
    return [members for members in range(1 << count) if members & (members - 1)]


def _products(rows: Words) -> Words:
    """Products of every set of rows: [G, n, W] becomes [G, 2^n, W]; the empty product is 1."""
    groups, count, words = rows.shape
    table = np.full((groups, 1 << count, words), FULL)
    for i in range(count):
        table[:, 1 << i : 2 << i] = table[:, : 1 << i] & rows[:, i : i + 1]
    return table


def _monomials(party: Party, rows: Words, several: Array) -> Words:
    """Shares of the products of every set of rows, of which those of two rows and more were dealt."""
    groups, count, words = rows.shape
    table = np.zeros((groups, 1 << count, words), np.uint64)
    if party.is_first:
        table[:, 0] = FULL
    table[:, [1 << i for i in range(count)]] = rows
    table[:, _several(count)] = several
    return table


def _words(array: Array) -> Words:
    return array.view(np.uint64)
