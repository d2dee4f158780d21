"""A replica looks at everything that it stores while it runs, and stops when something is not what was written."""

import asyncio

import pytest

from ledger.errors import StorageError
from ledger.replica.engine import Engine
from ledger.replica.scrubbing import scrub
from ledger.store import MemoryStore, SqliteStore, create_directory
from tests.ports.store_suite import GENESIS, Grower
from tests.support.chains import transaction, verify
from tests.support.damage import FLIP, HEIGHTS, damage, fill
from tests.support.executors import CountingExecutor
from tests.support.networks import Cluster, until

ALL = (0, 1, 2, 3)


@pytest.fixture
def path(tmp_path):
    create_directory(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(params=["sqlite", "memory"])
def store(request, path):
    store = SqliteStore(path) if request.param == "sqlite" else MemoryStore()
    fill(store)
    yield store
    store.close()


@pytest.fixture
def small_steps(monkeypatch):
    monkeypatch.setattr("ledger.store.sqlite._NODES_CHECKED_AT_ONCE", 2)
    monkeypatch.setattr("ledger.replica.engine.SCRUB_S", 0)


@pytest.mark.usefixtures("small_steps")
def test_a_whole_store_passes_whatever_is_committed_in_between(store):
    grower = Grower(store)
    for number, _ in enumerate(scrub(store, GENESIS, verify)):
        if number < 2 * HEIGHTS:
            grower.grow(transaction(1_000 + number))
    assert store.height() == 3 * HEIGHTS
    assert number > 3 * HEIGHTS


@pytest.mark.usefixtures("small_steps")
def test_it_takes_many_moments_and_begins_anew(store):
    executor = CountingExecutor(GENESIS.validators(), store.read_node)
    engine = Engine(store=store, executor=executor, genesis=GENESIS, verify=verify)
    for _ in range(2):
        moments = 1
        while not engine.scrub():
            moments += 1
        assert moments > HEIGHTS
    assert executor.executed == 0


def failure_of(path):
    store = SqliteStore(path)
    try:
        with pytest.raises(StorageError) as failure:
            list(scrub(store, GENESIS, verify))
    finally:
        store.close()
    return str(failure.value)


@pytest.mark.parametrize("height", [1, 4, HEIGHTS])
@pytest.mark.parametrize(
    ("table", "column", "place"),
    [
        ("blocks", "hash", 0),
        ("blocks", "header", 95),
        ("blocks", "body", 200),
        ("blocks", "certificate", 150),
        ("blocks", "validators", 20),
        ("receipts", "data", 100),
        ("votes", "data", 80),
    ],
)
def test_a_changed_byte_is_found_with_its_height(path, table, column, place, height):
    fill(store := SqliteStore(path))
    store.close()
    damage(path, FLIP.format(table, column, place, height))
    assert f"height {height}" in failure_of(path)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("UPDATE nodes SET value = CAST(x'00' || substr(value, 2) AS BLOB)", "state: expected a node with keccak256"),
        ("INSERT INTO nodes VALUES (x'01', x'02')", "state: expected a node with keccak256 01"),
        ("DELETE FROM txs WHERE height = 3 AND idx = 1", "height 3: expected transaction 1 in the index"),
        ("UPDATE txs SET idx = 5 WHERE height = 3 AND idx = 1", "height 3: expected transaction 1 in the index"),
        ("DELETE FROM logs WHERE height = 2 AND tx_index = 2", "height 2: expected 2 events"),
        ("UPDATE logs SET topic = zeroblob(32) WHERE height = 2 AND tx_index = 2", "height 2: expected an event"),
        ("DELETE FROM receipts WHERE height = 5", "height 5: expected its receipts"),
        ("DELETE FROM blocks WHERE height = 5", "height 5: expected a block"),
        ("UPDATE blocks SET certificate = NULL WHERE height = 3", "height 3: expected a certificate"),
        ("UPDATE blocks SET validators = zeroblob(4) WHERE height = 0", "height 0: expected the genesis block"),
        ("DELETE FROM blocks WHERE height = 0", "height 0: expected the genesis block"),
        ("UPDATE votes SET height = 5 WHERE height = 3 AND kind = 1", "height 5: expected its votes"),
        ("UPDATE evidence SET key = zeroblob(32)", "evidence: expected votes signed by 00"),
        (
            "UPDATE evidence SET first = CAST(substr(first, 1, 60) || x'0102' || substr(first, 63) AS BLOB)",
            "vote: expected one signed by a validator of height 4",
        ),
    ],
)
def test_a_changed_row_is_found(path, query, said):
    fill(store := SqliteStore(path))
    store.close()
    if query.startswith("UPDATE votes"):
        damage(path, "DELETE FROM votes WHERE height = 5", query)
    else:
        damage(path, query)
    assert said in failure_of(path)


def test_damage_that_nothing_reads_ends_a_running_replica_and_no_other(path, monkeypatch):
    monkeypatch.setattr("ledger.replica.replica._HOUSEKEEPING_S", 0.01)
    monkeypatch.setattr("ledger.replica.replica._SCRUB_EVERY_S", 0)
    cluster = Cluster(GENESIS)
    cluster.stores[0] = SqliteStore(path)

    async def submit(number):
        data = transaction(number, sender=number % 4, expiry_ms=cluster.clock.now_ms() + 60_000)
        return await cluster.replicas[1 + number % 3].submit(data)

    async def run():
        async with cluster.running(*ALL):
            for number in range(6):
                await submit(number)
            await until(lambda: cluster.stores[0].height() == 6)
            damage(path, "UPDATE receipts SET data = zeroblob(4) WHERE height = 2")
            failure = await asyncio.wait_for(cluster.failure(0), 10)
            assert "StorageError('height 2: expected receipts with root" in repr(failure)
            assert (await submit(6)).height == 7

    asyncio.run(run())
