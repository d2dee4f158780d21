"""One stream: what waits leaves together, nothing grows without bound, and it ends once for all."""

import asyncio
import contextlib
import gc
import weakref

import pytest

from ledger.encoding import MESSAGE_BYTES_MAX
from ledger.errors import DecodeError, UnavailableError
from ledger.rpc.link import ITEMS_MAX, QUEUE_BYTES_MAX, Link
from ledger.rpc.network import Backoff
from ledger.types import ReplicaId


class Peer:
    """The other end of a link, and an inbox."""

    def __init__(self):
        self.incoming: asyncio.Queue[list[bytes] | None] = asyncio.Queue()
        self.written = []
        self.received = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self):
        return await self.incoming.get()

    async def write(self, items):
        await self.gate.wait()
        self.written.append(items)

    async def receive(self, sender, items):
        if items == [b"bad"]:
            raise DecodeError("bad")
        if items == [b"stop"]:
            raise UnavailableError("stop")
        self.received.append((sender, items))

    def connected(self, peer):
        raise AssertionError

    def disconnected(self, peer):
        raise AssertionError


def running(test):
    async def run():
        peer, link = Peer(), Link(ReplicaId(3))
        async with asyncio.timeout(5):
            task = asyncio.get_running_loop().create_task(link.run(peer.read, peer.write, peer))
            try:
                await test(peer, link, task)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def test_what_waits_leaves_together():
    async def test(peer, link, task):
        peer.gate.clear()
        link.put([b"1"])
        await settle()
        link.put([b"2", b"3"])
        link.put([b"4"])
        peer.gate.set()
        await settle()
        assert peer.written == [[b"1"], [b"2", b"3", b"4"]]

    running(test)


def test_a_message_is_bounded_in_items_and_bytes():
    async def test(peer, link, task):
        link.put([b""] * (ITEMS_MAX + 1))
        await settle()
        assert [len(batch) for batch in peer.written] == [ITEMS_MAX, 1]
        peer.written.clear()
        link.put([bytes(MESSAGE_BYTES_MAX // 2 - 8), bytes(MESSAGE_BYTES_MAX // 2 - 8), b"1"])
        await settle()
        assert [len(batch) for batch in peer.written] == [2, 1]

    running(test)


def test_a_peer_that_does_not_take_loses_what_does_not_fit():
    async def test(peer, link, task):
        peer.gate.clear()
        chunk = bytes(1 << 20)
        link.put([chunk] * 20)
        await settle()
        assert link.dropped == 20 - (QUEUE_BYTES_MAX // (len(chunk) + 8))
        peer.gate.set()
        await settle()
        link.put([b"again"])
        await settle()
        assert peer.written[-1] == [b"again"]

    running(test)


def test_received_items_reach_the_inbox_with_their_sender():
    async def test(peer, link, task):
        peer.incoming.put_nowait([b"1", b"2"])
        peer.incoming.put_nowait([])
        await settle()
        assert peer.received == [(3, [b"1", b"2"]), (3, [])]

    running(test)


def test_the_end_of_the_stream_is_no_error():
    async def test(peer, link, task):
        peer.incoming.put_nowait(None)
        await task

    running(test)


def test_closing_ends_it_from_this_side():
    async def test(peer, link, task):
        link.close()
        await task

    running(test)


def test_closing_ends_it_although_the_peer_takes_nothing():
    async def test(peer, link, task):
        peer.gate.clear()
        link.put([b"1"])
        await settle()
        link.close()
        await settle()
        assert task.done()

    running(test)


@pytest.mark.parametrize(
    ("items", "error"),
    [
        ([b"bad"], DecodeError),
        ([b"stop"], UnavailableError),
        ([b""] * (ITEMS_MAX + 1), DecodeError),
        ([bytes(MESSAGE_BYTES_MAX), b"1"], DecodeError),
    ],
)
def test_what_goes_wrong_ends_it_with_its_reason(items, error):
    async def test(peer, link, task):
        peer.incoming.put_nowait(items)
        with pytest.raises(error):
            await task

    running(test)


class Message(list):
    """Items that a weak reference can follow."""


def test_a_message_that_was_refused_is_forgotten_at_once():
    """A cycle would keep it until the collector comes by, and a peer can be refused again and again."""

    async def refused():
        peer, link, message = Peer(), Link(ReplicaId(3)), Message([b"bad"])
        peer.incoming.put_nowait(message)
        followed = weakref.ref(message)
        del message
        with contextlib.suppress(DecodeError):
            await link.run(peer.read, peer.write, peer)
        return followed

    gc.disable()
    try:
        assert asyncio.run(refused())() is None
    finally:
        gc.enable()


def test_waits_double_up_to_the_longest_and_are_spread():
    backoff = Backoff(first_s=1, longest_s=8, spread=lambda: 0.5)
    assert [backoff.wait_s(failures) for failures in (0, 1, 2, 3, 4, 10_000)] == [1, 2, 4, 8, 8, 8]
    assert Backoff(first_s=1, spread=lambda: 0.0).wait_s(0) == 0.75
    assert Backoff(first_s=1, spread=lambda: 1.0).wait_s(0) == 1.25


def test_cancelling_wins_over_what_fails_because_of_it():
    async def test(peer, link, task):
        async def receive(sender, items):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise UnavailableError("stop") from None

        peer.receive = receive
        peer.incoming.put_nowait([b"1"])
        await settle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    running(test)
