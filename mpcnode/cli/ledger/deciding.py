"""What `mpcnode ledger proposals`, `propose` and `vote` do; loaded by them, for it is slow."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import click

from ledger.contract.proposals import GOVERNED, encode_proposal, parameters
from ledger.ports import Store
from ledger.types import Millis
from mpcnode.adapters.clock import SystemClock
from mpcnode.adapters.replica_standing import read_standing, read_stored_proposals
from mpcnode.cli.ledger.ballots import (
    Assembly,
    ballot_fields,
    call_rows,
    proposal_fields,
    proposal_rows,
    state_of,
    table_of,
    understand,
)
from mpcnode.cli.ledger.options import ask_or_read, confirm, login_name, say_that_it_takes_time, time_of
from mpcnode.cli.ledger.values import FORMS, read_arguments
from mpcnode.cli.output import Table, show_json, show_rows, show_table
from mpcnode.config.node import NodeConfig, load_node
from mpcnode.errors import CATALOGUE, ErrorCode, RequestError
from mpcnode.governance.proposals import Proposal, ProposalState, RawCall, Submitted
from mpcnode.governance.standing import Members, check_delegate
from mpcnode.rpc import governance

_CLOSES_IN_MS_MAX = 90 * 86_400_000
"""The ledger's bound."""

_SETTLED = {
    ProposalState.APPROVED: ErrorCode.PROPOSAL_DECIDED,
    ProposalState.REJECTED: ErrorCode.PROPOSAL_DECIDED,
    ProposalState.CLOSED: ErrorCode.PROPOSAL_CLOSED,
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposal as it was typed."""

    method: str
    arguments: tuple[str, ...]
    closes_in_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A vote as it was typed."""

    proposal: int
    approve: bool
    not_understood: bool


def show_proposals(config: Path, number: int | None, *, only_open: bool, as_json: bool) -> None:
    """Show what companies proposed.

    Raises:
        RequestError: there is no proposal of that number.
    """
    assembly, found = _read(load_node(config), number)
    shown = [proposal for proposal in found if not only_open or proposal.ballot.state is ProposalState.OPEN]
    if as_json:
        listed = [proposal_fields(proposal, assembly) for proposal in shown]
        show_json({"height": assembly.members.height, "proposals": listed})
        return
    if not shown:
        click.echo("no open proposals" if only_open else "no proposals")
    elif number is None:
        show_table(table_of(shown, assembly))
    else:
        show_rows(proposal_rows(shown[0], assembly))
    click.echo(f"as of height {assembly.members.height}")


def show_methods(*, as_json: bool) -> None:
    """Show what can be decided."""
    if as_json:
        methods = {
            method: [{"name": name, "type": kind} for name, kind in parameters(method).items()] for method in GOVERNED
        }
        show_json({"methods": methods})
        return
    rows = [(method, " ".join(f"{name}={kind}" for name, kind in parameters(method).items())) for method in GOVERNED]
    show_table(Table(columns=("method", "arguments"), rows=rows))
    click.echo()
    show_table(Table(columns=("type", "a value"), rows=FORMS))


def propose(config: Path, draft: Draft, *, yes: bool, as_json: bool) -> None:
    """Have the daemon propose a call, and show what became of it.

    Raises:
        click.UsageError: something in the draft is none of what it should be.
        NodeError: it was refused, or is not known to be final.
    """
    if draft.method not in GOVERNED:
        raise click.UsageError(f"expected a method of the list that propose shows without one, got {draft.method!r}")
    if draft.closes_in_ms > _CLOSES_IN_MS_MAX:
        raise click.BadParameter("expected at most 90d", param_hint="--closes-in")
    node = load_node(config)
    assembly = Assembly(node.consortium, asyncio.run(governance.fetch_members(node.control)))
    check_delegate(assembly.members.members, node.member.index)
    values = read_arguments(draft.method, draft.arguments, assembly.words)
    call = RawCall(*encode_proposal(draft.method, *values))
    closes_ms = Millis(SystemClock().now_ms() + draft.closes_in_ms)
    if not as_json:
        show_rows([*call_rows(call, assembly), ("proposed by", _company(node)), ("closes", time_of(closes_ms))])
    confirm("Propose it?", yes=yes, as_json=as_json)
    say_that_it_takes_time()
    done = asyncio.run(governance.propose(node.control, call, closes_ms, login_name()))
    _report(done, assembly, as_json=as_json)


def vote(config: Path, said: Vote, *, yes: bool, as_json: bool) -> None:
    """Have the daemon vote on a proposal, and show what became of it.

    Raises:
        click.UsageError: nobody can say what a yes would do.
        NodeError: it was refused, or is not known to be final.
    """
    node = load_node(config)
    assembly, (proposal,) = asyncio.run(_ask(node, said.proposal))
    check_delegate(assembly.members.members, node.member.index)
    _check_open(proposal, node)
    if not as_json:
        show_rows(proposal_rows(proposal, assembly))
    if said.approve and not said.not_understood and understand(proposal.call) is None:
        raise click.UsageError(
            "this program cannot say what the proposal would do: install the release that the proposer has, vote no, "
            "or give --not-understood"
        )
    answer = "yes" if said.approve else "no"
    confirm(f"Vote {answer} for {_company(node)}?", yes=yes, as_json=as_json)
    say_that_it_takes_time()
    done = asyncio.run(governance.vote(node.control, proposal, said.approve, login_name()))
    _report(done, assembly, as_json=as_json)


def _read(node: NodeConfig, number: int | None) -> tuple[Assembly, tuple[Proposal, ...]]:
    async def read(store: Store) -> tuple[Assembly, tuple[Proposal, ...]]:
        members = await read_standing(store, node.consortium)
        found = await read_stored_proposals(store, node.consortium, SystemClock().now_ms(), number)
        return _found(node, members, found, number)

    return ask_or_read(node, lambda _: _ask(node, number), read)


async def _ask(node: NodeConfig, number: int | None) -> tuple[Assembly, tuple[Proposal, ...]]:
    members = await governance.fetch_members(node.control)
    return _found(node, members, await governance.fetch_proposals(node.control, number), number)


def _found(
    node: NodeConfig, members: Members, proposals: tuple[Proposal, ...], number: int | None
) -> tuple[Assembly, tuple[Proposal, ...]]:
    if number is not None and not proposals:
        message = f"proposal {number}: {CATALOGUE[ErrorCode.UNKNOWN_PROPOSAL].public}"
        raise RequestError(message, ErrorCode.UNKNOWN_PROPOSAL)
    return Assembly(node.consortium, members), proposals


def _check_open(proposal: Proposal, node: NodeConfig) -> None:
    """Say at once what the ledger would say to a vote."""
    ballot = proposal.ballot
    code = _SETTLED.get(ballot.state)
    if code is None and node.member.company in {*ballot.yes, *ballot.no}:
        code = ErrorCode.ALREADY_VOTED
    if code is not None:
        raise RequestError(f"proposal {proposal.id}: {CATALOGUE[code].public}", code)


def _report(done: Submitted, assembly: Assembly, *, as_json: bool) -> None:
    if as_json:
        fields = {"id": done.id, "height": done.height, "tx_id": done.tx_id, **ballot_fields(done.ballot, assembly)}
        show_json(fields)
    else:
        click.echo(f"final at height {done.height}; proposal {done.id} is {state_of(done.ballot, assembly)}")


def _company(node: NodeConfig) -> str:
    return node.consortium.companies[node.member.company]
