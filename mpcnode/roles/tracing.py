"""After a transcript that no honest session has: ask the nodes for what they received, and see who sent it."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import structlog

from ledger.types import Digest
from mpcnode.errors import NotAllowedError, WrongSignatureError
from mpcnode.mpc import Batch
from mpcnode.query.frames import (
    SHOWN_CHUNKS,
    Shown,
    SignedCorrections,
    SignedFrame,
    check_corrections,
    check_frame,
    decode_shown,
)
from mpcnode.query.messages import Kind, Recall, encode_recall
from mpcnode.query.view import QueryView
from mpcnode.roles.context import Context, deliver
from mpcnode.roles.inbox import Inbox
from mpcnode.types import MemberIndex, SessionId

_log = structlog.get_logger(__name__)

_NAME_BYTES = 32 + 4
"""Session and first chunk, with which what is shown begins."""

_HASHES_MAX = 2
"""Different frames of one place that prove something."""


class Tracer:
    """Gathers what the nodes of a session received. Owned by the event loop's thread."""

    def __init__(self, context: Context) -> None:
        """Take the role's context."""
        self._context = context
        self._asked: dict[bytes, dict[MemberIndex, bool]] = {}
        """By session and first chunk: who was asked, and whether it has answered."""
        self._shown: Inbox[Shown] = Inbox()

    async def on_frames(self, sender: MemberIndex, payload: bytes) -> None:
        """Take what a node shows of a session that it was asked for, once: reading it takes long, if the node likes."""
        name = payload[:_NAME_BYTES]
        asked = self._asked.get(name, {})
        if sender not in asked:
            raise NotAllowedError("frames: expected those of a session that was asked for, got others")
        if not asked[sender]:
            asked[sender] = True
            self._shown.put(sender, name, decode_shown(payload))

    async def gather(
        self,
        view: QueryView,
        session: SessionId,
        first: int,
        asked: Sequence[MemberIndex],
        *,
        batch: Batch,
        patience_ms: int | None = None,
    ) -> Mapping[MemberIndex, Shown]:
        """Ask nodes for what they received in a session from a chunk on; return what proves something, by receiver.

        A node that does not answer in time is left out: that it does not is no proof of anything.

        Args:
            view: the query.
            session: which of its sessions.
            first: the chunk.
            asked: whom to ask.
            batch: what the session computes.
            patience_ms: how long to wait; as long as for the preparation of a session if not given.
        """
        patience = self._context.timing.preparation if patience_ms is None else patience_ms
        context, name = self._context, _name(session, first)
        claimed: dict[MemberIndex, Shown] = {}

        async def ask(member: MemberIndex) -> None:
            recall = encode_recall(Recall(session=session, first=first))
            await deliver(context, view.query, member, Kind.RECALL, recall)
            claimed[member] = await self._shown.take(member, name)

        self._asked[name] = dict.fromkeys(asked, False)
        try:
            async with asyncio.timeout(patience / 1000), asyncio.TaskGroup() as group:
                for member in asked:
                    group.create_task(ask(member))
        except TimeoutError:
            missing = [member for member in asked if member not in claimed]
            _log.warning("trace.incomplete", query=view.query.hex(), members=missing, chunk=first)
        finally:
            del self._asked[name]
            self._shown.forget(name)
        # thousands of signatures, if the nodes like; so nobody's word is late because of another's
        return {
            member: await context.worker.run(partial(self._proven, view, batch, member, shown))
            for member, shown in claimed.items()
        }

    def _proven(self, view: QueryView, batch: Batch, receiver: MemberIndex, shown: Shown) -> Shown:
        dealt, sent = shown.corrections, _plausible(view, batch, receiver, shown)
        proven = replace(
            shown,
            corrections=tuple(one for one in dealt if self._is_dealt(shown.session, one)),
            frames=tuple(frame for frame in sent if self._is_sent(shown.session, receiver, frame)),
        )
        unproven = len(dealt) + len(shown.frames) - len(proven.corrections) - len(proven.frames)
        if unproven:
            _log.warning("trace.unproven", query=view.query.hex(), member=receiver, number=unproven)
        return proven

    def _is_dealt(self, session: SessionId, dealt: SignedCorrections) -> bool:
        dealer = self._context.members[self._context.dealer]
        try:
            check_corrections(dealt, self._context.chain, session, dealer.index, dealer.identity)
        except WrongSignatureError:
            return False
        return True

    def _is_sent(self, session: SessionId, receiver: MemberIndex, frame: SignedFrame) -> bool:
        try:
            check_frame(frame, self._context.chain, session, receiver, self._context.members[frame.sender].identity)
        except WrongSignatureError:
            return False
        return True


def _plausible(view: QueryView, batch: Batch, receiver: MemberIndex, shown: Shown) -> Iterator[SignedFrame]:
    """Frames that an honest node can have received: of one place one, and one more, which ended its session."""
    senders = set(view.committee) - {receiver}
    chunks = range(shown.first, min(shown.first + SHOWN_CHUNKS, batch.chunks))
    rounds = range(1, len(batch.whole.round_bytes) + 1)
    places: defaultdict[tuple[MemberIndex, int, int], set[Digest]] = defaultdict(set)
    for frame in shown.frames:
        if frame.sender in senders and frame.chunk in chunks and frame.round in rounds:
            hashes = places[frame.sender, frame.chunk, frame.round]
            if len(hashes) < _HASHES_MAX and frame.data_hash not in hashes:
                hashes.add(frame.data_hash)
                yield frame


def _name(session: SessionId, first: int) -> bytes:
    return session + first.to_bytes(4, "big")
