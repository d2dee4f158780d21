"""Three nodes, their dealer and an auditor in one process, one chunk after the other; what each of them takes."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from mpcnode.adapters.randomness import random_bytes
from mpcnode.mpc import (
    SEED_BYTES,
    Batch,
    ChunkedSession,
    ChunkOutput,
    Dealer,
    Ended,
    Expander,
    Material,
    Payload,
    Replay,
    RowContext,
    Step,
    Transcript,
    expand_share,
    join_output,
    replay_chunks,
    split_row,
)
from mpcnode.types import Attempt, MemberIndex, QueryId, Rank, SessionId
from scripts.bench.works import Work


@dataclass(slots=True)
class Spent:
    """Processor time of one core, in seconds, and bytes."""

    sharing: float = 0.0
    """Participants split their rows, nodes take their shares."""
    dealing: float = 0.0
    expanding: float = 0.0
    """All nodes."""
    computing: float = 0.0
    """All nodes' rounds, and joining their outputs."""
    replaying: float = 0.0
    """The audit, dealing again included."""
    shared_bytes: int = 0
    dealt_bytes: int = 0
    exchanged_bytes: int = 0
    """Among the nodes."""

    @property
    def answering(self) -> float:
        """All that an answer takes; the audit goes beside it."""
        return self.sharing + self.dealing + self.expanding + self.computing

    @property
    def bytes_sent(self) -> int:
        """By all to all."""
        return self.shared_bytes + self.dealt_bytes + self.exchanged_bytes


class WrongResultError(Exception):
    """What came out is not what was computed in clear."""


class _Watch:
    """Measures one step after another."""

    def __init__(self) -> None:
        self._at = time.process_time()

    def lap(self) -> float:
        """Seconds since the last lap."""
        before, self._at = self._at, time.process_time()
        return self._at - before


@dataclass
class _Node:
    session: ChunkedSession
    expander: Expander
    inbox: list[tuple[Rank, Payload]] = field(default_factory=list)
    share: bytes = b""
    """Of the chunk's output."""


class Committee:
    """Runs a work, once."""

    def __init__(self, work: Work, batch: Batch) -> None:
        self._work, self._batch = work, batch
        self._session = SessionId(random_bytes(32))
        self._query = QueryId(random_bytes(32))
        self._seeds = [random_bytes(SEED_BYTES) for _ in range(batch.parties)]
        self._row_seeds = [[random_bytes(SEED_BYTES) for _ in range(batch.parties - 1)] for _ in batch.whole.body.rows]
        self._nodes = [
            _Node(ChunkedSession(batch, self._session, Rank(rank)), Expander(batch, self._session, Rank(rank), seed))
            for rank, seed in enumerate(self._seeds)
        ]
        self._ended: set[bytes] = set()
        self.spent = Spent()

    def run(self) -> Spent:
        """Run all chunks, audit them, and check what comes out.

        Raises:
            WrongResultError: outputs or transcripts are not as they must be.
        """
        dealer = Dealer(self._batch, self._session, self._seeds)
        audited: deque[list[bytes]] = deque()
        audit = replay_chunks(self._batch, self._session, self._seeds, iter(audited.popleft, []))
        transcript = Transcript(self._session)
        for chunk in range(self._batch.chunks):
            rows = self._work.rows(self._batch.subjects_of(chunk))
            audited.append(rows)
            shares = self._share(chunk, rows)
            watch = _Watch()
            corrections = dealer.corrections(chunk)
            self.spent.dealing += watch.lap()
            self.spent.dealt_bytes += len(corrections)
            materials = [
                node.expander.expand(chunk, corrections if node is self._nodes[-1] else None) for node in self._nodes
            ]
            self.spent.expanding += watch.lap()
            output = self._compute(chunk, shares, materials)
            self.spent.computing += watch.lap()
            honest = next(audit)
            self.spent.replaying += watch.lap()
            transcript.add(honest.transcript)
            self._check(chunk, output, honest)
        if self._ended != {transcript.hash}:
            raise WrongResultError("expected the auditor's transcript at every node, got another")
        return self.spent

    def _share(self, chunk: int, rows: Sequence[bytes]) -> list[list[bytes]]:
        """Share the rows; what each node has of them."""
        nodes = [MemberIndex(rank) for rank in range(self._batch.parties)]
        shares: list[list[bytes]] = [[] for _ in nodes]
        watch = _Watch()
        shapes = self._batch.program(chunk).body.rows
        for seat, (row, shape, seeds) in enumerate(zip(rows, shapes, self._row_seeds, strict=True)):
            context = RowContext(
                query=self._query, attempt=Attempt(1), participant=MemberIndex(100 + seat), chunk=chunk
            )
            sent = split_row(row, shape, context, nodes, seeds)
            self.spent.shared_bytes += len(sent[-1]) + (sum(map(len, sent[:-1])) if chunk == 0 else 0)
            for node, part in zip(nodes, sent, strict=True):
                is_last = node == nodes[-1]
                shares[node].append(expand_share(part, shape, context, node, is_last=is_last))
        self.spent.sharing += watch.lap()
        return shares

    def _compute(self, chunk: int, shares: Sequence[Sequence[bytes]], materials: Sequence[Material]) -> bytes:
        """Run a chunk's rounds; the output that all nodes' shares make."""
        for rank, (node, rows, material) in enumerate(zip(self._nodes, shares, materials, strict=True)):
            self._follow(Rank(rank), node.session.begin(chunk, rows, material))
        while any(node.inbox for node in self._nodes):
            for rank, node in enumerate(self._nodes):
                received, node.inbox = node.inbox, []
                for sender, payload in received:
                    steps = node.session.receive(sender, payload.chunk, payload.round, payload.data)
                    self._follow(Rank(rank), steps)
        return join_output([node.share for node in self._nodes])

    def _follow(self, rank: Rank, steps: Sequence[Step]) -> None:
        for step in steps:
            match step:
                case Payload():
                    for other, node in enumerate(self._nodes):
                        if other != rank:
                            node.inbox.append((rank, step))
                            self.spent.exchanged_bytes += len(step.data)
                case ChunkOutput():
                    self._nodes[rank].share = step.share
                case Ended():
                    self._ended.add(step.transcript)

    def _check(self, chunk: int, output: bytes, honest: Replay) -> None:
        unmasked = join_output((output, honest.mask))
        if output != honest.output or unmasked != self._work.outputs(self._batch.subjects_of(chunk)):
            raise WrongResultError(f"chunk {chunk}: expected the output that was computed in clear, got another")
