"""The query of the vectors as values and as events, to be changed by tests."""

import dataclasses
import hashlib
from typing import Any

from ledger.types import Digest, Genesis, Height, Millis
from mpcnode.query.committee import address_of
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
from mpcnode.query.request import Request, SealedRequest, decode_request, encode_request
from mpcnode.query.statements import (
    AcceptStatement,
    CorrectionsStatement,
    DealStatement,
    EndStatement,
    FlushStatement,
    ReleaseStatement,
    SharesStatement,
)
from mpcnode.query.view import LedgerView
from mpcnode.types import (
    Attempt,
    AuditMode,
    Bitmap,
    Commitment,
    CompanyIndex,
    EndReason,
    FailReason,
    Member,
    MemberIndex,
    QueryId,
    QueryState,
    RefusalCode,
    Role,
    SealingKey,
    SessionId,
    Verdict,
)
from scripts.vector_query import (
    CHAIN,
    COMMITTEE,
    INQUIRER,
    MODEL,
    NOW,
    PANEL,
    QUERY,
    ask,
    compute,
    contribute,
)

ASKED = ask()
PARTICIPANTS = (MemberIndex(4), MemberIndex(5))
CONTRIBUTED = {member: contribute(member, ASKED) for member in PARTICIPANTS}
COMPUTED = compute(CONTRIBUTED)
REQUEST = decode_request(ASKED.statement)
SEALED = SealedRequest(
    statement=ASKED.statement,
    signature=ASKED.signature,
    inquirer=INQUIRER.public,
    tokens=ASKED.tokens,
    supervisor_copy=ASKED.supervisor_copy,
)
COMMITTED_AT = Height(40)
COMPUTING_AT = Height(41)


def some_digest(name: str) -> Digest:
    return Digest(hashlib.sha256(name.encode()).digest())


SESSION = SessionId(some_digest("session"))
SHARES = SharesStatement(
    chain=CHAIN,
    query=QUERY,
    attempt=Attempt(3),
    participant=MemberIndex(4),
    node=MemberIndex(127),
    commitment=Commitment(some_digest("c")),
)
DEAL = DealStatement(
    chain=CHAIN,
    session=SESSION,
    seeds_hash=some_digest("seeds"),
    chunks=245,
    correcting=MemberIndex(2),
)
CORRECTIONS = CorrectionsStatement(
    chain=CHAIN, session=SESSION, chunk=2**32 - 1, corrections_hash=some_digest("corrections")
)
ACCEPT = AcceptStatement(chain=CHAIN, session=SESSION, deal_hash=some_digest("deal"))
FLUSH = FlushStatement(
    chain=CHAIN, sender=MemberIndex(1), receiver=MemberIndex(2), number=2**64 - 1, frames_root=some_digest("root")
)
END = EndStatement(
    chain=CHAIN,
    query=QUERY,
    attempt=Attempt(1),
    session=SESSION,
    deal_hash=some_digest("deal"),
    transcript_hash=some_digest("transcript"),
    output_commitment=Commitment(some_digest("output")),
    inquirer_box_hash=some_digest("inquirer"),
    supervisor_box_hash=some_digest("supervisor"),
)
RELEASE = ReleaseStatement(
    chain=CHAIN,
    query=QUERY,
    attempt=Attempt(2),
    session=SESSION,
    transcript_hash=some_digest("transcript"),
    masked_hash=some_digest("masked"),
)


def members_from(genesis: Genesis) -> tuple[Member, ...]:
    """A genesis' members as the node knows them."""
    return tuple(
        Member(
            index=MemberIndex(index),
            name=record.name,
            company=CompanyIndex(record.company),
            roles=Role(record.roles),
            identity=record.identity,
            sealing=SealingKey(bytes(32)),
            classes=record.classes,
            anchors=Bitmap(record.anchors),
        )
        for index, record in enumerate(genesis.members)
    )


def changed_request(**changes: Any) -> Request:
    return dataclasses.replace(REQUEST, **changes)


def resealed(**changes: Any) -> SealedRequest:
    """The same query with another request, signed by its inquirer."""
    stated = encode_request(changed_request(**changes))
    return dataclasses.replace(SEALED, statement=stated, signature=INQUIRER.sign(stated))


def query_number(number: int) -> QueryId:
    return QueryId(hashlib.sha256(f"query {number}".encode()).digest())


def registered(query: QueryId = QUERY, **changes: Any) -> Registered:
    values: dict[str, Any] = {
        "query": query,
        "model": MODEL,
        "inquirer": address_of(INQUIRER.public),
        "request": encode_request(changed_request(query=query)),
        "supervisor_copy": ASKED.supervisor_copy,
        "committee": COMMITTEE.members,
    }
    return Registered(**(values | changes))


def committed(participant: int, attempt: int = 1, query: QueryId = QUERY) -> InputCommitted:
    made = CONTRIBUTED[MemberIndex(participant)]
    return InputCommitted(
        query=query,
        attempt=Attempt(attempt),
        participant=MemberIndex(participant),
        commitments=made.commitments,
        envelope=made.envelope,
    )


def refused(participant: int, attempt: int = 1) -> ContributionRefused:
    return ContributionRefused(
        query=QUERY,
        attempt=Attempt(attempt),
        participant=MemberIndex(participant),
        code=RefusalCode.POLICY,
        detail=b"sealed",
    )


def computing(members: int = PANEL, attempt: int = 1) -> Computing:
    return Computing(query=QUERY, attempt=Attempt(attempt), committed=Bitmap(members))


def posted(attempt: int = 1) -> ResultPosted:
    return ResultPosted(
        query=QUERY,
        attempt=Attempt(attempt),
        poster=COMMITTEE.members[0],
        statements=b"".join(COMPUTED.statements),
        inquirer_boxes=COMPUTED.inquirer_boxes,
        supervisor_boxes=COMPUTED.supervisor_boxes,
    )


def attested(verdict: Verdict, query: QueryId = QUERY) -> Attested:
    return Attested(query=query, attempt=Attempt(1), verdict=verdict, member=255, stage=0, round=0, release=b"")


def failed(attempt: int, committee: tuple[int, ...], *, waited: int = 0, contribute_by: int = 0) -> AttemptFailed:
    return AttemptFailed(
        query=QUERY,
        attempt=Attempt(attempt),
        by=MemberIndex(1),
        reason=FailReason.TIMEOUT,
        waited=waited,
        committee=tuple(MemberIndex(member) for member in committee),
        contribute_by=Millis(contribute_by),
    )


def rejected(participant: int) -> InputRejected:
    return InputRejected(query=QUERY, attempt=Attempt(1), participant=MemberIndex(participant))


def ended(state: QueryState, reason: EndReason = EndReason.NONE, query: QueryId = QUERY, waited: int = 0) -> Ended:
    return Ended(query=query, state=state, reason=reason, waited=waited)


TO_ANSWERED: tuple[tuple[Height, Event], ...] = (
    (Height(39), registered()),
    (COMMITTED_AT, committed(4)),
    (COMPUTING_AT, committed(5)),
    (COMPUTING_AT, computing()),
    (Height(42), posted()),
)
"""A query's way to its result, each event with its height."""


def ledger_view(mode: AuditMode = AuditMode.AFTER_RELEASE, ended_max: int = 8) -> LedgerView:
    return LedgerView({MODEL: mode}, ended_max)


def block_time(height: int) -> Millis:
    return Millis(NOW + 100 * (height - 39))


def folded(*events: tuple[int, Event] | Event, mode: AuditMode = AuditMode.AFTER_RELEASE) -> LedgerView:
    """A view after these events; those without a height come one height after the last."""
    view, height = ledger_view(mode), 38
    for item in events:
        height, event = item if isinstance(item, tuple) else (height + 1, item)
        view.apply(Height(height), block_time(height), [event])
    return view
