"""The deals of running sessions, and what their last nodes ask of them."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from mpcnode.errors import NotAllowedError
from mpcnode.roles.context import Context
from mpcnode.roles.dealing import Dealt
from mpcnode.roles.ports import DealtCorrections
from mpcnode.types import SUBJECTS_MAX, MemberIndex, SessionId

ASKED_MAX = 8
"""How often the last node may ask for a chunk: once, and again after each stream that broke."""


@dataclass(slots=True)
class _Running:
    """A session that is dealt to."""

    dealt: Dealt
    asked: Counter[int] = field(default_factory=Counter)
    passed: int = 0
    """Chunks whose rows have passed their check: those below."""


class Deals:
    """`ports.CorrectionsDealer`. Owned by the event loop's thread."""

    def __init__(self, context: Context) -> None:
        """Take the role's context."""
        self._context = context
        self._running: dict[SessionId, _Running] = {}
        self._waiting: dict[SessionId, set[asyncio.Event]] = {}

    @contextmanager
    def running(self, dealt: Dealt) -> Iterator[Callable[[int], None]]:
        """Serve a session's last node while the block runs.

        Yields:
            What is to be told how many chunks' rows have passed their check: no other chunk is dealt.
        """
        running = self._running[dealt.session] = _Running(dealt)

        def passed(chunks: int) -> None:
            running.passed = chunks
            self._wake(dealt.session)

        try:
            yield passed
        finally:
            del self._running[dealt.session]
            self._wake(dealt.session)

    async def ready(self, session: SessionId, chunk: int) -> bool:
        """Wait until a chunk can be dealt, as long as nodes wait; False if it cannot be by then, or ever.

        A node asks as soon as the ledger shows it the session: this daemon may see it, or finish its checks, later.
        """
        moved = asyncio.Event()
        waiters = self._waiting.setdefault(session, set())
        waiters.add(moved)
        was_running = False
        try:
            async with asyncio.timeout(self._context.timing.of(SUBJECTS_MAX).preparation / 1000):
                while True:
                    running = self._running.get(session)
                    if running is not None and not running.passed <= chunk < running.dealt.batch.chunks:
                        return True  # also for a chunk that there is not: `corrections` says so
                    if running is None and was_running:
                        return False
                    was_running = running is not None
                    moved.clear()
                    await moved.wait()
        except TimeoutError:
            return False
        finally:
            waiters.discard(moved)
            if not waiters:
                self._waiting.pop(session, None)

    def _wake(self, session: SessionId) -> None:
        for waiter in self._waiting.get(session, ()):
            waiter.set()

    async def corrections(self, node: MemberIndex, session: SessionId, chunk: int) -> DealtCorrections | None:
        """Deal one chunk to a session's last node, at once; None if it is not dealt now.

        Raises:
            NotAllowedError: it is not that session's last node, has no such chunk, or has asked too often.
        """
        running = self._running.get(session)
        if running is None:
            return None
        dealt = running.dealt
        where = f"corrections of session {session.hex()}, chunk {chunk}"
        if node != dealt.committee[-1]:
            raise NotAllowedError(f"{where}: expected its last node, member {dealt.committee[-1]}, got member {node}")
        if chunk >= dealt.batch.chunks:
            raise NotAllowedError(f"{where}: expected one of {dealt.batch.chunks} chunks, got another")
        if chunk >= running.passed:
            return None
        running.asked[chunk] += 1
        if running.asked[chunk] > ASKED_MAX:
            raise NotAllowedError(f"{where}: expected to be asked {ASKED_MAX} times at most, got one more")
        return await self._context.worker.run(partial(dealt.corrections, chunk, self._context.identity))
