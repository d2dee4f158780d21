"""What the ledger says of every query: a fold over the contract's events with their height and block time.

- The same events in the same order give the same views on every replica.
- A `QueryView` is a value: it holds everything that the roles act on, and nothing that they know privately.
- Ended queries are forgotten, oldest first, beyond a bound; the ledger still has them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ledger.types import Address, Height, Millis, PublicKey
from mpcnode.errors import LocalError
from mpcnode.query.committee import address_of, excluded_after
from mpcnode.query.events import (
    AttemptFailed,
    Attested,
    Computing,
    ContributionRefused,
    Ended,
    Event,
    InputCommitted,
    InputRejected,
    Registered,
    ResultPosted,
)
from mpcnode.query.lifecycle import check_move, is_end
from mpcnode.query.request import Request, read_request
from mpcnode.query.statements import END_WORDS, EndStatement, decode_end_statement
from mpcnode.sealing.commitments import commitments_root, session_id, statement_hash
from mpcnode.types import (
    MEMBERS_MAX,
    NO_MEMBERS,
    Attempt,
    AuditMode,
    Bitmap,
    Commitment,
    EndReason,
    MemberIndex,
    ModelHash,
    QueryId,
    QueryState,
    Rank,
    SessionId,
    Verdict,
    bitmap,
)

ENDED_MAX = 4096
"""Ended queries that are kept; each holds a result of at most 20 KiB."""

_END_BYTES = END_WORDS * 32
_ALL_MEMBERS = (1 << MEMBERS_MAX) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the committee posted, each in rank order."""

    poster: MemberIndex
    statements: tuple[bytes, ...] = field(repr=False)
    """The *end* statements as they were signed."""
    ends: tuple[EndStatement, ...] = field(repr=False)
    inquirer_boxes: tuple[bytes, ...] = field(repr=False)
    supervisor_boxes: tuple[bytes, ...] = field(repr=False)
    height: Height
    at: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryView:
    """One query as of some height."""

    query: QueryId
    request: bytes = field(repr=False)
    """The inquirer's statement."""
    terms: Request = field(repr=False)
    """The same, read; whether its words make sense (`decode_request`), whoever gets an order checks."""
    inquirer: Address
    """Contract address of the inquirer's key."""
    supervisor_copy: bytes = field(repr=False)
    mode: AuditMode
    state: QueryState
    attempt: Attempt
    registered_height: Height
    registered_at: Millis
    attempt_height: Height
    """Of the block that began this attempt."""
    contribute_by: Millis
    """Of this attempt."""
    deadline: Millis
    panel: Bitmap
    committee: tuple[MemberIndex, ...]
    """Of this attempt, in rank order."""
    excluded: Bitmap = NO_MEMBERS
    """Members that earlier attempts waited for."""
    refused: Bitmap = NO_MEMBERS
    """Participants that refused or were rejected, in any attempt."""
    refusals: tuple[ContributionRefused, ...] = ()
    commitments: Mapping[MemberIndex, tuple[Commitment, ...]] = field(default_factory=dict, repr=False)
    """Of this attempt, by participant; each in rank order."""
    envelopes: Mapping[MemberIndex, bytes] = field(default_factory=dict, repr=False)
    """Audit envelopes of this attempt; dropped once nothing more will happen."""
    computing_height: Height | None = None
    computing_at: Millis | None = None
    session: SessionId | None = None
    """Set from COMPUTING on."""
    failures: tuple[AttemptFailed, ...] = ()
    result: Result | None = None
    attestation: Attested | None = None
    end_reason: EndReason = EndReason.NONE
    waited: Bitmap = NO_MEMBERS
    """Members that were waited for when the query ended."""
    ended_height: Height | None = None
    ended_at: Millis | None = None

    @property
    def model(self) -> ModelHash:
        """The model that is asked."""
        return self.terms.model

    @property
    def request_hash(self) -> bytes:
        """SHA-256 of the request statement."""
        return statement_hash(self.request)

    @property
    def committed(self) -> Bitmap:
        """Participants that committed inputs to this attempt."""
        return bitmap(self.commitments)

    @property
    def silent(self) -> Bitmap:
        """Panel members that have neither committed nor refused."""
        return Bitmap(self.panel & ~self.committed & ~self.refused)

    @property
    def verdict(self) -> Verdict | None:
        """What the supervisor attested, if it did."""
        return None if self.attestation is None else self.attestation.verdict

    @property
    def is_over(self) -> bool:
        """Whether the query has ended: nobody but the supervisor has anything left to do."""
        return self.ended_height is not None

    @property
    def is_settled(self) -> bool:
        """Whether it has ended and, where it is audited, been attested."""
        waits_for_audit = self.state is QueryState.ANSWERED and self.mode is not AuditMode.OFF
        return self.is_over and not (waits_for_audit and self.attestation is None)

    @property
    def is_released(self) -> bool:
        """Whether its answer is the inquirer's to open."""
        is_answered = self.state is QueryState.ANSWERED and self.mode is not AuditMode.BEFORE_RELEASE
        return is_answered or self.state is QueryState.RELEASED

    def rank_of(self, member: MemberIndex) -> Rank | None:
        """Return a member's rank in the committee; None if it is not in it."""
        return Rank(self.committee.index(member)) if member in self.committee else None

    def asked_by(self, key: PublicKey) -> bool:
        """Whether this inquirer asked it."""
        return address_of(key) == self.inquirer


class LedgerView:
    """All open queries, and the last ended ones. Owned by one task; `apply` is the only way to change it."""

    def __init__(self, modes: Mapping[ModelHash, AuditMode], ended_max: int = ENDED_MAX) -> None:
        """Take the audit mode of every model of the consortium."""
        self._modes = modes
        self._ended_max = ended_max
        self._open: dict[QueryId, QueryView] = {}
        self._ended: dict[QueryId, QueryView] = {}

    def get(self, query: QueryId) -> QueryView | None:
        """Return a query; None if it is unknown or was forgotten."""
        return self._open.get(query) or self._ended.get(query)

    def open(self) -> tuple[QueryView, ...]:
        """Return the queries that have not ended, oldest first."""
        return tuple(self._open.values())

    def ended(self) -> tuple[QueryView, ...]:
        """Return the ended queries that are still kept, oldest end first."""
        return tuple(self._ended.values())

    def apply(self, height: Height, at: Millis, events: Iterable[Event]) -> tuple[QueryId, ...]:
        """Take the events of one block, in order.

        Args:
            height: of the block.
            at: its timestamp.
            events: of the contract `queries`.

        Returns:
            The queries that changed, each once, in order.

        Raises:
            LocalError: an event cannot follow those before it; this program and the contract disagree.
        """
        changed: dict[QueryId, None] = {}
        for event in events:
            view = self._next(event, height, at)
            if view is not None:
                self._keep(view)
                changed[event.query] = None
        return tuple(changed)

    def _next(self, event: Event, height: Height, at: Millis) -> QueryView | None:
        known = self.get(event.query)
        if isinstance(event, Registered):
            if known is not None:
                raise LocalError(f"query {event.query.hex()}: expected one registration, got two")
            return _registered(event, self._modes, height, at)
        if known is not None:
            return follow(known, event, height, at)
        if isinstance(event, Attested):
            return None  # of an answer that was forgotten
        raise LocalError(f"query {event.query.hex()}: expected a registration first, got {type(event).__name__}")

    def _keep(self, view: QueryView) -> None:
        if not view.is_over:
            self._open[view.query] = view
            return
        self._open.pop(view.query, None)
        self._ended[view.query] = replace(view, envelopes={}) if view.is_settled else view
        while len(self._ended) > self._ended_max:
            del self._ended[next(iter(self._ended))]


def follow(view: QueryView, event: Event, height: Height, at: Millis) -> QueryView:
    """Return a query after one more event.

    Raises:
        LocalError: the event cannot follow.
    """
    _check_attempt(view, event)
    match event:
        case InputCommitted():
            return replace(
                view,
                commitments={**view.commitments, event.participant: event.commitments},
                envelopes={**view.envelopes, event.participant: event.envelope},
            )
        case ContributionRefused():
            refused = Bitmap(view.refused | 1 << event.participant)
            return replace(view, refused=refused, refusals=(*view.refusals, event))
        case Computing():
            return _computing(view, event, height, at)
        case ResultPosted():
            return _posted(view, event, height, at)
        case Attested():
            return replace(view, attestation=event)
        case InputRejected():
            return _rejected(view, event)
        case AttemptFailed():
            return _failed(view, event, height)
        case Ended():
            return _ended(view, event, height, at)
        case Registered():
            raise LocalError(f"query {view.query.hex()}: expected one registration, got two")


def _check_attempt(view: QueryView, event: Event) -> None:
    attempt = view.attempt if isinstance(event, Registered | Ended) else event.attempt
    if attempt != view.attempt:
        raise LocalError(f"query {view.query.hex()}: expected attempt {view.attempt}, got {attempt}")


def _registered(event: Registered, modes: Mapping[ModelHash, AuditMode], height: Height, at: Millis) -> QueryView:
    terms = read_request(event.request)
    mode = modes.get(event.model)
    if mode is None:
        raise LocalError(f"query {event.query.hex()}: expected a model of the consortium, got {event.model.hex()}")
    return QueryView(
        query=event.query,
        request=event.request,
        terms=terms,
        inquirer=event.inquirer,
        supervisor_copy=event.supervisor_copy,
        mode=mode,
        state=QueryState.REGISTERED,
        attempt=Attempt(1),
        registered_height=height,
        registered_at=at,
        attempt_height=height,
        contribute_by=terms.contribute_by,
        deadline=terms.deadline,
        panel=terms.panel,
        committee=event.committee,
    )


def _computing(view: QueryView, event: Computing, height: Height, at: Millis) -> QueryView:
    if event.committed != view.committed:
        raise LocalError(f"query {view.query.hex()}: expected {view.committed:#x} to commit, got {event.committed:#x}")
    return replace(
        view,
        state=check_move(view.state, QueryState.COMPUTING, view.mode),
        computing_height=height,
        computing_at=at,
        session=session_id(
            chain=view.terms.chain,
            query=view.query,
            attempt=view.attempt,
            model=view.model,
            committee=view.committee,
            inputs_root=commitments_root(view.commitments),
            height=height,
        ),
    )


def _posted(view: QueryView, event: ResultPosted, height: Height, at: Millis) -> QueryView:
    size = len(view.committee)
    statements = _parts(event.statements, size)
    result = Result(
        poster=event.poster,
        statements=statements,
        ends=tuple(decode_end_statement(stated) for stated in statements),
        inquirer_boxes=_parts(event.inquirer_boxes, size),
        supervisor_boxes=_parts(event.supervisor_boxes, size),
        height=height,
        at=at,
    )
    return replace(view, state=check_move(view.state, QueryState.ANSWERED, view.mode, "post_result"), result=result)


def _parts(joined: bytes, count: int) -> tuple[bytes, ...]:
    width = len(joined) // count
    if width * count != len(joined):
        raise LocalError(f"result: expected {count} parts of one width, got {len(joined)} bytes")
    return tuple(joined[at : at + width] for at in range(0, len(joined), width))


def _rejected(view: QueryView, event: InputRejected) -> QueryView:
    kept = {member: sent for member, sent in view.commitments.items() if member != event.participant}
    return replace(view, refused=Bitmap(view.refused | 1 << event.participant), commitments=kept)


def _failed(view: QueryView, event: AttemptFailed, height: Height) -> QueryView:
    failures = (*view.failures, event)
    if not event.committee:
        return replace(view, failures=failures)  # Ended follows
    return replace(
        view,
        state=check_move(view.state, QueryState.REGISTERED, view.mode, "fail_attempt"),
        attempt=Attempt(view.attempt + 1),
        attempt_height=height,
        contribute_by=event.contribute_by,
        committee=event.committee,
        excluded=excluded_after(view.excluded, view.committee, event.waited & _ALL_MEMBERS, event.committee),
        commitments={},
        envelopes={},
        computing_height=None,
        computing_at=None,
        session=None,
        failures=failures,
    )


def _ended(view: QueryView, event: Ended, height: Height, at: Millis) -> QueryView:
    if event.state is not view.state:
        check_move(view.state, event.state, view.mode)
    if not is_end(event.state, view.mode):
        raise LocalError(f"query {view.query.hex()}: expected an end under {view.mode.name}, got {event.state.name}")
    return replace(
        view,
        state=event.state,
        end_reason=event.reason,
        waited=Bitmap(event.waited & _ALL_MEMBERS),
        ended_height=height,
        ended_at=at,
    )
