"""Messages that wait: each sender has its own room, and what is waited for is never pushed out."""

import asyncio

import pytest

from mpcnode.errors import MalformedMessageError
from mpcnode.roles.inbox import Inbox
from mpcnode.types import MemberIndex
from tests.support.virtual_time import run

A, B = MemberIndex(1), MemberIndex(2)


def test_a_value_waits_for_its_taker_and_a_taker_for_its_value():
    async def scenario():
        inbox: Inbox[str] = Inbox()
        inbox.put(A, b"early", "first")
        assert await inbox.take(A, b"early") == "first"
        taking = asyncio.get_running_loop().create_task(inbox.take(B, b"late"))
        await asyncio.sleep(0)
        inbox.put(A, b"late", "of another sender")
        inbox.put(B, b"late", "second")
        assert await taking == "second"

    run(scenario())


def test_the_same_again_is_harmless_and_another_is_refused():
    inbox: Inbox[str] = Inbox()
    inbox.put(A, b"name", "value")
    inbox.put(A, b"name", "value")
    with pytest.raises(MalformedMessageError):
        inbox.put(A, b"name", "other")


def test_each_sender_fills_its_own_room_only():
    async def scenario():
        inbox: Inbox[int] = Inbox(kept_max=3)
        inbox.put(A, b"a", 1)
        for number in range(10):
            inbox.put(B, bytes([number]), number)
        assert await inbox.take(A, b"a") == 1
        assert await inbox.take(B, b"\x09") == 9
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await inbox.take(B, b"\x00")

    run(scenario())


def test_what_is_forgotten_and_who_stops_waiting_leave_nothing():
    async def scenario():
        inbox: Inbox[int] = Inbox()
        for sender in (A, B):
            inbox.put(sender, b"session", 1)
            inbox.put(sender, b"other", 2)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await inbox.take(sender, b"never")
        inbox.forget(b"session")
        inbox.forget(b"unknown")
        assert [(dict(place.kept), dict(place.waiting)) for place in inbox._senders.values()] == [
            ({b"other": 2}, {}),
            ({b"other": 2}, {}),
        ]

    run(scenario())
