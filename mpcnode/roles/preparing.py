"""Correlations made by a committee: the conversations of `mpcnode.mpc.providers` over frames.

Those of a session run after everybody has accepted and the session was journalled, on frames of a name of their own:
these are no part of the session's transcript, and no evidence. Whatever goes wrong ends the attempt, and the next one
makes all anew from new randomness.
"""

import asyncio
import hashlib
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from mpcnode.errors import PeerDeviatedError, PeerLostError
from mpcnode.mpc.joint import Talk
from mpcnode.query.view import QueryView
from mpcnode.roles.context import Context
from mpcnode.roles.failures import AttemptFailedError
from mpcnode.roles.ports import RoundsChannel
from mpcnode.types import AuditMode, CorrelationSource, FailReason, MemberIndex, Rank, SessionId

T = TypeVar("T")

PIECE_BYTES = 256 * 1024
"""Of a message in one frame: no frame may fill a flush."""

MESSAGE_BYTES_MAX = 32 * 1024 * 1024
"""Longer messages are refused; an honest one of any source takes 5 MB."""

PATIENCE_MS: Mapping[CorrelationSource, int] = {CorrelationSource.OT: 60_000, CorrelationSource.PAILLIER: 1_800_000}
"""How long a committee may set up, and how long it may make the correlations of one chunk."""


def preparation_name(session: SessionId) -> SessionId:
    """Name of the frames in which a session's correlations are made."""
    return SessionId(hashlib.blake2b(session, digest_size=32, person=b"mpcnode-prepare").digest())


class SilentPeersError(Exception):
    """Some nodes sent no message of a round in time."""

    def __init__(self, members: Sequence[MemberIndex]) -> None:
        super().__init__(f"no word from members {members}")
        self.members = tuple(members)


@dataclass(frozen=True, slots=True)
class _Ended(Generic[T]):
    result: T


class Preparation:
    """One node's part in making a session's correlations."""

    def __init__(self, channel: RoundsChannel, committee: Sequence[MemberIndex], rank: Rank) -> None:
        """Take frames of the preparation's name, the committee in rank order, and this node's place in it."""
        self._channel = channel
        self._committee = tuple(committee)
        self._rank = rank
        self._sent: defaultdict[MemberIndex, int] = defaultdict(int)
        self._arrived: defaultdict[MemberIndex, int] = defaultdict(int)
        self._partial: defaultdict[MemberIndex, bytearray] = defaultdict(bytearray)
        self._whole: defaultdict[MemberIndex, deque[bytes]] = defaultdict(deque)

    async def hold(self, talk: Talk[T], by: float) -> T:
        """Hold a conversation with the rest of the committee; several may follow each other.

        Raises:
            SilentPeersError: other nodes did not send in time.
            PeerDeviatedError: another node sent what no honest one does; has its rank.
            Exception: what the conversation raises.
        """
        step = await asyncio.to_thread(_next, talk, None)
        while not isinstance(step, _Ended):
            for rank, message in step.items():
                self._send(self._committee[rank], message)
            step = await asyncio.to_thread(_next, talk, await self._gather(by))
        return step.result

    async def was_begun_by(self, members: Iterable[MemberIndex]) -> bool:
        """Whether one of these has sent something already; nothing is made here after that."""
        waiting, spoke = set(members), False
        try:
            async with asyncio.timeout(0):
                while not spoke:
                    spoke = (await self._channel.receive())[0] in waiting
        except (TimeoutError, PeerLostError):
            pass
        return spoke

    def _send(self, member: MemberIndex, message: bytes) -> None:
        """Send a message in pieces, of which the last is shorter than the others, or empty."""
        for start in range(0, len(message) + 1, PIECE_BYTES):
            self._sent[member] += 1
            self._channel.send(member, 0, self._sent[member], message[start : start + PIECE_BYTES])

    async def _gather(self, by: float) -> dict[Rank, bytes]:
        """Wait for the next message of every other node."""
        others = [member for member in self._committee if member != self._committee[self._rank]]
        try:
            async with asyncio.timeout_at(by):
                while not all(self._whole[member] for member in others):
                    self._take(*await self._channel.receive())
        except TimeoutError as error:
            raise SilentPeersError([member for member in others if not self._whole[member]]) from error
        return {Rank(self._committee.index(member)): self._whole[member].popleft() for member in others}

    def _take(self, member: MemberIndex, chunk: int, number: int, piece: bytes) -> None:
        self._arrived[member] += 1
        if chunk or number != self._arrived[member] or len(piece) > PIECE_BYTES:
            raise self._deviated(
                member,
                f"expected piece {self._arrived[member]} of up to {PIECE_BYTES} bytes, "
                f"got piece {number} of {len(piece)} of chunk {chunk}",
            )
        message = self._partial[member]
        message += piece
        if len(message) > MESSAGE_BYTES_MAX or len(self._whole[member]) > 1:
            raise self._deviated(member, f"expected one message a round of up to {MESSAGE_BYTES_MAX} bytes, got more")
        if len(piece) < PIECE_BYTES:
            self._whole[member].append(bytes(self._partial.pop(member)))

    def _deviated(self, member: MemberIndex, how: str) -> PeerDeviatedError:
        return PeerDeviatedError(f"member {member}: {how}", Rank(self._committee.index(member)))


@asynccontextmanager
async def open_preparation(context: Context, view: QueryView, session: SessionId) -> AsyncIterator[Preparation | None]:
    """Open the frames in which the committee of a query makes correlations; None if a dealer deals them.

    Raises:
        AttemptFailedError: it is a query that needs a dealer, to release its mask.
    """
    if not context.correlations.is_joint:
        yield None
        return
    if view.mode is AuditMode.BEFORE_RELEASE:
        why = "audit before release: expected correlations that a dealer deals, who alone can release the mask"
        raise AttemptFailedError(FailReason.ABORT, why)
    others = [member for member in view.committee if member != context.me.index]
    async with context.peers.rounds(preparation_name(session), others) as channel:
        yield Preparation(channel, view.committee, Rank(view.committee.index(context.me.index)))


def _next(talk: Talk[T], received: Mapping[Rank, bytes] | None) -> Mapping[Rank, bytes] | _Ended[T]:
    """Go on with a conversation, in a worker thread, out of which no generator's end can be raised."""
    try:
        return next(talk) if received is None else talk.send(received)
    except StopIteration as stop:
        return _Ended(stop.value)
