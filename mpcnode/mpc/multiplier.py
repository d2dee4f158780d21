"""What nodes without a dealer need of each other: products of numbers that they share. Who provides it is exchangeable.

An `Exchange` is a protocol between pairs: it yields what goes to each other node, is sent what came from each other
node, round by round, and returns this node's share of the result. It knows of no socket.
"""

from collections.abc import Generator, Mapping
from typing import Protocol, TypeVar

from mpcnode.mpc.ring import Words
from mpcnode.types import Rank

T = TypeVar("T")

Messages = Mapping[Rank, bytes]
"""One message to, or from, each other node."""

Exchange = Generator[Messages, Messages, T]
"""Yields messages once for each round, returns a T: this node's shares of a result."""


class Multiplier(Protocol):
    """One node's part in multiplying what all nodes share; every call is run by all of them, in the same order."""

    def products(self, left: Words, right: Words, bits: int, holder: Rank | None = None) -> Exchange[Words]:
        """Multiply additive shares mod 2^bits [N], one by one.

        Args:
            left: shares of the one factor; the others' are zeros if one node has it all.
            right: shares of the other.
            bits: 1 to 64.
            holder: the node that has all of `left`, if one has: fewer cross terms.
        """
        ...

    def and_words(self, left: Words, right: Words) -> Exchange[Words]:
        """Take the AND of words of XOR-shared bits [N]."""
        ...
