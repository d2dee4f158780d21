"""Messages on a real stream between two members: answers out of order, streams that break, senders that give up."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import structlog

from ledger.types import ChainId
from mpcnode.errors import CallerError, ErrorCode, MalformedMessageError, TimedOutError, UnavailableError
from mpcnode.query.messages import Kind
from mpcnode.rpc import deliveries
from mpcnode.rpc.deliveries import IN_WORK_MAX, PAYLOAD_BYTES_MAX, Deliveries
from mpcnode.rpc.peers import make_stubs
from mpcnode.sealing.messages import sign_message
from mpcnode.v1 import peer_pb2
from tests.support.peer_tls import BANK_MPC, CHAIN, INSURER, INSURER_MPC, Listener, identity, member, tls


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
        box = Deliveries(BANK_MPC, make_stubs({BANK_MPC: channel})[BANK_MPC])
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
                broken = box.broken
                assert not broken.is_set()
            with pytest.raises(UnavailableError):
                await slow
            await broken.wait()
            assert box.broken is not broken
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
            box = Deliveries(BANK_MPC, make_stubs({BANK_MPC: channel})[BANK_MPC])
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


def test_what_no_stream_carries_is_refused_before_it_ends_one():
    async def work(listener, box):
        slow = asyncio.ensure_future(box.send(message(b"slow")))
        await listener.until_in_work(1)
        with pytest.raises(MalformedMessageError):
            await box.send(message(bytes(PAYLOAD_BYTES_MAX + 1)))
        widest = bytes(PAYLOAD_BYTES_MAX)
        await box.send(message(widest))
        listener.goes_on.set()
        await slow
        assert listener.bodies() == [widest, b"slow"]

    scenario(work)


def test_a_peer_has_one_stream_and_another_ends_it():
    """Also a peer that comes back while its old connection is not known to be dead yet."""

    async def work(listener, box):
        slow = asyncio.ensure_future(box.send(message(b"slow")))
        await listener.until_in_work(1)
        async with outbox(listener) as another:
            await another.send(message(b"fast"))
            with pytest.raises(UnavailableError, match="the stream ended"):
                await slow
            await listener.until_in_work(0)
            await another.send(message(b"fast again"))
            listener.goes_on.set()
            await box.send(message(b"on the next stream"))
        assert listener.bodies() == [b"fast", b"fast again", b"on the next stream"]

    scenario(work)


def test_another_peers_stream_ends_nobodys():
    async def work(listener, box):
        slow = asyncio.ensure_future(box.send(message(b"slow")))
        await listener.until_in_work(1)
        async with outbox(listener, INSURER) as another:
            await another.send(message(b"of another", said=Kind.SHARES, sender=INSURER))
        listener.goes_on.set()
        await slow
        assert listener.bodies() == [b"of another", b"slow"]

    scenario(work)


def test_a_listener_that_is_closed_acknowledges_nothing_on_open_streams_either():
    async def work(listener, box):
        await box.send(message(b"before"))
        slow = asyncio.ensure_future(box.send(message(b"slow")))
        await listener.until_in_work(1)
        listener.servicer.close()
        with pytest.raises(UnavailableError):
            await slow
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await box.send(message(b"after"))
        await listener.until_in_work(0)
        assert listener.bodies() == [b"before"]

    scenario(work)


def test_a_member_that_is_suspended_is_heard_no_more_on_its_open_stream():
    async def work():
        listener = SlowListener()
        listener.members = dict(listener.members)
        async with asyncio.timeout(40), listener.running(), outbox(listener) as box:
            await box.send(message(b"before"))
            listener.members[INSURER_MPC] = member(INSURER_MPC, active=False)
            with pytest.raises(CallerError) as caught:
                await box.send(message(b"while suspended"))
            assert caught.value.code is ErrorCode.NOT_ALLOWED
            listener.members[INSURER_MPC] = member(INSURER_MPC)
            await box.send(message(b"after"))
            assert listener.bodies() == [b"before", b"after"]

    asyncio.run(work())


def test_a_peer_that_is_away_is_news_once():
    async def work():
        listener = SlowListener()
        async with asyncio.timeout(40), AsyncExitStack() as stack:
            async with listener.running():
                box = await stack.enter_async_context(outbox(listener))
                await box.send(message(b"before"))
            for _ in range(5):
                with pytest.raises(UnavailableError):
                    await box.send(message(b"away"))
            async with listener.running():
                while True:
                    with suppress(UnavailableError):
                        await box.send(message(b"back"))
                        break
                    await asyncio.sleep(0.1)
            with pytest.raises(UnavailableError):
                await box.send(message(b"away again"))

    with structlog.testing.capture_logs() as logs:
        asyncio.run(work())
    lost = [entry["peer"] for entry in logs if entry["event"] == "deliveries.lost" and "peer" in entry]
    assert lost == [BANK_MPC, BANK_MPC]
