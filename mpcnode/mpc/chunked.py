"""One node's session of many chunks: bytes in, bytes out, no socket and no clock.

`next_chunk` says which chunk may begin; the caller gets its rows and material, however long that takes, and `begin`s
it. `take` keeps the others' payloads of all chunks, in any order; `advance` goes on with a chunk that has all it needs.
Chunks run side by side in a window; outputs come in the order of the subjects, and the transcript does not depend on
which chunk was faster. One subject is a session of one chunk.

What a peer may send is bounded. It works on a chunk only if it has finished those before its window, for which it
needed every payload of this node. So no honest node is more than a window ahead of the chunks that this node has begun,
nor beyond round 1 of a chunk that it has not. Hence at most `window` chunks run, as many chunks' first payloads wait,
and anything else is refused.

A session is run once. Never run it again from the start, not even with the same inputs: docs/computation.md shows how
whoever else computes learns the inputs of a node that does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.types import Digest
from mpcnode.errors import CorrelationReuseError, SessionError
from mpcnode.mpc.batch import Batch
from mpcnode.mpc.correlations import Material
from mpcnode.mpc.session import Finished, Payload, Session
from mpcnode.mpc.transcript import Transcript
from mpcnode.types import Rank, SessionId


@dataclass(frozen=True, slots=True)
class ChunkOutput:
    """A chunk's end. They come in the order of the chunks, whichever ended first."""

    chunk: int
    """From 0."""
    share: bytes = field(repr=False)
    """This node's share of the output of the chunk's subjects in turn; XORed with the others' it is the output."""
    rounds: tuple[Digest, ...] = field(repr=False)
    """Hashes of what was opened in each round."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A session's end, after the last chunk's."""

    transcript: Digest


Step = Payload | ChunkOutput | Ended


class ChunkedSession:
    """A node's part of one session."""

    def __init__(self, batch: Batch, session: SessionId, rank: Rank) -> None:
        """Prepare a session.

        Args:
            batch: what to run.
            session: its id.
            rank: this node's place in the committee.
        """
        self._batch = batch
        self._session = session
        self._rank = rank
        self._transcript = Transcript(session)
        self._begun = 0
        """Chunks begun: those below."""
        self._done = 0
        """Chunks whose output was given: those below."""
        self._running: dict[int, Session] = {}
        self._finished: dict[int, Finished] = {}
        """Those that wait for a chunk before them."""
        self._early: dict[int, dict[Rank, bytes]] = {}
        """First payloads of chunks that have not begun here, by chunk and rank."""

    def __repr__(self) -> str:
        return f"ChunkedSession(chunks {self._done} to {self._begun - 1} of {self._batch.chunks} in work)"

    @property
    def next_chunk(self) -> int | None:
        """The chunk to begin now; None while the window is full, and when all have begun."""
        is_open = self._begun < min(self._done + self._batch.window, self._batch.chunks)
        return self._begun if is_open else None

    @property
    def live(self) -> int:
        """Chunks that have begun and whose output was not given: what is held is this many times a chunk's size."""
        return self._begun - self._done

    @property
    def early(self) -> int:
        """First payloads held of chunks that have not begun: at most a window's, of each other node."""
        return sum(len(of) for of in self._early.values())

    def begin(self, chunk: int, rows: Sequence[bytes | None], material: Material) -> tuple[Step, ...]:
        """Begin a chunk, once, in turn.

        Args:
            chunk: `next_chunk`.
            rows: this node's share of each row of the chunk, in panel order; None for a participant that did not
                contribute.
            material: what was made for this node, session and chunk.

        Returns:
            What follows: its first payload; more if the others' came before.

        Raises:
            ShareError: a row has another length.
            CorrelationReuseError: the chunk was begun before, or its material was used.
            ValueError: it is not this chunk's turn.
        """
        if chunk < self._begun:
            raise CorrelationReuseError(f"chunk {chunk}: expected to be begun once, got a second begin")
        if chunk != self.next_chunk:
            raise ValueError(f"chunk {chunk}: expected chunk {self.next_chunk} to begin next")
        run = Session(self._batch.program(chunk), self._session, self._rank, rows, material, chunk=chunk)
        first = run.start()
        self._running[chunk] = run
        self._begun += 1
        for rank, data in self._early.pop(chunk, {}).items():
            run.take(rank, 1, data)
        return (first, *self.advance(chunk))

    def receive(self, rank: Rank, chunk: int, round_number: int, data: bytes) -> tuple[Step, ...]:
        """Take a payload of another node and go on: `take`, then `advance`."""
        return self.advance(chunk) if self.take(rank, chunk, round_number, data) else ()

    def take(self, rank: Rank, chunk: int, round_number: int, data: bytes) -> bool:
        """Keep a payload of another node, which takes no time.

        Args:
            rank: whose it is.
            chunk: of which chunk; of one that runs here, or of one of the next, as many as the window has.
            round_number: of which round, from 1; a node may be one round ahead of this one.
            data: the payload.

        Returns:
            Whether its chunk can go on: then `advance` it.

        Raises:
            SessionError: a payload that no honest node sends; names node, chunk and round. The caller ends the session.
        """
        self._check(rank, chunk, round_number)
        if chunk in self._running:
            return self._running[chunk].take(rank, round_number, data)
        self._check_early(rank, chunk, round_number, data)
        self._early.setdefault(chunk, {})[rank] = data
        return False

    def advance(self, chunk: int) -> tuple[Step, ...]:
        """Run a chunk on; return what follows in it, and in the session if it ends."""
        steps: list[Step] = []
        for step in self._running[chunk].advance():
            if isinstance(step, Finished):
                del self._running[chunk]
                self._finished[chunk] = step
                steps += self._give_outputs()
            else:
                steps.append(step)
        return tuple(steps)

    def _check(self, rank: Rank, chunk: int, round_number: int) -> None:
        where = f"node {rank}, chunk {chunk}, round {round_number}"
        batch = self._batch
        if not 0 <= rank < batch.parties or rank == self._rank:
            raise SessionError(f"{where}: expected another node of {batch.parties}, got rank {rank}")
        if not 0 <= chunk < batch.chunks:
            raise SessionError(f"{where}: expected one of {batch.chunks} chunks, got another")
        if chunk < self._begun and chunk not in self._running:
            raise SessionError(f"{where}: expected a payload of a running chunk, got one of a chunk that is over")
        if chunk >= self._begun + batch.window:
            raise SessionError(f"{where}: expected a chunk below {self._begun + batch.window}, a window ahead, got it")

    def _check_early(self, rank: Rank, chunk: int, round_number: int, data: bytes) -> None:
        where = f"node {rank}, chunk {chunk}, round {round_number}"
        sizes = self._batch.program(chunk).round_bytes
        if round_number != 1:
            raise SessionError(f"{where}: expected round 1 of a chunk that has not begun here")
        if rank in self._early.get(chunk, {}):
            raise SessionError(f"{where}: expected one payload, got another")
        if len(data) != sizes[0]:
            raise SessionError(f"{where}: expected {sizes[0]} bytes, got {len(data)}")

    def _give_outputs(self) -> list[Step]:
        """Give what is finished up to the first chunk that is not."""
        steps: list[Step] = []
        while (finished := self._finished.pop(self._done, None)) is not None:
            self._transcript.add(finished.transcript)
            steps.append(ChunkOutput(self._done, finished.output, finished.rounds))
            self._done += 1
        if steps and self._done == self._batch.chunks:
            steps.append(Ended(self._transcript.hash))
        return steps
