"""What the long-lived streams between members have in common: how they end, and that a peer has one of a kind."""

import asyncio
from collections.abc import Coroutine

import grpc

from mpcnode.tasks import AbandonedError, first_of
from mpcnode.types import MemberIndex


class StreamEndedError(Exception):
    """The other side closed the stream."""


LOST = (
    StreamEndedError,
    AbandonedError,
    grpc.aio.AioRpcError,
    grpc.aio.BaseError,
    asyncio.InvalidStateError,  # a write to a call that has just ended
)
"""How a stream ends through its peer or the network; nothing of it may end the daemon."""


class NewestStreams:
    """At most one stream of each peer: another that it opens ends the one before. Owned by the event loop's thread."""

    def __init__(self) -> None:
        self._ends: dict[MemberIndex, asyncio.Event] = {}
        """What ends a peer's present stream."""

    def close(self) -> None:
        """End all streams."""
        for end in self._ends.values():
            end.set()

    async def run(self, peer: MemberIndex, serving: Coroutine[object, object, None]) -> None:
        """Serve a stream that a peer opened, until it ends or the peer opens another."""
        if (before := self._ends.get(peer)) is not None:
            before.set()
        end = self._ends[peer] = asyncio.Event()
        try:
            await first_of(serving, _wait(end))
        finally:
            if self._ends[peer] is end:
                del self._ends[peer]


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
