"""`mpcnode ledger prove`: what a replica can prove to others, while its daemon does not run."""

from pathlib import Path

import click

from mpcnode.cli.ledger.options import config_option
from mpcnode.cli.output import json_option, show_json

_HEIGHT = click.IntRange(0, (1 << 63) - 1)


@click.command()
@click.argument("query_id", required=False)
@click.option("--since", type=_HEIGHT, help="Prove that this block is in the history of a newer one.")
@click.option("--until", type=_HEIGHT, help="The newer one, with --since; the newest if it is not given.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to write.")
@config_option
@json_option
def prove(
    query_id: str | None, since: int | None, until: int | None, output: Path, config: Path, *, as_json: bool
) -> None:
    """Write a proof from a replica, offline, for somebody who trusts nobody; a file that exists is not overwritten.

    With QUERY_ID a receipt file: every transaction of the query, with proofs; `mpcnode receipt verify` checks it.
    With --since a consistency file: the chain until then was not rewritten; `mpcnode receipt consistency` checks it.
    """
    from mpcnode.adapters.replica_files import open_replica, prove_history, prove_query  # noqa: PLC0415 - slow to load
    from mpcnode.config.node import load_node  # noqa: PLC0415

    if (query_id is None) == (since is None) or (since is None and until is not None):
        raise click.UsageError("expected QUERY_ID, or --since and perhaps --until")
    query = None if query_id is None else _query(query_id)
    shown: dict[str, object]
    with open_replica(load_node(config)) as store:
        if query is not None:
            proof, count = prove_query(store, query)
            shown = {"query": query, "file": str(output), "transactions": count}
            told = f"{count} transactions of query {query.hex()}"
        else:
            proof, older, newer = prove_history(store, since or 0, until)
            shown = {"file": str(output), "older": older, "newer": newer}
            told = f"block {older['height']} is in the history of block {newer['height']}"
    try:
        with output.open("xb") as file:
            file.write(proof)
    except OSError as error:
        raise click.FileError(str(output), error.strerror) from error
    if as_json:
        show_json(shown)
    else:
        click.echo(f"{output}: {told}")


def _query(text: str) -> bytes:
    try:
        query = bytes.fromhex(text)
    except ValueError:
        query = b""
    if len(query) != 32:
        raise click.BadParameter("expected 64 hexadecimal digits", param_hint="QUERY_ID")
    return query
