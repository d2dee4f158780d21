"""`mpcnode ledger compact`: less state on disk, whether the daemon runs or not."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mpcnode.cli.ledger.options import ask_or_read, config_option
from mpcnode.cli.output import json_option, show_json

if TYPE_CHECKING:
    from ledger.ports import Compaction
    from ledger.store import SqliteStore

_MB = 1_000_000


@click.command()
@config_option
@json_option
def compact(config: Path, as_json: bool) -> None:
    """Remove old state from a replica.

    Blocks, receipts and votes all stay, and so does the state after each of the last 1,000 blocks. The running daemon
    does it between its other work, and uses the room again; it also does so by itself when there is enough of it. If
    none runs, this command does it and gives the room back. It may be interrupted.
    """
    from mpcnode.adapters.replica_compaction import compact_store, replica_bytes  # noqa: PLC0415 - slow to load
    from mpcnode.config.node import load_node  # noqa: PLC0415
    from mpcnode.rpc.storage import compact_daemon  # noqa: PLC0415

    node = load_node(config)

    async def compact_files(store: "SqliteStore") -> "Compaction":
        return compact_store(store, node.consortium.chain, _show_progress)

    before = replica_bytes(node)
    done = ask_or_read(node, lambda control: compact_daemon(control, _show_progress), compact_files)
    after = replica_bytes(node)
    if as_json:
        counted = {"kept": done.kept, "removed": done.removed, "states_from": done.states_from}
        show_json({"name": node.member.name, **counted, "bytes_before": before, "bytes_after": after})
        return
    click.echo(f"{node.member.name}: removed {done.removed} state nodes, kept {done.kept}")
    click.echo(f"states are kept from height {done.states_from} on")
    click.echo(f"{before / _MB:.1f} MB before, {after / _MB:.1f} MB after")


def _show_progress(done: "Compaction") -> None:
    """Keep a terminal informed; where nobody watches, say nothing."""
    if sys.stderr.isatty():
        click.echo(f"\rmarked {done.kept}, removed {done.removed} ", nl=False, err=True)
