"""What waits for the task that owns the consensus core: own events first, then peers in turn, each in its own lane.

A peer that sends more than is taken fills only its lane; then its reader waits, and with it the peer's stream.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from ledger.consensus import Event, MessageReceived
from ledger.encoding import MESSAGE_BYTES_MAX
from ledger.types import ReplicaId

LANE_BYTES_MAX = 2 * MESSAGE_BYTES_MAX
"""Bytes of one peer that wait."""

LANE_ITEMS_MAX = 1_024
"""Messages of one peer that wait."""

_TURN = 32


@dataclass(slots=True)
class _Lane:
    waiting: deque[tuple[MessageReceived, int]] = field(default_factory=deque)
    size: int = 0
    room: asyncio.Event = field(default_factory=asyncio.Event)

    def is_full(self) -> bool:
        return self.size > LANE_BYTES_MAX or len(self.waiting) >= LANE_ITEMS_MAX


class Inflow:
    """Events for the owner, of one event loop."""

    def __init__(self) -> None:
        self._own: deque[Event | Exception] = deque()
        self._lanes: dict[ReplicaId, _Lane] = {}
        self._wake = asyncio.Event()

    def post(self, event: Event | Exception) -> None:
        """Add an own event; an exception will be raised to the owner."""
        self._own.append(event)
        self._wake.set()

    async def put(self, event: MessageReceived, size: int) -> None:
        """Add a peer's message of so many bytes, when its lane has room."""
        lane = self._lanes.setdefault(event.sender, _Lane())
        while lane.is_full():
            lane.room.clear()
            await lane.room.wait()
        lane.waiting.append((event, size))
        lane.size += size
        self._wake.set()

    async def take(self) -> list[Event]:
        """Wait for events and return all own and some of each peer.

        Raises:
            Exception: one that was posted.
        """
        await self._wake.wait()
        events: list[Event] = []
        while self._own:
            event = self._own.popleft()
            if isinstance(event, Exception):
                raise event
            events.append(event)
        left = False
        for lane in self._lanes.values():
            for _ in range(min(_TURN, len(lane.waiting))):
                message, size = lane.waiting.popleft()
                lane.size -= size
                events.append(message)
            lane.room.set()
            left = left or bool(lane.waiting)
        if not left:
            self._wake.clear()
        return events
