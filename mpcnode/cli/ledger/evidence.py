"""`mpcnode ledger evidence`: what was proven against validators, while the daemon does not run."""

from pathlib import Path
from typing import Any

import click

from mpcnode.cli.ledger.options import config_option
from mpcnode.cli.output import Table, json_option, show_json, show_table

_HASH_DIGITS = 12


@click.command()
@config_option
@json_option
def evidence(config: Path, as_json: bool) -> None:
    """Show proofs of double voting that a replica keeps, offline: who, at which height and view, and both votes.

    Nobody votes twice by mistake: a validator listed here was changed, or its key is in other hands. With --json both
    votes come with their signatures, which convince whoever knows the consortium.
    """
    from mpcnode.adapters.replica_evidence import describe_evidence  # noqa: PLC0415 - slow to load
    from mpcnode.adapters.replica_files import open_replica  # noqa: PLC0415
    from mpcnode.config.node import load_node  # noqa: PLC0415

    node = load_node(config)
    with open_replica(node) as store:
        found = describe_evidence(store, node.consortium)
    if as_json:
        show_json({"name": node.member.name, "evidence": found})
    elif not found:
        click.echo(f"{node.member.name}: nobody is known to have voted twice")
    else:
        columns = ("member", "height", "view", "first vote", "second vote")
        show_table(Table(columns=columns, rows=[_cells(proof) for proof in found]))


def _cells(proof: dict[str, Any]) -> list[str]:
    votes = [f"{vote['kind']} {vote['block'][:_HASH_DIGITS]}" for vote in proof["votes"]]
    return [proof["member"] or proof["key"], str(proof["height"]), str(proof["view"]), *votes]
