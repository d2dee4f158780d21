"""A compiled program: what every node of a session runs, the same bytes in the same rounds whatever the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol as Interface

import numpy as np

from mpcnode.mpc.correlations import Correlation, Material
from mpcnode.mpc.openings import Protocol, Width, run_alone
from mpcnode.mpc.ring import Bits
from mpcnode.mpc.sharing import Row, RowShape


@dataclass(frozen=True, slots=True)
class Party:
    """Who runs a protocol: one of the nodes, or a replay that stands for all."""

    is_first: bool
    """Whether it adds public constants to its shares: rank 0 does, and a replay."""
    material: Material


class Body(Interface):
    """The computation of a program. Bodies of the same computation are equal."""

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """Its one-time randomness, in program order."""
        ...

    @property
    def rows(self) -> tuple[RowShape, ...]:
        """Its inputs, in the order of the panel."""
        ...

    @property
    def output_bytes(self) -> int:
        """Bytes of one subject's output."""
        ...

    def run(self, party: Party, rows: Sequence[Row]) -> Protocol[Bits]:
        """Run it; the result is this party's XOR share of the output, bytes [subjects, output_bytes]."""
        ...

    def mask(self, party: Party) -> Bits:
        """This party's XOR share of what `run` masks the output with, in the same bytes; all make 0 if nothing does."""
        ...


@dataclass(frozen=True, kw_only=True)
class Program:
    """A body for a committee of a certain size. Every node compiles it itself; equal programs exchange equal sizes."""

    parties: int
    body: Body
    rounds: tuple[tuple[Width, ...], ...]
    """What is opened in each round, in program order."""

    @cached_property
    def round_bytes(self) -> tuple[int, ...]:
        """Bytes that each node sends to each other node in each round."""
        return tuple(sum(width.size for width in widths) for widths in self.rounds)


def compile_body(body: Body, parties: int) -> Program:
    """Make a program: run the body on zeros to see what it opens, which does not depend on data.

    Raises:
        ValueError: fewer than two parties, or two correlations with one label.
    """
    if parties < 2:
        raise ValueError(f"expected two nodes or more, got {parties}")
    labels = [item.label for item in body.correlations]
    if len(set(labels)) != len(labels):
        raise ValueError(f"expected labels of their own, got {labels}")
    zeros = Material(
        {
            item.label: {part.name: np.zeros(part.shape, part.dtype) for part in (*item.free, *item.corrected)}
            for item in body.correlations
        }
    )
    rounds: list[tuple[Width, ...]] = []
    running = body.run(Party(is_first=True, material=zeros), [shape.zero() for shape in body.rows])
    run_alone(running, lambda openings: rounds.append(tuple(opening.width for opening in openings)))
    return Program(parties=parties, body=body, rounds=tuple(rounds))
