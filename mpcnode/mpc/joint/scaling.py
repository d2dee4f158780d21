"""One shared bit times several: the bit triple of joint derivations, which multiply one bit with whole tables.

Open u = bit ^ a and v_i = other_i ^ b_i; then the products are u v_i ^ u b_i ^ v_i a ^ a b_i. One round; to each other
node a bit for the one and for each of the several. Right for every bit; private since each opening is masked by a
uniform bit used for nothing else. (Beaver, CRYPTO 1991.) Several bits cost a pair of nodes one oblivious transfer, of a
longer string, where as many triples would cost as many.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpcnode.mpc.correlations import Arrays, Field
from mpcnode.mpc.openings import Opening, Protocol
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import Words

ROWS_MAX = 128
"""Bits that one oblivious transfer carries."""


@dataclass(frozen=True, kw_only=True)
class BitTimesBits:
    """AND of one row of shared bits with each of several; also the correlation for it."""

    label: str
    rows: int
    """1 to 128."""
    words: int

    def __post_init__(self) -> None:
        if not 1 <= self.rows <= ROWS_MAX:
            raise ValueError(f"correlation {self.label}: expected 1 to {ROWS_MAX} bits times one, got {self.rows}")

    @cached_property
    def free(self) -> tuple[Field, ...]:
        """Masks a of the one and b of the several."""
        return (Field("a", (self.words,)), Field("b", (self.rows, self.words)))

    @cached_property
    def corrected(self) -> tuple[Field, ...]:
        """Their ANDs."""
        return (Field("ab", (self.rows, self.words)),)

    def derive(self, free: Arrays) -> Arrays:
        """Compute the corrected values in clear."""
        return {"ab": free["a"] & free["b"]}

    def run(self, party: Party, bit: Words, several: Words) -> Protocol[Words]:
        """Multiply shares [words] with each row of shares [rows, words]."""
        dealt = party.material.take(self.label)
        a, b = dealt["a"].view(np.uint64), dealt["b"].view(np.uint64)
        u, v = yield (Opening(bit ^ a), Opening(several ^ b))
        v = v.reshape(b.shape)
        share: Words = (u & b) ^ (v & a) ^ dealt["ab"]
        if party.is_first:
            share ^= u & v
        return share
