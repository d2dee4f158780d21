"""A replica removes old state by itself while it goes on deciding, and is none the worse for it."""

import asyncio

import pytest

from ledger.errors import StorageError, UnavailableError
from ledger.store import SqliteStore, create_directory
from ledger.types import Height
from tests.ports.store_suite import GENESIS
from tests.support.chains import transaction
from tests.support.networks import Cluster, until

ALL = (0, 1, 2, 3)
STATES = 3


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("ledger.replica.engine.STATES_KEPT", STATES)
    monkeypatch.setattr("ledger.replica.replica._HOUSEKEEPING_S", 0.01)
    for name in ("MARKED_AT_ONCE", "SWEPT_AT_ONCE"):
        monkeypatch.setattr(f"ledger.store.compaction.{name}", 2)


@pytest.mark.usefixtures("small")
def test_old_state_is_removed_at_once_when_somebody_asks(tmp_path, monkeypatch):
    monkeypatch.setattr("ledger.replica.engine.Engine.wants_compaction", lambda _: False)
    create_directory(tmp_path / "data")
    cluster = Cluster(GENESIS)
    store = cluster.stores[0] = SqliteStore(tmp_path / "data")

    async def submit(number):
        data = transaction(number, sender=number % 4, expiry_ms=cluster.clock.now_ms() + 60_000)
        return await cluster.replicas[number % 4].submit(data)

    async def compact():
        return [step async for step in cluster.replicas[0].compact()]

    async def run():
        async with cluster.running(*ALL):
            for number in range(20):
                await submit(number)
            assert store.states_from() == 0
            first, second, outcome = await asyncio.gather(compact(), compact(), submit(20))
            for steps in (first, second):
                assert [step.done for step in steps] == [False] * (len(steps) - 1) + [True]
            assert first[-1].removed > 0
            assert 10 < store.states_from() <= outcome.height
            last = await submit(21)
            await until(lambda: store.height() == last.height)
            assert await cluster.replicas[0].view("test.count") == (22,)

    asyncio.run(run())


def test_a_disk_that_fails_in_a_compaction_ends_the_replica(monkeypatch):
    cluster = Cluster(GENESIS)

    def fail(*_):
        raise StorageError("disk: expected a flush, got its failure")

    async def run():
        async with cluster.running(*ALL):
            monkeypatch.setattr(cluster.stores[0].__class__, "compact", fail)
            with pytest.raises(UnavailableError):
                await anext(cluster.replicas[0].compact())
            assert "expected a flush" in repr(await cluster.failure(0))

    asyncio.run(run())


@pytest.mark.usefixtures("small")
def test_old_state_is_removed_between_blocks(tmp_path):
    create_directory(tmp_path / "data")
    cluster = Cluster(GENESIS)
    store = cluster.stores[0] = SqliteStore(tmp_path / "data")

    async def submit(number):
        data = transaction(number, sender=number % 4, expiry_ms=cluster.clock.now_ms() + 60_000)
        await cluster.replicas[number % 4].submit(data)

    async def run():
        async with cluster.running(*ALL):
            for number in range(30):
                await submit(number)
            replica = cluster.replicas[0]
            await until(lambda: store.states_from() > 15 and store.height() == 30)
            assert await replica.view("test.count") == (30,)
            assert 30 - store.states_from() >= STATES - 1
            for height in range(1, 31):
                assert (await replica.block(Height(height))).height == height

    asyncio.run(run())
