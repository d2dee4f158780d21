"""`mpcnode status` and `mpcnode health`: what a running daemon says over its control socket."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mpcnode.cli.output import Table, json_option, show_json, show_table
from mpcnode.errors import Exit

if TYPE_CHECKING:
    from mpcnode.rpc.control import NodeStatus


def _socket_options(command: Callable[..., Any]) -> Callable[..., Any]:
    path = click.Path(path_type=Path)
    command = click.option("--socket", type=path, help="The daemon's control socket.")(command)
    return click.option("--config", type=path, help="The daemon's node.toml.")(command)


def _control_socket(config: Path | None, socket: Path | None) -> Path:
    if (config is None) == (socket is None):
        raise click.UsageError("give either --config or --socket")
    if socket is not None:
        return socket
    from mpcnode.config.node import control_socket_of  # noqa: PLC0415 - slow to load

    return control_socket_of(config or Path())


@click.command()
@_socket_options
@json_option
def status(config: Path | None, socket: Path | None, as_json: bool) -> None:
    """Tell how a running daemon is."""
    from mpcnode.rpc.control import fetch_status  # noqa: PLC0415 - slow to load

    found = asyncio.run(fetch_status(_control_socket(config, socket)))
    if as_json:
        show_json(status_fields(found))
        return
    connected = sum(peer.connected for peer in found.peers)
    rows = [
        ("name", found.name),
        ("role", found.role),
        ("state", found.state.name.lower() + (f" ({found.detail})" if found.detail else "")),
        ("version", found.version),
        ("pid", str(found.pid)),
        ("chain", found.chain.hex()),
        ("height", str(found.height)),
        ("head", found.head.hex()),
        ("peers", f"{connected} of {len(found.peers)} connected"),
        *((name, str(count)) for name, count in sorted(found.counters.items())),
    ]
    show_table(Table(columns=("what", "value"), rows=rows))


@click.command()
@_socket_options
@json_option
def health(config: Path | None, socket: Path | None, as_json: bool) -> int:
    """Tell whether a running daemon does its work; exit code 40 if it does not."""
    from mpcnode.rpc.control import fetch_health  # noqa: PLC0415 - slow to load

    found = asyncio.run(fetch_health(_control_socket(config, socket)))
    if as_json:
        checks = [{"name": item.name, "passed": item.passed, "detail": item.detail} for item in found.checks]
        show_json({"healthy": found.healthy, "checks": checks})
    else:
        rows = [(item.name, "passed" if item.passed else "FAILED", item.detail) for item in found.checks]
        show_table(Table(columns=("check", "result", "detail"), rows=rows))
        click.echo("healthy" if found.healthy else "not healthy")
    return int(Exit.OK if found.healthy else Exit.UNAVAILABLE)


def status_fields(found: "NodeStatus") -> dict[str, object]:
    """Return a daemon's status as programs read it."""
    return {
        "name": found.name,
        "role": found.role,
        "state": found.state.name.lower(),
        "detail": found.detail,
        "version": found.version,
        "pid": found.pid,
        "started_ms": found.started_ms,
        "chain": found.chain,
        "height": found.height,
        "head": found.head,
        "head_time_ms": found.head_time_ms,
        "peers": {peer.name: peer.connected for peer in found.peers},
        "counters": dict(sorted(found.counters.items())),
    }
