"""`mpcnode ledger models`, `approve`: which models there are, and which this participant answers for."""

from pathlib import Path

import click

from mpcnode.cli.ledger.options import config_option, yes_option
from mpcnode.cli.output import json_option


@click.command()
@config_option
@json_option
def models(config: Path, as_json: bool) -> None:
    """Show the models of the ledger, and who approved them.

    As of the newest block: asks the running daemon, or reads its files if none runs. A query asks the active
    participants that supply a data class of its model and approved it.
    """
    from mpcnode.cli.ledger.approving import show_models  # noqa: PLC0415 - slow to load

    show_models(config, as_json=as_json)


@click.command()
@click.argument("model")
@click.option("--withdraw", is_flag=True, help="Answer no more queries for it, from the next one on.")
@yes_option
@config_option
@json_option
def approve(model: str, *, withdraw: bool, yes: bool, config: Path, as_json: bool) -> None:
    """Answer queries for a model from the next one on, as a participant.

    MODEL is its name in the consortium document, or the first digits of its hash, at least 8. Shows what the ledger
    says of it, and asks. The participant's running daemon, which must have the model's document, signs and submits it.
    """
    from mpcnode.cli.ledger import approving  # noqa: PLC0415 - slow to load

    wanted = approving.Wanted(model=model, approved=not withdraw)
    approving.approve(config, wanted, yes=yes, as_json=as_json)
