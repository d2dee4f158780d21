"""`mpcnode query`: ask, and show answers."""

import asyncio
import dataclasses
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from mpcnode.cli.output import Table, json_option, show_json, show_table
from mpcnode.errors import Exit
from mpcnode.types import Verdict

PROFILE_VARIABLE = "MPCNODE_PROFILE"

EXITS = {
    "insufficient": Exit.QUERY_INSUFFICIENT,
    "refused": Exit.QUERY_INSUFFICIENT,
    "aborted": Exit.QUERY_ABORTED,
    "expired": Exit.QUERY_EXPIRED,
    "pending": Exit.QUERY_NOT_READY,
}
"""Exit code of an answer that holds none."""

profile_option = click.option(
    "--profile",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar=PROFILE_VARIABLE,
    required=True,
    show_envvar=True,
    help="The inquirer's profile.toml.",
)
wait_option = click.option("--wait-audit", is_flag=True, help="Wait for the supervisor's verdict, too.")


@click.group()
def query() -> None:
    """Ask the network about a subject, and show what it answered."""


@query.command()
@profile_option
@click.option("--model", required=True, help="Name of a model of the consortium.")
@click.option("--subject", required=True, help="Identifier of the subject; it leaves this program only sealed.")
@click.option("--purpose", help="Purpose code; the profile may have a default.")
@click.option("--consent", default="", help="Reference of the subject's consent; only a salted hash of it leaves.")
@wait_option
@json_option
def ask(
    *, profile: Path, model: str, subject: str, purpose: str | None, consent: str, wait_audit: bool, as_json: bool
) -> int:
    """Ask one question and wait for its answer."""
    from mpcnode.client import Inquirer  # noqa: PLC0415 - slow to load

    async def run() -> Any:  # noqa: ANN401 - an Answer, whose module is loaded above
        async with Inquirer.open(profile) as inquirer:
            return await inquirer.ask(model, subject, purpose=purpose, consent=consent, wait_audit=wait_audit)

    return _show(run(), as_json=as_json)


@query.command()
@profile_option
@click.option("--model", help="Name of a model of the consortium.")
@click.option(
    "--subjects",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with one identifier in each line; they leave this program only sealed.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Where the answers go, as CSV that only you can read.",
)
@click.option("--purpose", help="Purpose code; the profile may have a default.")
@click.option("--consent", default="", help="Reference of the subjects' consent; only a salted hash of it leaves.")
@click.option("--resume", metavar="ID", help="Go on with a query that was interrupted, instead of asking anew.")
@json_option
def batch(
    *,
    profile: Path,
    model: str | None,
    subjects: Path | None,
    out: Path,
    purpose: str | None,
    consent: str,
    resume: str | None,
    as_json: bool,
) -> int:
    """Ask about up to 1,000,000 subjects at once, and write their answers to a file."""
    from mpcnode.cli.progress import steps  # noqa: PLC0415 - slow to load
    from mpcnode.client import Inquirer  # noqa: PLC0415 - slow to load

    if resume is None and (model is None or subjects is None):
        raise click.UsageError("expected --model and --subjects, or --resume")
    if resume is not None and (model, subjects, purpose, consent) != (None, None, None, ""):
        raise click.UsageError(
            "--resume goes on with what was asked: expected neither model, subjects, purpose nor consent"
        )

    async def run() -> Any:  # noqa: ANN401 - an Answer, whose module is loaded above
        with steps() as on_step:
            async with Inquirer.open(profile) as inquirer:
                if resume is not None or model is None or subjects is None:
                    return await inquirer.resume_many(resume or "", out, on_step=on_step)
                return await inquirer.ask_many(model, subjects, out, purpose=purpose, consent=consent, on_step=on_step)

    return _show(run(), as_json=as_json, out=out)


@query.command()
@profile_option
@click.argument("query_id", metavar="ID")
@wait_option
@json_option
def show(profile: Path, query_id: str, wait_audit: bool, as_json: bool) -> int:
    """Show the answer to a query; ID may be cut to its first digits."""
    from mpcnode.client import Inquirer  # noqa: PLC0415 - slow to load

    async def run() -> Any:  # noqa: ANN401 - an Answer, whose module is loaded above
        async with Inquirer.open(profile) as inquirer:
            return await inquirer.show(query_id, wait_audit=wait_audit)

    return _show(run(), as_json=as_json)


def _show(work: Coroutine[Any, Any, Any], *, as_json: bool, out: Path | None = None) -> int:
    answer = asyncio.run(work)
    if as_json:
        show_json({**dataclasses.asdict(answer), "latency_ms": answer.latency_ms})
    else:
        rows = [(label, value) for label, value in _rows(answer, out) if value]
        show_table(Table(columns=("query", answer.query), rows=rows))
    is_bad = answer.undecodable or answer.verdict == Verdict.MISMATCH.name
    return int(EXITS.get(answer.state, Exit.QUERY_MISMATCH if is_bad else Exit.OK))


def _scope(answer: Any) -> str:  # noqa: ANN401 - an Answer
    """What an audit compares, where that is less than usual."""
    if answer.audit == "off" or answer.correlations == "dealer":
        return ""
    return f"the outcome only, no messages: the nodes made their randomness themselves ({answer.correlations})"


def _undecodable(answer: Any) -> str:  # noqa: ANN401 - an Answer
    if not answer.undecodable:
        return ""
    return f"{answer.undecodable} of them: no answer, a participant or a node broke the rules; ask about them anew"


def _rows(answer: Any, out: Path | None) -> list[tuple[str, str]]:  # noqa: ANN401 - an Answer
    is_written = out is not None and answer.state == "answered"
    verdict = answer.verdict or ("not yet audited" if answer.audit != "off" else "not audited")
    if verdict == Verdict.MISMATCH.name and answer.state == "answered":
        verdict += ": do not use this answer"
    return [
        ("subject", answer.subject),
        ("model", f"{answer.model} ({answer.purpose})"),
        ("answer", answer.grade or str(answer.state)),
        ("undecodable", _undecodable(answer)),
        ("written to", str(out) if is_written else ""),
        ("coverage band", "" if answer.coverage_band is None else str(answer.coverage_band)),
        ("contributed", ", ".join(answer.contributed)),
        ("silent", ", ".join(answer.silent)),
        ("audit", answer.audit),
        ("audited", _scope(answer)),
        ("verdict", verdict if answer.answered_ms or answer.verdict else ""),
        ("reason", answer.reason or ""),
        ("waited for", ", ".join(answer.waited)),
        ("latency", "" if answer.latency_ms is None else f"{answer.latency_ms} ms"),
    ]
