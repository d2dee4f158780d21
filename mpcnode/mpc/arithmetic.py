"""Products of shared values mod 2^k: of two integers, and of a bit with an integer. One round each.

Both open their factors masked and expand the product: with m = y + r and v = x + s opened, xy = (v - s)(m - r)
= vm - vr - ms + rs, linear in dealt values (Beaver, CRYPTO 1991). A bit u is opened as e = u ^ d, so
u = e + (1 - 2e) d and uy = em - er + (1 - 2e)(md - dr): linear in d, r and dr (Rotaru and Wood, INDOCRYPT 2019, for d).

Right mod 2^k for all inputs, since the identities hold in Z. Private since each factor is masked by a uniform value
used for nothing else. The masks have 64 bits and the openings k, so above k bits the shares would make something that
depends on both: of u·0 it would tell u. So shares of products are reduced mod 2^k.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpcnode.mpc.correlations import Arrays, Field
from mpcnode.mpc.openings import Opening, Protocol, open_one
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import Lanes, Words, low_bits


@dataclass(frozen=True, kw_only=True)
class Product:
    """Products x·y of shared integers [items, N]; also the correlation for them. Bytes for each: 2 · ceil(k/8)."""

    label: str
    items: int
    subjects: int
    bits: int = 64
    """k, 1 to 64."""

    @cached_property
    def free(self) -> tuple[Field, ...]:
        """The masks s of x and r of y."""
        return tuple(Field(name, (self.items, self.subjects), 64) for name in ("s", "r"))

    @cached_property
    def corrected(self) -> tuple[Field, ...]:
        """Their product."""
        return (Field("sr", (self.items, self.subjects), 64),)

    def derive(self, free: Arrays) -> Arrays:
        """Compute the corrected values; the dealer's part."""
        return {"sr": free["s"] * free["r"]}

    def run(self, party: Party, left: Words, right: Words) -> Protocol[Words]:
        """Multiply additive shares, each mod 2^j for some j >= k; the result is mod 2^k."""
        dealt = party.material.take(self.label)
        s, r = dealt["s"].view(np.uint64), dealt["r"].view(np.uint64)
        opened = yield from open_one(Opening(np.stack([left + s, right + r]), self.bits))
        v, m = opened
        shares: Words = dealt["sr"] - v * r - m * s
        return low_bits(shares + v * m if party.is_first else shares, self.bits)


@dataclass(frozen=True, kw_only=True)
class BitTimesValue:
    """Products u·y of shared bits and integers; also the correlation for them.

    Bytes for each: ceil(k/8), and one bit.
    """

    label: str
    items: int
    subjects: int
    bits: int = 64
    """k, 1 to 64."""

    @cached_property
    def lanes(self) -> Lanes:
        """Where the bits are."""
        return Lanes(self.items, self.subjects)

    @cached_property
    def free(self) -> tuple[Field, ...]:
        """The masks d of u and r of y."""
        return (Field("d", (self.lanes.words,)), Field("r", (self.items, self.subjects), 64))

    @cached_property
    def corrected(self) -> tuple[Field, ...]:
        """The bits d as integers, and their products with r."""
        return tuple(Field(name, (self.items, self.subjects), 64) for name in ("integers", "dr"))

    def derive(self, free: Arrays) -> Arrays:
        """Compute the corrected values; the dealer's part."""
        d = self.lanes.unpack(free["d"].view(np.uint64)).astype(np.uint64)
        return {"integers": d, "dr": d * free["r"]}

    def run(self, party: Party, bits: Words, values: Words) -> Protocol[tuple[Words, Words]]:
        """Multiply.

        Args:
            party: who runs this.
            bits: XOR shares of u, a row of `lanes`.
            values: additive shares of y [items, N], mod 2^j for some j >= k.

        Returns:
            Additive shares of u, mod 2^64, and of u·y, mod 2^k, [items, N] each.
        """
        dealt = party.material.take(self.label)
        d, r, dr = (dealt[name].view(np.uint64) for name in ("integers", "r", "dr"))
        opened, masked = yield (Opening(bits ^ dealt["d"].view(np.uint64)), Opening(values + r, self.bits))
        is_one = self.lanes.unpack(opened).astype(bool)
        m = masked.reshape(values.shape)
        product = m * d - dr  # of d and y
        complement = (m if party.is_first else 0) - r - product  # of 1 - d and y
        ones = np.where(is_one, np.uint64(party.is_first) - d, d)
        return ones, low_bits(np.where(is_one, complement, product), self.bits)
