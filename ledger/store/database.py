"""The SQLite file under the store: how it is opened, what a transaction is, and that the first failure is the last.

WAL with synchronous=FULL: one flush for each transaction, which is on disk before it ends. After the first failure
nothing is tried again: a flush that failed once may seem to succeed the next time although its data is gone (Rebello
et al., ATC 2020).
"""

import errno
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ledger.errors import DiskFullError, StorageError
from ledger.store.schema import APPLICATION_ID, VERSION, statements

Value = int | bytes | None
Row = tuple[object, ...]

_SETTINGS = (
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 0",
    "cache_size = -16000",
    "temp_store = MEMORY",
    "trusted_schema = OFF",
    "cell_size_check = ON",
)
_PAGES_AT_ONCE = 4_096
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Database:
    """One connection to the file; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file, and make it with its tables if there is none; the caller flushes its directory.

        Raises:
            StorageError: it cannot be used, or is another program's or format's.
        """
        self._broken: StorageError | None = None
        self._wal = path.with_name(path.name + "-wal")
        with self.guarded("open"):
            self._sql = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            with ExitStack() as undo:
                undo.callback(self._sql.close)
                path.chmod(0o600)
                self._prepare()
                undo.pop_all()

    def _prepare(self) -> None:
        """Set the connection up, make the tables if there are none, and check whose they are."""
        for setting in _SETTINGS:
            self.rows(f"PRAGMA {setting}")  # read to the end: SQLite tells there that a setting failed, or nowhere
        if (mode := self.one("PRAGMA journal_mode")) != "wal":
            raise StorageError(f"store: expected a write-ahead log, got {mode}")
        if not self.one("SELECT count(*) FROM sqlite_schema"):
            with self.transaction():
                for statement in statements():
                    self.run(statement)
        found = self.one("PRAGMA application_id"), self.one("PRAGMA user_version")
        if found != (APPLICATION_ID, VERSION):
            raise StorageError(f"store: expected format {VERSION} of this program, got {found[1]} ({found[0]:#x})")

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Do something that may find the disk or the data broken; once it was, everything raises that again.

        Raises:
            StorageError: what failed, now or earlier; `DiskFullError` if it was for want of room.
        """
        if self._broken is not None:
            raise type(self._broken)(str(self._broken))
        try:
            yield
        except StorageError as error:
            self._broken = error
            raise
        except (sqlite3.Error, OSError) as error:
            kind = DiskFullError if _wants_room(error) else StorageError
            self._broken = kind(f"store: expected to do this: {what}, got {error}")
            raise self._broken from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside durable at the end, in one flush, or undo it."""
        self.run("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._sql.in_transaction:
                self.run("ROLLBACK")
            raise
        self.run("COMMIT")

    def run(self, query: str, *values: Value) -> None:
        """Run a statement for what it does."""
        self._sql.execute(query, values)

    def run_many(self, query: str, rows: Iterable[Iterable[Value]]) -> None:
        """Run a statement for each row."""
        self._sql.executemany(query, (tuple(row) for row in rows))

    def rows(self, query: str, *values: Value) -> list[Row]:
        """Return what a query finds."""
        return self._sql.execute(query, values).fetchall()

    def scan(self, query: str) -> Iterator[Row]:
        """Return what a query finds, row by row."""
        yield from self._sql.execute(query)

    def row(self, query: str, *values: Value) -> Row | None:
        """Return the first row that a query finds."""
        found: Row | None = self._sql.execute(query, values).fetchone()
        return found

    def one(self, query: str, *values: Value) -> object:
        """Return the first column of the first row; None if there is none."""
        found = self.row(query, *values)
        return found[0] if found else None

    def wal_bytes(self) -> int:
        """Size of the log that is not in the file yet."""
        return self._wal.stat().st_size if self._wal.exists() else 0

    def checkpoint(self) -> None:
        """Move the log into the file.

        Raises:
            StorageError: somebody else uses the file.
        """
        ((busy, *_),) = self.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise StorageError("store: expected a checkpoint, got a database in use")

    def shrink(self) -> None:
        """Give pages that nothing uses back to the file system, a few at a time; the file is whole after each."""
        while self.one("PRAGMA freelist_count"):
            self.rows(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
            self.checkpoint()

    def check_structure(self) -> None:
        """Run SQLite's own check of the whole file.

        Raises:
            StorageError: it is damaged.
        """
        found = [row[0] for row in self.rows("PRAGMA integrity_check(8)")]
        if found != ["ok"]:
            raise StorageError(f"store: expected an intact file, got {'; '.join(map(str, found))}")

    def close(self) -> None:
        """Close the file.

        Raises:
            StorageError: it cannot be closed.
        """
        try:
            self._sql.close()
        except sqlite3.Error as error:
            raise StorageError(f"store: expected to close it, got {error}") from error


def _wants_room(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
