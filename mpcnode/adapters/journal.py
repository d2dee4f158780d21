"""What a role must not forget, before it acts: an append-only durable journal in one SQLite file.

An entry is put once and never changed; `put_once` returns when it is on disk (WAL, synchronous=FULL). One worker
thread owns the connection; entries that arrive while a flush is under way share the next one.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from mpcnode.adapters.durable import create_file, storage_error
from mpcnode.errors import StorageError

T = TypeVar("T")

FORMAT = 1
"""Version of the file's layout, kept in its user_version."""

ALL = -1
"""Every entry of a kind; SQLite's word for no limit."""

_SCHEMA = f"""
CREATE TABLE entries (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (kind, key)
) STRICT;
CREATE TRIGGER entries_kept BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are kept'); END;
CREATE TRIGGER entries_unchanged BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries do not change'); END;
PRAGMA user_version = {FORMAT};
"""

_Entry = tuple[str, bytes, bytes]


class JournalFile:
    """The journal as one thread uses it; every call returns when it is done, puts when they are durable.

    Raises:
        StorageError: from every method, when the disk fails or the file is not a journal of this format.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failure: StorageError | None = None
        try:
            if not path.exists():
                create_file(path, b"")
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            with ExitStack() as undo:
                undo.callback(self._db.close)
                self._open()
                undo.pop_all()
        except sqlite3.Error as error:
            raise storage_error(f"{path}: expected a journal of format {FORMAT}", error) from error

    def put_once(self, kind: str, key: bytes, value: bytes) -> bool:
        """Add an entry; return False, and change nothing, if (kind, key) has one already."""
        return self.put_all([(kind, key, value)])[0]

    def put_all(self, entries: list[_Entry]) -> list[bool]:
        """Add entries in one flush; say of each, in order, whether it was new."""

        def put() -> list[bool]:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                added = [
                    self._db.execute(
                        "INSERT OR IGNORE INTO entries (kind, key, value) VALUES (?, ?, ?)", entry
                    ).rowcount
                    == 1
                    for entry in entries
                ]
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            return added

        return self._guarded(put)

    def get(self, kind: str, key: bytes) -> bytes | None:
        """Return the entry's value; None if there is none."""
        row: tuple[bytes] | None = self._guarded(
            lambda: self._db.execute("SELECT value FROM entries WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        )
        return None if row is None else row[0]

    def items(self, kind: str, newest: int = ALL) -> list[tuple[bytes, bytes]]:
        """Return the newest (key, value) of a kind, so many at most, oldest first."""
        select = "SELECT key, value FROM entries WHERE kind = ? ORDER BY place DESC LIMIT ?"
        return self._guarded(lambda: self._db.execute(select, (kind, newest)).fetchall())[::-1]

    def close(self) -> None:
        """Give the file back."""
        try:
            self._db.close()
        except sqlite3.Error as error:
            raise storage_error(f"{self._path}: expected the journal to close", error) from error

    def _open(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        elif found != FORMAT:
            raise StorageError(f"{self._path}: expected a journal of format {FORMAT}, got format {found}")

    def _guarded(self, work: Callable[[], T]) -> T:
        """Do some work on the file; after a failure nothing is tried again: the disk may lose what it then confirms."""
        if self._failure is not None:
            raise StorageError(str(self._failure), self._failure.code)
        try:
            return work()
        except sqlite3.Error as error:
            self._failure = storage_error(f"{self._path}: expected the journal to answer", error)
            raise self._failure from error


class Journal:
    """The journal as the event loop uses it. Open it with `await Journal.open(path)`, give it back with `close`."""

    def __init__(self, file: JournalFile, worker: ThreadPoolExecutor) -> None:
        self._file = file
        self._worker = worker
        self._waiting: list[tuple[_Entry, asyncio.Future[bool]]] = []
        """Puts of the flush that has not begun; the event loop's thread alone touches it."""
        self._flush: asyncio.Future[list[bool]] | None = None
        self._failed: asyncio.Future[StorageError] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open a journal, making it if there is none.

        Raises:
            StorageError: the file cannot be opened or is not a journal.
        """
        worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        try:
            file = await asyncio.get_running_loop().run_in_executor(worker, JournalFile, path)
        except BaseException:
            worker.shutdown(wait=False)
            raise
        return cls(file, worker)

    async def watch(self) -> None:
        """Wait until the disk fails, and raise that: whoever needed the entry may only have refused a call.

        Raises:
            StorageError: the disk failed; the daemon must stop.
        """
        raise await asyncio.shield(self._failed)

    async def put_once(self, kind: str, key: bytes, value: bytes) -> bool:
        """Add an entry, durable when this returns; False if (kind, key) has one already, which stays.

        Raises:
            StorageError: the disk failed; the daemon must stop.
        """
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(((kind, key, value), done))
        if self._flush is None:
            self._start_flush()
        return await done

    async def get(self, kind: str, key: bytes) -> bytes | None:
        """Return the entry's value; None if there is none."""
        return await self._read(partial(self._file.get, kind, key))

    async def items(self, kind: str, newest: int = ALL) -> list[tuple[bytes, bytes]]:
        """Return the newest (key, value) of a kind, so many at most, oldest first."""
        return await self._read(partial(self._file.items, kind, newest))

    async def close(self) -> None:
        """Finish what was put and give the file back."""
        while self._flush is not None:
            await asyncio.wait([self._flush])
            await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(self._worker, self._file.close)
        self._worker.shutdown()

    async def _read(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, work)
        except StorageError as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, StorageError) and not self._failed.done():
            self._failed.set_result(error)

    def _start_flush(self) -> None:
        batch, self._waiting = self._waiting, []
        entries = [entry for entry, _ in batch]
        self._flush = asyncio.get_running_loop().run_in_executor(self._worker, self._file.put_all, entries)
        self._flush.add_done_callback(lambda flush: self._finish_flush(flush, [done for _, done in batch]))

    def _finish_flush(self, flush: asyncio.Future[list[bool]], waiters: list[asyncio.Future[bool]]) -> None:
        self._flush = None
        error = flush.exception()
        if error is not None:
            self._fail(error)
        for place, done in enumerate(waiters):
            if done.cancelled():
                continue
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(flush.result()[place])
        if self._waiting:
            self._start_flush()
