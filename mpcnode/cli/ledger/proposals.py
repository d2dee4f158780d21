"""`mpcnode ledger proposals`, `propose`, `vote`: what the companies decide together."""

from pathlib import Path

import click

from mpcnode.cli.ledger.options import config_option, duration, yes_option
from mpcnode.cli.output import json_option

_ID_MAX = (1 << 63) - 1


@click.command()
@click.option("--id", "number", type=click.IntRange(0, _ID_MAX), help="Only this proposal, in full.")
@click.option("--open", "only_open", is_flag=True, help="Only those that can still be voted on.")
@config_option
@json_option
def proposals(number: int | None, only_open: bool, config: Path, as_json: bool) -> None:
    """Show what companies proposed, and how they voted.

    As of the newest block: asks the running daemon, or reads its files if none runs. A proposal is approved when more
    than two thirds of the companies that have a voice say yes; the vote that completes them also brings it about.
    """
    from mpcnode.cli.ledger.deciding import show_proposals  # noqa: PLC0415 - slow to load

    show_proposals(config, number, only_open=only_open, as_json=as_json)


@click.command()
@click.argument("method", required=False)
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--closes-in", type=duration, default="7d", show_default=True, help="Time for companies to vote, at most 90d."
)
@yes_option
@click.option("--config", type=click.Path(path_type=Path), help="The daemon's node.toml; required with METHOD.")
@json_option
def propose(
    method: str | None, arguments: tuple[str, ...], closes_in: int, *, yes: bool, config: Path | None, as_json: bool
) -> None:
    """Propose a decision to the companies.

    METHOD is what shall be done, NAME=VALUE with what; without METHOD, lists what can be decided. Members, companies,
    roles, data classes and models may be called by their names. Several values are separated by commas; keys are
    hexadecimal, text is text:..., bytes are hexadecimal or @FILE.

    The running daemon of the company's delegate signs and submits it. It counts as the company's yes.
    """
    from mpcnode.cli.ledger import deciding  # noqa: PLC0415 - slow to load

    if method is None:
        deciding.show_methods(as_json=as_json)
    elif config is None:
        raise click.MissingParameter(param_hint="'--config'", param_type="option")
    else:
        draft = deciding.Draft(method, arguments, closes_in)
        deciding.propose(config, draft, yes=yes, as_json=as_json)


@click.command()
@click.argument("number", metavar="ID", type=click.IntRange(0, _ID_MAX))
@click.argument("answer", metavar="yes|no", type=click.Choice(["yes", "no"]))
@click.option("--not-understood", is_flag=True, help="Say yes even to a call that this program cannot explain.")
@yes_option
@config_option
@json_option
def vote(number: int, answer: str, *, not_understood: bool, yes: bool, config: Path, as_json: bool) -> None:
    """Vote on a proposal for this company.

    Shows what is proposed, as the ledger has it, and asks. The running daemon of the company's delegate signs and
    submits the vote, which cannot be changed afterwards.
    """
    from mpcnode.cli.ledger import deciding  # noqa: PLC0415 - slow to load

    said = deciding.Vote(proposal=number, approve=answer == "yes", not_understood=not_understood)
    deciding.vote(config, said, yes=yes, as_json=as_json)
