"""A development network's files, made once: a valid consortium document, node files and keys to start from."""

import shutil
from pathlib import Path

import pytest

from ledger.types import Millis
from mpcnode.devnet.creation import create, demo_files
from mpcnode.devnet.plan import Layout

MADE_MS = Millis(1_790_000_000_000)


@pytest.fixture(scope="session")
def network(tmp_path_factory) -> Layout:
    """Not to be changed."""
    return create(tmp_path_factory.mktemp("net") / "n", demo_files(), MADE_MS)


@pytest.fixture
def own_network(network: Layout, tmp_path: Path) -> Layout:
    """A copy that a test may change."""
    shutil.copytree(network.root, tmp_path / "n")
    return Layout(tmp_path / "n")
