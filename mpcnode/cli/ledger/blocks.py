"""`mpcnode ledger head`, `show`, `export`: what final blocks hold, while the daemon does not run."""

from pathlib import Path

import click

from mpcnode.cli.ledger.options import config_option
from mpcnode.cli.output import Table, json_option, show_json, show_table


@click.command()
@config_option
@json_option
def head(config: Path, as_json: bool) -> None:
    """Show the newest block of a replica, offline."""
    from mpcnode.adapters.replica_files import describe_head, open_replica  # noqa: PLC0415 - slow to load
    from mpcnode.config.node import load_node  # noqa: PLC0415

    node = load_node(config)
    with open_replica(node) as store:
        found = describe_head(store)
    if as_json:
        show_json({"name": node.member.name, "head": found})
    elif found is None:
        click.echo(f"{node.member.name}: no block yet")
    else:
        click.echo(f"{node.member.name}: height {found['height']}, {found['time']}, {found['hash']}")


@click.command()
@click.argument("height", type=click.IntRange(0, (1 << 63) - 1))
@config_option
@json_option
def show(height: int, config: Path, as_json: bool) -> None:
    """Show the block at HEIGHT of a replica, offline: its header, its signers and what its transactions did."""
    from ledger.types import Height  # noqa: PLC0415 - slow to load
    from mpcnode.adapters.replica_files import describe_block, open_replica  # noqa: PLC0415
    from mpcnode.config.node import load_node  # noqa: PLC0415

    node = load_node(config)
    with open_replica(node) as store:
        block = describe_block(store, node.consortium, Height(height))
    if as_json:
        show_json(block)
        return
    transactions = block.pop("transactions")
    for name, value in block.items():
        click.echo(f"{name:14}{', '.join(value) if isinstance(value, list) else value}")
    if transactions:
        cells = [[str(tx[name]) for name in ("method", "sender", "result", "events", "tx_id")] for tx in transactions]
        show_table(Table(columns=("method", "sender", "result", "events", "transaction"), rows=cells))


@click.command()
@click.option("--from", "first", type=click.IntRange(0), default=0, show_default=True, help="First height.")
@click.option("--to", "last", type=click.IntRange(0), help="Last height; the newest if it is not given.")
@config_option
@json_option
def export(first: int, last: int | None, config: Path, as_json: bool) -> None:
    """Print a replica's transactions, offline: a line for each, its fields separated by tabs.

    With --json a line for each block, with everything in it as the bytes that protocol.md describes, in hexadecimal.
    """
    from mpcnode.adapters.replica_files import export_blocks, export_transactions, open_replica  # noqa: PLC0415
    from mpcnode.config.node import load_node  # noqa: PLC0415

    node = load_node(config)
    with open_replica(node) as store:
        lines = (
            export_blocks(store, first, last) if as_json else export_transactions(store, node.consortium, first, last)
        )
        for line in lines:
            click.echo(line)
