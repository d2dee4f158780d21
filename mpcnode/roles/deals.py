"""The deals of running sessions, and what their last nodes ask of them."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from mpcnode.errors import NotAllowedError
from mpcnode.roles.context import Context
from mpcnode.roles.dealing import Dealt
from mpcnode.roles.ports import DealtCorrections
from mpcnode.types import SUBJECTS_MAX, MemberIndex, SessionId

ASKED_MAX = 8
"""How often the last node may ask for a chunk: once, and again after each stream that broke."""


class Deals:
    """`ports.CorrectionsDealer`. Owned by the event loop's thread."""

    def __init__(self, context: Context) -> None:
        """Take the role's context."""
        self._context = context
        self._dealt: dict[SessionId, Dealt] = {}
        self._asked: dict[SessionId, Counter[int]] = {}
        self._waiting: dict[SessionId, set[asyncio.Future[None]]] = {}

    @contextmanager
    def running(self, dealt: Dealt) -> Iterator[None]:
        """Serve a session's last node while the block runs."""
        session = dealt.session
        self._dealt[session], self._asked[session] = dealt, Counter()
        for waiter in self._waiting.get(session, ()):
            if not waiter.done():
                waiter.set_result(None)
        try:
            yield
        finally:
            del self._dealt[session], self._asked[session]

    async def ready(self, session: SessionId) -> bool:
        """Wait until a session is dealt to, as long as its nodes do; False if it is not by then.

        A node asks as soon as the ledger shows it the session: this daemon may see it, or finish its checks, later.
        """
        return session in self._dealt or await self._wait(session)

    async def corrections(self, node: MemberIndex, session: SessionId, chunk: int) -> DealtCorrections | None:
        """Deal one chunk to a session's last node, at once; None if that session is not dealt to, or no more.

        Raises:
            NotAllowedError: it is not that session's last node, has no such chunk, or has asked too often.
        """
        dealt = self._dealt.get(session)
        if dealt is None:
            return None
        where = f"corrections of session {session.hex()}, chunk {chunk}"
        if node != dealt.committee[-1]:
            raise NotAllowedError(f"{where}: expected its last node, member {dealt.committee[-1]}, got member {node}")
        if chunk >= dealt.batch.chunks:
            raise NotAllowedError(f"{where}: expected one of {dealt.batch.chunks} chunks, got another")
        asked = self._asked[session]
        asked[chunk] += 1
        if asked[chunk] > ASKED_MAX:
            raise NotAllowedError(f"{where}: expected to be asked {ASKED_MAX} times at most, got one more")
        return await self._context.worker.run(partial(dealt.corrections, chunk, self._context.identity))

    async def _wait(self, session: SessionId) -> bool:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault(session, set())
        waiters.add(waiter)
        try:
            async with asyncio.timeout(self._context.timing.of(SUBJECTS_MAX).preparation / 1000):
                await waiter
        except TimeoutError:
            return False
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiting.pop(session, None)
        return True
