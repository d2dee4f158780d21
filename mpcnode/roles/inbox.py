"""Where messages wait for the work that needs them: a peer may be ahead of the own replica by a block or two.

Every sender has room of its own, so that no peer can push out what another sent, and what somebody waits for is never
pushed out at all.
"""

import asyncio
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mpcnode.errors import MalformedMessageError
from mpcnode.types import MemberIndex

V = TypeVar("V")

KEPT_MAX = 1024
"""Messages of one sender that are kept; beyond it the oldest is forgotten (the query it was for fails by time-out)."""


@dataclass(slots=True)
class _Sender(Generic[V]):
    """What one member sent, oldest first, and what somebody waits for."""

    kept: OrderedDict[bytes, V] = field(default_factory=OrderedDict)
    waiting: dict[bytes, list[asyncio.Future[V]]] = field(default_factory=lambda: defaultdict(list))


class Inbox(Generic[V]):
    """Values by sender and name, each set once; whoever needs one waits for it. Owned by the event loop's thread."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        """Take how many values of each sender to keep."""
        self._kept_max = kept_max
        self._senders: dict[MemberIndex, _Sender[V]] = defaultdict(_Sender)

    def put(self, sender: MemberIndex, name: bytes, value: V) -> None:
        """Keep a sender's value; an equal one again is harmless.

        Raises:
            MalformedMessageError: it sent another value under this name.
        """
        place = self._senders[sender]
        known = place.kept.setdefault(name, value)
        if known != value:
            raise MalformedMessageError(f"member {sender}: expected what it sent before, got something else")
        for waiter in place.waiting.pop(name, ()):
            if not waiter.done():
                waiter.set_result(value)
        while len(place.kept) > self._kept_max:
            place.kept.popitem(last=False)

    def forget(self, name: bytes) -> None:
        """Drop what anybody sent under this name: nobody will ask for it again."""
        for place in self._senders.values():
            place.kept.pop(name, None)

    async def take(self, sender: MemberIndex, name: bytes) -> V:
        """Wait for a sender's value of this name."""
        place = self._senders[sender]
        if name in place.kept:
            return place.kept[name]
        waiter: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        place.waiting[name].append(waiter)
        try:
            return await waiter
        finally:
            waiters = place.waiting.get(name)
            if waiters is not None and waiter in waiters:
                waiters.remove(waiter)
                if not waiters:
                    del place.waiting[name]
