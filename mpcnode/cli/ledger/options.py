"""What the ledger's commands share: options, ways to read, ways to ask."""

import asyncio
import getpass
import os
import re
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mpcnode.errors import UnavailableError

if TYPE_CHECKING:
    from ledger.store import SqliteStore
    from mpcnode.config.node import NodeConfig

T = TypeVar("T")

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

config_option = click.option("--config", type=click.Path(path_type=Path), required=True, help="The daemon's node.toml.")
"""Every command about one replica takes it."""

yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
"""Every command that signs takes it."""


def duration(text: str) -> int:
    """Read a number with a unit as milliseconds.

    Raises:
        click.BadParameter: it is none.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text)
    if found is None:
        raise click.BadParameter(f"expected a number with a unit, such as 90s, 30m, 24h or 7d, got {text!r}")
    return int(found[1]) * _UNITS_MS[found[2]]


def ask_or_read(
    node: "NodeConfig",
    ask: Callable[[Path], Coroutine[Any, Any, T]],
    read: Callable[["SqliteStore"], Coroutine[Any, Any, T]],
) -> T:
    """Ask the running daemon; if none runs, read its files.

    Raises:
        UnavailableError: a daemon holds the files but does not answer.
    """
    from ledger.errors import LockedError  # noqa: PLC0415 - slow to load
    from mpcnode.adapters.replica_files import open_replica  # noqa: PLC0415

    try:
        return asyncio.run(ask(node.control))
    except UnavailableError as silent:
        try:
            with open_replica(node) as store:
                return asyncio.run(read(store))
        except LockedError:
            raise silent from None


def time_of(at_ms: int) -> str:
    """Return a time as people read it, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def login_name() -> str:
    """Return who runs this command, behind sudo as well, for the daemon's log."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user on this machine, as in a container
        user = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER")
    return f"{behind} as {user}" if behind else user


def say_that_it_takes_time() -> None:
    """Keep a terminal informed; where nobody watches, say nothing."""
    if sys.stderr.isatty():
        click.echo("waiting until the validators have decided a block with it", err=True)


def confirm(question: str, *, yes: bool, as_json: bool) -> None:
    """Ask before something is signed.

    Raises:
        click.ClickException: the answer was no.
        click.UsageError: nobody is there to answer, or nobody was shown what is signed.
    """
    if yes:
        return
    if as_json:
        raise click.UsageError("--json shows nothing before it is signed: give --yes as well")
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("expected an answer, got none; where nobody can answer, give --yes") from None
    if not agreed:
        raise click.ClickException("nothing was signed")
