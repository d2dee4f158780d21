"""After a transcript that no honest session has: ask the nodes for what they received, and see who sent it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import structlog

from mpcnode.errors import NotAllowedError, WrongSignatureError
from mpcnode.query.frames import Shown, SignedCorrections, SignedFrame, check_corrections, check_frame, decode_shown
from mpcnode.query.messages import Kind, Recall, encode_recall
from mpcnode.query.view import QueryView
from mpcnode.roles.context import Context, deliver
from mpcnode.roles.inbox import Inbox
from mpcnode.types import MemberIndex, SessionId

_log = structlog.get_logger(__name__)


class Tracer:
    """Gathers what the nodes of a session received. Owned by the event loop's thread."""

    def __init__(self, context: Context) -> None:
        """Take the role's context."""
        self._context = context
        self._asked: set[bytes] = set()
        self._shown: Inbox[Shown] = Inbox()

    async def on_frames(self, sender: MemberIndex, payload: bytes) -> None:
        """Take what a node shows of a session that was asked for."""
        shown = decode_shown(payload)
        name = _name(shown.session, shown.first)
        if name not in self._asked:
            raise NotAllowedError("frames: expected those of a session that was asked for, got others")
        self._shown.put(sender, name, shown)

    async def gather(
        self,
        view: QueryView,
        session: SessionId,
        first: int,
        asked: Sequence[MemberIndex],
        patience_ms: int | None = None,
    ) -> Mapping[MemberIndex, Shown]:
        """Ask nodes for what they received in a session from a chunk on; return what proves something, by receiver.

        A node that does not answer in time is left out: that it does not is no proof of anything.

        Args:
            view: the query.
            session: which of its sessions.
            first: the chunk.
            asked: whom to ask.
            patience_ms: how long to wait; as long as for the preparation of a session if not given.
        """
        patience = self._context.timing.preparation if patience_ms is None else patience_ms
        context, name = self._context, _name(session, first)
        shown: dict[MemberIndex, Shown] = {}

        async def ask(member: MemberIndex) -> None:
            recall = encode_recall(Recall(session=session, first=first))
            await deliver(context, view.query, member, Kind.RECALL, recall)
            claimed = await self._shown.take(member, name)
            # thousands of signatures, if the node likes
            shown[member] = await context.worker.run(partial(self._proven, view, session, member, claimed))

        self._asked.add(name)
        try:
            async with asyncio.timeout(patience / 1000), asyncio.TaskGroup() as group:
                for member in asked:
                    group.create_task(ask(member))
        except TimeoutError:
            missing = [member for member in asked if member not in shown]
            _log.warning("trace.incomplete", query=view.query.hex(), members=missing, chunk=first)
        finally:
            self._asked.discard(name)
            self._shown.forget(name)
        return shown

    def _proven(self, view: QueryView, session: SessionId, receiver: MemberIndex, shown: Shown) -> Shown:
        return replace(
            shown,
            corrections=tuple(dealt for dealt in shown.corrections if self._is_dealt(view, session, receiver, dealt)),
            frames=tuple(frame for frame in shown.frames if self._is_sent(view, session, receiver, frame)),
        )

    def _is_dealt(self, view: QueryView, session: SessionId, receiver: MemberIndex, dealt: SignedCorrections) -> bool:
        dealer = self._context.members[self._context.dealer]
        try:
            check_corrections(dealt, self._context.chain, session, dealer.index, dealer.identity)
        except WrongSignatureError as error:
            _log.warning("trace.unproven", query=view.query.hex(), member=receiver, reason=str(error))
            return False
        return True

    def _is_sent(self, view: QueryView, session: SessionId, receiver: MemberIndex, frame: SignedFrame) -> bool:
        if frame.sender not in view.committee:
            return False
        try:
            check_frame(frame, self._context.chain, session, receiver, self._context.members[frame.sender].identity)
        except WrongSignatureError as error:
            _log.warning("trace.unproven", query=view.query.hex(), member=receiver, reason=str(error))
            return False
        return True


def _name(session: SessionId, first: int) -> bytes:
    return session + first.to_bytes(4, "big")
