"""Small disks for daemons: a file system in memory in the place of a data directory, and a ballast that fills it.

python -m tests.support.small_disk NODE.TOML     a daemon whose blobs leave nothing of the disk to the ledger
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from mpcnode.devnet import processes
from tests.support.devnet import Devnet


@contextmanager
def small_disk(directory: Path, size: int) -> Iterator[None]:
    """Put a file system of so many bytes, with what is in a directory, in its place; its content stays afterwards."""
    aside = directory.with_name(f"{directory.name}-aside")
    directory.rename(aside)
    directory.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(directory)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False).returncode == 0
    try:
        if not mounted:
            pytest.skip("only root may mount a small disk")
        shutil.copytree(aside, directory, dirs_exist_ok=True, symlinks=True)
        shutil.rmtree(aside)
        yield
    finally:
        if not aside.exists():
            shutil.copytree(directory, aside)
        if mounted:
            subprocess.run(["umount", "--lazy", str(directory)], check=True)
        directory.rmdir()
        aside.rename(directory)


def fill(directory: Path, leave: int) -> Path:
    """Take the room of a file system but for so many bytes; return the file that takes it."""
    ballast = directory / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(directory).free - leave)
    return ballast


def start_without_margin(net: Devnet, name: str) -> None:
    """Start a daemon whose blobs may take the whole disk."""
    command = [sys.executable, "-m", "tests.support.small_disk"]
    with mock.patch.object(processes, "daemon_command", lambda path: [*command, str(path)]):
        net.children[name] = processes.spawn(net.layout.node(name))


if __name__ == "__main__":
    from mpcnode.adapters.blob_files import BlobFiles
    from mpcnode.cli.main import main

    assert BlobFiles.__init__.__kwdefaults__ is not None
    BlobFiles.__init__.__kwdefaults__["free_min"] = 0
    sys.argv = ["mpcnode", "run", "--config", sys.argv[1]]
    main()
