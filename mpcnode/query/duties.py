"""What a member owes a query when nobody else moves it, and when (docs/protocol.md 6.5 and 5).

Pure: from a view, who I am and who the validators are. Whoever waits sleeps until `due_ms` on its own clock, looks at
its replica again, and submits if the duty still stands; a revert as too early means that block time lags.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak

from ledger.encoding import word
from ledger.types import Millis
from mpcnode.query.view import QueryView
from mpcnode.types import NO_MEMBERS, Bitmap, MemberIndex, QueryId, QueryState

CLOSE_AFTER_MS, CLOSE_STEP_MS = 200, 1_000
"""close_inputs: after contribute_by, and further for each rank."""

EXPIRE_AFTER_MS, EXPIRE_STEP_MS = 3_000, 2_000
"""expire: after the deadline, and further for each rank."""

TURN_MS = 3_000
"""post_result: between the turns of two ranks; the contract's figure."""

RANK_MAX = 5
"""Validators of a worse rank act with this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """A call that this member is to submit at a time, unless the query has moved on by then."""

    method: str
    values: tuple[object, ...]
    """Arguments of docs/protocol.md section 5."""
    due_ms: Millis
    """On the member's own clock."""


def validator_rank(query: QueryId, me: MemberIndex, validators: Sequence[MemberIndex]) -> int | None:
    """Return a validator's rank for one query, capped at `RANK_MAX`; None for who is no validator."""
    if me not in validators:
        return None
    ranked = sorted(validators, key=lambda member: keccak(query + word(member)))
    return min(ranked.index(me), RANK_MAX)


def duties(
    view: QueryView, me: MemberIndex, validators: Sequence[MemberIndex], auditors: Bitmap = NO_MEMBERS
) -> tuple[Duty, ...]:
    """Return what a validator owes a query, earliest first; nothing to who is no validator and after the end."""
    rank = validator_rank(view.query, me, validators)
    if rank is None or view.is_over:
        return ()
    expire = Duty(
        method="queries.expire",
        values=(view.query, waited_for(view, auditors)),
        due_ms=Millis(view.deadline + EXPIRE_AFTER_MS + EXPIRE_STEP_MS * rank),
    )
    if view.state is not QueryState.REGISTERED:
        return (expire,)
    close = Duty(
        method="queries.close_inputs",
        values=(view.query, view.attempt),
        due_ms=Millis(view.contribute_by + CLOSE_AFTER_MS + CLOSE_STEP_MS * rank),
    )
    return tuple(sorted((close, expire), key=lambda duty: duty.due_ms))


def due_duties(
    view: QueryView,
    me: MemberIndex,
    validators: Sequence[MemberIndex],
    now: Millis,
    auditors: Bitmap = NO_MEMBERS,
) -> tuple[tuple[Duty, ...], Millis | None]:
    """Return the duties that are due, and the time at which the next one will be."""
    owed = duties(view, me, validators, auditors)
    later = [duty.due_ms for duty in owed if duty.due_ms > now]
    return tuple(duty for duty in owed if duty.due_ms <= now), min(later, default=None)


def turn_to_post(view: QueryView, me: MemberIndex) -> Millis | None:
    """Return the block time from which a committee member may post the result; None if it may not at all."""
    rank = view.rank_of(me)
    if rank is None or view.state is not QueryState.COMPUTING or view.computing_at is None:
        return None
    return Millis(view.computing_at + TURN_MS * rank)


def waited_for(view: QueryView, auditors: Bitmap = NO_MEMBERS) -> int:
    """Return whom an open query waits for, as far as the ledger shows.

    Silent panel members; while computing, whom the attempt before was given up for, or else the whole committee; with
    an answer, who audits.
    """
    if view.state is QueryState.REGISTERED:
        return view.silent
    if view.state is not QueryState.COMPUTING:
        return auditors
    named = view.failures[-1].waited if view.failures else 0
    return named or sum(1 << member for member in view.committee)
