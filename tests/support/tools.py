"""Tools that are not Python: where they are, or why a test of them does not run."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
NODE_MODULES = ROOT / "build" / "node" / "node_modules"
WEB3 = ROOT / "build" / "web3" / "bin"
FOLDERS = (NODE_MODULES / ".bin", NODE_MODULES / "@bufbuild" / "buf-linux-x64" / "bin", WEB3)


def need(tool: str) -> str:
    """Return the path of a tool; without it, skip the test by name, or fail it where CI=true."""
    found = shutil.which(tool, path=":".join((*map(str, FOLDERS), os.environ["PATH"])))
    return found or missing(tool)


def missing(tool: str) -> NoReturn:
    """Skip a test whose tool is not there, or fail it where CI=true."""
    reason = f"{tool} is missing: make system-deps installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
