"""Where messages wait for the work that needs them: a peer may be ahead of the own replica by a block or two."""

import asyncio
from collections import OrderedDict
from typing import Generic, TypeVar

from mpcnode.errors import MalformedMessageError

V = TypeVar("V")

WAITING_MAX = 1024
"""Messages that may wait unclaimed; beyond it the oldest is forgotten (its sender's query then fails by time-out)."""


class Inbox(Generic[V]):
    """Values by key, each set once; whoever needs one waits for it. Owned by the event loop's thread."""

    def __init__(self, waiting_max: int = WAITING_MAX) -> None:
        self._waiting_max = waiting_max
        self._slots: OrderedDict[tuple[object, ...], asyncio.Future[V]] = OrderedDict()

    def put(self, key: tuple[object, ...], value: V) -> None:
        """Keep a value; an equal one again is harmless.

        Raises:
            MalformedMessageError: another value was kept under this key.
        """
        slot = self._slot(key)
        if not slot.done():
            slot.set_result(value)
        elif slot.result() != value:
            raise MalformedMessageError(f"expected what was sent before under {key[0]}, got something else")
        while len(self._slots) > self._waiting_max:
            _, forgotten = self._slots.popitem(last=False)
            forgotten.cancel()

    async def take(self, key: tuple[object, ...]) -> V:
        """Wait for the value under a key."""
        return await asyncio.shield(self._slot(key))

    def has(self, key: tuple[object, ...]) -> bool:
        """Tell whether a value is there."""
        slot = self._slots.get(key)
        return slot is not None and slot.done()

    def _slot(self, key: tuple[object, ...]) -> asyncio.Future[V]:
        slot = self._slots.get(key)
        if slot is None or slot.cancelled():
            slot = self._slots[key] = asyncio.get_running_loop().create_future()
        return slot
