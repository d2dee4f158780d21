"""Commands in this process, as a shell sees them."""

import json
import sys

import pytest

from mpcnode.cli.main import main


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
