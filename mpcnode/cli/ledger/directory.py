"""`mpcnode ledger new`, `verify`: a replica's files as a whole, while its daemon does not run."""

from pathlib import Path

import click

from mpcnode.cli.ledger.options import config_option
from mpcnode.cli.output import json_option, show_json
from mpcnode.errors import Exit


@click.command()
@click.option("--lost", is_flag=True, help="The member did run, and its directory is gone.")
@config_option
@json_option
def new(lost: bool, config: Path, as_json: bool) -> None:
    """Make the ledger directory of a member that never ran, once.

    A validator with a new directory votes without asking what it voted before. With --lost it asks the others first,
    and votes from the next height on; never make a directory without it under keys that were used.
    """
    from ledger.store import create_directory  # noqa: PLC0415 - slow to load
    from mpcnode.adapters.durable import make_private_directory  # noqa: PLC0415
    from mpcnode.config.node import load_node  # noqa: PLC0415

    node = load_node(config)
    make_private_directory(node.data_dir)
    create_directory(node.ledger_dir, never_voted=not lost)
    if as_json:
        show_json({"name": node.member.name, "directory": str(node.ledger_dir)})
    else:
        click.echo(f"{node.ledger_dir}: ready for the {'next' if lost else 'first'} start of {node.member.name}")


@click.command()
@config_option
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
        show_json(
            {
                "name": node.member.name,
                "ok": failure is None,
                "verified": report.verified,
                "states_from": report.states_from,
                "failure": wrong,
            }
        )
    elif failure is None:
        verified = "no block yet" if report.verified is None else f"right from genesis to height {report.verified}"
        if report.states_from:
            verified += f"; states before height {report.states_from} were removed, and computed again to check"
        click.echo(f"{node.member.name}: {verified}")
    else:
        place = "outside any block" if failure.height is None else f"at height {failure.height}"
        click.echo(f"{node.member.name}: wrong {place}: {failure.reason}")
    return int(Exit.OK if failure is None else Exit.LEDGER_INVALID)
