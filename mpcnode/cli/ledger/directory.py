"""`mpcnode ledger new`, `verify`: a replica's files as a whole, while its daemon does not run."""

from pathlib import Path

import click

from mpcnode.cli.ledger.options import config_option
from mpcnode.cli.output import json_option, show_json
from mpcnode.errors import Exit


@click.command()
@config_option
@json_option
def new(config: Path, as_json: bool) -> None:
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
    if as_json:
        show_json({"name": node.member.name, "directory": str(node.ledger_dir)})
    else:
        click.echo(f"{node.ledger_dir}: ready for the first start of {node.member.name}")


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
        show_json({"name": node.member.name, "ok": failure is None, "verified": report.verified, "failure": wrong})
    elif failure is None:
        verified = "no block yet" if report.verified is None else f"right from genesis to height {report.verified}"
        click.echo(f"{node.member.name}: {verified}")
    else:
        place = "outside any block" if failure.height is None else f"at height {failure.height}"
        click.echo(f"{node.member.name}: wrong {place}: {failure.reason}")
    return int(Exit.OK if failure is None else Exit.LEDGER_INVALID)
