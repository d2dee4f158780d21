"""Room for a long calculation: a map on disk that ends with its process and whose loss costs nothing."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from ledger.errors import StorageError

_SETTINGS = (
    "journal_mode = OFF",
    "synchronous = OFF",
    "locking_mode = EXCLUSIVE",
    "cache_size = -16000",
    "trusted_schema = OFF",
)


class Scratch:
    """Values by their keys, in a file without a name; its memory does not grow with it."""

    def __init__(self, path: Path | None) -> None:
        """Make it at a path that nothing else uses; in memory if there is none.

        Raises:
            StorageError: the disk failed.
        """
        try:
            if path is None:
                self._sql = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            else:
                path.unlink(missing_ok=True)  # left by a process that was killed before the unlink below
                self._sql = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for setting in _SETTINGS:
                self._sql.execute(f"PRAGMA {setting}")
            self._sql.execute("CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
            if path is not None:
                path.unlink()
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"{path}: expected room for a calculation, got {error}") from error

    def add(self, key: bytes, value: bytes = b"") -> bool:
        """Add an entry; False if there is one."""
        return self._sql.execute("INSERT OR IGNORE INTO entries VALUES (?, ?)", (key, value)).rowcount > 0

    def add_all(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Add entries that are not there yet."""
        self._sql.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?)", entries)

    def get(self, key: bytes) -> bytes | None:
        """Return a value."""
        row = self._sql.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        return int(self._sql.execute("SELECT count(*) FROM entries").fetchone()[0])

    def close(self) -> None:
        """Give the room back."""
        self._sql.close()
