"""What `mpcnode ledger models` and `approve` do; loaded by them, for it is slow."""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

import click

from ledger.ports import Store
from mpcnode.adapters.clock import SystemClock
from mpcnode.adapters.replica_standing import read_standing, read_stored_models
from mpcnode.cli.ledger.ballots import Assembly
from mpcnode.cli.ledger.model_rows import model_fields, model_rows, name_of
from mpcnode.cli.ledger.options import ask_or_read, confirm, login_name, say_that_it_takes_time
from mpcnode.cli.output import show_json, show_rows
from mpcnode.config.node import NodeConfig, load_node
from mpcnode.errors import ErrorCode, RequestError
from mpcnode.governance.models import Approval, RegisteredModel, check_document
from mpcnode.rpc import governance
from mpcnode.types import Member

_PREFIX = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An approval as it was typed."""

    model: str
    """Its name, or the first digits of its hash."""
    approved: bool


def show_models(config: Path, *, as_json: bool) -> None:
    """Show the models of the ledger."""
    node = load_node(config)

    async def read(store: Store) -> tuple[Assembly, tuple[RegisteredModel, ...]]:
        models = await read_stored_models(store, node.consortium, SystemClock().now_ms())
        return Assembly(node.consortium, await read_standing(store, node.consortium)), models

    assembly, models = ask_or_read(node, lambda _: _ask(node), read)
    if as_json:
        listed = [model_fields(model, assembly) for model in models]
        show_json({"height": assembly.members.height, "models": listed})
        return
    if models:
        show_rows([row for model in models for row in model_rows(model, assembly)])
    else:
        click.echo("no models")
    click.echo(f"as of height {assembly.members.height}")


def approve(config: Path, wanted: Wanted, *, yes: bool, as_json: bool) -> None:
    """Have the daemon approve a model or withdraw that, and show what became of it.

    Raises:
        click.UsageError: several models begin with these digits.
        NodeError: it was refused, or is not known to be final.
    """
    node = load_node(config)
    assembly, models = asyncio.run(_ask(node))
    model = _find(wanted.model, models, assembly)
    if wanted.approved:
        check_document(model.model, {listed.model for listed in node.consortium.models})
    if not as_json:
        show_rows(model_rows(model, assembly))
    question = "Approve it" if wanted.approved else "Withdraw the approval"
    confirm(f"{question} for {node.member.name}?", yes=yes, as_json=as_json)
    say_that_it_takes_time()
    done = asyncio.run(governance.approve_model(node.control, model.model, wanted.approved, login_name()))
    if as_json:
        show_json({"height": done.height, "tx_id": done.tx_id, **model_fields(done.model, assembly)})
    else:
        click.echo(f"final at height {done.height}; {_what_follows(done, node.member)}")


async def _ask(node: NodeConfig) -> tuple[Assembly, tuple[RegisteredModel, ...]]:
    members = await governance.fetch_members(node.control)
    return Assembly(node.consortium, members), await governance.fetch_models(node.control)


def _find(text: str, models: tuple[RegisteredModel, ...], assembly: Assembly) -> RegisteredModel:
    """Find the model that was meant: by its name, else by the first digits of its hash."""
    found = [model for model in models if name_of(model.model, assembly) == text]
    digits = text.lower().removeprefix("0x")
    if not found and _PREFIX.fullmatch(digits):
        found = [model for model in models if model.model.hex().startswith(digits)]
    if len(found) > 1:
        hashes = ", ".join(model.model.hex() for model in found)
        raise click.UsageError(f"expected one model, got several that begin with {text!r}: {hashes}")
    if not found:
        raise RequestError(
            f"expected the name of a model of the ledger, or at least 8 digits of its hash, got {text!r}; "
            "mpcnode ledger models lists them",
            ErrorCode.UNKNOWN_MODEL,
        )
    return found[0]


def _what_follows(done: Approval, me: Member) -> str:
    if me.index in done.model.asked:
        return f"{me.name} is asked from the next query on"
    if me.index in done.model.approved:
        return f"approved, but {me.name} is not asked: it supplies none of the model's data classes"
    return f"{me.name} is not asked from the next query on; those under way go on"
