"""Every command's help, word for word: UPDATE_GOLDEN=1 writes it anew after a change that was meant."""

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mpcnode.cli.main import COMMANDS, mpcnode

GOLDEN = Path(__file__).parent / "golden"


def commands():
    """Every command with its words on the command line."""
    found: dict[tuple[str, ...], click.Command] = {("mpcnode",): mpcnode}
    for name in COMMANDS:
        command = mpcnode.get_command(click.Context(mpcnode), name)
        assert command is not None
        found |= with_inner(("mpcnode", name), command)
    return found


def with_inner(words, command):
    """A command and all commands in it."""
    found = {words: command}
    for name, inner in getattr(command, "commands", {}).items():
        found |= with_inner((*words, name), inner)
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_is_what_it_was(words):
    done = CliRunner().invoke(mpcnode, [*words[1:], "--help"], prog_name="mpcnode", terminal_width=80)
    assert done.exit_code == 0
    golden = GOLDEN / f"{'-'.join(words)}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(done.output)
    assert done.output == golden.read_text()


def test_no_help_is_left_over():
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {"-".join(words) for words in commands()}
