"""One node's run of one chunk of a session: bytes in, bytes out, no socket and no clock.

`start` gives the first payload, to be sent to every other node; `receive` takes the others' payloads and gives the next
one, at last the output share. All of it follows from the arguments and the payloads received: this is what lets a
supervisor replay a session and say who deviated.

A session is run once. Never run it again from the start, not even with the same inputs: docs/computation.md shows how
whoever else computes learns the inputs of a node that does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.types import Digest
from mpcnode.errors import CorrelationReuseError, SessionError
from mpcnode.mpc.correlations import Material
from mpcnode.mpc.openings import Opening, encode_opened, encode_openings, open_all
from mpcnode.mpc.program import Party, Program
from mpcnode.mpc.transcript import ChunkTranscript
from mpcnode.types import Rank, SessionId


@dataclass(frozen=True, slots=True)
class Payload:
    """What to send to every other node."""

    round: int
    """From 1."""
    data: bytes = field(repr=False)
    chunk: int = 0
    """From 0."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A chunk's end."""

    output: bytes = field(repr=False)
    """This node's share of the output, of all its subjects in turn; XORed with the others' it is the output."""
    transcript: Digest
    """The chunk's."""
    rounds: tuple[Digest, ...] = field(repr=False)
    """Hashes of what was opened in each round: they lead to the transcript."""


class Session:
    """A node's part of one chunk of a session."""

    def __init__(
        self,
        program: Program,
        session: SessionId,
        rank: Rank,
        rows: Sequence[bytes | None],
        material: Material,
        *,
        chunk: int = 0,
    ) -> None:
        """Prepare a session.

        Args:
            program: what to run.
            session: its id.
            rank: this node's place in the committee.
            rows: this node's share of each row, in panel order; None for a participant that did not contribute.
            material: what was made for this node, session and chunk.
            chunk: its number, from 0.

        Raises:
            ShareError: a row has another length.
        """
        self._program = program
        self._rank = rank
        self._chunk = chunk
        self._transcript = ChunkTranscript(session, chunk)
        shapes = program.body.rows
        inputs = [shape.zero() if row is None else shape.decode(row) for shape, row in zip(shapes, rows, strict=True)]
        self._running = program.body.run(Party(is_first=rank == 0, material=material), inputs)
        self._round = 0  # 0 before the start
        self._mine: tuple[Opening, ...] = ()
        self._received: dict[tuple[int, int], bytes] = {}  # by (round, rank)
        self._finished: Finished | None = None

    def start(self) -> Payload:
        """Begin, once.

        Raises:
            CorrelationReuseError: it was begun before.
        """
        if self._round:
            raise CorrelationReuseError(f"chunk {self._chunk}: expected to be started once, got a second start")
        self._mine = next(self._running)
        return self._payload()

    def _payload(self) -> Payload:
        self._round += 1
        return Payload(self._round, encode_openings(self._mine), self._chunk)

    def receive(self, rank: Rank, round_number: int, data: bytes) -> tuple[Payload | Finished, ...]:
        """Take a payload of another node and go on: `take`, then `advance`."""
        self.take(rank, round_number, data)
        return self.advance()

    def take(self, rank: Rank, round_number: int, data: bytes) -> bool:
        """Keep a payload of another node, which takes no time.

        Args:
            rank: whose it is.
            round_number: of which round; a node may be one round ahead of this one.
            data: the payload.

        Returns:
            Whether a round is complete: then `advance`.

        Raises:
            SessionError: a payload that no honest node sends; names node, chunk and round. The caller ends the session.
        """
        self._check(rank, round_number, data)
        self._received[round_number, rank] = data
        return self._has_all()

    def advance(self) -> tuple[Payload | Finished, ...]:
        """Run on from every round that is complete; return what follows: nothing, or next payloads, or the end."""
        steps: list[Payload | Finished] = []
        while self._finished is None and self._has_all():
            steps.append(self._advance())
        return tuple(steps)

    def _check(self, rank: Rank, round_number: int, data: bytes) -> None:
        where = f"node {rank}, chunk {self._chunk}, round {round_number}"
        sizes = self._program.round_bytes
        if not 0 <= rank < self._program.parties or rank == self._rank:
            raise SessionError(f"{where}: expected another node of {self._program.parties}, got rank {rank}")
        if self._finished is not None or not self._round:
            raise SessionError(f"{where}: expected a payload of a running chunk, got one of a chunk that is not")
        if not self._round <= round_number <= min(self._round + 1, len(sizes)):
            raise SessionError(f"{where}: expected round {self._round} or the next of {len(sizes)}")
        if (round_number, rank) in self._received:
            raise SessionError(f"{where}: expected one payload, got another")
        if len(data) != sizes[round_number - 1]:
            raise SessionError(f"{where}: expected {sizes[round_number - 1]} bytes, got {len(data)}")

    def _has_all(self) -> bool:
        others = (rank for rank in range(self._program.parties) if rank != self._rank)
        return all((self._round, rank) in self._received for rank in others)

    def _advance(self) -> Payload | Finished:
        """Open this round's values and run on to the next round or the end."""
        payloads = [
            self._received.pop((self._round, rank)) for rank in range(self._program.parties) if rank != self._rank
        ]
        opened = open_all(self._mine, payloads)
        self._transcript.add(encode_opened(self._mine, opened))
        try:
            self._mine = self._running.send(opened)
        except StopIteration as stop:
            self._mine = ()
            self._finished = Finished(stop.value.tobytes(), self._transcript.hash, self._transcript.rounds)
            return self._finished
        return self._payload()
