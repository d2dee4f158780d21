"""Rows of a query's subjects, chunk by chunk: what a node holds of them, and what they are in clear.

Of one subject the last node is sent the correction itself, of many the reference to a blob of the chunks' corrections.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mpcnode.errors import ShareError
from mpcnode.mpc import Batch, RowContext, RowShape, expand_share, join_row
from mpcnode.roles.ports import BlobsPort
from mpcnode.sealing.blobs import decode_reference
from mpcnode.types import Attempt, MemberIndex, QueryId


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRows:
    """A participant's rows as it shared them."""

    query: QueryId
    attempt: Attempt
    participant: MemberIndex
    seat: int
    """Its place in the panel."""
    committee: tuple[MemberIndex, ...]
    """In rank order."""

    def context(self, chunk: int) -> RowContext:
        """What the rows of a chunk are shared for."""
        return RowContext(query=self.query, attempt=self.attempt, participant=self.participant, chunk=chunk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What one node was sent of them."""

    rows: SharedRows
    rank: int
    body: bytes = field(repr=False)
    """A seed; for the last node a correction or the reference to many."""


def shapes_of(batch: Batch, seat: int) -> list[RowShape]:
    """Shape of a participant's rows in every chunk."""
    return [batch.program(chunk).body.rows[seat] for chunk in range(batch.chunks)]


def shares(batch: Batch, sent: Sent, blobs: BlobsPort) -> Iterator[bytes]:
    """Yield a node's share of every chunk's rows, in order; for worker threads.

    Raises:
        ShareError: what was sent has another length.
        SealedBoxError: the blob does not open.
    """
    rows, shapes = sent.rows, shapes_of(batch, sent.rows.seat)
    is_last = sent.rank == len(rows.committee) - 1
    bodies = _corrections(batch, sent, shapes, blobs) if is_last else (sent.body for _ in shapes)
    node = rows.committee[sent.rank]
    for chunk, (shape, body) in enumerate(zip(shapes, bodies, strict=True)):
        yield expand_share(body, shape, rows.context(chunk), node, is_last=is_last)


def rows_in_clear(batch: Batch, rows: SharedRows, sent: Sequence[bytes], blobs: BlobsPort) -> Iterator[bytes]:
    """Yield the rows of every chunk as all nodes together hold them, in order; for worker threads.

    Args:
        batch: what runs on them.
        rows: whose they are.
        sent: what each node was sent, in rank order.
        blobs: where the last one's are.

    Raises:
        ShareError: what was sent has another length.
        SealedBoxError: the blob does not open.
    """
    of_nodes = [shares(batch, Sent(rows=rows, rank=rank, body=body), blobs) for rank, body in enumerate(sent)]
    for shape, of_chunk in zip(shapes_of(batch, rows.seat), zip(*of_nodes, strict=True), strict=True):
        yield join_row(of_chunk, shape)


def recut(pieces: Iterable[bytes], sizes: Iterable[int]) -> Iterator[bytes]:
    """Cut bytes that come in pieces into others of given sizes.

    Raises:
        ShareError: there are more bytes, or fewer.
    """
    rest, source = memoryview(b""), iter(pieces)
    for size in sizes:
        parts, missing = [], size
        while missing:
            if not rest:
                piece = next(source, None)
                if piece is None:
                    raise ShareError(f"rows: expected {size} bytes for a chunk, got {size - missing}")
                rest = memoryview(piece)
            parts.append(rest[:missing])
            rest = rest[missing:]
            missing -= len(parts[-1])
        yield b"".join(parts)
    if rest or next(source, None) is not None:
        raise ShareError("rows: expected the end after the last chunk, got more bytes")


def _corrections(batch: Batch, sent: Sent, shapes: Sequence[RowShape], blobs: BlobsPort) -> Iterator[bytes]:
    if batch.subjects == 1:
        return iter((sent.body,))
    return recut(blobs.read(decode_reference(sent.body)), (shape.size for shape in shapes))
