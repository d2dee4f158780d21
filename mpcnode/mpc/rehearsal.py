"""A session run again by all its nodes at once, each with its own share and seed: who had to send what.

A replay says whether a session was honest; this says which message was not. It is the auditor's, who holds everything.
Chunks do not depend on each other, so one that is in question is rehearsed by itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mpcnode.mpc.batch import Batch
from mpcnode.mpc.dealer import deal, expand
from mpcnode.mpc.program import Program
from mpcnode.mpc.session import Finished, Payload, Session
from mpcnode.types import Rank, SessionId


@dataclass(frozen=True, slots=True)
class Part:
    """What one honest node sends in a chunk."""

    payloads: tuple[bytes, ...] = field(repr=False)
    """To every other node, in each round."""
    output: bytes = field(repr=False)
    """Its share of the output."""


def rehearse_chunks(
    batch: Batch, session: SessionId, seeds: Sequence[bytes], rows: Iterable[Sequence[Sequence[bytes | None]]]
) -> Iterator[tuple[Part, ...]]:
    """Rehearse a session; yield all nodes' parts of each chunk, in order. Holds one chunk at a time.

    Args:
        batch: what was run.
        session: its id.
        seeds: the dealer's, in rank order.
        rows: of each chunk in order, as `rehearse` takes them.

    Raises:
        ShareError: a row has another length.
        DealError: not one seed for each node.
        ValueError: rows of more or fewer chunks than the batch has.
    """
    for chunk, of_chunk in zip(range(batch.chunks), rows, strict=True):
        yield rehearse(batch.program(chunk), session, seeds, of_chunk, chunk=chunk)


def rehearse(
    program: Program,
    session: SessionId,
    seeds: Sequence[bytes],
    rows: Sequence[Sequence[bytes | None]],
    *,
    chunk: int = 0,
) -> tuple[Part, ...]:
    """Run all nodes of one chunk, which really ran elsewhere; return their parts in rank order.

    Args:
        program: what was run.
        session: its id.
        seeds: the dealer's, in rank order.
        rows: the shares of each node in rank order, each in panel order; None for who did not contribute.
        chunk: its number.

    Raises:
        ShareError: a row has another length.
        DealError: not one seed for each node.
    """
    corrections = deal(program, session, seeds, chunk=chunk)
    last = program.parties - 1
    nodes = [
        Session(
            program,
            session,
            Rank(rank),
            rows[rank],
            expand(program, session, Rank(rank), seed, corrections if rank == last else None, chunk=chunk),
            chunk=chunk,
        )
        for rank, seed in enumerate(seeds)
    ]
    sent = [[node.start()] for node in nodes]
    outputs: dict[int, bytes] = {}
    for number in range(1, len(program.round_bytes) + 1):
        payloads = [of[number - 1].data for of in sent]
        for rank, node in enumerate(nodes):
            for step in _exchange(node, rank, number, payloads):
                if isinstance(step, Finished):
                    outputs[rank] = step.output
                else:
                    sent[rank].append(step)
    return tuple(Part(tuple(item.data for item in sent[rank]), outputs[rank]) for rank in range(program.parties))


def _exchange(node: Session, rank: int, number: int, payloads: Sequence[bytes]) -> list[Payload | Finished]:
    """Give a node what the others sent in one round; return what follows."""
    others = [(Rank(other), data) for other, data in enumerate(payloads) if other != rank]
    return [step for other, data in others for step in node.receive(other, number, data)]
