"""Failures between any two statements, and kill -9 at any moment: nothing acknowledged is lost, nothing is half there.

`tests/system/test_disk_faults.py` does the same below SQLite, write by write.
"""

import contextlib
import json
import sqlite3
import subprocess
import sys

import pytest

from ledger.errors import StorageError
from ledger.store import SqliteStore, create_directory
from tests.support import disk_faults
from tests.support.tools import ROOT

KILLS = 50
CONNECT = sqlite3.connect


class Flaky:
    """A connection whose k-th statement fails, before or after it was run; as long as the disk stays broken, all do."""

    def __init__(self, sql: sqlite3.Connection, at: int, *, was_run: bool) -> None:
        self.sql = sql
        self.at = at
        self.was_run = was_run
        self.count = 0

    @property
    def in_transaction(self) -> bool:
        return self.sql.in_transaction

    def execute(self, query, values=()):
        return self._run(self.sql.execute, query, values)

    def executemany(self, query, rows):
        return self._run(self.sql.executemany, query, rows)

    def close(self) -> None:
        self.sql.close()

    def _run(self, work, query, values):
        self.count += 1
        if self.count != self.at:
            return work(query, values)
        if self.was_run:
            work(query, values).close()
        raise sqlite3.OperationalError("disk I/O error")


@pytest.fixture
def root(tmp_path):
    with disk_faults.quick_directory(tmp_path) as directory:
        yield directory


@pytest.mark.parametrize("was_run", [False, True])
def test_whichever_statement_fails_nothing_acknowledged_is_lost(root, monkeypatch, was_run):
    monkeypatch.setattr("ledger.store.sqlite._WAL_BYTES_IDLE", 0)
    at = 0
    while True:
        at += 1
        create_directory(path := root / str(at))
        told: dict[str, int] = {}
        flaky: list[Flaky] = []

        def connect(*names, at=at, flaky=flaky, **options):
            flaky.append(Flaky(CONNECT(*names, **options), at, was_run=was_run))
            return flaky[-1]

        monkeypatch.setattr("ledger.store.database.sqlite3.connect", connect)
        with contextlib.suppress(StorageError), contextlib.closing(SqliteStore(path)) as store:
            disk_faults.write(store, told.__setitem__, disk_faults.BLOCKS)
        monkeypatch.setattr("ledger.store.database.sqlite3.connect", CONNECT)
        height = disk_faults.check(path, told)
        assert height <= told.get("block", 0) + 1
        if flaky[0].count < at:
            break
    assert at > 100
    assert told == dict.fromkeys(("vote", "block", "evidence"), disk_faults.BLOCKS)


def test_whenever_the_writer_is_killed_nothing_acknowledged_is_lost(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.disk_faults", "kills", str(tmp_path), str(KILLS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["height"] > 2 * KILLS
