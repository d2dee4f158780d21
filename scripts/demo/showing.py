"""What the demo shows people: answers, heads, and what an outsider finds on the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from ledger.receipts import VerifiedReceipt
from ledger.types import Log
from mpcnode.client import Answer
from mpcnode.config.consortium import Consortium
from mpcnode.devnet.control import DaemonReport
from mpcnode.query.request import decode_request
from mpcnode.types import members_of
from scripts.demo.expectation import Expectation


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of the demo."""

    expectation: Expectation
    answer: Answer

    @property
    def expected(self) -> str:
        """What the answer must be."""
        return self.expectation.outcome.grade or "insufficient"

    @property
    def got(self) -> str:
        """What it is."""
        return self.answer.grade or str(self.answer.state)

    @property
    def right(self) -> bool:
        """Whether grade and coverage band are those of the clear evaluation, and the audit agrees."""
        outcome = self.expectation.outcome
        same = (self.answer.grade, self.answer.coverage_band) == (outcome.grade, outcome.coverage_band)
        return same and self.got == self.expected and self.answer.verdict == "MATCH"


def show_answers(console: Console, asked: Sequence[Asked]) -> None:
    """Print a line for each query."""
    table = Table(title=f"Answers (audit {asked[0].answer.audit})", title_justify="left", box=None, pad_edge=False)
    for column in ("subject", "known to", "in clear", "answer", "coverage band", "verdict", "latency", ""):
        table.add_column(column, justify="right" if column == "latency" else "left")
    for item in asked:
        known = ", ".join(name.removesuffix("-data") for name in item.expectation.known_to) or "nobody"
        band = item.answer.coverage_band
        table.add_row(
            item.answer.subject,
            known,
            item.expected,
            item.got,
            "" if band is None else str(band),
            item.answer.verdict or "none",
            f"{item.answer.latency_ms} ms",
            "right" if item.right else "WRONG",
        )
    console.print(table)


def show_heads(console: Console, reports: Sequence[DaemonReport]) -> None:
    """Print each replica's head."""
    table = Table(title="Ledger replicas", title_justify="left", box=None, pad_edge=False)
    for column in ("daemon", "role", "height", "head"):
        table.add_column(column)
    for report in reports:
        status = report.status
        if status is not None:
            table.add_row(report.name, status.role, str(status.height), status.head.hex())
    console.print(table)


def show_outsider(console: Console, verified: VerifiedReceipt, consortium: Consortium) -> None:
    """Print what whoever holds a replica, but no key, sees of one query."""
    request = decode_request(verified.transactions[0].transaction.cosigners[0].statement)
    panel = ", ".join(consortium.members[member].name for member in members_of(request.panel))
    console.print("What an outsider with a replica sees of one query", style="italic")
    console.print(f"  query {request.query.hex()}", highlight=False)
    console.print(f"  model {request.model.hex()[:16]}…, purpose {request.purpose}, panel {panel}", highlight=False)
    console.print(
        f"  subject binding {request.binding.hex()[:16]}… (opens with the sealed tokens only)", highlight=False
    )
    table = Table(box=None, pad_edge=False)
    for column in ("height", "transaction", "by", "event data"):
        table.add_column(column)
    for proven in verified.transactions:
        member = consortium.member_by_identity(proven.transaction.sender)
        sizes = ", ".join(f"{_data(log)} bytes" for log in proven.receipt.logs)
        name = member.name if member is not None else "?"
        table.add_row(str(proven.height), proven.transaction.method, name, sizes)
    console.print(table)
    console.print("  the events hold commitments and boxes sealed to the inquirer or the supervisor", highlight=False)


def _data(log: Log) -> int:
    return len(log.data)
