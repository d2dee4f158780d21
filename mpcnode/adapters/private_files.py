"""Reading files that nobody else may read: refused, with the line that mends them, if somebody else could."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from mpcnode.errors import ErrorCode, KeyFileError, LocalError

FILE_BYTES_MAX = 64 * 1024
"""Key files take at most 16 KiB."""


def check_private_directory(path: Path) -> None:
    """Check that a directory is its owner's alone (0700), and that the owner is who runs this.

    Raises:
        LocalError: it is not; the message has the line to run.
    """
    try:
        _check(path, path.stat(follow_symlinks=False), stat.S_ISDIR, "directory", "700")
    except OSError as error:
        raise KeyFileError(f"{path}: expected a directory, got {error.strerror}") from error


def read_private_file(path: Path) -> bytes:
    """Read a file that is its owner's alone (0600), in such a directory.

    Raises:
        LocalError: others can reach it; the message has the line to run.
        KeyFileError: it cannot be read, or is too large.
    """
    check_private_directory(path.parent)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise KeyFileError(f"{path}: expected a readable key file, got {error.strerror}") from error
    try:
        _check(path, os.fstat(descriptor), stat.S_ISREG, "file", "600")
        data = os.read(descriptor, FILE_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    if len(data) > FILE_BYTES_MAX:
        raise KeyFileError(f"{path}: expected at most {FILE_BYTES_MAX} bytes, got more")
    return data


def _check(path: Path, found: os.stat_result, is_kind: Callable[[int], bool], kind: str, mode: str) -> None:
    if not is_kind(found.st_mode):
        raise LocalError(f"{path}: expected a {kind} itself, got something else", ErrorCode.PERMISSIONS)
    if found.st_uid != os.geteuid():
        expected = f"expected it to belong to user {os.geteuid()}, got user {found.st_uid}"
        raise LocalError(f"{path}: {expected}; run: chown {os.geteuid()} {path}", ErrorCode.PERMISSIONS)
    if found.st_mode & 0o077:
        got = f"{stat.S_IMODE(found.st_mode):04o}"
        raise LocalError(f"{path}: expected mode 0{mode}, got {got}; run: chmod {mode} {path}", ErrorCode.PERMISSIONS)
