"""Commands in this process, as a shell sees them."""

import json
import sys

import pytest

from ledger.store import MemoryStore
from mpcnode.cli.main import main
from tests.support.control import SharedChain


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command; return its exit code, output and errors."""
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mpcnode", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def shown(run):
    """Run a command that must succeed, and return its JSON."""

    def shown(*words):
        code, out, err = run(*words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return shown


@pytest.fixture
def council(own_network):
    """A chain at genesis, and the daemons that share it."""
    return SharedChain(own_network, MemoryStore())
