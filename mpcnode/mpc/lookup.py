"""Look-up of a shared integer in a public table, in one round.

The dealer shares the table rotated by r: S_v = f(v - r mod 2^b). Open m = x + r mod 2^b; a node's share of the result
is its share of S_m, which is f(x).

Bytes to each other node for an item: ceil(b/8); dealt ones: 2^b entries, so b is small. Right for every x mod 2^b.
Private since m is masked by r, used for nothing else. (One-time truth tables: Ishai et al., TCC 2013.)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpcnode.mpc.correlations import Array, Arrays, Field
from mpcnode.mpc.openings import Opening, Protocol, open_one
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import RINGS, Words


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """Entries of one public table at shared places [items, N]; also the correlation for them."""

    label: str
    items: int
    subjects: int
    table: tuple[int, ...]
    """Its length is 2^b, b from 1."""
    ring: int = 64
    """Result mod 2^ring: 16, 32 or 64."""

    def __post_init__(self) -> None:
        if len(self.table) < 2 or len(self.table) & (len(self.table) - 1):
            raise ValueError(f"table {self.label}: expected a power of two of entries, got {len(self.table)}")

    @property
    def bits(self) -> int:
        """Bits b of a place."""
        return len(self.table).bit_length() - 1

    @cached_property
    def free(self) -> tuple[Field, ...]:
        """The rotation r."""
        return (Field("r", (self.items, self.subjects), 64),)

    @cached_property
    def corrected(self) -> tuple[Field, ...]:
        """The table, rotated."""
        return (Field("rotated", (len(self.table), self.items, self.subjects), self.ring),)

    def derive(self, free: Arrays) -> Arrays:
        """Compute the corrected values; the dealer's part."""
        entries = np.array([entry & ((1 << self.ring) - 1) for entry in self.table], RINGS[self.ring])
        places = np.arange(len(self.table), dtype=np.uint64)[:, None, None] - free["r"]
        return {"rotated": entries[places & np.uint64(len(self.table) - 1)]}

    def run(self, party: Party, shares: Words) -> Protocol[Array]:
        """Look up additive shares [items, N], mod 2^j for some j >= b; the result is mod 2^ring."""
        dealt = party.material.take(self.label)
        m = yield from open_one(Opening(shares + dealt["r"], self.bits))
        found: Array = np.take_along_axis(dealt["rotated"], m.astype(np.intp)[None], axis=0)[0]
        return found
