"""All and any of many shared bits, as a tree of multi-input ANDs.

Open p = row ^ b for every input, b a dealt mask. Then the AND of a group is the product of its p ^ b: a sum, over the
sets of inputs, of dealt products of b's with public coefficients. "Any" is the complement of "all" of the complements.

Rounds: one for each layer, log_fan of the inputs rounded up. Bytes to each other node for a subject: one bit for every
input of every layer, groups being full. Right for every input, since the identity holds bit by bit; private since every
opening is masked by a bit used for nothing else. (Patra et al., ABY2.0, USENIX Security 2021.)
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from mpcnode.mpc.correlations import Arrays, Field
from mpcnode.mpc.openings import Opening, Protocol, open_one
from mpcnode.mpc.products import fans, monomials, products, several
from mpcnode.mpc.program import Party
from mpcnode.mpc.ring import FULL, Words


@dataclass(frozen=True, kw_only=True)
class AllBits:
    """AND and OR of rows of shared bits; also the correlation for either, once."""

    label: str
    inputs: int
    words: int
    """Words of a row."""
    fan: int = 4
    """Inputs that a layer combines, 2 or more."""

    @cached_property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """Groups, and inputs of each, by layer."""
        sizes = fans(self.inputs, self.fan)
        return tuple((prod(sizes[i + 1 :]), size) for i, size in enumerate(sizes))

    @cached_property
    def free(self) -> tuple[Field, ...]:
        """The masks b of each layer."""
        return tuple(Field(f"b{i}", (groups, fan, self.words)) for i, (groups, fan) in enumerate(self.layers))

    @cached_property
    def corrected(self) -> tuple[Field, ...]:
        """Products of two and more b's of each group."""
        return tuple(
            Field(f"bb{i}", (groups, len(several(fan)), self.words)) for i, (groups, fan) in enumerate(self.layers)
        )

    def derive(self, free: Arrays) -> Arrays:
        """Compute the corrected values; the dealer's part."""
        return {
            f"bb{i}": products(free[f"b{i}"].view(np.uint64))[:, several(fan)] for i, (_, fan) in enumerate(self.layers)
        }

    def all(self, party: Party, rows: Words) -> Protocol[Words]:
        """AND rows of shared bits [inputs, words]; the result is [words]."""
        dealt = party.material.take(self.label)
        for i, (groups, fan) in enumerate(self.layers):
            padded = np.full((groups * fan, self.words), _one(party))
            padded[: len(rows)] = rows
            b = dealt[f"b{i}"].view(np.uint64)
            opened = yield from open_one(Opening(padded.reshape(b.shape) ^ b))
            table = monomials(party, b, dealt[f"bb{i}"])
            for member in range(fan):
                table = table[:, 1::2] ^ (opened[:, member : member + 1] & table[:, 0::2])
            rows = table[:, 0]
        result: Words = rows[0]
        return result

    def any(self, party: Party, rows: Words) -> Protocol[Words]:
        """OR rows of shared bits [inputs, words]; the result is [words]."""
        none = yield from self.all(party, rows ^ _one(party))
        return none ^ _one(party)


def _one(party: Party) -> np.uint64:
    """This party's share of 64 ones."""
    return FULL if party.is_first else np.uint64(0)
