"""`mpcnode ledger`: one module for each subject; a command is added by its module and its name in `COMMANDS`."""

import click

from mpcnode.cli.ledger.blocks import export, head, show
from mpcnode.cli.ledger.compaction import compact
from mpcnode.cli.ledger.directory import new, verify
from mpcnode.cli.ledger.evidence import evidence
from mpcnode.cli.ledger.members import members
from mpcnode.cli.ledger.models import approve, models
from mpcnode.cli.ledger.proofs import prove
from mpcnode.cli.ledger.proposals import proposals, propose, vote
from mpcnode.cli.ledger.rejoin import rejoin

COMMANDS: tuple[click.Command, ...] = (
    *(new, verify, head, show, prove, export, evidence, compact),
    *(members, proposals, propose, vote, models, approve, rejoin),
)


@click.group()
def ledger() -> None:
    """A replica's files, and what the companies decide."""


for _command in COMMANDS:
    ledger.add_command(_command)
