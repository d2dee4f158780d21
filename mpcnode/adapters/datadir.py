"""One daemon for each data directory: an advisory lock that the kernel drops with the process, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpcnode.adapters.durable import PRIVATE_FILE, make_private_directory
from mpcnode.errors import ErrorCode, LocalError


@contextmanager
def hold_data_directory(path: Path) -> Iterator[None]:
    """Hold the directory, made 0700 if there is none, until the context ends.

    Raises:
        LocalError: another process holds it.
    """
    make_private_directory(path)
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            message = f"{path}: expected to be its only daemon, got process {holder} running on it"
            raise LocalError(message, ErrorCode.LOCKED) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
