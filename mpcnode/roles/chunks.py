"""One node's run of a session, chunk by chunk: rows and corrections in, frames out and in, outputs on to a sink.

Two things go on side by side: chunks begin as the window has room, and frames of all running chunks are taken. Both
advance one state machine, in turn. What is held does not grow with the number of chunks.
"""

import asyncio
import itertools
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from ledger.types import Digest
from mpcnode.errors import SessionError
from mpcnode.mpc import Batch, ChunkedSession, ChunkOutput, Ended, Expander, Material, Payload, Step
from mpcnode.roles.context import Context
from mpcnode.roles.evidence import Evidence, keeps_data
from mpcnode.roles.failures import AttemptFailedError
from mpcnode.roles.worker import at_once
from mpcnode.tasks import first_of
from mpcnode.types import FailReason, MemberIndex, Rank, SessionId

INLINE_BYTES_MAX = 32 * 1024
"""Payloads of a chunk's rounds, all together, up to which a chunk begins in well below 1 ms: some 100 subjects."""

INLINE_STEP_BYTES_MAX = 512 * 1024
"""The same, up to which a step of a chunk that runs takes about 1 ms at most: handing it over would take half of it."""


def begins_inline(batch: Batch) -> bool:
    """Whether chunks begin in the event loop, not in the worker thread."""
    return sum(batch.whole.round_bytes) <= INLINE_BYTES_MAX


class ShareRows(Protocol):
    """This node's shares of the rows of one session."""

    def rows(self, chunk: int) -> Sequence[bytes | None]:
        """Return its share of each row of a chunk, in panel order; None for who did not contribute.

        Called for each chunk once, in ascending order, in a worker thread if chunks are large: it may read a file.

        Raises:
            ShareError: there are no such rows.
        """


class RowStream:
    """This node's shares of the rows, as they come from seeds and blobs. Not for two threads at once."""

    def __init__(self, rows: Iterator[Sequence[bytes | None]]) -> None:
        """Take the shares of every chunk in order."""
        self._rows = rows
        self._ahead: deque[Sequence[bytes | None]] = deque()
        self._failure: AttemptFailedError | None = None

    def read_ahead(self, chunks: int) -> None:
        """Read the first chunks before they are asked for; what is wrong with them `rows` says."""
        try:
            self._ahead.extend(itertools.islice(self._rows, chunks))
        except AttemptFailedError as failure:
            self._failure = failure

    def rows(self, _chunk: int) -> Sequence[bytes | None]:
        """Return its share of each row of the next chunk."""
        if self._ahead:
            return self._ahead.popleft()
        if self._failure is not None:
            raise self._failure
        return next(self._rows)


class CorrectionsSource(Protocol):
    """Where the last node's corrections come from."""

    async def take(self, chunk: int) -> bytes:
        """Wait for a chunk's corrections; called for each chunk once, in ascending order.

        Raises:
            DealError: they are not what the dealer owes.
        """


class MaterialSource(Protocol):
    """Where correlations come from that the committee makes."""

    async def take(self, chunk: int) -> Material:
        """Wait for a chunk's material; called for each chunk once, in ascending order.

        Raises:
            AttemptFailedError: it cannot be made, or not in its own time; says because of whom.
        """


class OutputSink(Protocol):
    """Where this node's shares of the output go."""

    async def put(self, share: bytes) -> None:
        """Take the share of the next chunk, of its subjects in turn."""


@dataclass(slots=True)
class OutputInMemory:
    """A sink for few subjects."""

    share: bytes = b""

    async def put(self, share: bytes) -> None:
        """Add the share of the next chunk."""
        self.share += share


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a node runs: its place in a session."""

    batch: Batch
    session: SessionId
    rank: Rank
    others: Mapping[MemberIndex, Rank]
    """The rest of the committee."""
    dealer: MemberIndex
    seed: bytes
    """From the dealer; not used if the committee made the material."""
    rows: ShareRows
    corrections: CorrectionsSource | None
    """For the last node in rank order, if a dealer deals."""
    made: MaterialSource | None = None
    """None if a dealer deals."""


_Do = Callable[[Callable[[], tuple[Step, ...]]], Awaitable[tuple[Step, ...]]]


class ChunkedRun:
    """Runs a part, once."""

    def __init__(self, part: Part, evidence: Evidence, sink: OutputSink, context: Context, by: float) -> None:
        """Take the channel and what is kept of it, where outputs go, and until when by the loop's time.

        That is for the first chunk; each chunk that ends gives the next one time. Where the committee makes the
        correlations, each chunk that begins gives the chunks in work time, and making has a time of its own.
        """
        self._part = part
        self._channel = evidence.channel
        self._evidence = evidence
        self._sink = sink
        self._timing = context.timing
        self._session = ChunkedSession(part.batch, part.session, part.rank)
        self._material_of: Expander | MaterialSource
        self._material_of = part.made or Expander(part.batch, part.session, part.rank, part.seed)
        worker = context.worker.run
        self._keeps_data = part.made is not None and keeps_data(part.batch)
        self._do_begin: _Do = at_once if begins_inline(part.batch) else worker
        self._do_step: _Do = at_once if sum(part.batch.whole.round_bytes) <= INLINE_STEP_BYTES_MAX else worker
        self._turn = asyncio.Lock()
        self._moved = asyncio.Event()
        self._ended: asyncio.Future[Digest] = asyncio.get_running_loop().create_future()
        self._done = 0
        """Chunks whose output was given."""
        self._came: dict[int, dict[MemberIndex, set[int]]] = defaultdict(
            lambda: {member: set() for member in part.others}
        )
        """Rounds that everybody sent of a chunk, for chunks in work; one may come before another that is held back."""
        self._by = by
        self._limit = asyncio.timeout_at(by if part.made is None else None)

    async def run(self) -> tuple[Digest, float]:
        """Run all chunks.

        Returns:
            The transcript hash, and when the last chunk had to end.

        Raises:
            AttemptFailedError: a peer sent what no honest node sends, or nothing for too long.
            DealError: corrections are not what the dealer owes.
            SessionError: frames cannot be sent.
            PeerLostError: a peer's stream broke.
        """
        try:
            async with self._limit as limit:
                transcript = await first_of(self._exchange(), self._begin_chunks())
                return transcript, limit.when() or 0.0
        except TimeoutError as error:
            raise await self._too_late() from error

    async def _begin_chunks(self) -> Digest:
        """Begin every chunk in its turn, as soon as the window has room for it."""
        part = self._part
        for chunk in range(part.batch.chunks):
            while self._session.next_chunk != chunk:
                self._moved.clear()
                await self._moved.wait()
            material = await self._material(chunk)
            async with self._turn:
                if part.made is not None:
                    self._give_time(self._by)
                await self._follow(await self._do_begin(partial(self._begun, chunk, material)))
        return await self._ended

    async def _material(self, chunk: int) -> Callable[[], Material]:
        """Wait for what a chunk's material needs of others; return what gives it, in the thread that begins it."""
        if not isinstance(self._material_of, Expander):
            made = await self._material_of.take(chunk)
            return lambda: made
        source = self._part.corrections
        corrections = None if source is None else await self._taken(source, chunk)
        return partial(self._material_of.expand, chunk, corrections)

    def _give_time(self, at_least: float = 0.0) -> None:
        by = asyncio.get_running_loop().time() + self._timing.computation / 1000
        self._limit.reschedule(max(at_least, by))

    async def _taken(self, corrections: CorrectionsSource, chunk: int) -> bytes:
        """Wait for the dealer, a notice less than the others wait for this node: so it is heard before it is blamed."""
        patience = (self._timing.computation - self._timing.notice) / 1000
        try:
            async with asyncio.timeout(patience):
                return await corrections.take(chunk)
        except TimeoutError as error:
            why = f"chunk {chunk}: no corrections from member {self._part.dealer} in time"
            raise AttemptFailedError(FailReason.TIMEOUT, why, (self._part.dealer,)) from error

    def _begun(self, chunk: int, material: Callable[[], Material]) -> tuple[Step, ...]:
        return self._session.begin(chunk, self._part.rows.rows(chunk), material())

    async def _exchange(self) -> Digest:
        """Take frames until the last chunk has ended."""
        while not self._ended.done():
            member, chunk, number, data = await self._channel.receive()
            async with self._turn:
                try:
                    goes_on = self._session.take(self._part.others[member], chunk, number, data)
                except SessionError as error:
                    raise AttemptFailedError(FailReason.ABORT, f"member {member}: {error}", (member,)) from error
                if self._keeps_data:
                    self._evidence.data.append(data)
                self._came[chunk][member].add(number)
                if goes_on:
                    await self._follow(await self._do_step(partial(self._session.advance, chunk)))
        return self._ended.result()

    async def _follow(self, steps: Sequence[Step]) -> None:
        for step in steps:
            match step:
                case Payload():
                    self._channel.broadcast(step.chunk, step.round, step.data)
                case ChunkOutput():
                    await self._sink.put(step.share)
                    self._evidence.opened.append(step.rounds)
                    self._came.pop(step.chunk, None)
                    self._done = step.chunk + 1
                    self._moved.set()
                    if self._done == self._part.batch.chunks:
                        continue
                    if self._part.made is not None and not self._session.live:
                        self._limit.reschedule(None)
                    else:
                        self._give_time()
                case Ended():
                    self._ended.set_result(step.transcript)

    async def _too_late(self) -> AttemptFailedError:
        """Whom this node waited for in the oldest chunk in work."""
        latest = {member: _whole(rounds) for member, rounds in self._came[self._done].items()}
        behind = [member for member, number in latest.items() if number == min(latest.values())]
        # who is kept waiting for a round is waited for in the next one by all others: it says so a notice earlier
        notices = min(latest.values())
        if len(behind) == len(latest):
            # all of them may be waiting for this node, whose frames got lost: then they say so now
            notices += 2
        await asyncio.sleep(notices * self._timing.notice / 1000)
        why = f"rounds: no word from members {behind} after round {min(latest.values())} of chunk {self._done}"
        return AttemptFailedError(FailReason.TIMEOUT, why, behind)


def _whole(rounds: set[int]) -> int:
    """The round up to which nothing is missing."""
    return next(number for number in itertools.count() if number + 1 not in rounds)
