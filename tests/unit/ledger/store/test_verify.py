"""Offline verification: a whole chain passes, and whatever is changed is found, with its height where it has one."""

from functools import partial

import pytest

from ledger.errors import StorageError
from ledger.store import MemoryStore, SqliteStore, create_directory, verify_store
from ledger.types import Height
from tests.ports.store_suite import GENESIS
from tests.support.chains import genesis_of, verify
from tests.support.damage import FLIP, HEIGHTS, damage, fill
from tests.support.executors import CountingExecutor


def report_of(store, genesis=GENESIS):
    return verify_store(store, partial(CountingExecutor, genesis.validators()), genesis, verify)


@pytest.fixture
def path(tmp_path):
    create_directory(tmp_path / "data")
    store = SqliteStore(tmp_path / "data")
    fill(store)
    store.close()
    return tmp_path / "data"


def verified(path):
    store = SqliteStore(path)
    try:
        return report_of(store)
    finally:
        store.close()


def test_a_whole_chain_verifies(path):
    seen: list[Height] = []
    store = SqliteStore(path)
    executors: list[CountingExecutor] = []

    def make_executor(read_node):
        executors.append(CountingExecutor(GENESIS.validators(), read_node))
        return executors[0]

    report = verify_store(store, make_executor, GENESIS, verify, seen.append)
    store.close()
    assert (report.verified, report.failure) == (HEIGHTS, None)
    assert seen == list(range(HEIGHTS + 1))
    assert [executor.executed for executor in executors] == [HEIGHTS]


def test_a_chain_in_memory_verifies():
    store = MemoryStore()
    fill(store)
    assert report_of(store).failure is None


def test_an_empty_store_has_nothing_wrong():
    report = report_of(MemoryStore())
    assert (report.verified, report.failure) == (None, None)


def test_another_genesis_is_found_at_height_0():
    store = MemoryStore()
    fill(store)
    failure = report_of(store, genesis_of(5)).failure
    assert failure is not None
    assert failure.height == 0


@pytest.mark.parametrize("height", [1, 4, HEIGHTS])
@pytest.mark.parametrize(
    ("table", "column", "places"),
    [
        ("blocks", "hash", (0, 31)),
        ("blocks", "header", (0, 40, 95, 120, 200, 383)),
        ("blocks", "body", (3, 7, 100, 200)),
        ("blocks", "certificate", (0, 8, 12, 44, 50, 60, 150)),
        ("blocks", "validators", (3, 20, 36)),
        ("receipts", "data", (3, 8, 20, 100)),
        ("votes", "data", (0, 8, 12, 40, 46, 80)),
    ],
)
def test_a_changed_byte_is_found_with_its_height(path, table, column, places, height):
    for place in places:
        before = (path / "ledger.sqlite").read_bytes()
        damage(path, FLIP.format(table, column, place, height))
        failure = verified(path).failure
        assert failure is not None, place
        assert failure.height == height, (place, failure)
        (path / "ledger.sqlite").write_bytes(before)


@pytest.mark.parametrize(
    ("query", "height"),
    [
        ("UPDATE nodes SET value = CAST(x'00' || substr(value, 2) AS BLOB)", 0),
        ("DELETE FROM nodes", 0),
        ("UPDATE blocks SET written = written + 1", None),
        ("INSERT INTO compactions VALUES (NULL, 6, 7, 1)", None),
        ("INSERT INTO nodes VALUES (x'01', x'02')", None),
        ("DELETE FROM txs WHERE height = 3 AND idx = 1", 3),
        ("UPDATE txs SET idx = 5 WHERE height = 3 AND idx = 1", 3),
        ("INSERT INTO txs VALUES (zeroblob(32), 2, 7)", None),
        ("DELETE FROM logs WHERE height = 2 AND tx_index = 2", 2),
        ("UPDATE logs SET topic = zeroblob(32) WHERE height = 2 AND tx_index = 2", 2),
        ("INSERT INTO logs VALUES (5, 0, 1, zeroblob(20), NULL)", 5),
        ("DELETE FROM receipts WHERE height = 5", 5),
        ("DELETE FROM blocks WHERE height = 5", 5),
        ("UPDATE blocks SET certificate = (SELECT certificate FROM blocks WHERE height = 2) WHERE height = 3", 3),
        ("UPDATE blocks SET certificate = NULL WHERE height = 3", 3),
        ("UPDATE votes SET height = 90 WHERE height = 3", 90),
        ("UPDATE votes SET view = 7 WHERE height = 3 AND kind = 1", 3),
        ("UPDATE evidence SET key = zeroblob(32)", 4),
        ("UPDATE evidence SET first = CAST(substr(first, 1, 60) || x'0102' || substr(first, 63) AS BLOB)", 4),
        ("UPDATE evidence SET second = CAST(substr(second, 1, 60) || x'0102' || substr(second, 63) AS BLOB)", 4),
        ("UPDATE records SET data = CAST(substr(data, 1, 60) || x'0102' || substr(data, 63) AS BLOB)", HEIGHTS + 1),
    ],
)
def test_a_changed_row_is_found(path, query, height):
    damage(path, query)
    failure = verified(path).failure
    assert failure is not None
    assert failure.height == height


def test_a_flipped_byte_anywhere_in_the_file_is_found_or_was_unused(path):
    database = path / "ledger.sqlite"
    original = database.read_bytes()
    found = with_height = 0
    for place in range(4096, len(original), len(original) // 150):
        changed = bytearray(original)
        changed[place] ^= 0x40
        database.write_bytes(changed)
        try:
            failure = verified(path).failure
        except StorageError:
            found += 1
            continue
        if failure is not None:
            found += 1
            with_height += failure.height is not None
            continue
        store = SqliteStore(path)  # the byte was in no row: everything reads as before
        assert [store.final(Height(height)) for height in range(HEIGHTS + 1)]
        store.close()
    assert found > 30
    assert with_height > 15
