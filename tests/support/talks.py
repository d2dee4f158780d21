"""Conversations of a committee in one process, and two makers: oblivious transfers, and one that hides nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any, TypeVar

import numpy as np
import pytest

from mpcnode.errors import PeerDeviatedError
from mpcnode.mpc import Array, Arrays, Correlation, Field, Material, Program
from mpcnode.mpc.joint import Maker, Messages, Talk, others, provide
from mpcnode.mpc.ot import Links, TransferMaker, connect
from mpcnode.types import Rank
from tests.support.joint import seed, session_id

T = TypeVar("T")

Meddle = Callable[[int, int, int, bytes], bytes]
"""(round from 0, sender, receiver, message) -> message"""


def honest(round_number: int, sender: int, receiver: int, message: bytes) -> bytes:
    return message


@contextmanager
def deviates(rank: int, said: str) -> Iterator[None]:
    """Expect that a node of a rank is found to send what no honest node sends."""
    with pytest.raises(PeerDeviatedError, match=said) as found:
        yield
    assert found.value.rank == rank


def run_talks(talks: Sequence[Talk[T]], meddle: Meddle = honest) -> tuple[list[T], list[list[Messages]]]:
    """Run all nodes' sides in step; their results, and what each sent in each round."""
    rounds: list[list[Messages]] = []
    received: list[Messages | None] = [None for _ in talks]
    while True:
        results: list[T] = []
        sent: list[Messages] = []
        for talk, messages in zip(talks, received, strict=True):
            try:
                sent.append(next(talk) if messages is None else talk.send(messages))
            except StopIteration as stop:
                results.append(stop.value)
        if results:
            assert not sent, "all nodes must end in the same round"
            return results, rounds
        rounds.append(sent)
        received = [
            {
                Rank(peer): meddle(len(rounds) - 1, peer, rank, messages[Rank(rank)])
                for peer, messages in enumerate(sent)
                if peer != rank
            }
            for rank in range(len(talks))
        ]


def link_up(parties: int, name: str, meddle: Meddle = honest) -> list[Links]:
    talks = [connect(Rank(i), parties, seed(name), seed(f"{name} links of {i}")) for i in range(parties)]
    return run_talks(talks, meddle)[0]


def talks_of(program: Program, name: str, makers: Sequence[Maker]) -> list[Talk[Material]]:
    return [
        provide(program, session_id(name), Rank(i), seed(f"{name} node {i}"), maker) for i, maker in enumerate(makers)
    ]


def provided(program: Program, name: str, links: Sequence[Links], meddle: Meddle = honest) -> list[Material]:
    """Every node's material of a session of this name, made from oblivious transfers."""
    makers = [TransferMaker(side, session_id(name)) for side in links]
    return run_talks(talks_of(program, name, makers), meddle)[0]


def provided_openly(program: Program, name: str) -> list[Material]:
    """Every node's material, where elementary correlations are made with everything laid open."""
    makers = [OpenMaker(Rank(i), program.parties) for i in range(program.parties)]
    return run_talks(talks_of(program, name, makers))[0]


class OpenMaker:
    """Makes elementary correlations without any secret: nodes tell each other all, node 0 holds every result."""

    def __init__(self, rank: Rank, parties: int) -> None:
        self._rank = rank
        self._others = others(rank, parties)

    def __call__(self, items: Sequence[Correlation], free: Mapping[str, Arrays]) -> Talk[Mapping[str, Arrays]]:
        fields = [(item.label, field) for item in items for field in item.free]
        mine = b"".join(free[label][field.name].tobytes() for label, field in fields)
        received = yield dict.fromkeys(self._others, mine)
        every = [mine, *received.values()]
        sums: dict[str, dict[str, Array]] = {item.label: {} for item in items}
        at = 0
        for label, field in fields:
            parts = [np.frombuffer(data[at : at + field.used], field.dtype).reshape(field.shape) for data in every]
            sums[label][field.name] = joined(field, parts)
            at += field.used
        found = {item.label: item.derive(sums[item.label]) for item in items}
        if self._rank == 0:
            return found
        return {
            label: {name: np.zeros_like(array) for name, array in arrays.items()} for label, arrays in found.items()
        }


def joined(field: Field, parts: Sequence[Array]) -> Array:
    """What shares make."""
    return reduce(np.add if field.ring else np.bitwise_xor, parts)


def check_items(program: Program, materials: Sequence[Material]) -> None:
    """Assert that the shares of each correlation have the fields' types, and make what a dealer would deal."""
    for item in program.body.correlations:
        shares = [material.take(item.label) for material in materials]
        sums: dict[str, Any] = {}
        for field in (*item.free, *item.corrected):
            parts = [share[field.name] for share in shares]
            assert {part.shape for part in parts} == {field.shape}, (item.label, field.name)
            assert {part.dtype for part in parts} == {np.dtype(field.dtype)}, (item.label, field.name)
            sums[field.name] = joined(field, parts)
        for name, expected in item.derive(sums).items():
            assert np.array_equal(expected, sums[name]), (item.label, name)
