"""How proposals are shown: what each decides, in words, and who voted; loaded by commands, for it is slow."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ledger.contract.artefacts import ADDRESSES
from ledger.contract.proposals import ProposedCall, decode_proposal
from ledger.errors import InvalidError
from mpcnode.cli.ledger.options import time_of
from mpcnode.cli.ledger.values import show_arguments
from mpcnode.cli.ledger.vocabulary import Vocabulary, vocabulary_of
from mpcnode.cli.output import Table
from mpcnode.config.consortium import Consortium
from mpcnode.governance.proposals import Ballot, Proposal, ProposalState, RawCall, votes_needed
from mpcnode.governance.standing import Members
from mpcnode.types import CompanyIndex

Rows = list[tuple[str, str]]

_LINE_CHARS_MAX = 120
"""Of a call in a list; `--id` shows all of it."""

_LONG_HEX = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,}")
"""Keys, addresses and hashes."""

_MINUTE_CHARS = len("2026-11-25 03:42")


@dataclass(frozen=True, slots=True)
class Assembly:
    """The companies that can vote now, and what everything is called."""

    consortium: Consortium
    members: Members

    @property
    def words(self) -> Vocabulary:
        """Return what numbers and keys are called."""
        return vocabulary_of(self.consortium, self.members.members)

    @property
    def voices(self) -> tuple[CompanyIndex, ...]:
        """Return the companies that have a voice."""
        return tuple(sorted(member.company for member in self.members.members if member.is_delegate))

    @property
    def needed(self) -> int:
        """Return how many of them must say yes."""
        return votes_needed(len(self.voices))

    def names(self, companies: Iterable[CompanyIndex]) -> list[str]:
        """Return what companies are called."""
        listed = self.consortium.companies
        return [listed[index] if index < len(listed) else f"company-{index}" for index in companies]


def understand(call: RawCall) -> ProposedCall | None:
    """Decode a call; None if this program does not know what it would do."""
    try:
        return decode_proposal(call.target, call.data)
    except InvalidError:
        return None


def call_rows(call: RawCall, assembly: Assembly) -> Rows:
    """Return what a call would do, all of it."""
    known = understand(call)
    if known is None:
        contract = dict(enumerate(ADDRESSES)).get(call.target, f"unknown contract {call.target}")
        return [
            ("decides", "not understood: this program knows no such call"),
            ("of", contract),
            ("bytes", call.data.hex()),
        ]
    arguments = show_arguments(known, assembly.words)
    return [("decides", known.method), *((f"  {name}", text) for name, text in arguments.items())]


def proposal_rows(proposal: Proposal, assembly: Assembly) -> Rows:
    """Return all about one proposal."""
    ballot = proposal.ballot
    (proposer,) = assembly.names([proposal.company])
    waited = [company for company in assembly.voices if company not in {*ballot.yes, *ballot.no}]
    votes = [
        ("yes", ballot.yes),
        ("no", ballot.no),
        *([("not yet", waited)] if ballot.state is ProposalState.OPEN else []),
    ]
    return [
        ("proposal", str(proposal.id)),
        *call_rows(proposal.call, assembly),
        ("proposed by", f"{proposer}, at height {proposal.height}"),
        ("state", state_of(ballot, assembly)),
        *((answer, ", ".join(assembly.names(companies)) or "nobody") for answer, companies in votes),
        ("closes", time_of(proposal.closes_ms)),
    ]


def state_of(ballot: Ballot, assembly: Assembly) -> str:
    """Say where a proposal is, and what it lacks."""
    state = ballot.state.name.lower()
    if ballot.state is not ProposalState.OPEN:
        return f"{state}: {len(ballot.yes)} yes, {len(ballot.no)} no"
    voices = assembly.voices
    yes, no = (sum(company in voices for company in said) for said in (ballot.yes, ballot.no))
    return f"{state}: {yes} yes, {no} no of {len(voices)} companies; {assembly.needed} yes are needed"


def table_of(proposals: Iterable[Proposal], assembly: Assembly) -> Table:
    """Return one line for each proposal."""
    return Table(
        columns=("#", "state", "yes", "no", "closes (UTC)", "by", "decides"),
        rows=[_cells(proposal, assembly) for proposal in proposals],
    )


def ballot_fields(ballot: Ballot, assembly: Assembly) -> dict[str, Any]:
    """Return how companies voted, for programs."""
    return {
        "state": ballot.state.name.lower(),
        "yes": assembly.names(ballot.yes),
        "no": assembly.names(ballot.no),
        "needed": assembly.needed,
        "companies": len(assembly.voices),
    }


def proposal_fields(proposal: Proposal, assembly: Assembly) -> dict[str, Any]:
    """Return all about one proposal, for programs."""
    (proposer,) = assembly.names([proposal.company])
    known = understand(proposal.call)
    return {
        "id": proposal.id,
        **ballot_fields(proposal.ballot, assembly),
        "company": proposer,
        "company_index": proposal.company,
        "height": proposal.height,
        "closes_ms": proposal.closes_ms,
        "method": None if known is None else known.method,
        "arguments": None if known is None else dict(known.arguments),
        "target": proposal.call.target,
        "data": proposal.call.data,
    }


def _cells(proposal: Proposal, assembly: Assembly) -> list[str]:
    ballot = proposal.ballot
    needed = f" of {assembly.needed}" if ballot.state is ProposalState.OPEN else ""
    (proposer,) = assembly.names([proposal.company])
    return [
        str(proposal.id),
        ballot.state.name.lower(),
        f"{len(ballot.yes)}{needed}",
        str(len(ballot.no)),
        time_of(proposal.closes_ms)[:_MINUTE_CHARS],
        proposer,
        _line(proposal.call, assembly),
    ]


def _line(call: RawCall, assembly: Assembly) -> str:
    known = understand(call)
    if known is None:
        return f"not understood: {call.data[:8].hex()}"
    texts = (f"{name}={text}" for name, text in show_arguments(known, assembly.words).items())
    line = _LONG_HEX.sub(r"\1…", " ".join((known.method, *texts)))
    return line if len(line) <= _LINE_CHARS_MAX else f"{line[:_LINE_CHARS_MAX]}…"
