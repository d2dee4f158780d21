"""After a transcript that no honest session has: ask the nodes for what they received, and see who sent it."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from mpcnode.errors import NotAllowedError, WrongSignatureError
from mpcnode.query.frames import SignedFrame, check_frame, decode_frames
from mpcnode.query.messages import Kind, encode_recall
from mpcnode.query.view import QueryView
from mpcnode.roles.context import Context, deliver
from mpcnode.roles.inbox import Inbox
from mpcnode.types import MemberIndex, SessionId

_log = structlog.get_logger(__name__)


class Tracer:
    """Gathers the frames of one session at a time from its nodes. Owned by the event loop's thread."""

    def __init__(self, context: Context) -> None:
        """Take the role's context."""
        self._context = context
        self._asked: set[SessionId] = set()
        self._frames: Inbox[tuple[SignedFrame, ...]] = Inbox()

    async def on_frames(self, sender: MemberIndex, payload: bytes) -> None:
        """Take what a node shows of a session that was asked for."""
        session, frames = decode_frames(payload)
        if session not in self._asked:
            raise NotAllowedError("frames: expected those of a session that was asked for, got others")
        self._frames.put(sender, session, frames)

    async def gather(self, view: QueryView, session: SessionId) -> Mapping[MemberIndex, Sequence[SignedFrame]]:
        """Ask the committee for the frames of a session; return those that prove something, by receiver.

        A node that does not answer in time is left out: that it does not is no proof of anything.
        """
        context = self._context
        shown: dict[MemberIndex, Sequence[SignedFrame]] = {}

        async def ask(member: MemberIndex) -> None:
            await deliver(context, view.query, member, Kind.RECALL, encode_recall(session))
            shown[member] = self._proven(view, session, member, await self._frames.take(member, session))

        self._asked.add(session)
        try:
            async with asyncio.timeout(context.timing.preparation / 1000), asyncio.TaskGroup() as group:
                for member in view.committee:
                    group.create_task(ask(member))
        except TimeoutError:
            missing = [member for member in view.committee if member not in shown]
            _log.warning("trace.incomplete", query=view.query.hex(), members=missing)
        finally:
            self._asked.discard(session)
            self._frames.forget(session)
        return shown

    def _proven(
        self, view: QueryView, session: SessionId, receiver: MemberIndex, frames: Sequence[SignedFrame]
    ) -> Sequence[SignedFrame]:
        return [frame for frame in frames if self._is_proven(view, session, receiver, frame)]

    def _is_proven(self, view: QueryView, session: SessionId, receiver: MemberIndex, frame: SignedFrame) -> bool:
        if frame.sender not in view.committee:
            return False
        try:
            check_frame(frame, self._context.chain, session, receiver, self._context.members[frame.sender].identity)
        except WrongSignatureError as error:
            _log.warning("trace.unproven", query=view.query.hex(), member=receiver, reason=str(error))
            return False
        return True
