"""Dealing a session's correlations: the dealer's corrections, a node's expansion, and the sum of all for a replay.

Everybody derives the same streams from (seed, session, label). All nodes but the last draw free and corrected shares;
the last draws its free shares and receives its corrected ones.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpcnode.errors import DealError
from mpcnode.mpc.correlations import Array, Arrays, Correlation, Field, Material, add, cut, stream_size, subtract
from mpcnode.mpc.prg import Streams
from mpcnode.mpc.program import Program
from mpcnode.types import Rank, SessionId


def corrections_size(program: Program) -> int:
    """Bytes that the last node receives."""
    return sum(stream_size(item.corrected) for item in program.body.correlations)


def deal(program: Program, session: SessionId, seeds: Sequence[bytes]) -> bytes:
    """Return the corrections for the last node.

    Args:
        program: what will be run.
        session: where; no two sessions share an id.
        seeds: 32 bytes for each node, in rank order; node i is given its own.

    Raises:
        DealError: not one seed for each node.
    """
    parts: list[NDArray[np.uint8]] = []
    for item, totals, drawn in _totals(program, session, seeds):
        part = np.zeros(stream_size(item.corrected), np.uint8)
        for (part_field, target), (_, share) in zip(cut(item.corrected, part), cut(item.corrected, drawn), strict=True):
            target[...] = totals[part_field.name]
            subtract(part_field, target, share)
        parts.append(part)
    return b"".join(part.tobytes() for part in parts)


def total(program: Program, session: SessionId, seeds: Sequence[bytes]) -> dict[str, Arrays]:
    """Return the sum of all nodes' material, by label: what a replay runs on.

    Raises:
        DealError: not one seed for each node.
    """
    return {item.label: totals for item, totals, _ in _totals(program, session, seeds)}


def expand(program: Program, session: SessionId, rank: Rank, seed: bytes, corrections: bytes | None) -> Material:
    """Return one node's material.

    Args:
        program: what will be run.
        session: where.
        rank: the node's place in the committee.
        seed: what the dealer gave it.
        corrections: for the last node, None for the others.

    Raises:
        DealError: corrections of another length, or for another node than the last.
    """
    is_last = rank == program.parties - 1
    if is_last != (corrections is not None):
        raise DealError(f"expected corrections for node {program.parties - 1} only, got rank {rank}")
    expected = corrections_size(program)
    if corrections is not None and len(corrections) != expected:
        raise DealError(f"expected corrections of {expected} bytes, got {len(corrections)}")
    received = np.frombuffer(corrections or b"", np.uint8)
    streams = Streams(seed, session)
    arrays: dict[str, Arrays] = {}
    at = 0
    for item in program.body.correlations:
        free, drawn = _draw(streams, item, is_last=is_last)
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


def _draw(streams: Streams, item: Correlation, *, is_last: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a correlation's free bytes and its corrected ones, of which the last node has none."""
    free = stream_size(item.free)
    stream = streams.draw(item.label, free + (0 if is_last else stream_size(item.corrected)))
    return stream[:free], stream[free:]


def _totals(
    program: Program, session: SessionId, seeds: Sequence[bytes]
) -> list[tuple[Correlation, dict[str, Array], NDArray[np.uint8]]]:
    """For each correlation: its values in clear, and the sum of the corrected shares of all nodes but the last."""
    if len(seeds) != program.parties:
        raise DealError(f"expected a seed for each of {program.parties} nodes, got {len(seeds)}")
    sources = [Streams(seed, session) for seed in seeds]
    found = []
    for item in program.body.correlations:
        pairs = [_draw(source, item, is_last=i == len(sources) - 1) for i, source in enumerate(sources)]
        free, drawn = pairs[0]
        for other_free, other_drawn in pairs[1:]:
            _add_all(item.free, free, other_free)
            if len(other_drawn):
                _add_all(item.corrected, drawn, other_drawn)
        totals = {part.name: array for part, array in cut(item.free, free)}
        totals.update(item.derive(totals))
        found.append((item, totals, drawn))
    return found
