"""Events wait in lanes: own first, peers in turn, and a lane that is full stops only its peer."""

import asyncio

import pytest

from ledger.consensus import MessageReceived, Status, TimerFired, WorkArrived
from ledger.errors import StorageError
from ledger.replica.inflow import LANE_BYTES_MAX, LANE_ITEMS_MAX, Inflow
from ledger.replica.pace import Pace
from ledger.types import Height, ReplicaId, View


def message(sender, height=1):
    return MessageReceived(sender=ReplicaId(sender), message=Status(height=Height(height), view=View(1)))


def test_own_events_come_first_and_each_peer_gets_its_turn():
    async def run():
        inflow = Inflow()
        for number in range(100):
            await inflow.put(message(1, number), 10)
        await inflow.put(message(2), 10)
        inflow.post(WorkArrived())
        inflow.post(TimerFired())
        first = await inflow.take()
        assert first[:2] == [WorkArrived(), TimerFired()]
        assert first[-1] == message(2)
        taken = [event for event in first if isinstance(event, MessageReceived) and event.sender == 1]
        while len(taken) < 100:
            taken += [event for event in await inflow.take() if isinstance(event, MessageReceived)]
        assert taken == [message(1, number) for number in range(100)]

    asyncio.run(run())


@pytest.mark.parametrize(("size", "count"), [(1, LANE_ITEMS_MAX), (LANE_BYTES_MAX + 1, 1)])
def test_a_full_lane_stops_its_peer_alone(size, count):
    async def run():
        inflow = Inflow()
        for _ in range(count):
            await asyncio.wait_for(inflow.put(message(1), size), 1)
        blocked = asyncio.get_running_loop().create_task(inflow.put(message(1, 2), size))
        await asyncio.sleep(0.01)
        assert not blocked.done()
        await asyncio.wait_for(inflow.put(message(2), size), 1)
        await inflow.take()
        await asyncio.wait_for(blocked, 1)

    asyncio.run(run())


def test_a_failure_is_raised_to_the_owner():
    async def run():
        inflow = Inflow()
        inflow.post(StorageError("the disk"))
        with pytest.raises(StorageError, match="the disk"):
            await inflow.take()

    asyncio.run(run())


def test_taking_waits_for_something():
    async def run():
        inflow = Inflow()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(inflow.take(), 0.01)

    asyncio.run(run())


def test_a_bucket_fills_at_its_rate_up_to_its_burst():
    pace = Pace(per_second=2, burst=3)
    assert [pace.allows(ReplicaId(1), 0.0) for _ in range(4)] == [True, True, True, False]
    assert pace.allows(ReplicaId(2), 0.0)
    assert not pace.allows(ReplicaId(1), 0.4)
    assert pace.allows(ReplicaId(1), 0.5)
    assert [pace.allows(ReplicaId(1), 100.0) for _ in range(4)] == [True, True, True, False]
