"""A session run again by one party that holds everything: the supervisor's audit.

The program is linear between openings, so a single party with the rows in clear and the sum of all randomness "opens"
exactly what the nodes opened, if all were honest: the same code gives the transcript that they must have. It goes chunk
by chunk, and costs what one node's part costs and the dealing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ledger.types import Digest
from mpcnode.mpc.batch import Batch
from mpcnode.mpc.correlations import Arrays, Material
from mpcnode.mpc.dealer import Dealer, total
from mpcnode.mpc.openings import encode_openings, run_alone
from mpcnode.mpc.program import Party, Program
from mpcnode.mpc.transcript import ChunkTranscript, Transcript
from mpcnode.types import SessionId


@dataclass(frozen=True, slots=True)
class Replay:
    """What an honest session, or an honest chunk of one, leads to."""

    transcript: Digest
    """The session's, or the chunk's."""
    output: bytes = field(repr=False)
    """The XOR of all output shares, of all subjects in turn: masked, if the program masks its output."""
    mask: bytes = field(repr=False)
    """What it is masked with; 0s if it is not."""
    rounds: tuple[Digest, ...] = field(default=(), repr=False)
    """Of a chunk: hashes of what was opened in each round."""


def replay_chunks(
    batch: Batch, session: SessionId, seeds: Sequence[bytes], rows: Iterable[Sequence[bytes | None]]
) -> Iterator[Replay]:
    """Run a session as one party; yield each chunk's end, in order. Holds one chunk at a time.

    `join_replays` makes the session's of them; who cannot hold all outputs adds the transcripts to a `Transcript`.

    Args:
        batch: what was run.
        session: its id.
        seeds: the dealer's, in rank order.
        rows: of each chunk in order: in clear, in panel order; None for a participant that did not contribute.

    Raises:
        ShareError: a row has another length.
        DealError: not one seed for each node.
        ValueError: rows of more or fewer chunks than the batch has.
    """
    dealer = Dealer(batch, session, seeds)
    for chunk, of_chunk in zip(range(batch.chunks), rows, strict=True):
        yield _replay(batch.program(chunk), session, dealer.total(chunk), of_chunk, chunk)


def join_replays(session: SessionId, chunks: Iterable[Replay]) -> Replay:
    """Return a session's replay from those of all its chunks, in order."""
    transcript = Transcript(session)
    outputs: list[bytes] = []
    masks: list[bytes] = []
    for chunk in chunks:
        transcript.add(chunk.transcript)
        outputs.append(chunk.output)
        masks.append(chunk.mask)
    return Replay(transcript.hash, b"".join(outputs), b"".join(masks))


def replay(
    program: Program, session: SessionId, seeds: Sequence[bytes], rows: Sequence[bytes | None], *, chunk: int = 0
) -> Replay:
    """Run one chunk as one party.

    Args:
        program: what was run.
        session: its id.
        seeds: the dealer's, in rank order.
        rows: in clear, in panel order; None for a participant that did not contribute.
        chunk: its number.

    Raises:
        ShareError: a row has another length.
        DealError: not one seed for each node.
    """
    return _replay(program, session, total(program, session, seeds, chunk=chunk), rows, chunk)


def _replay(
    program: Program, session: SessionId, totals: Mapping[str, Arrays], rows: Sequence[bytes | None], chunk: int
) -> Replay:
    inputs = [
        shape.zero() if row is None else shape.decode(row) for shape, row in zip(program.body.rows, rows, strict=True)
    ]
    transcript = ChunkTranscript(session, chunk)
    running = program.body.run(Party(is_first=True, material=Material(totals)), inputs)
    output = run_alone(running, lambda openings: transcript.add(encode_openings(openings)))
    mask = program.body.mask(Party(is_first=True, material=Material(totals)))
    return Replay(transcript.hash, output.tobytes(), mask.tobytes(), transcript.rounds)
