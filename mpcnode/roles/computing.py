"""The rounds of one session at one node: chunk after chunk in a window, whatever the number of subjects.

Chunks of more than a few subjects are worked on in a worker thread, so that the daemon goes on meanwhile. The last node
takes each chunk's corrections from the dealer when the chunk begins, and no more than a few ahead.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from mpcnode.errors import DealError, SessionError, UnavailableError
from mpcnode.mpc import Batch, ChunkedSession, ChunkOutput, Ended, Expander, Finished, Payload, Step, corrections_size
from mpcnode.query.messages import Corrections, Deal
from mpcnode.query.statements import frame_number, split_frame_number
from mpcnode.roles.ports import RoundsChannel
from mpcnode.sealing.commitments import chunk_hash, corrections_hash
from mpcnode.types import MemberIndex, Rank, SessionId

AHEAD_MAX = 6
"""Chunks whose corrections are held ahead of their use."""

_INLINE_SUBJECTS = 64
"""So many are worked on at once; a thread would cost more."""

_PATIENCE_S = 5.0
"""How long a dealer that is ahead is kept waiting before it is told to come again."""

T = TypeVar("T")


class RoundError(Exception):
    """A member sent what no honest node sends."""

    def __init__(self, member: MemberIndex, error: SessionError) -> None:
        super().__init__(f"member {member}: {error}")
        self.member = member


def check_corrections(batch: Batch, deal: Deal, expected: bytes) -> None:
    """Check what the last node is dealt besides its seed.

    Raises:
        DealError: it is not what the record says.
    """
    if len(deal.chunk_hashes) != batch.chunks or corrections_hash(deal.chunk_hashes) != expected:
        raise DealError(f"deal: expected the hashes of {batch.chunks} chunks' corrections, got others")
    size = corrections_size(batch.program(0))
    if len(deal.corrections) != size or chunk_hash(deal.corrections) != deal.chunk_hashes[0]:
        raise DealError(f"deal: expected the {size} bytes of corrections of the record, got others")


class CorrectionsInbox:
    """Corrections of one session's further chunks, at the last node. Owned by the event loop's thread."""

    def __init__(self, hashes: Sequence[bytes], first: bytes) -> None:
        """Take the hash of every chunk's corrections, and the first chunk's, which came with the deal."""
        self._hashes = hashes
        self._kept = {0: first}
        self._next = 0
        """The chunk that is taken next."""
        self._wrong: DealError | None = None
        self._changed = asyncio.Condition()

    async def put(self, corrections: Corrections) -> None:
        """Keep a chunk's corrections; one that was taken already is harmless.

        Raises:
            DealError: they are not those of the dealer's record.
            UnavailableError: this node is not so far yet.
        """
        chunk = corrections.chunk
        if chunk >= len(self._hashes) or chunk_hash(corrections.data) != self._hashes[chunk]:
            wrong = DealError(f"corrections of chunk {chunk}: expected those of the record, got others")
            async with self._changed:
                self._wrong = wrong
                self._changed.notify_all()
            raise wrong
        async with self._changed:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._changed.wait_for(lambda: chunk < self._next + AHEAD_MAX)
            except TimeoutError as error:
                raise UnavailableError(f"corrections of chunk {chunk}: this node is at {self._next}") from error
            if chunk >= self._next:
                self._kept[chunk] = corrections.data
                self._changed.notify_all()

    async def take(self, chunk: int) -> bytes:
        """Wait for a chunk's corrections; chunks are taken in order, each once.

        Raises:
            DealError: the dealer sent others than it recorded.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: chunk in self._kept or self._wrong is not None)
            if self._wrong is not None:
                raise DealError(str(self._wrong))
            self._next = chunk + 1
            self._changed.notify_all()
            return self._kept.pop(chunk)


@dataclass(slots=True, kw_only=True)
class Rounds:
    """One node's part of a session, ready to run once."""

    batch: Batch
    session: SessionId
    committee: tuple[MemberIndex, ...]
    rank: Rank
    rows: Iterator[Sequence[bytes | None]] = field(repr=False)
    """This node's share of every chunk's rows, in panel order."""
    seed: bytes = field(repr=False)
    corrections: CorrectionsInbox | None
    """For the last node."""
    latest: dict[MemberIndex, int] = field(default_factory=dict)
    """Last frame of each other node: who is behind when time is over."""

    async def run(self, channel: RoundsChannel) -> Finished:
        """Run all rounds; return this node's output share of all subjects and the transcript's hash.

        Raises:
            RoundError: a member sent what no honest node sends.
            PeerLostError: a member's stream broke.
            ShareError, SealedBoxError: the rows are not what was committed to.
            DealError: the deal does not fit what runs.
        """
        self.latest = dict.fromkeys((member for member in self.committee if member != self.committee[self.rank]), 0)
        node = ChunkedSession(self.batch, self.session, self.rank)
        expander = Expander(self.batch, self.session, self.rank, self.seed)
        outputs: list[bytes] = []
        while True:
            while (chunk := node.next_chunk) is not None:
                given = None if self.corrections is None else await self.corrections.take(chunk)
                steps = await self._work(self._begin, node, expander, chunk, given)
                if (ended := _follow(steps, channel, outputs)) is not None:
                    return Finished(b"".join(outputs), ended.transcript)
            member, number, data = await channel.receive()
            self.latest[member] = max(self.latest[member], number)
            chunk, round_number = split_frame_number(number)
            rank = Rank(self.committee.index(member))
            try:
                steps = await self._work(node.receive, rank, chunk, round_number, data)
            except SessionError as error:
                raise RoundError(member, error) from error
            if (ended := _follow(steps, channel, outputs)) is not None:
                return Finished(b"".join(outputs), ended.transcript)

    def _begin(
        self, node: ChunkedSession, expander: Expander, chunk: int, corrections: bytes | None
    ) -> tuple[Step, ...]:
        return node.begin(chunk, next(self.rows), expander.expand(chunk, corrections))

    async def _work(self, work: Callable[..., T], *args: object) -> T:
        if self.batch.subjects <= _INLINE_SUBJECTS:
            return work(*args)
        return await asyncio.to_thread(work, *args)


def _follow(steps: Sequence[Step], channel: RoundsChannel, outputs: list[bytes]) -> Ended | None:
    """Send payloads, keep outputs; return the end when it comes."""
    for step in steps:
        match step:
            case Payload():
                channel.broadcast(frame_number(step.chunk, step.round), step.data)
            case ChunkOutput():
                outputs.append(step.share)
            case Ended():
                return step
    return None
