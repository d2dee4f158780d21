"""Messages on a real stream between two members: answers out of order, streams that break, senders that give up."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from ledger.types import ChainId
from mpcnode.errors import CallerError, ErrorCode, TimedOutError, UnavailableError
from mpcnode.query.messages import Kind
from mpcnode.rpc import deliveries
from mpcnode.rpc.deliveries import IN_WORK_MAX, Deliveries
from mpcnode.rpc.peers import make_stubs
from mpcnode.sealing.messages import sign_message
from mpcnode.v1 import peer_pb2
from tests.support.peer_tls import BANK_MPC, CHAIN, INSURER, INSURER_MPC, Listener, identity, tls


def message(body, *, said=Kind.ACCEPT, sender=INSURER_MPC, chain=CHAIN):
    signed = sign_message(
        identity(sender), ChainId(chain), kind=str(said), sender=sender, receiver=BANK_MPC, payload=body
    )
    return peer_pb2.DeliverRequest(
        kind=str(said), sender=sender, receiver=BANK_MPC, payload=body, signature=signed.signature
    )


class SlowListener(Listener):
    """Its handlers wait until what they wait for happens."""

    def __init__(self):
        super().__init__(BANK_MPC)
        self.goes_on = asyncio.Event()
        self.moved = asyncio.Condition()
        self.in_work = 0
        self.most_in_work = 0

    def handler(self, kind):
        take = super().handler(kind)

        async def handle(sender, payload):
            await self.change(1)
            try:
                if payload.startswith(b"slow"):
                    await self.goes_on.wait()
                await take(sender, payload)
            finally:
                await self.change(-1)

        return handle

    async def change(self, by):
        async with self.moved:
            self.in_work += by
            self.most_in_work = max(self.most_in_work, self.in_work)
            self.moved.notify_all()

    async def until_in_work(self, count):
        async with self.moved:
            await self.moved.wait_for(lambda: self.in_work == count)

    def bodies(self):
        return [body for _, _, body in self.taken]


@asynccontextmanager
async def outbox(listener, sender=INSURER_MPC):
    async with listener.channel(tls(sender)) as channel:
        box = Deliveries(make_stubs({BANK_MPC: channel})[BANK_MPC])
        running = asyncio.ensure_future(box.run())
        try:
            yield box
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def scenario(work):
    async def whole():
        async with asyncio.timeout(40):
            listener = SlowListener()
            async with listener.running(), outbox(listener) as box:
                return await work(listener, box)

    return asyncio.run(whole())


def test_messages_arrive_in_order_and_are_answered():
    async def work(listener, box):
        bodies = [b"%d" % number for number in range(200)]
        await asyncio.gather(*(box.send(message(body)) for body in bodies))
        assert listener.bodies() == bodies

    scenario(work)


def test_a_message_that_waits_holds_nobody_up():
    async def work(listener, box):
        slow = asyncio.ensure_future(box.send(message(b"slow")))
        await box.send(message(b"fast"))
        assert not slow.done()
        assert listener.bodies() == [b"fast"]
        listener.goes_on.set()
        await slow
        assert listener.bodies() == [b"fast", b"slow"]

    scenario(work)


def test_a_refused_message_is_nobody_elses():
    async def work(listener, box):
        slow = asyncio.ensure_future(box.send(message(b"slow")))
        with pytest.raises(CallerError) as caught:
            await box.send(message(b"of another chain", chain=bytes(32)))
        assert caught.value.code is ErrorCode.WRONG_SIGNATURE
        with pytest.raises(CallerError) as caught:
            await box.send(message(b"not a node's to say", said=Kind.DEAL))
        assert caught.value.code is ErrorCode.NOT_ALLOWED
        listener.goes_on.set()
        await slow
        assert listener.bodies() == [b"slow"]

    scenario(work)


def test_no_more_is_worked_on_than_may_be():
    async def work(listener, box):
        many = 3 * IN_WORK_MAX
        sent = [asyncio.ensure_future(box.send(message(b"slow %d" % number))) for number in range(many)]
        await listener.until_in_work(IN_WORK_MAX)
        await asyncio.sleep(0.1)
        assert listener.in_work == IN_WORK_MAX
        listener.goes_on.set()
        await asyncio.gather(*sent)
        assert listener.most_in_work == IN_WORK_MAX
        assert len(listener.taken) == many

    scenario(work)


def test_who_waits_is_told_when_the_stream_breaks_and_may_send_again():
    async def work():
        listener = SlowListener()
        async with asyncio.timeout(40), AsyncExitStack() as stack:
            async with listener.running():
                box = await stack.enter_async_context(outbox(listener))
                slow = asyncio.ensure_future(box.send(message(b"slow")))
                await box.send(message(b"fast"))
            with pytest.raises(UnavailableError):
                await slow
            with pytest.raises(UnavailableError):  # nobody listens
                await box.send(message(b"again"))
            async with listener.running():
                while True:
                    with suppress(UnavailableError):
                        await box.send(message(b"again"))
                        break
                    await asyncio.sleep(0.1)
            assert listener.bodies() == [b"fast", b"again"]

    asyncio.run(work())


def test_a_handler_that_takes_too_long_is_ended_and_said(monkeypatch):
    monkeypatch.setattr(deliveries, "DELIVERY_S", 0.3)

    async def work(listener, box):
        with pytest.raises(TimedOutError):
            await box.send(message(b"slow"))
        await listener.until_in_work(0)
        await box.send(message(b"fast"))
        listener.goes_on.set()
        await box.send(message(b"slow"))
        assert listener.bodies() == [b"fast", b"slow"]

    scenario(work)


def test_who_gives_up_before_it_was_sent_sends_nothing():
    async def work():
        listener = SlowListener()
        async with asyncio.timeout(40), listener.running(), listener.channel(tls(INSURER_MPC)) as channel:
            box = Deliveries(make_stubs({BANK_MPC: channel})[BANK_MPC])
            given_up = asyncio.ensure_future(box.send(message(b"given up")))
            kept = asyncio.ensure_future(box.send(message(b"kept")))
            await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.sleep(0)
            running = asyncio.ensure_future(box.run())
            await kept
            assert listener.bodies() == [b"kept"]
            assert not box._leaving
            running.cancel()

    asyncio.run(work())


def test_who_gives_up_is_forgotten():
    async def work(listener, box):
        given_up = asyncio.ensure_future(box.send(message(b"slow")))
        await listener.until_in_work(1)
        given_up.cancel()
        listener.goes_on.set()
        await box.send(message(b"fast"))
        assert sorted(listener.bodies()) == [b"fast", b"slow"]

    scenario(work)


def test_a_stream_that_is_refused_says_so_to_all_who_wait():
    async def work():
        listener = SlowListener()
        listener.members = {index: member for index, member in listener.members.items() if index != INSURER}
        async with asyncio.timeout(40), listener.running(), outbox(listener, INSURER) as box:
            bodies = (b"one", b"two")
            said = await asyncio.gather(
                *(box.send(message(body, said=Kind.SHARES, sender=INSURER)) for body in bodies), return_exceptions=True
            )
            assert all(isinstance(error, UnavailableError | CallerError) for error in said)
            assert listener.taken == []

    asyncio.run(work())
