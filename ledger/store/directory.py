"""A replica's data directory: private, used by one process at a time, marked until its first vote."""

import fcntl
import os
from pathlib import Path

from ledger.errors import LockedError, StorageError

DATABASE = "ledger.sqlite"
_LOCK = "lock"
_MARKER = "never-voted"


def create_directory(path: Path, *, never_voted: bool = True) -> None:
    """Make the data directory of a replica; one that exists is refused.

    Args:
        path: where.
        never_voted: the replica is new to the world. Only such a replica may vote without asking its peers what it
            voted before, so this writes the marker that says it. False: what it had was lost.

    Raises:
        StorageError: it exists, or cannot be made.
    """
    try:
        path.mkdir(mode=0o700)
        if never_voted:
            marker = os.open(path / _MARKER, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            os.fsync(marker)
            os.close(marker)
        _flush(path)
        _flush(path.parent)
    except OSError as error:
        raise StorageError(f"data directory: expected to make {path}, got {error}") from error


class Directory:
    """The data directory, held until `close`."""

    def __init__(self, path: Path) -> None:
        """Take the lock; the kernel releases it with the process, however that ends.

        Raises:
            LockedError: another process uses it.
            StorageError: it is missing or open to others.
        """
        self.path = path
        try:
            mode = path.stat().st_mode
            if mode & 0o077:
                raise StorageError(f"data directory: expected mode 0700 of {path}, got {mode & 0o777:04o}")
            self._lock = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"data directory: expected {path}, got {error}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise LockedError(f"data directory: expected {path} to be unused, got a process that holds it") from error
        self._marked = (path / _MARKER).exists()

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / DATABASE

    def is_marked(self) -> bool:
        """Whether this replica never voted."""
        return self._marked

    def remove_marker(self) -> None:
        """Say for ever that this replica voted; durable when it returns."""
        if self._marked:
            (self.path / _MARKER).unlink()
            _flush(self.path)
            self._marked = False

    def flush(self) -> None:
        """Make new names in the directory durable."""
        _flush(self.path)

    def close(self) -> None:
        """Release the lock."""
        os.close(self._lock)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
