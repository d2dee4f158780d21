"""What the contract says happened, as frozen values (docs/protocol.md section 5).

Made from an event's name and decoded fields; how logs are decoded is the ledger's business.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias, TypeVar

from ledger.types import Address, Millis
from mpcnode.errors import MalformedMessageError
from mpcnode.types import (
    MEMBERS_MAX,
    Attempt,
    Bitmap,
    Commitment,
    EndReason,
    FailReason,
    MemberIndex,
    ModelHash,
    QueryId,
    QueryState,
    RefusalCode,
    Verdict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A query exists; its first attempt waits for inputs."""

    query: QueryId
    model: ModelHash
    inquirer: Address
    request: bytes = field(repr=False)
    supervisor_copy: bytes = field(repr=False)
    committee: tuple[MemberIndex, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputCommitted:
    """A participant contributes."""

    query: QueryId
    attempt: Attempt
    participant: MemberIndex
    commitments: tuple[Commitment, ...] = field(repr=False)
    envelope: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributionRefused:
    """A participant does not contribute, to this and later attempts."""

    query: QueryId
    attempt: Attempt
    participant: MemberIndex
    code: RefusalCode
    detail: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Computing:
    """Inputs are complete; the committee may start."""

    query: QueryId
    attempt: Attempt
    committed: Bitmap


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultPosted:
    """The committee agrees on how the session ended, and the boxes are on the ledger."""

    query: QueryId
    attempt: Attempt
    poster: MemberIndex
    statements: bytes = field(repr=False)
    inquirer_boxes: bytes = field(repr=False)
    supervisor_boxes: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """The supervisor's verdict."""

    query: QueryId
    attempt: Attempt
    verdict: Verdict
    member: int
    stage: int
    round: int
    release: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed:
    """An attempt is over without a result."""

    query: QueryId
    attempt: Attempt
    by: MemberIndex
    reason: FailReason
    waited: int
    """As claimed by whoever submitted it."""
    committee: tuple[MemberIndex, ...]
    """Of the next attempt; empty if the query ended."""
    contribute_by: Millis
    """Of the next attempt; 0 if the query ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRejected:
    """The supervisor rejects a contribution; AttemptFailed follows."""

    query: QueryId
    attempt: Attempt
    participant: MemberIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The query has reached an end."""

    query: QueryId
    state: QueryState
    reason: EndReason
    waited: int
    """As claimed by whoever submitted the call."""


Event: TypeAlias = (
    Registered
    | InputCommitted
    | ContributionRefused
    | Computing
    | ResultPosted
    | Attested
    | AttemptFailed
    | InputRejected
    | Ended
)

E = TypeVar("E", bound=IntEnum)


def event_of(name: str, values: Mapping[str, object]) -> Event:
    """Return the event of a decoded log of the contract `queries`.

    Args:
        name: the event's name.
        values: its fields by name: numbers as int, byte strings and addresses as bytes, arrays as sequences.

    Raises:
        MalformedMessageError: there is no such event, or a field is not what it should be.
    """
    build = _BUILDERS.get(name)
    if build is None:
        raise MalformedMessageError(f"event: expected one of {', '.join(_BUILDERS)}, got {name!r}")
    return build(_Fields(name, values))


class _Fields:
    """Reads an event's fields, each as what it should be."""

    def __init__(self, event: str, values: Mapping[str, object]) -> None:
        self._event = event
        self._values = values

    def query(self) -> QueryId:
        return QueryId(self.data("query", 32))

    def attempt(self) -> Attempt:
        return Attempt(self.number("attempt", 256))

    def number(self, name: str, below: int) -> int:
        value = self._values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < below:
            raise self._error(name, f"a number below {below}", value)
        return value

    def member(self, name: str) -> MemberIndex:
        return MemberIndex(self.number(name, MEMBERS_MAX))

    def word(self, name: str) -> int:
        return self.number(name, 1 << 256)

    def members(self, name: str) -> tuple[MemberIndex, ...]:
        value = self._values.get(name)
        if not isinstance(value, list | tuple) or not all(isinstance(item, int) for item in value):
            raise self._error(name, "member indices", value)
        return tuple(MemberIndex(item) for item in value)

    def commitments(self, name: str) -> tuple[Commitment, ...]:
        value = self._values.get(name)
        if not isinstance(value, list | tuple) or not all(isinstance(x, bytes) and len(x) == 32 for x in value):
            raise self._error(name, "words", value)
        return tuple(Commitment(item) for item in value)

    def data(self, name: str, size: int | None = None) -> bytes:
        value = self._values.get(name)
        if not isinstance(value, bytes) or (size is not None and len(value) != size):
            raise self._error(name, f"{size} bytes" if size else "bytes", value)
        return value

    def choice(self, name: str, kind: type[E]) -> E:
        number = self.word(name)
        try:
            return kind(number)
        except ValueError as error:
            raise self._error(name, f"a {kind.__name__}", number) from error

    def _error(self, name: str, wanted: str, found: object) -> MalformedMessageError:
        shown = found if isinstance(found, int) else type(found).__name__
        return MalformedMessageError(f"event {self._event}: expected {name} to be {wanted}, got {shown}")


def _registered(fields: _Fields) -> Registered:
    return Registered(
        query=fields.query(),
        model=ModelHash(fields.data("model", 32)),
        inquirer=Address(fields.data("inquirer", 20)),
        request=fields.data("request"),
        supervisor_copy=fields.data("supervisor_copy"),
        committee=fields.members("committee"),
    )


def _input_committed(fields: _Fields) -> InputCommitted:
    return InputCommitted(
        query=fields.query(),
        attempt=fields.attempt(),
        participant=fields.member("participant"),
        commitments=fields.commitments("commitments"),
        envelope=fields.data("envelope"),
    )


def _contribution_refused(fields: _Fields) -> ContributionRefused:
    return ContributionRefused(
        query=fields.query(),
        attempt=fields.attempt(),
        participant=fields.member("participant"),
        code=fields.choice("code", RefusalCode),
        detail=fields.data("detail"),
    )


def _computing(fields: _Fields) -> Computing:
    return Computing(
        query=fields.query(),
        attempt=fields.attempt(),
        committed=Bitmap(fields.number("committed", 1 << MEMBERS_MAX)),
    )


def _result_posted(fields: _Fields) -> ResultPosted:
    return ResultPosted(
        query=fields.query(),
        attempt=fields.attempt(),
        poster=fields.member("poster"),
        statements=fields.data("statements"),
        inquirer_boxes=fields.data("inquirer_boxes"),
        supervisor_boxes=fields.data("supervisor_boxes"),
    )


def _attested(fields: _Fields) -> Attested:
    return Attested(
        query=fields.query(),
        attempt=fields.attempt(),
        verdict=fields.choice("verdict", Verdict),
        member=fields.number("member", 256),
        stage=fields.number("stage", 256),
        round=fields.number("round", 1 << 16),
        release=fields.data("release"),
    )


def _attempt_failed(fields: _Fields) -> AttemptFailed:
    return AttemptFailed(
        query=fields.query(),
        attempt=fields.attempt(),
        by=fields.member("by"),
        reason=fields.choice("reason", FailReason),
        waited=fields.word("waited"),
        committee=fields.members("committee"),
        contribute_by=Millis(fields.number("contribute_by", 1 << 64)),
    )


def _input_rejected(fields: _Fields) -> InputRejected:
    return InputRejected(query=fields.query(), attempt=fields.attempt(), participant=fields.member("participant"))


def _ended(fields: _Fields) -> Ended:
    return Ended(
        query=fields.query(),
        state=fields.choice("state", QueryState),
        reason=fields.choice("reason", EndReason),
        waited=fields.word("waited"),
    )


_BUILDERS: Mapping[str, Callable[[_Fields], Event]] = {
    "Registered": _registered,
    "InputCommitted": _input_committed,
    "ContributionRefused": _contribution_refused,
    "Computing": _computing,
    "ResultPosted": _result_posted,
    "Attested": _attested,
    "AttemptFailed": _attempt_failed,
    "InputRejected": _input_rejected,
    "Ended": _ended,
}
