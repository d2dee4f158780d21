"""`mpcnode ledger`: one module for each subject; a command is added by its module and its name in `COMMANDS`."""

import click

from mpcnode.cli.ledger.blocks import export, head, show
from mpcnode.cli.ledger.directory import new, verify
from mpcnode.cli.ledger.evidence import evidence
from mpcnode.cli.ledger.proofs import prove

COMMANDS: tuple[click.Command, ...] = (new, verify, head, show, prove, export, evidence)


@click.group()
def ledger() -> None:
    """Set up, check or read a replica's files."""


for _command in COMMANDS:
    ledger.add_command(_command)
