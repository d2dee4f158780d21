"""`mpcnode ledger compact`: less state on disk, while the daemon does not run."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mpcnode.cli.ledger.options import config_option
from mpcnode.cli.output import json_option, show_json

if TYPE_CHECKING:
    from ledger.ports import Compaction

_MB = 1_000_000


@click.command()
@config_option
@json_option
def compact(config: Path, as_json: bool) -> None:
    """Remove old state from a replica, offline, and make its file smaller.

    Blocks, receipts and votes all stay, and so does the state after each of the last 1,000 blocks. A daemon that runs
    does this by itself, a little at a time, and uses the room again; this command does it at once and gives the room
    back. It may be interrupted.
    """
    from mpcnode.adapters.replica_compaction import compact_replica  # noqa: PLC0415 - slow to load
    from mpcnode.config.node import load_node  # noqa: PLC0415

    node = load_node(config)
    done = compact_replica(node, _show_progress)
    if as_json:
        show_json({"name": node.member.name, **asdict(done)})
        return
    click.echo(f"{node.member.name}: removed {done.removed} state nodes, kept {done.kept}")
    click.echo(f"states are kept from height {done.states_from} on")
    click.echo(f"{done.bytes_before / _MB:.1f} MB before, {done.bytes_after / _MB:.1f} MB after")


def _show_progress(done: "Compaction") -> None:
    """Keep a terminal informed; where nobody watches, say nothing."""
    if sys.stderr.isatty():
        click.echo(f"\rmarked {done.kept}, removed {done.removed} ", nl=False, err=True)
