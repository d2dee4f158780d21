"""The durable store: its contract, what SQLite guards, what a second process, a bad mode or a broken disk does."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ledger.errors import DiskFullError, LockedError, StorageError
from ledger.store import SqliteStore, create_directory
from ledger.types import Height, VoteKind
from tests.ports.store_suite import Grower, StoreSuite, equivocation, vote
from tests.support.chains import transaction
from tests.support.tools import need


@pytest.fixture
def path(tmp_path):
    create_directory(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def store(path):
    opened = SqliteStore(path)
    yield opened
    opened.close()


class TestSqliteStore(StoreSuite):
    @pytest.fixture
    def store(self, path):
        self.path = path
        self.opened = [SqliteStore(path)]
        yield self.opened[0]
        self.opened[-1].close()

    def reopened(self, store):
        self.opened[-1].close()
        self.opened.append(SqliteStore(self.path))
        return self.opened[-1]

    def test_everything_survives_closing(self, store):
        grower = Grower(store)
        made = grower.grow(transaction(1))
        store.append([vote(VoteKind.NOTARIZE, 2, 1)])
        again = self.reopened(store)
        assert again.height() == 1
        assert again.final(Height(1)) == made.final
        assert again.records(Height(2)) == (vote(VoteKind.NOTARIZE, 2, 1),)
        assert not again.has_never_voted()


CHANGE = "UPDATE {} SET {} = {} WHERE height = 1"


def rows(path, query):
    with closing(sqlite3.connect(path / "ledger.sqlite", isolation_level=None)) as other:
        other.execute(query)


@pytest.mark.parametrize("table", ["blocks", "receipts", "txs", "logs", "votes", "evidence"])
@pytest.mark.parametrize("query", ["DELETE FROM {}", "UPDATE {} SET height = height + 1"])
def test_the_file_itself_refuses_changes(store, path, table, query):
    Grower(store).grow(transaction(1))
    store.append([vote(VoteKind.NOTARIZE, 2, 1)])
    store.accuse(equivocation(2, 1))
    with pytest.raises(sqlite3.IntegrityError, match="can only be added to"):
        rows(path, query.format(table))


def test_a_second_opener_is_refused_and_the_first_goes_on(store, path):
    with pytest.raises(LockedError, match="unused"):
        SqliteStore(path)
    Grower(store).grow(transaction(1))


def test_the_lock_ends_with_its_process(path):
    code = "import os, pathlib, sys; from ledger.store import SqliteStore as S; "
    code += "S(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    SqliteStore(path).close()


def test_a_directory_open_to_others_is_refused(path):
    path.chmod(0o750)
    with pytest.raises(StorageError, match="0700"):
        SqliteStore(path)


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(StorageError, match="expected"):
        SqliteStore(tmp_path / "nowhere")


def test_a_directory_is_made_only_once(path):
    with pytest.raises(StorageError, match="expected to make"):
        create_directory(path)


def test_files_are_private(store, path):
    Grower(store)
    assert {name.name: oct(name.stat().st_mode & 0o077) for name in path.iterdir()} == {
        name.name: "0o0" for name in path.iterdir()
    }


def test_a_file_of_another_program_is_refused(path):
    rows(path, "CREATE TABLE other (value)")
    (path / "ledger.sqlite").chmod(0o600)
    with pytest.raises(StorageError, match="format"):
        SqliteStore(path)


def test_a_file_that_is_no_database_is_refused(path):
    (path / "ledger.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError):
        SqliteStore(path)


def test_after_a_failure_nothing_is_tried_again(store, path):
    grower = Grower(store)
    decided, _ = grower.decision(transaction(1, args=bytes(14_000)))
    store._db.run("PRAGMA max_page_count = 1")  # the disk is full
    with pytest.raises(DiskFullError, match="full"):
        store.commit(decided)
    store._db.run("PRAGMA max_page_count = 1000000")  # and has room again
    for call in (lambda: store.commit(decided), store.height, lambda: store.append([])):
        with pytest.raises(DiskFullError, match="full"):
            call()


def test_a_failed_commit_leaves_nothing_behind(store, path):
    grower = Grower(store)
    decided, _ = grower.decision(transaction(1))
    store._db.run("CREATE TEMP TRIGGER fail BEFORE INSERT ON nodes BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(StorageError):
        store.commit(decided)
    store.close()
    again = SqliteStore(path)
    assert again.height() == 0
    assert again.receipts(Height(1)) == ()
    again.close()
    store._directory._lock = os.open(path, os.O_RDONLY)  # for the fixture's close


@pytest.mark.parametrize(
    ("table", "column", "read"),
    [
        ("blocks", "header", lambda store: store.header(Height(1))),
        ("blocks", "body", lambda store: store.final(Height(1))),
        ("blocks", "certificate", lambda store: store.final(Height(1))),
        ("blocks", "validators", lambda store: store.validators(Height(1))),
        ("receipts", "data", lambda store: store.receipts(Height(1))),
    ],
)
@pytest.mark.parametrize("damage", ["zeroblob(40)", "'text'", "7", "zeroblob(0)"])
def test_a_damaged_row_is_never_returned(path, table, column, read, damage):
    store = SqliteStore(path)
    Grower(store).grow(transaction(1))
    store.close()
    rows(path, f"DROP TRIGGER {table}_no_update")
    rows(path, CHANGE.format(table, column, damage))
    store = SqliteStore(path)
    with pytest.raises(StorageError):
        read(store)
    store.close()


def test_a_damaged_state_node_is_never_returned(path):
    store = SqliteStore(path)
    made = Grower(store).grow(transaction(1))
    store.close()
    rows(path, "UPDATE nodes SET value = x'00'")
    store = SqliteStore(path)
    with pytest.raises(StorageError, match="keccak256"):
        store.read_node(next(iter(made.nodes)))
    store.close()


@pytest.mark.parametrize("change", ["height = 2", "second = first", "first_kind = 3", "key = x'00'", "first = x''"])
def test_damaged_evidence_is_never_returned(path, change):
    store = SqliteStore(path)
    store.accuse(equivocation(1, 1))
    store.close()
    rows(path, "DROP TRIGGER evidence_no_update")
    rows(path, f"UPDATE evidence SET {change}")  # noqa: S608 - the test's own words
    store = SqliteStore(path)
    if change == "key = x'00'":  # what it is found by is who it accuses; verification knows better
        assert store.evidence()[0].key == b"\0"
    else:
        with pytest.raises(StorageError):
            store.evidence()
    store.close()


@pytest.mark.system
def test_one_flush_for_each_commit_and_append(path):
    script = """
import sys, pathlib
from ledger.store import SqliteStore
from ledger.types import VoteKind
from tests.support.chains import transaction
from tests.support.tools import need
from tests.ports.store_suite import Grower, vote
store = SqliteStore(pathlib.Path(sys.argv[1]))
grower = Grower(store)
for number in range(20):
    store.append([vote(VoteKind.NOTARIZE, number + 1, 1), vote(VoteKind.FINALIZE, number + 1, 1)])
    grower.grow(transaction(number))
    print(number, flush=True)
import os
os.kill(os.getpid(), 9)
"""
    run = [need("strace"), "-f", "-c", "-e", "trace=fsync,fdatasync", sys.executable, "-c", script, str(path)]
    done = subprocess.run(
        run, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(Path.cwd())}
    )
    flushes = sum(int(line.split()[3]) for line in done.stderr.splitlines() if line.rstrip().endswith("sync"))
    assert 40 <= flushes <= 56


def test_the_log_is_moved_into_the_database_when_idle(store, path):
    grower = Grower(store)
    wal = path / "ledger.sqlite-wal"
    number = 0
    while wal.stat().st_size <= 1 << 20:
        grower.grow(*(transaction(number * 10 + n, args=bytes(10_000)) for n in range(10)))
        number += 1
    store.maintain()
    assert wal.stat().st_size == 0
    assert store.height() == number
