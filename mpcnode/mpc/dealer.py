"""Dealing a session's correlations: the dealer's corrections, a node's expansion, and the sum of all for a replay.

Everybody derives the same streams from (seed, session, chunk, label). All nodes but the last draw free and corrected
shares; the last draws its free shares and receives its corrected ones. It goes chunk by chunk, in ascending order, each
once: what is held does not grow with their number.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpcnode.errors import DealError
from mpcnode.mpc.batch import Batch, corrections_size
from mpcnode.mpc.correlations import Array, Arrays, Correlation, Field, Material, add, cut, stream_size, subtract
from mpcnode.mpc.prg import Streams
from mpcnode.mpc.program import Program
from mpcnode.types import Rank, SessionId


class Dealer:
    """What is dealt to one session: asked for chunk after chunk, whenever the last node has room for it."""

    def __init__(self, batch: Batch, session: SessionId, seeds: Sequence[bytes]) -> None:
        """Prepare to deal.

        Args:
            batch: what will be run.
            session: where; no two sessions share an id.
            seeds: 32 bytes for each node, in rank order; node i is given its own.

        Raises:
            DealError: not one seed for each node.
        """
        self._batch = batch
        self._streams = _all_streams(batch.parties, session, seeds)

    def corrections(self, chunk: int) -> bytes:
        """Return a chunk's corrections for the last node.

        Raises:
            CorrelationReuseError: this chunk was drawn before, or a later one.
            ValueError: there is no such chunk.
        """
        return _corrections(_totals(self._batch.program(chunk), chunk, self._streams))

    def total(self, chunk: int) -> dict[str, Arrays]:
        """Return the sum of all nodes' material of a chunk, by label: what a replay runs on.

        Raises:
            CorrelationReuseError: this chunk was drawn before, or a later one.
            ValueError: there is no such chunk.
        """
        return {item.label: totals for item, totals, _ in _totals(self._batch.program(chunk), chunk, self._streams)}


class Expander:
    """One node's material of one session: asked for when a chunk begins."""

    def __init__(self, batch: Batch, session: SessionId, rank: Rank, seed: bytes) -> None:
        """Prepare to expand.

        Args:
            batch: what will be run.
            session: where.
            rank: the node's place in the committee.
            seed: what the dealer gave it.
        """
        self._batch = batch
        self._rank = rank
        self._streams = Streams(seed, session)

    def expand(self, chunk: int, corrections: bytes | None) -> Material:
        """Return a chunk's material.

        Args:
            chunk: whose, from 0; in ascending order.
            corrections: for the last node, None for the others.

        Raises:
            DealError: corrections of another length, or for another node than the last.
            CorrelationReuseError: this chunk was drawn before, or a later one.
            ValueError: there is no such chunk.
        """
        return _expand(self._batch.program(chunk), chunk, self._rank, self._streams, corrections)


def deal(program: Program, session: SessionId, seeds: Sequence[bytes], *, chunk: int = 0) -> bytes:
    """Return one chunk's corrections for the last node; arguments and errors are those of `Dealer`."""
    return _corrections(_totals(program, chunk, _all_streams(program.parties, session, seeds)))


def total(program: Program, session: SessionId, seeds: Sequence[bytes], *, chunk: int = 0) -> dict[str, Arrays]:
    """Return the sum of all nodes' material of one chunk; arguments and errors are those of `Dealer`."""
    found = _totals(program, chunk, _all_streams(program.parties, session, seeds))
    return {item.label: totals for item, totals, _ in found}


def expand(
    program: Program, session: SessionId, rank: Rank, seed: bytes, corrections: bytes | None, *, chunk: int = 0
) -> Material:
    """Return one node's material of one chunk; arguments and errors are those of `Expander`."""
    return _expand(program, chunk, rank, Streams(seed, session), corrections)


def _all_streams(parties: int, session: SessionId, seeds: Sequence[bytes]) -> list[Streams]:
    if len(seeds) != parties:
        raise DealError(f"expected a seed for each of {parties} nodes, got {len(seeds)}")
    return [Streams(seed, session) for seed in seeds]


def _corrections(found: Sequence[tuple[Correlation, dict[str, Array], NDArray[np.uint8]]]) -> bytes:
    parts: list[NDArray[np.uint8]] = []
    for item, totals, drawn in found:
        part = np.zeros(stream_size(item.corrected), np.uint8)
        for (part_field, target), (_, share) in zip(cut(item.corrected, part), cut(item.corrected, drawn), strict=True):
            target[...] = totals[part_field.name]
            subtract(part_field, target, share)
        parts.append(part)
    return b"".join(part.tobytes() for part in parts)


def _expand(program: Program, chunk: int, rank: Rank, streams: Streams, corrections: bytes | None) -> Material:
    is_last = rank == program.parties - 1
    if is_last != (corrections is not None):
        raise DealError(f"chunk {chunk}: expected corrections for node {program.parties - 1} only, got rank {rank}")
    expected = corrections_size(program)
    if corrections is not None and len(corrections) != expected:
        raise DealError(f"chunk {chunk}: expected corrections of {expected} bytes, got {len(corrections)}")
    received = np.frombuffer(corrections or b"", np.uint8)
    arrays: dict[str, Arrays] = {}
    at = 0
    for item in program.body.correlations:
        free, drawn = _draw(streams, chunk, item, is_last=is_last)
        if is_last:
            drawn = received[at : at + stream_size(item.corrected)]
            at += stream_size(item.corrected)
        arrays[item.label] = _named(item, free, drawn)
    return Material(arrays)


def _add_all(fields: Sequence[Field], totals: NDArray[np.uint8], shares: NDArray[np.uint8]) -> None:
    for (part, running), (_, share) in zip(cut(fields, totals), cut(fields, shares), strict=True):
        add(part, running, share)


def _named(item: Correlation, free: NDArray[np.uint8], corrected: NDArray[np.uint8]) -> dict[str, Array]:
    fields = (*cut(item.free, free), *cut(item.corrected, corrected))
    return {part.name: array for part, array in fields}


def _draw(
    streams: Streams, chunk: int, item: Correlation, *, is_last: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a correlation's free bytes and its corrected ones, of which the last node has none."""
    free = stream_size(item.free)
    stream = streams.draw(item.label, free + (0 if is_last else stream_size(item.corrected)), chunk)
    return stream[:free], stream[free:]


def _totals(
    program: Program, chunk: int, sources: Sequence[Streams]
) -> list[tuple[Correlation, dict[str, Array], NDArray[np.uint8]]]:
    """For each correlation: its values in clear, and the sum of the corrected shares of all nodes but the last."""
    found = []
    for item in program.body.correlations:
        pairs = [_draw(source, chunk, item, is_last=i == len(sources) - 1) for i, source in enumerate(sources)]
        free, drawn = pairs[0]
        for other_free, other_drawn in pairs[1:]:
            _add_all(item.free, free, other_free)
            if len(other_drawn):
                _add_all(item.corrected, drawn, other_drawn)
        totals = {part.name: array for part, array in cut(item.free, free)}
        totals.update(item.derive(totals))
        found.append((item, totals, drawn))
    return found
