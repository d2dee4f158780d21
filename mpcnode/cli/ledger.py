"""`mpcnode ledger`: a replica's files, while its daemon does not run."""

from pathlib import Path

import click

from mpcnode.cli.output import Table, json_option, show_json, show_table
from mpcnode.errors import Exit

_config = click.option("--config", type=click.Path(path_type=Path), required=True, help="The daemon's node.toml.")


@click.group()
def ledger() -> None:
    """Set up, check or read a replica's files."""


@ledger.command()
@_config
def new(config: Path) -> None:
    """Make the ledger directory of a member that never ran, once.

    A validator with a new directory votes without asking what it voted before. After a loss of data restore the
    directory, or join as a new member: do not make a new one under old keys.
    """
    from ledger.store import create_directory  # noqa: PLC0415 - slow to load
    from mpcnode.adapters.durable import make_private_directory  # noqa: PLC0415
    from mpcnode.config.node import load_node  # noqa: PLC0415

    node = load_node(config)
    make_private_directory(node.data_dir)
    create_directory(node.ledger_dir)
    click.echo(f"{node.ledger_dir}: ready for the first start of {node.member.name}")


@ledger.command()
@_config
@json_option
def verify(config: Path, as_json: bool) -> int:
    """Check a replica from genesis to its head, offline: every block, certificate, receipt, state and own vote.

    Exit code 20 if something is wrong; the height is named.
    """
    from mpcnode.adapters.replica_check import verify_replica  # noqa: PLC0415 - slow to load
    from mpcnode.config.node import load_node  # noqa: PLC0415

    node = load_node(config)
    report = verify_replica(node)
    failure = report.failure
    if as_json:
        wrong = None if failure is None else {"height": failure.height, "reason": failure.reason}
        show_json({"name": node.member.name, "ok": failure is None, "verified": report.verified, "failure": wrong})
    elif failure is None:
        verified = "no block yet" if report.verified is None else f"right from genesis to height {report.verified}"
        click.echo(f"{node.member.name}: {verified}")
    else:
        place = "outside any block" if failure.height is None else f"at height {failure.height}"
        click.echo(f"{node.member.name}: wrong {place}: {failure.reason}")
    return int(Exit.OK if failure is None else Exit.LEDGER_INVALID)


@ledger.command()
@_config
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


@ledger.command()
@click.argument("height", type=click.IntRange(0, (1 << 63) - 1))
@_config
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


@ledger.command()
@click.argument("query_id")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to write.")
@_config
@json_option
def prove(query_id: str, output: Path, config: Path, as_json: bool) -> None:
    """Write the receipt file of QUERY_ID from a replica, offline: every transaction of it, with proofs.

    `mpcnode receipt verify` checks it. A file that exists is not overwritten.
    """
    from mpcnode.adapters.replica_files import open_replica, prove_query  # noqa: PLC0415 - slow to load
    from mpcnode.config.node import load_node  # noqa: PLC0415

    try:
        query = bytes.fromhex(query_id)
    except ValueError:
        query = b""
    if len(query) != 32:
        raise click.BadParameter("expected 64 hexadecimal digits", param_hint="QUERY_ID")
    node = load_node(config)
    with open_replica(node) as store:
        receipt, count = prove_query(store, query)
    try:
        with output.open("xb") as file:
            file.write(receipt)
    except OSError as error:
        raise click.FileError(str(output), error.strerror) from error
    if as_json:
        show_json({"query": query, "file": str(output), "transactions": count})
    else:
        click.echo(f"{output}: {count} transactions of query {query.hex()}")


@ledger.command()
@click.option("--from", "first", type=click.IntRange(0), default=0, show_default=True, help="First height.")
@click.option("--to", "last", type=click.IntRange(0), help="Last height; the newest if it is not given.")
@_config
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
