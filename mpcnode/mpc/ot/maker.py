"""The maker of elementary correlations from oblivious transfers: batches of cross terms, over one node's links.

Long correlations are cut, short ones gathered, so that a message has about 4 MB however many subjects a session has.
Rounds for each batch: one for choices and one for corrections; with bits times values, one for each node.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mpcnode.mpc.arithmetic import BitTimesValue, Product
from mpcnode.mpc.bits import AndBits, BitsToIntegers, ZeroIntegers, ZeroShares
from mpcnode.mpc.correlations import Array, Arrays, Correlation, add, cut, stream_size, subtract
from mpcnode.mpc.joint.scaling import BitTimesBits
from mpcnode.mpc.joint.talk import Talk, expect_length
from mpcnode.mpc.ot.links import Links
from mpcnode.mpc.ot.terms import BitTerms, ProductTerms, StepTerms, Terms
from mpcnode.mpc.prg import Streams
from mpcnode.mpc.ring import RINGS, Words
from mpcnode.types import Rank, SessionId

BATCH_WORDS = 4096
"""Words of choices in a batch."""

_NONE = np.empty(0, np.uint64)


class TransferMaker:
    """Makes one session's elementary correlations; a `Maker`."""

    def __init__(self, links: Links, session: SessionId) -> None:
        """Take the links for a session.

        Raises:
            CorrelationReuseError: they were taken for it before, or are not free.
        """
        links.claim(session)
        self._links = links
        self._zeros = {peer: Streams(link.seed, session) for peer, link in links.by_peer.items()}

    def __call__(self, items: Sequence[Correlation], free: Mapping[str, Arrays]) -> Talk[Mapping[str, Arrays]]:
        """Make a session's correlations, all in one call, and give the links back.

        Raises:
            PeerDeviatedError: another node sent what no honest one does; names it. The links are of no more use.
        """
        jobs = {item.label: self._job(item, free[item.label]) for item in items}
        for batch in _batches(term for job in jobs.values() for term in job.terms):
            yield from self._run(batch)
        self._links.give_back()
        return {label: job.finish() for label, job in jobs.items()}

    def _job(self, item: Correlation, free: Arrays) -> "_Job":
        match item:
            case AndBits():
                return self._bits(_words(free["a"]), _words(free["b"])[None], item.corrected[0].shape)
            case BitTimesBits():
                return self._bits(_words(free["a"]), _words(free["b"]), item.corrected[0].shape)
            case Product():
                return self._products(free["s"], free["r"])
            case BitsToIntegers():
                return self._integers(item, free)
            case BitTimesValue():
                return self._values(item, free)
            case ZeroShares() | ZeroIntegers():
                return _Job([], partial(self._zero_shares, item))
        raise ValueError(f"correlation {item.label}: expected an elementary one, got a {type(item).__name__}")

    def _bits(self, a: Words, b: Words, shape: tuple[int, ...]) -> "_Job":
        ab = np.zeros_like(b)
        terms = [BitTerms(self._links.parties, a[at], b[:, at], ab[:, at]) for at in _pieces(len(a))]
        return _Job(terms, lambda: {"ab": ab.reshape(shape)})

    def _products(self, s: Array, r: Array) -> "_Job":
        sr = np.zeros(s.size, np.uint64)
        flat_s, flat_r = _words(s).reshape(-1), _words(r).reshape(-1)
        terms = [ProductTerms(self._links.parties, flat_s[at], flat_r[at], sr[at]) for at in _pieces(len(sr))]
        return _Job(terms, lambda: {"sr": sr.reshape(s.shape)})

    def _integers(self, item: BitsToIntegers, free: Arrays) -> "_Job":
        ring = RINGS[item.ring]
        values = np.full((1, 64 * item.lanes.words), self._links.rank == 0, ring)
        products = np.zeros_like(values)
        terms = self._steps(_words(free["d"]), values, products)
        return _Job(terms, lambda: {"integers": item.lanes.gather(products[0])})

    def _values(self, item: BitTimesValue, free: Arrays) -> "_Job":
        lanes = item.lanes
        ones = np.full(64 * lanes.words, self._links.rank == 0, np.uint64)
        values = np.stack([ones, lanes.spread(_words(free["r"]))])
        products = np.zeros_like(values)
        terms = self._steps(_words(free["d"]), values, products)
        return _Job(terms, lambda: {"integers": lanes.gather(products[0]), "dr": lanes.gather(products[1])})

    def _steps(self, d: Words, values: Array, products: Array) -> list[Terms]:
        rank, parties = self._links.rank, self._links.parties
        return [
            StepTerms(rank, parties, d[at], values[:, _lanes(at)], products[:, _lanes(at)]) for at in _pieces(len(d))
        ]

    def _zero_shares(self, item: Correlation) -> Arrays:
        """Sum up what this node and each other draw from the seed they share: the lower adds, the higher subtracts."""
        size = stream_size(item.corrected)
        total = np.zeros(size, np.uint8)
        for peer, streams in self._zeros.items():
            drawn = streams.draw(item.label, size)
            for (part, running), (_, share) in zip(cut(item.corrected, total), cut(item.corrected, drawn), strict=True):
                (add if self._links.rank < peer else subtract)(part, running, share)
        return {part.name: array for part, array in cut(item.corrected, total)}

    def _run(self, batch: Sequence[Terms]) -> Talk[None]:
        """Make one batch of cross terms with every other node."""
        rank, by_peer = self._links.rank, self._links.by_peer
        mine = {peer: [term for term in batch if term.pairs(peer, rank)] for peer in by_peer}
        theirs = {peer: [term for term in batch if term.pairs(rank, peer)] for peer in by_peer}
        chosen: dict[Rank, Words] = {}
        messages: dict[Rank, bytes] = {}
        for peer, link in by_peer.items():
            choices = np.concatenate([_NONE, *(term.choices for term in mine[peer])])
            messages[peer], chosen[peer] = link.receiver.choose(choices)
        received = yield messages
        offered = {
            peer: link.sender.accept(received[peer], sum(len(term.choices) for term in theirs[peer]))
            for peer, link in by_peer.items()
        }
        for step in range(max(len(term.turns) for term in batch)):
            for term in batch:
                if step < len(term.turns):
                    term.begin(term.turns[step])
            received = yield {
                peer: b"".join(
                    term.send(*(hashes[rows] for hashes in offered[peer]))
                    for term, rows in _rows(theirs[peer])
                    if _is_turn(term, step, rank, peer)
                )
                for peer in by_peer
            }
            for peer in by_peer:
                now = [(term, rows) for term, rows in _rows(mine[peer]) if _is_turn(term, step, peer, rank)]
                _receive(peer, now, chosen[peer], received[peer])


@dataclass(frozen=True, slots=True)
class _Job:
    """One correlation: its cross terms, and its corrected values once these are made."""

    terms: Sequence[Terms]
    finish: Callable[[], Arrays]


def _words(array: Array) -> Words:
    return array.view(np.uint64)


def _pieces(words: int) -> list[slice]:
    return [slice(start, min(start + BATCH_WORDS, words)) for start in range(0, words, BATCH_WORDS)]


def _lanes(words: slice) -> slice:
    return slice(64 * words.start, 64 * words.stop)


def _batches(terms: Iterable[Terms]) -> Iterator[list[Terms]]:
    """Gather cross terms of about `BATCH_WORDS`, in order, at every node the same."""
    batch: list[Terms] = []
    size = 0
    for term in terms:
        if batch and size + len(term.choices) > BATCH_WORDS:
            yield batch
            batch, size = [], 0
        batch.append(term)
        size += len(term.choices)
    if batch:
        yield batch


def _rows(terms: Iterable[Terms]) -> Iterator[tuple[Terms, slice]]:
    """Each with the transfers that are its own, of all that were made for them."""
    at = 0
    for term in terms:
        rows = slice(at, at + 64 * len(term.choices))
        yield term, rows
        at = rows.stop


def _is_turn(term: Terms, step: int, sender: Rank, receiver: Rank) -> bool:
    return step < len(term.turns) and (sender, receiver) in term.turns[step]


def _receive(peer: Rank, terms: Sequence[tuple[Terms, slice]], chosen: Words, data: bytes) -> None:
    expect_length(peer, "corrections", data, sum(term.size for term, _ in terms))
    at = 0
    for term, rows in terms:
        term.receive(chosen[rows], data[at : at + term.size])
        at += term.size
