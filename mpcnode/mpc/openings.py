"""What protocols ask for: opening masked values. A protocol is a generator that knows of no peer and no socket.

It yields a tuple of `Opening`s, its own shares of masked values, and is sent the values that all shares make. A session
turns openings into bytes; a replay, which is one party with all the shares, opens by doing nothing.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, TypeVar, overload

import numpy as np

from mpcnode.mpc.ring import Words, low_bits

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")

_TYPES: dict[int, type[np.unsignedinteger[Any]]] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
"""Elements that numpy has a type for, by their bytes."""

Protocol = Generator[tuple["Opening", ...], tuple[Words, ...], T]
"""Yields openings once for each round, returns a T: this party's shares of a result."""


@dataclass(frozen=True, slots=True)
class Width:
    """Size of one opening on the wire."""

    count: int
    """Words or ring elements."""
    bits: int
    """0: words of bits that combine by XOR; k of 8 to 64: integers that are added mod 2^k."""

    @property
    def element_bytes(self) -> int:
        """Bytes of one element."""
        return -(-self.bits // 8) if self.bits else 8

    @property
    def size(self) -> int:
        """Bytes of all."""
        return self.count * self.element_bytes

    def reduce(self, values: Words) -> Words:
        """Reduce mod 2^k, which bits do not need."""
        return low_bits(values, self.bits) if self.bits else values

    def encode(self, values: Words) -> bytes:
        """Encode reduced values, little-endian."""
        flat = np.ascontiguousarray(values).reshape(-1)
        if self.element_bytes in _TYPES:
            return flat.astype(_TYPES[self.element_bytes], copy=False).tobytes()
        return flat.view(np.uint8).reshape(-1, 8)[:, : self.element_bytes].tobytes()

    def decode(self, data: memoryview) -> Words:
        """Decode `size` bytes; they may have bits beyond the ring."""
        if self.element_bytes in _TYPES:
            return np.frombuffer(data, _TYPES[self.element_bytes]).astype(np.uint64, copy=False)
        padded = np.zeros((self.count, 8), np.uint8)
        padded[:, : self.element_bytes] = np.frombuffer(data, np.uint8).reshape(self.count, -1)
        return padded.view(np.uint64).reshape(-1)

    def join(self, shares: Iterable[Words]) -> Words:
        """Return the value that shares make, reduced; they need not be."""
        return self.reduce(reduce(np.add if self.bits else np.bitwise_xor, shares))


@dataclass(frozen=True, slots=True)
class Opening:
    """One party's share of a masked value that everybody may see."""

    share: Words = field(repr=False)
    bits: int = 0
    """As in `Width`; of a value that is shared mod 2^k at most k, else a replay does not find what the nodes find."""

    @property
    def width(self) -> Width:
        """Size on the wire."""
        return Width(self.share.size, self.bits)

    def reduced(self) -> Words:
        """The share, flat and reduced: what is sent."""
        return self.width.reduce(self.share.reshape(-1))


def encode_openings(openings: tuple[Opening, ...]) -> bytes:
    """Encode the shares of a round: what is sent."""
    return b"".join(opening.width.encode(opening.reduced()) for opening in openings)


def encode_opened(openings: tuple[Opening, ...], opened: tuple[Words, ...]) -> bytes:
    """Encode what a round opened, as a payload is encoded: what the transcript covers."""
    return b"".join(opening.width.encode(values) for opening, values in zip(openings, opened, strict=True))


def open_all(openings: tuple[Opening, ...], payloads: Iterable[bytes]) -> tuple[Words, ...]:
    """Open a round: what this party's shares and those in the others' payloads make, of which lengths are checked."""
    views = [memoryview(payload) for payload in payloads]
    opened: list[Words] = []
    at = 0
    for opening in openings:
        width = opening.width
        others = (width.decode(view[at : at + width.size]) for view in views)
        opened.append(width.join((opening.share.reshape(-1), *others)))
        at += width.size
    return tuple(opened)


def open_payloads(widths: Sequence[Width], payloads: Sequence[bytes]) -> bytes:
    """Open a round from the payloads of all parties, of which lengths are checked, encoded as by `encode_opened`."""
    views = [memoryview(payload) for payload in payloads]
    opened: list[bytes] = []
    at = 0
    for width in widths:
        part = slice(at, at + width.size)
        opened.append(width.encode(width.join(width.decode(view[part]) for view in views)))
        at = part.stop
    return b"".join(opened)


def open_one(opening: Opening) -> Protocol[Words]:
    """Open one value, with its shape."""
    (opened,) = yield (opening,)
    return opened.reshape(opening.share.shape)


@overload
def parallel(first: Protocol[A], second: Protocol[B], /) -> Protocol[tuple[A, B]]: ...
@overload
def parallel(*protocols: Protocol[T]) -> Protocol[tuple[T, ...]]: ...
def parallel(*protocols: Protocol[Any]) -> Protocol[tuple[Any, ...]]:
    """Run protocols side by side, one round of each at a time; those that end early wait for the others.

    A round of the whole is one opening after another in the order of the arguments, hence one message to each peer.
    Each protocol takes correlations of its own: two with one label do not compile.
    """
    results: dict[int, Any] = {}
    pending: dict[int, tuple[Opening, ...]] = {}

    def step(place: int, opened: tuple[Words, ...] | None) -> None:
        try:
            pending[place] = next(protocols[place]) if opened is None else protocols[place].send(opened)
        except StopIteration as stop:
            results[place] = stop.value

    for place in range(len(protocols)):
        step(place, None)
    while pending:
        asked = dict(pending)
        pending.clear()
        opened = yield tuple(item for openings in asked.values() for item in openings)
        at = 0
        for place, openings in asked.items():
            step(place, opened[at : at + len(openings)])
            at += len(openings)
    return tuple(results[place] for place in range(len(protocols)))


def run_alone(protocol: Protocol[T], observe: Callable[[tuple[Opening, ...]], None]) -> T:
    """Run a protocol as one party: what it asks to open is already open. `observe` sees every round."""
    try:
        openings = next(protocol)
        while True:
            observe(openings)
            openings = protocol.send(tuple(opening.reduced() for opening in openings))
    except StopIteration as stop:
        result: T = stop.value
        return result
