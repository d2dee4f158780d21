"""Equality of shared integers with public numbers: [x = t], for many values and numbers from one masked opening.

Open m = x + r mod 2^k once for each value, r uniform and known to the dealer. Then x = t if and only if r = c with
c = m - t mod 2^k, which is public: the leaf finds, without a round, which blocks of r equal those of c, and all must.

Rounds: 1 and one for each layer of the AND. Bytes to each other node for a subject: ceil(k/8) for a value, and one bit
for each block, and each group above, for a public number. Right for every x mod 2^k; two shared integers are equal if
their difference equals 0. Private since m is masked by r and every block by a bit, each used for nothing else. (Masked
opening: Makri et al., Rabbit, FC 2021. AND: Patra et al., ABY2.0, USENIX Security 2021.)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpcnode.mpc.conjunction import AllBits
from mpcnode.mpc.correlations import Array, Arrays, Correlation, Field
from mpcnode.mpc.leaf import AgainstPublic, Leaf, fold_equal
from mpcnode.mpc.openings import Protocol, open_one
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import Words


@dataclass(frozen=True, kw_only=True)
class Equality(AgainstPublic):
    """A batch of tests: the i-th asks if value `of[i]` is `targets[i]`. Also the correlation for the opening."""

    targets: tuple[int, ...]

    @cached_property
    def leaves(self) -> Leaf:
        """Blocks of r."""
        return Leaf(self.bits, self.leaf, -(-self.bits // self.leaf))

    @cached_property
    def every(self) -> AllBits:
        """Whether all blocks are equal."""
        words = self.lanes_out.words
        return AllBits(label=f"{self.label}.all", inputs=self.leaves.blocks, words=words, fan=self.fan)

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """What is dealt for it."""
        return (self, self.every)

    @cached_property
    def free(self) -> tuple[Field, ...]:
        """The mask r."""
        return (Field("r", (self.values, self.subjects), 64),)

    @cached_property
    def corrected(self) -> tuple[Field, ...]:
        """The bits of r and their products by block."""
        words = self.lanes_in.words
        return (Field("bits", (self.bits, words)), self.leaves.field(words))

    def derive(self, free: Arrays) -> Arrays:
        """Compute the corrected values; the dealer's part."""
        bits = self.lanes_in.slice(free["r"].astype(np.uint64), self.bits)
        return {"bits": bits, "leaf": self.leaves.derive(bits)}

    def run(self, party: Party, shares: Array) -> Protocol[Words]:
        """Compare additive shares [V, N], mod 2^j for some j >= k; the result is a row of `lanes_out`.

        Raises:
            ValueError: the type of the shares has fewer than k bits.
        """
        dealt = party.material.take(self.label)
        opened = yield from open_one(self.opening(shares, dealt["r"]))
        targets = np.array([target & ((1 << 64) - 1) for target in self.targets], np.uint64)
        c = self.lanes_out.slice(opened[list(self.of)] - targets[:, None], self.bits)
        table = self.lanes_in.pick(self.leaves.shares(party, dealt["bits"].view(np.uint64), dealt["leaf"]), self.of)
        result = yield from self.every.all(party, fold_equal(table, self.leaves.inverted(~c)))
        return result
