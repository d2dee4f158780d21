"""What an inquirer keeps of its queries: one private file each, in its profile's answers directory.

Before a request is sent, its file holds the result key, so that an answer is not lost with the process. When the answer
has been opened, the key is gone for good: nobody can open the boxes on the ledger again.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from mpcnode.adapters.durable import make_private_directory, replace_file
from mpcnode.adapters.private_files import read_private_file
from mpcnode.errors import ErrorCode, RequestError
from mpcnode.types import CorrelationSource, QueryId


class AnswerState(StrEnum):
    """How far a query has come, for its inquirer."""

    PENDING = "pending"
    """No result on the ledger yet."""
    ANSWERED = "answered"
    INSUFFICIENT = "insufficient"
    """Answered: too few companies know the subject; nothing else is said."""
    REFUSED = "refused"
    ABORTED = "aborted"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One query as its inquirer knows it. Times are ms since the Unix epoch."""

    query: str
    """Hex."""
    model: str
    subject: str = field(repr=False)
    purpose: str
    state: AnswerState
    asked_ms: int
    answered_ms: int | None = None
    grade: str | None = None
    coverage_band: int | None = None
    """Coverage bands of the model that were reached."""
    undecodable: int = 0
    """Of many subjects, those whose output bits are no answer: somebody broke the rules."""
    contributed: tuple[str, ...] = ()
    """Names of the participants that contributed; a contribution may say that the subject is unknown."""
    silent: tuple[str, ...] = ()
    """Names of the panel members that did not contribute."""
    attempt: int = 0
    audit: str = ""
    """Audit mode."""
    correlations: str = str(CorrelationSource.DEALER)
    """Who made the session's randomness, and so what an audit can see: a dealer's, every message; else the outcome."""
    verdict: str | None = None
    """MATCH, MISMATCH or INCOMPLETE; None while not audited."""
    reason: str | None = None
    """Why the query ended without an answer."""
    waited: tuple[str, ...] = ()
    """Names of the members because of whom it ended: waited for in vain, or the last attempt failed with them."""

    @property
    def latency_ms(self) -> int | None:
        """From asking to the opened answer."""
        return None if self.answered_ms is None else self.answered_ms - self.asked_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer's file."""

    answer: Answer
    result_secret: bytes | None = field(repr=False)
    """Until the answer has been opened."""
    consent_salt: bytes = field(repr=False)
    """With the consent's reference it opens the hash in the request."""


class AnswerFiles:
    """The answers directory of a profile."""

    def __init__(self, directory: Path) -> None:
        """Take the directory; it is made when the first answer is kept."""
        self._directory = directory

    def keep(self, kept: Kept) -> None:
        """Write an answer's file, durably.

        Raises:
            StorageError: the disk failed.
        """
        make_private_directory(self._directory)
        document = {
            "answer": asdict(kept.answer),
            "result_secret": None if kept.result_secret is None else kept.result_secret.hex(),
            "consent_salt": kept.consent_salt.hex(),
        }
        replace_file(self._path(kept.answer.query), json.dumps(document, indent=1).encode() + b"\n")

    def forget(self, query: str) -> None:
        """Remove the file of a query that was never registered."""
        self._path(query).unlink(missing_ok=True)

    def load(self, query: str) -> Kept:
        """Read an answer's file.

        Raises:
            RequestError: there is none for this query, or it is damaged.
        """
        path = self._path(query)
        if not path.is_file():
            raise RequestError(
                f"query {query}: expected a file in {self._directory}, got none", ErrorCode.UNKNOWN_QUERY
            )
        try:
            return _kept(json.loads(read_private_file(path)))
        except (ValueError, KeyError, TypeError) as error:
            raise RequestError(f"{path}: expected a kept answer, got {error}", ErrorCode.UNKNOWN_QUERY) from error

    def find(self, prefix: str) -> str:
        """Return the query whose id begins like this.

        Raises:
            RequestError: none does, or several.
        """
        ids = [path.stem for path in self._directory.glob("*.json") if path.stem.startswith(prefix.lower())]
        if len(ids) != 1:
            raise RequestError(
                f"query {prefix}: expected one kept answer in {self._directory}, got {len(ids)}",
                ErrorCode.UNKNOWN_QUERY,
            )
        return ids[0]

    def keep_receipt(self, query: str, receipt: bytes) -> Path:
        """Write a query's receipt beside its answer; return where."""
        path = self.receipt_path(query)
        replace_file(path, receipt)
        return path

    def receipt_path(self, query: str) -> Path:
        """Where a query's receipt is kept."""
        return self._directory / f"{query}.receipt"

    def receipt(self, query: str) -> bytes:
        """Read a query's receipt back.

        Raises:
            RequestError: there is none.
        """
        path = self.receipt_path(query)
        if not path.is_file():
            raise RequestError(f"query {query}: expected its receipt in {self._directory}", ErrorCode.UNKNOWN_QUERY)
        return path.read_bytes()

    def _path(self, query: str) -> Path:
        if len(query) != 64 or not set(query) <= set("0123456789abcdef"):
            raise RequestError(f"query id: expected 64 hex digits, got {query!r}", ErrorCode.MALFORMED_ID)
        return self._directory / f"{query}.json"


def _kept(document: dict[str, Any]) -> Kept:
    fields = document["answer"]
    lists = {name: tuple(fields[name]) for name in ("contributed", "silent", "waited")}
    answer = Answer(**{**fields, **lists, "state": AnswerState(fields["state"])})
    secret = document["result_secret"]
    return Kept(
        answer=answer,
        result_secret=None if secret is None else bytes.fromhex(secret),
        consent_salt=bytes.fromhex(document["consent_salt"]),
    )


def pending(
    query: QueryId,
    *,
    model: str,
    subject: str,
    purpose: str,
    asked_ms: int,
    audit: str,
    correlations: CorrelationSource = CorrelationSource.DEALER,
) -> Answer:
    """Return the answer of a query that is about to be asked."""
    return Answer(
        query=query.hex(),
        model=model,
        subject=subject,
        purpose=purpose,
        state=AnswerState.PENDING,
        asked_ms=asked_ms,
        audit=audit,
        correlations=str(correlations),
    )


def updated(answer: Answer, **changes: Any) -> Answer:  # noqa: ANN401 - the fields of Answer
    """Return an answer with some fields changed."""
    return replace(answer, **changes)
