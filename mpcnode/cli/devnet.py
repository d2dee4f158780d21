"""`mpcnode devnet`: a whole consortium on this machine."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mpcnode.cli.node import status_fields
from mpcnode.cli.output import Table, json_option, short_hex, show_json, show_table
from mpcnode.errors import Exit
from mpcnode.types import CorrelationSource

if TYPE_CHECKING:
    from mpcnode.devnet.control import DaemonReport

_directory = click.argument("directory", type=click.Path(path_type=Path, file_okay=False))


@click.group()
def devnet() -> None:
    """Run a whole consortium on this machine: separate processes, real keys, real channels."""


@devnet.command()
@_directory
@click.option("--demo", type=click.Path(path_type=Path), help="Models and data, if not the clone's configs/demo.")
@click.option(
    "--correlations",
    type=click.Choice([str(source) for source in CorrelationSource]),
    default=str(CorrelationSource.DEALER),
    show_default=True,
    help="Who makes the one-time randomness. Nodes that make it themselves (ot, paillier) are audited after release.",
)
@json_option
def new(directory: Path, demo: Path | None, correlations: str, as_json: bool) -> None:
    """Write keys, consortium document, configuration, models and data for eight daemons and an inquirer.

    DIRECTORY must not exist yet, or be empty.
    """
    from mpcnode.adapters.clock import SystemClock  # noqa: PLC0415 - slow to load
    from mpcnode.devnet.creation import create, demo_files  # noqa: PLC0415

    source = CorrelationSource(correlations)
    layout = create(directory, demo or demo_files(), SystemClock().now_ms(), source)
    names = layout.daemons()
    if as_json:
        show_json({"directory": str(layout.root), "daemons": list(names), "profile": str(layout.profile)})
    else:
        click.echo(f"{layout.root}: {len(names)} daemons ({', '.join(names)})")
        click.echo(f"start them: mpcnode devnet up {directory}")


@devnet.command()
@_directory
@json_option
def up(directory: Path, as_json: bool) -> None:
    """Start every daemon that does not run, and wait until all are ready; all or none."""
    from mpcnode.devnet.control import bring_up, open_layout  # noqa: PLC0415 - slow to load

    def tell(text: str) -> None:
        click.echo(text, err=True)

    _show(asyncio.run(bring_up(open_layout(directory), tell)), as_json=as_json)


@devnet.command()
@_directory
@json_option
def down(directory: Path, as_json: bool) -> None:
    """Stop every daemon: SIGTERM, and SIGKILL after 25 s."""
    from mpcnode.devnet.control import open_layout, take_down  # noqa: PLC0415 - slow to load

    outcome = asyncio.run(take_down(open_layout(directory)))
    if as_json:
        show_json(outcome)
    else:
        show_table(Table(columns=("daemon", "what happened"), rows=sorted(outcome.items())))


@devnet.command()
@_directory
@json_option
def status(directory: Path, as_json: bool) -> int:
    """Show every daemon; exit code 40 unless all are ready."""
    from mpcnode.devnet.control import open_layout, report  # noqa: PLC0415 - slow to load

    reports = asyncio.run(report(open_layout(directory)))
    _show(reports, as_json=as_json)
    return int(Exit.OK if all(daemon.ready for daemon in reports) else Exit.UNAVAILABLE)


def _show(reports: "tuple[DaemonReport, ...]", *, as_json: bool) -> None:
    if as_json:
        show_json({daemon.name: _fields(daemon) for daemon in reports})
        return
    show_table(
        Table(columns=("daemon", "role", "state", "pid", "height", "head", "peers"), rows=[_row(d) for d in reports])
    )


def _fields(daemon: "DaemonReport") -> dict[str, object]:
    told = {} if daemon.status is None else status_fields(daemon.status)
    pid = None if daemon.process is None else daemon.process.pid
    return {"running": daemon.process is not None, "ready": daemon.ready, **told, "pid": pid}


def _row(daemon: "DaemonReport") -> tuple[str, ...]:
    pid = "" if daemon.process is None else str(daemon.process.pid)
    told = daemon.status
    if told is None:
        return (daemon.name, "", "not running" if daemon.process is None else "no answer", pid, "", "", "")
    connected = sum(peer.connected for peer in told.peers)
    state = told.state.name.lower() + (f" ({told.detail})" if told.detail else "")
    peers = f"{connected}/{len(told.peers)}"
    return (daemon.name, told.role, state, pid, str(told.height), short_hex(told.head), peers)
