"""Streams as inputs: messages of protobuf, each after its length in 2 bytes."""

import asyncio
import atexit
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import google.protobuf.message
import structlog

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

END = object()
"""What a stream reads after its last message: anything that is none."""

LOOP = asyncio.new_event_loop()


@atexit.register
def _close() -> None:
    """End what an input left behind: streams that were read in part are closed by tasks of the loop."""
    LOOP.run_until_complete(LOOP.shutdown_asyncgens())
    while left := asyncio.all_tasks(LOOP):
        LOOP.run_until_complete(asyncio.wait(left))
    LOOP.close()


M = TypeVar("M", bound=google.protobuf.message.Message)
T = TypeVar("T")


def joined(messages: Iterable[google.protobuf.message.Message]) -> bytes:
    """A stream as an input."""
    parts = [message.SerializeToString() for message in messages]
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def parted(data: bytes, kind: type[M]) -> list[M]:
    """An input as a stream, up to the first message that gRPC would not hand on."""
    found: list[M] = []
    while data:
        size = int.from_bytes(data[:2], "big")
        part, data = data[2 : 2 + size], data[2 + size :]
        try:
            found.append(kind.FromString(part))
        except google.protobuf.message.DecodeError:
            break
    return found


def run(work: Callable[[bytes], Coroutine[Any, Any, None]]) -> Callable[[bytes], None]:
    return lambda data: LOOP.run_until_complete(work(data))


class Stream:
    """One side of a stream that a peer writes: its messages, then its end."""

    def __init__(self, messages: Sequence[object]) -> None:
        self._left = iter(messages)
        self.written: list[Any] = []

    async def read(self) -> object:
        await asyncio.sleep(0)
        return next(self._left, END)

    async def write(self, message: object) -> None:
        self.written.append(message)


async def each(messages: Iterable[T]) -> AsyncIterator[T]:
    """The same as an iterator that is waited for."""
    for message in messages:
        yield message
