"""Exact division of shared integers by a public number, rounded down, in one round.

Open m = x + r mod 2^k. As integers x + r = M, and M = m + 2^k w, w being 1 if it wrapped. Since x < 2^(k-1), it wrapped
if and only if the top bit of m is 0 and that of r, t, is 1. Now
floor(x/d) = floor(M/d) - floor(r/d) - [M mod d < r mod d].
The dealer shares t, floor(r/d) and, for every residue v, A_v = (1 - t) [v < r mod d] and B_v = t [v < r mod d]. Let
m and m + 2^k, both public, have quotients q0, q1 and residues v0, v1. Then the result is q0 - floor(r/d) - A_v0 - B_v0
if the top bit of m is 1, else q0 + t (q1 - q0) - floor(r/d) - A_v0 - B_v1: linear in what is shared.

Bytes to each other node for an item: ceil(k/8); dealt ones: 16 d + 16. Right, mod 2^64, for 0 <= x < 2^(k-1). Private
since m is masked by r, used for nothing else. (The wrap, from the top bits, as in truncation: Dalskov et al., PoPETs
2020. Tables dealt for a masked place: Ishai et al., TCC 2013.)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpcnode.mpc.correlations import Arrays, Field
from mpcnode.mpc.openings import Opening, Protocol, open_one
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import Words, low_bits


@dataclass(frozen=True, kw_only=True)
class Division:
    """Quotients of shared integers [items, N] by one public number; also the correlation for them."""

    label: str
    items: int
    subjects: int
    divisor: int
    """d, 2 or more."""
    bits: int = 64
    """k, 2 to 64."""

    @cached_property
    def free(self) -> tuple[Field, ...]:
        """The mask r."""
        return (Field("r", (self.items, self.subjects), 64),)

    @cached_property
    def corrected(self) -> tuple[Field, ...]:
        """The top bit of r, its quotient, and the tables A and B."""
        one, table = (self.items, self.subjects), (self.divisor, self.items, self.subjects)
        return (Field("t", one, 64), Field("quotient", one, 64), Field("A", table, 64), Field("B", table, 64))

    def derive(self, free: Arrays) -> Arrays:
        """Compute the corrected values; the dealer's part."""
        r = low_bits(free["r"].view(np.uint64), self.bits)
        top = r >> np.uint64(self.bits - 1)
        quotient, residue = np.divmod(r, np.uint64(self.divisor))
        below = (np.arange(self.divisor, dtype=np.uint64)[:, None, None] < residue).astype(np.uint64)
        return {"t": top, "quotient": quotient, "A": (1 - top) * below, "B": top * below}

    def run(self, party: Party, shares: Words) -> Protocol[Words]:
        """Divide additive shares [items, N], mod 2^j for some j >= k; the result is mod 2^64."""
        dealt = party.material.take(self.label)
        m = yield from open_one(Opening(shares + dealt["r"], self.bits))
        d = np.uint64(self.divisor)
        whole, rest = (np.uint64(part) for part in divmod(1 << self.bits, self.divisor))
        has_top = (m >> np.uint64(self.bits - 1)).astype(bool)
        q0, v0 = np.divmod(m, d)
        carry = v0 + rest >= d  # m + 2^k may not fit a word, its quotient and residue do
        v1 = v0 + rest - carry * d
        wrapped = np.where(has_top, 0, dealt["t"] * (whole + carry))  # t (q1 - q0)
        below = _at(dealt["A"], v0) + _at(dealt["B"], np.where(has_top, v0, v1))
        result: Words = wrapped - dealt["quotient"] - below
        return result + q0 if party.is_first else result


def _at(table: Words, places: Words) -> Words:
    """Entries [items, N] of tables [d, items, N]."""
    entries: Words = np.take_along_axis(table, places.astype(np.intp)[None], axis=0)[0]
    return entries
