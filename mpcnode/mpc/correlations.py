"""One-time randomness that a dealer gives the nodes of one session.

A correlation has *free* values, uniform masks, and *corrected* values, functions of the free ones. Node i draws its
shares of both from the seed it shares with the dealer; only the last node cannot draw its corrected shares, the dealer
sends it what is left. So the dealer sends one node as much as its corrected values take, and the others 32 bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mpcnode.errors import CorrelationReuseError
from mpcnode.mpc.ring import RINGS

Array = NDArray[np.unsignedinteger[Any]]
Arrays = Mapping[str, Array]

_ALIGNMENT = 8


@dataclass(frozen=True)
class Field:
    """One array of a correlation."""

    name: str
    shape: tuple[int, ...]
    ring: int = 0
    """0: bits in words, shared by XOR; 16, 32, 64: integers mod 2^ring, shared additively."""

    @cached_property
    def dtype(self) -> type[np.unsignedinteger[Any]]:
        """Type of its elements."""
        return RINGS[self.ring or 64]

    @cached_property
    def used(self) -> int:
        """Bytes of its elements."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    @cached_property
    def size(self) -> int:
        """Bytes it takes in a stream: whole words."""
        return -(-self.used // _ALIGNMENT) * _ALIGNMENT


class Correlation(Protocol):
    """One gadget's one-time randomness: what is drawn, and what follows from it."""

    @property
    def label(self) -> str:
        """Name of its stream; unique in a program."""
        ...

    @property
    def free(self) -> tuple[Field, ...]:
        """Uniform values."""
        ...

    @property
    def corrected(self) -> tuple[Field, ...]:
        """Values that follow from the free ones."""
        ...

    def derive(self, free: Arrays) -> Arrays:
        """Compute the corrected values; the dealer's part."""
        ...


def stream_size(fields: Sequence[Field]) -> int:
    """Bytes of these fields in a stream."""
    return sum(item.size for item in fields)


def cut(fields: Sequence[Field], stream: NDArray[np.uint8]) -> Iterator[tuple[Field, Array]]:
    """Cut a stream into arrays, which share its memory."""
    at = 0
    for item in fields:
        yield item, stream[at : at + item.used].view(item.dtype).reshape(item.shape)
        at += item.size


def add(item: Field, total: Array, share: Array) -> None:
    """Add a share to a running total, in place."""
    if item.ring:
        np.add(total, share, out=total)
    else:
        np.bitwise_xor(total, share, out=total)


def subtract(item: Field, total: Array, share: Array) -> None:
    """Take a share from a running total, in place."""
    if item.ring:
        np.subtract(total, share, out=total)
    else:
        np.bitwise_xor(total, share, out=total)


class Material:
    """The arrays of a session's correlations, as one party holds them; each is taken once."""

    def __init__(self, arrays: Mapping[str, Arrays]) -> None:
        self._left = dict(arrays)

    def __repr__(self) -> str:
        return f"Material({len(self._left)} left)"

    def take(self, label: str) -> Arrays:
        """Hand out a correlation's arrays, by name.

        Raises:
            CorrelationReuseError: they were handed out before, or the program has no such correlation.
        """
        taken = self._left.pop(label, None)
        if taken is None:
            raise CorrelationReuseError(f"correlation {label}: expected to be taken once, got a second use")
        return taken
