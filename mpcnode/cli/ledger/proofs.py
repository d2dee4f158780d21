"""`mpcnode ledger prove`: what a replica can prove to others, while its daemon does not run."""

from pathlib import Path

import click

from mpcnode.cli.ledger.options import config_option
from mpcnode.cli.output import json_option, show_json


@click.command()
@click.argument("query_id")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to write.")
@config_option
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
