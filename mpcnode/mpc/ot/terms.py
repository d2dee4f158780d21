"""Elementary correlations from transfers: products of sums are sums of own products and of cross terms of two nodes.

A cross term is of a bit c of the receiver and a value v of the sender. The receiver chooses by c; the sender, with
hashes h_0 and h_1, sends y = h_0 - h_1 + v and keeps -h_0; the receiver, who has h_c, keeps h_c + c y, which is
h_0 + c v. Bits: the same with XOR. To each other node 16 bytes for the choice and the bytes of y.

- *Bits times bits*: (XOR of a_i)(XOR of b_i): a_i b_i at home, a_i b_j between i, who chooses, and j.
- *Product* mod 2^64: s_i r_j in the same way, a transfer for each bit of s_i, of r_j shifted by its place (Gilboa,
  CRYPTO 1999).
- *Bit times value*, of an XOR-shared bit d and an additively shared value v: node after node, from p = 0,
  p <- p + d_i (v - 2 p), since (x XOR d) v = x v + d (v - 2 x v). Node i chooses, all that hold a share of v - 2 p
  send. With v = 1, which node 0 holds, these are bits as integers. A round for each node.

Right by these identities, all in the ring. Private against nodes that follow the protocol: what is sent is masked by
hashes that the other side did not choose. The transfers' check does not see a sender that sends another y, or a node
that chooses by other bits than its share's: such a node makes correlations wrong (docs/computation.md 6).
"""

from abc import ABC, abstractmethod

import numpy as np

from mpcnode.mpc.correlations import Array
from mpcnode.mpc.ring import Words, slice_bits
from mpcnode.types import Rank

Turn = frozenset[tuple[Rank, Rank]]
"""Who sends corrections to whom in one round: (sender, receiver)."""

_PLACES = np.arange(64, dtype=np.uint64)


def everybody(parties: int) -> Turn:
    """All to all."""
    return frozenset((Rank(i), Rank(j)) for i in range(parties) for j in range(parties) if i != j)


class Terms(ABC):
    """Cross terms in the making: one node's side of them, with every other node."""

    def __init__(self, choices: Words, turns: tuple[Turn, ...], size: int) -> None:
        self.choices = choices
        """The bits that this node chooses by, towards each that will send to it."""
        self.turns = turns
        self.size = size
        """Bytes of corrections, to any receiver."""

    def pairs(self, sender: Rank, receiver: Rank) -> bool:
        """Whether two nodes have a cross term that way round."""
        return any((sender, receiver) in turn for turn in self.turns)

    def begin(self, turn: Turn) -> None:  # noqa: B027 - most terms need nothing
        """Do what a turn needs before anything is sent."""

    @abstractmethod
    def send(self, zero: Words, one: Words) -> bytes:
        """Return the corrections for a receiver, from both hashes of its transfers."""

    @abstractmethod
    def receive(self, chosen: Words, data: bytes) -> None:
        """Take the corrections of a sender, with the hashes chosen."""


class BitTerms(Terms):
    """Of bits times bits, added to `ab` in place: a [W], b and ab [rows, W]."""

    def __init__(self, parties: int, a: Words, b: Words, ab: Words) -> None:
        super().__init__(a, (everybody(parties),), b.nbytes)
        self._b, self._ab = b, ab
        ab ^= a & b

    def send(self, zero: Words, one: Words) -> bytes:
        """See `Terms`."""
        kept = self.rows(zero)
        self._ab ^= kept
        return (kept ^ self.rows(one) ^ self._b).tobytes()

    def receive(self, chosen: Words, data: bytes) -> None:
        """See `Terms`."""
        sent = np.frombuffer(data, np.uint64).reshape(self._b.shape)
        self._ab ^= self.rows(chosen) ^ (self.choices & sent)

    def rows(self, hashes: Words) -> Words:
        """As many bits of each hash as there are rows [rows, W]."""
        count = len(self._b)
        low = slice_bits(np.ascontiguousarray(hashes[:, 0]), min(count, 64))
        if count <= 64:
            return low
        return np.concatenate([low, slice_bits(np.ascontiguousarray(hashes[:, 1]), count - 64)])


class ProductTerms(Terms):
    """Of products of integers mod 2^64, added to `sr` in place: s, r and sr [L]."""

    def __init__(self, parties: int, s: Words, r: Words, sr: Words) -> None:
        super().__init__(s, (everybody(parties),), 64 * s.nbytes)
        self._r, self._sr = r, sr
        sr += s * r

    def send(self, zero: Words, one: Words) -> bytes:
        """See `Terms`."""
        kept = zero[:, 0].reshape(-1, 64)
        self._sr -= kept.sum(axis=1, dtype=np.uint64)
        return (kept - one[:, 0].reshape(-1, 64) + (self._r[:, None] << _PLACES)).tobytes()

    def receive(self, chosen: Words, data: bytes) -> None:
        """See `Terms`."""
        sent = np.frombuffer(data, np.uint64).reshape(-1, 64)
        bits = self.choices[:, None] >> _PLACES & np.uint64(1)
        self._sr += (chosen[:, 0].reshape(-1, 64) + bits * sent).sum(axis=1, dtype=np.uint64)


class StepTerms(Terms):
    """Of bits times values, written to `products` in place: d [W], values and products [1 or 2, 64 · W]."""

    def __init__(self, rank: Rank, parties: int, d: Words, values: Array, products: Array) -> None:
        """Prepare; a single value for each bit is the number 1, of which node 0 holds all."""
        is_one = len(values) == 1
        # of 1 - 2 p, only the nodes before the one whose turn it is hold a share; node 0 multiplies 1 by itself
        turns = (
            frozenset((sender, receiver) for sender, receiver in everybody(parties) if receiver == i)
            for i in range(parties)
        )
        ascending = tuple(frozenset(pair for pair in turn if pair[0] < pair[1] or not is_one) for turn in turns)
        super().__init__(d, ascending[1:] if is_one else ascending, values.nbytes)
        self._rank = rank
        self._values, self._products, self._term = values, products, values
        self._bits = np.unpackbits(d.view(np.uint8), bitorder="little").astype(values.dtype)
        if is_one and rank == 0:
            products += self._bits

    def begin(self, turn: Turn) -> None:
        """See `Terms`."""
        self._term = self._values - self._products - self._products
        if any(receiver == self._rank for _, receiver in turn):
            self._products += self._bits * self._term

    def send(self, zero: Words, one: Words) -> bytes:
        """See `Terms`."""
        kept = self._strings(zero)
        self._products -= kept
        return (kept - self._strings(one) + self._term).tobytes()

    def receive(self, chosen: Words, data: bytes) -> None:
        """See `Terms`."""
        sent = np.frombuffer(data, self._values.dtype).reshape(self._values.shape)
        self._products += self._strings(chosen) + self._bits * sent

    def _strings(self, hashes: Words) -> Array:
        """As many integers of each hash as there are values for a bit."""
        return hashes.T[: len(self._values)].astype(self._values.dtype)
