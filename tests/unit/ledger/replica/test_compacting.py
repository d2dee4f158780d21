"""A replica removes old state by itself while it goes on deciding, and is none the worse for it."""

import asyncio

import pytest

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
