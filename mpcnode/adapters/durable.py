"""Files that are either whole and on disk, or not there: write aside, check, flush, move into place, flush the folder.

A failed or short write stops the daemon (`StorageError`) and is never tried again: after a failed flush the next one
may succeed without the data (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020).
"""

import errno
import os
import sqlite3
from pathlib import Path

from mpcnode.errors import ErrorCode, StorageError

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700


def storage_error(message: str, cause: OSError | sqlite3.Error) -> StorageError:
    """Return the error of a disk that failed, with a code of its own if it only has no room."""
    if isinstance(cause, OSError):
        is_full = cause.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    else:
        is_full = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return StorageError(f"{message}, got {cause}", ErrorCode.DISK_FULL if is_full else ErrorCode.STORAGE)


def replace_file(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Put `data` at `path`, in place of what was there; durable when it returns.

    Raises:
        StorageError: the disk took less than everything; what was at `path` is still there.
    """
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    _write_new(aside, data, mode)
    try:
        aside.replace(path)
    except OSError as error:
        raise storage_error(f"{path}: expected to move a new version into place", error) from error
    flush_directory(path.parent)


def create_file(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Write a file that must not exist yet; durable when it returns.

    Raises:
        FileExistsError: something is at `path`; it was not touched.
        StorageError: the disk took less than everything.
    """
    _write_new(path, data, mode)
    flush_directory(path.parent)


def make_private_directory(path: Path) -> None:
    """Make a directory, and its parents, that only its owner can enter; one that exists keeps its mode."""
    if path.is_dir():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=PRIVATE_DIRECTORY)
    path.chmod(PRIVATE_DIRECTORY)


def flush_directory(path: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        StorageError: the flush failed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error(f"{path}: expected the directory to be flushed", error) from error


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            os.fchmod(descriptor, mode)
            written = 0
            while written < len(data):
                taken = os.write(descriptor, data[written:])
                if taken == 0:
                    raise StorageError(f"{path}: expected to write {len(data)} bytes, got {written}")
                written += taken
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except FileExistsError:
        raise
    except OSError as error:
        raise storage_error(f"{path}: expected to write {len(data)} bytes", error) from error
