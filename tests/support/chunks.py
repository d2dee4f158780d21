"""A committee that runs a session of many chunks, with frames that overtake each other as a seed says."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from weakref import WeakSet

import numpy as np

from ledger.types import Digest
from mpcnode.mpc import (
    Batch,
    ChunkedSession,
    ChunkOutput,
    Dealer,
    Ended,
    Expander,
    Material,
    Payload,
    Step,
    join_output,
)
from mpcnode.scorecard import Columns, Layout
from mpcnode.types import MemberIndex, Rank
from tests.support.joint import seeds_for, session_id, share_rows
from tests.support.models import encode_columns

Rows = list[bytes | None]


def draw_columns(layout: Layout, subjects: int, seed: int) -> dict[MemberIndex, Columns]:
    """What every participant says of so many subjects."""
    rng = np.random.default_rng(seed)
    drawn: dict[MemberIndex, Columns] = {}
    for seated, row in zip(layout.members, layout.rows, strict=True):
        known = rng.random(subjects) < 0.8
        present = known & (rng.random((len(row), subjects)) < 0.8)
        values = [
            rng.integers(layout.model.attributes[i].minimum, layout.model.attributes[i].maximum + 1, subjects)
            for i in row
        ]
        stacked = np.array(values, np.int64).reshape(len(row), subjects)
        drawn[seated.member] = Columns(known=known, present=present, values=np.where(present, stacked, 0))
    return drawn


def cut_rows(layout: Layout, batch: Batch, columns: dict[MemberIndex, Columns]) -> list[Rows]:
    """Rows in clear by chunk, then by participant in panel order; None for one without columns."""
    cut: list[Rows] = []
    for chunk in range(batch.chunks):
        of = batch.subjects_of(chunk)
        at = slice(of.start, of.stop)
        given = (columns.get(seated.member) for seated in layout.members)
        cut.append(
            [
                None
                if column is None
                else encode_columns(
                    Columns(known=column.known[at], present=column.present[:, at], values=column.values[:, at]),
                    shape.ring,
                )
                for column, shape in zip(given, batch.program(chunk).body.rows, strict=True)
            ]
        )
    return cut


def shares_of(batch: Batch, name: str, rows: Sequence[Rows]) -> list[list[Rows]]:
    """Split rows in clear: by chunk, then by node, then by participant."""
    return [share_rows(batch.program(chunk), name, of, chunk=chunk) for chunk, of in enumerate(rows)]


@dataclass
class Node:
    """One node, and what it was asked to hold."""

    session: ChunkedSession
    expander: Expander
    outputs: list[bytes] = field(default_factory=list)
    sent: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """Payloads by chunk and round."""
    transcript: Digest | None = None
    live_max: int = 0
    early_max: int = 0


class Committee:
    """Nodes in one process. Whatever can happen next is drawn from a seed: a chunk begins, or a frame arrives."""

    def __init__(self, batch: Batch, name: str, shares: Sequence[Sequence[Rows]], seed: int = 0) -> None:
        """Take shares by chunk, by node, by participant."""
        self.batch, self.shares, self.random = batch, shares, random.Random(seed)
        seeds = seeds_for(name, batch.parties)
        self.dealer = Dealer(batch, session_id(name), seeds)
        self.corrections: dict[int, bytes] = {}
        self.nodes = [
            Node(
                session=ChunkedSession(batch, session_id(name), Rank(rank)),
                expander=Expander(batch, session_id(name), Rank(rank), seeds[rank]),
            )
            for rank in range(batch.parties)
        ]
        self.flying: list[tuple[int, int, Payload]] = []
        """Sender, receiver, payload."""
        self.materials: WeakSet[Material] = WeakSet()
        self.materials_max = 0

    def run(self) -> None:
        """Run to the end."""
        while (options := [*self._beginnings(), *range(len(self.flying))]) != []:
            chosen = self.random.choice(options)
            if isinstance(chosen, Node):
                self.begin(self.nodes.index(chosen))
            else:
                self.flying[chosen], self.flying[-1] = self.flying[-1], self.flying[chosen]
                self.deliver(*self.flying.pop())

    def _beginnings(self) -> Iterator[Node]:
        return (node for node in self.nodes if node.session.next_chunk is not None)

    def begin(self, rank: int) -> None:
        """Begin a node's next chunk."""
        node = self.nodes[rank]
        chunk = node.session.next_chunk
        assert chunk is not None
        is_last = rank == self.batch.parties - 1
        material = node.expander.expand(chunk, self.dealer.corrections(chunk) if is_last else None)
        self.materials.add(material)
        self.materials_max = max(self.materials_max, len(self.materials))
        steps = node.session.begin(chunk, self.shares[chunk][rank], material)
        del material
        self._follow(rank, steps)

    def deliver(self, sender: int, receiver: int, payload: Payload) -> None:
        """Deliver a frame."""
        session = self.nodes[receiver].session
        self._follow(receiver, session.receive(Rank(sender), payload.chunk, payload.round, payload.data))

    def _follow(self, rank: int, steps: Sequence[Step]) -> None:
        node = self.nodes[rank]
        node.live_max = max(node.live_max, node.session.live)
        node.early_max = max(node.early_max, node.session.early)
        for step in steps:
            assert node.transcript is None, "nothing follows the end"
            match step:
                case Payload():
                    assert (step.chunk, step.round) not in node.sent, "a payload is sent once"
                    node.sent[step.chunk, step.round] = step.data
                    others = (other for other in range(self.batch.parties) if other != rank)
                    self.flying += [(rank, other, step) for other in others]
                case ChunkOutput():
                    assert step.chunk == len(node.outputs), "outputs come in order"
                    node.outputs.append(step.share)
                case Ended():
                    node.transcript = step.transcript

    @property
    def output(self) -> bytes:
        """What the shares make, of all subjects in turn."""
        return join_output([b"".join(node.outputs) for node in self.nodes])

    @property
    def transcripts(self) -> set[Digest | None]:
        """Of all nodes."""
        return {node.transcript for node in self.nodes}
