"""A session run again by one party that holds everything: the supervisor's audit.

The program is linear between openings, so a single party with the rows in clear and the sum of all randomness "opens"
exactly what the nodes opened, if all were honest: the same code gives the transcript that they must have.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.types import Digest
from mpcnode.mpc.correlations import Material
from mpcnode.mpc.dealer import total
from mpcnode.mpc.openings import encode_openings, run_alone
from mpcnode.mpc.program import Party, Program
from mpcnode.mpc.transcript import Transcript
from mpcnode.types import SessionId


@dataclass(frozen=True, slots=True)
class Replay:
    """What an honest session leads to."""

    transcript: Digest
    output: bytes = field(repr=False)
    """The XOR of all output shares, of all subjects in turn: masked, if the program masks its output."""
    mask: bytes = field(repr=False)
    """What it is masked with; 0s if it is not."""


def replay(program: Program, session: SessionId, seeds: Sequence[bytes], rows: Sequence[bytes | None]) -> Replay:
    """Run a program as one party.

    Args:
        program: what was run.
        session: its id.
        seeds: the dealer's, in rank order.
        rows: in clear, in panel order; None for a participant that did not contribute.

    Raises:
        ShareError: a row has another length.
        DealError: not one seed for each node.
    """
    inputs = [
        shape.zero() if row is None else shape.decode(row) for shape, row in zip(program.body.rows, rows, strict=True)
    ]
    transcript = Transcript(session)
    totals = total(program, session, seeds)
    running = program.body.run(Party(is_first=True, material=Material(totals)), inputs)
    output = run_alone(running, lambda openings: transcript.add(encode_openings(openings)))
    mask = program.body.mask(Party(is_first=True, material=Material(totals)))
    return Replay(transcript.hash, output.tobytes(), mask.tobytes())
