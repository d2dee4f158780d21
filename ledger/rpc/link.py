"""One open stream with a peer: a bounded queue, a writer that merges what waits, a reader of its own.

Both sides must read while they write: HTTP/2 flow control would lock up two writers that do not.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from ledger.encoding import MESSAGE_BYTES_MAX
from ledger.errors import DecodeError
from ledger.ports import Inbox
from ledger.types import ReplicaId

ITEMS_MAX = 1_024
"""Items in one gRPC message."""

QUEUE_BYTES_MAX = 4 * 1024 * 1024
"""Bytes that wait for a peer; more is dropped, for everything that matters is sent again."""

_ITEM_OVERHEAD_BYTES = 8

Read = Callable[[], Awaitable[Sequence[bytes] | None]]
"""The next message's items; None at the end."""

Write = Callable[[list[bytes]], Awaitable[None]]


class LinkEnded(Exception):  # noqa: N818 - an end is no error
    """The peer, or this side, closed the stream."""


class Link:
    """A stream from when it is open until it ends."""

    def __init__(self, peer: ReplicaId) -> None:
        self.peer = peer
        self.dropped = 0
        """Items that found the queue full."""
        self._queue: deque[bytes] = deque()
        self._size = 0
        self._wake = asyncio.Event()
        self._over = asyncio.Event()
        self._reason: Exception | None = None
        """What ended the stream first."""

    def put(self, items: Sequence[bytes]) -> None:
        """Queue items; those that do not fit are dropped."""
        for item in items:
            size = len(item) + _ITEM_OVERHEAD_BYTES
            if self._size + size > QUEUE_BYTES_MAX:
                self.dropped += 1
                continue
            self._queue.append(item)
            self._size += size
        self._wake.set()

    def close(self) -> None:
        """End the stream from this side, also while the peer takes nothing."""
        self._over.set()

    async def run(self, read: Read, write: Write, inbox: Inbox) -> None:
        """Carry items both ways until the stream ends.

        Raises:
            DecodeError: the peer sent what is no item.
        """
        async with asyncio.TaskGroup() as tasks:
            both = [
                tasks.create_task(self._until_end(lambda: self._read(read, inbox))),
                tasks.create_task(self._until_end(lambda: self._write(write))),
            ]
            await self._over.wait()
            for task in both:
                task.cancel()
        reason, self._reason = self._reason, None
        try:
            if reason is not None and not isinstance(reason, LinkEnded):
                raise reason
        finally:
            del reason  # its traceback holds the message; a cycle would keep megabytes until it is searched for

    async def _until_end(self, work: Callable[[], Awaitable[None]]) -> None:
        """Note how it ends instead of failing: a task group that fails while it is cancelled forgets the latter."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - `run` raises it
            self._reason = self._reason or error
        finally:
            self._over.set()

    async def _read(self, read: Read, inbox: Inbox) -> None:
        while True:
            items = await read()
            if items is None:
                raise LinkEnded
            size = sum(map(len, items))
            if len(items) > ITEMS_MAX or size > MESSAGE_BYTES_MAX:
                raise DecodeError(
                    f"message: expected at most {ITEMS_MAX} items of {MESSAGE_BYTES_MAX} bytes together, "
                    f"got {len(items)} of {size}"
                )
            await inbox.receive(self.peer, items)

    async def _write(self, write: Write) -> None:
        while True:
            await self._wake.wait()
            batch = self._take()
            if batch:
                await write(batch)

    def _take(self) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        while self._queue and len(batch) < ITEMS_MAX:
            size += len(self._queue[0]) + _ITEM_OVERHEAD_BYTES
            if batch and size > MESSAGE_BYTES_MAX:
                break
            item = self._queue.popleft()
            self._size -= len(item) + _ITEM_OVERHEAD_BYTES
            batch.append(item)
        if not self._queue:
            self._wake.clear()
        return batch
