"""Gadgets on shared bits: bits to integers, AND, and zero shares that hide where an output share comes from.

One round for bits that become integers and for ANDs, none for zero shares. Bytes to each other node for a subject: one
bit for each that becomes an integer, two for each AND. Right since the identities below hold for every bit; private
since every opening is masked by a uniform bit used for nothing else, and since shares with zero shares added are
uniform but for what they make. (daBits: Rotaru and Wood, INDOCRYPT 2019. Bit triples: Beaver, CRYPTO 1991.)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpcnode.mpc import kernels
from mpcnode.mpc.correlations import Array, Arrays, Field
from mpcnode.mpc.openings import Opening, Protocol, open_one
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import RINGS, Lanes, Words


@dataclass(frozen=True, kw_only=True)
class BitsToIntegers:
    """Turn XOR-shared bits into additive shares of 0 and 1, or count them; also the correlation for it (daBits).

    The dealer shares random bits d both ways. Open e = u ^ d; then u = e + (1 - 2e) d.
    """

    label: str
    items: int
    subjects: int
    ring: int
    """Result mod 2^ring: 16, 32 or 64."""

    @cached_property
    def lanes(self) -> Lanes:
        """Where the bits are."""
        return Lanes(self.items, self.subjects)

    @cached_property
    def free(self) -> tuple[Field, ...]:
        """The bits d."""
        return (Field("d", (self.lanes.words,)),)

    @cached_property
    def corrected(self) -> tuple[Field, ...]:
        """The bits d as integers."""
        return (Field("integers", (self.items, self.subjects), self.ring),)

    def derive(self, free: Arrays) -> Arrays:
        """Compute the corrected values; the dealer's part."""
        return {"integers": self.lanes.unpack(free["d"].view(np.uint64)).astype(RINGS[self.ring])}

    def run(self, party: Party, bits: Words) -> Protocol[Array]:
        """Convert a row of shared bits into shares [items, subjects]."""
        dealt = party.material.take(self.label)
        opened = yield from open_one(Opening(bits ^ dealt["d"].view(np.uint64)))
        return kernels.chosen().flip(opened, self.lanes.stride, dealt["integers"], is_first=party.is_first)

    def count(self, party: Party, bits: Words) -> Protocol[Array]:
        """Convert as `run` does, and add up the items; the result is [subjects], right if it is less than 2^ring."""
        integers = yield from self.run(party, bits)
        counted: Array = integers.sum(axis=0, dtype=integers.dtype)
        return counted


@dataclass(frozen=True, kw_only=True)
class AndBits:
    """AND of two rows of shared bits; also the correlation for it (a bit triple)."""

    label: str
    words: int

    @cached_property
    def free(self) -> tuple[Field, ...]:
        """Masks a and b."""
        return (Field("a", (self.words,)), Field("b", (self.words,)))

    @cached_property
    def corrected(self) -> tuple[Field, ...]:
        """Their AND."""
        return (Field("ab", (self.words,)),)

    def derive(self, free: Arrays) -> Arrays:
        """Compute the corrected values; the dealer's part."""
        return {"ab": free["a"] & free["b"]}

    def run(self, party: Party, left: Words, right: Words) -> Protocol[Words]:
        """Multiply: with u = left ^ a and v = right ^ b opened, the product is uv ^ ub ^ va ^ ab."""
        dealt = party.material.take(self.label)
        a, b = dealt["a"].view(np.uint64), dealt["b"].view(np.uint64)
        u, v = yield (Opening(left ^ a), Opening(right ^ b))
        share = (u & b) ^ (v & a) ^ dealt["ab"]
        if party.is_first:
            share ^= u & v
        return share.view(np.uint64)


@dataclass(frozen=True, kw_only=True)
class ZeroShares:
    """Shares of 0 from the dealer: XORed into an output share, they leave the output and hide everything else.

    Dealt, not drawn by the nodes: no node's own randomness ever affects what it sends, so a session can be replayed.
    """

    label: str
    words: int

    @cached_property
    def free(self) -> tuple[Field, ...]:
        """Nothing: the last node's share is corrected to make 0."""
        return ()

    @cached_property
    def corrected(self) -> tuple[Field, ...]:
        """Zero."""
        return (Field("zero", (self.words,)),)

    def derive(self, free: Arrays) -> Arrays:  # noqa: ARG002 (0 follows from nothing)
        """Compute the corrected values; the dealer's part."""
        return {"zero": np.zeros(self.words, np.uint64)}

    def mask(self, party: Party, bits: Words) -> Words:
        """Re-randomise a row of shared bits."""
        return bits ^ party.material.take(self.label)["zero"].view(np.uint64)


@dataclass(frozen=True, kw_only=True)
class OutputMask:
    """A mask of shared bits that the dealer alone knows: XORed into output shares, it hides the output itself.

    0 rounds, nothing sent. Each node draws its share of the mask; all but one together know nothing of it. Who is given
    the mask later, by the dealer, can open what the shares make. One-time pad.
    """

    label: str
    words: int

    @cached_property
    def free(self) -> tuple[Field, ...]:
        """The mask."""
        return (Field("mask", (self.words,)),)

    @cached_property
    def corrected(self) -> tuple[Field, ...]:
        """Nothing follows from it."""
        return ()

    def derive(self, free: Arrays) -> Arrays:  # noqa: ARG002 (nothing follows)
        """Compute the corrected values; the dealer's part."""
        return {}

    def mask(self, party: Party, bits: Words) -> Words:
        """Mask a row of shared bits."""
        return bits ^ party.material.take(self.label)["mask"].view(np.uint64)


@dataclass(frozen=True, kw_only=True)
class ZeroIntegers:
    """Shares of 0 mod 2^ring, as `ZeroShares` for integers: added to an additive share before it leaves a node."""

    label: str
    items: int
    subjects: int
    ring: int = 64
    """16, 32 or 64."""

    @cached_property
    def free(self) -> tuple[Field, ...]:
        """Nothing: the last node's share is corrected to make 0."""
        return ()

    @cached_property
    def corrected(self) -> tuple[Field, ...]:
        """Zero."""
        return (Field("zero", (self.items, self.subjects), self.ring),)

    def derive(self, free: Arrays) -> Arrays:  # noqa: ARG002 (0 follows from nothing)
        """Compute the corrected values; the dealer's part."""
        return {"zero": np.zeros((self.items, self.subjects), RINGS[self.ring])}

    def mask(self, party: Party, shares: Array) -> Array:
        """Re-randomise additive shares [items, N] of this ring."""
        masked: Array = shares + party.material.take(self.label)["zero"]
        return masked
