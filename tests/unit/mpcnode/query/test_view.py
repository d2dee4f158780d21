"""A view is what the events say: every way of a query through its life."""

import pytest

from ledger.types import Height
from mpcnode.errors import LocalError
from mpcnode.query.events import Event
from mpcnode.query.request import encode_request
from mpcnode.sealing.keys import SigningKey
from mpcnode.types import AuditMode, EndReason, MemberIndex, QueryState, Verdict, bitmap
from scripts.vector_query import COMMITTEE, INQUIRER, NOW, PANEL, QUERY, RESULT, seed
from tests.support.queries import (
    ASKED,
    COMPUTED,
    CONTRIBUTED,
    REQUEST,
    TO_ANSWERED,
    attested,
    block_time,
    changed_request,
    committed,
    computing,
    ended,
    failed,
    folded,
    ledger_view,
    posted,
    query_number,
    refused,
    registered,
    rejected,
)

S = QueryState


def test_a_registration_opens_a_query():
    ledger = folded(registered())
    view = ledger.get(QUERY)
    assert view is not None
    assert (view.state, view.attempt, view.panel, view.committee) == (S.REGISTERED, 1, PANEL, COMMITTEE.members)
    assert (view.request, view.terms) == (ASKED.statement, REQUEST)
    assert (view.contribute_by, view.deadline) == (NOW + 10_000, NOW + 60_000)
    assert (view.registered_height, view.registered_at) == (39, block_time(39))
    assert (view.committed, view.refused, view.silent, view.session) == (0, 0, PANEL, None)
    assert not view.is_over
    assert not view.is_settled
    assert ledger.open() == (view,)


def test_it_knows_its_inquirer_by_key():
    view = folded(registered()).get(QUERY)
    assert view is not None
    assert view.asked_by(INQUIRER.public)
    assert not view.asked_by(SigningKey(seed("identity 0")).public)


def test_inputs_then_computing_give_the_session_of_the_vectors():
    view = folded(*TO_ANSWERED[:4]).get(QUERY)
    assert view is not None
    assert view.state is S.COMPUTING
    assert view.committed == PANEL
    assert view.commitments[MemberIndex(4)] == CONTRIBUTED[MemberIndex(4)].commitments
    assert view.envelopes[MemberIndex(5)] == CONTRIBUTED[MemberIndex(5)].envelope
    assert (view.computing_height, view.computing_at) == (41, block_time(41))
    assert view.session is not None
    assert view.session.hex() == COMPUTED.vectors["session"]


def test_the_session_depends_on_the_height():
    view = folded(*TO_ANSWERED[:3], (Height(42), computing())).get(QUERY)
    assert view is not None
    assert view.session is not None
    assert view.session.hex() != COMPUTED.vectors["session"]


def test_a_result_is_split_by_rank():
    view = folded(*TO_ANSWERED).get(QUERY)
    assert view is not None
    assert view.result is not None
    assert view.state is S.ANSWERED
    assert view.result.statements == COMPUTED.statements
    assert [end.session for end in view.result.ends] == [view.session] * 3
    assert b"".join(view.result.inquirer_boxes) == COMPUTED.inquirer_boxes
    assert b"".join(view.result.supervisor_boxes) == COMPUTED.supervisor_boxes
    assert (view.result.height, view.result.at) == (42, block_time(42))
    assert not view.is_over


def test_an_answer_that_does_not_wait_for_its_audit_ends_the_query():
    ledger = folded(*TO_ANSWERED, ended(S.ANSWERED))
    view = ledger.get(QUERY)
    assert view is not None
    assert view.is_over
    assert not view.is_settled
    assert view.envelopes
    assert ledger.open() == ()
    assert ledger.ended() == (view,)
    ledger.apply(Height(50), block_time(50), [attested(Verdict.MATCH)])
    view = ledger.get(QUERY)
    assert view is not None
    assert view.verdict is Verdict.MATCH
    assert view.is_settled
    assert view.envelopes == {}


def test_without_an_audit_an_answer_settles_the_query():
    view = folded(*TO_ANSWERED, ended(S.ANSWERED), mode=AuditMode.OFF).get(QUERY)
    assert view is not None
    assert view.is_settled


@pytest.mark.parametrize(
    ("verdict", "state", "reason"),
    [(Verdict.MATCH, S.RELEASED, EndReason.NONE), (Verdict.MISMATCH, S.ABORTED, EndReason.MISMATCH)],
)
def test_an_answer_that_waits_for_its_audit_ends_with_the_verdict(verdict, state, reason):
    ledger = folded(*TO_ANSWERED, attested(Verdict.INCOMPLETE), mode=AuditMode.BEFORE_RELEASE)
    view = ledger.get(QUERY)
    assert view is not None
    assert not view.is_over
    ledger.apply(Height(60), block_time(60), [attested(verdict), ended(state, reason)])
    view = ledger.get(QUERY)
    assert view is not None
    assert (view.state, view.verdict, view.end_reason) == (state, verdict, reason)
    assert (view.ended_height, view.ended_at) == (60, block_time(60))
    assert view.is_settled


def test_refusals_and_silence():
    view = folded(registered(), refused(4)).get(QUERY)
    assert view is not None
    assert (view.refused, view.silent) == (1 << 4, 1 << 5)
    assert view.refusals == (refused(4),)
    view = folded(registered(), refused(4), refused(5), ended(S.REFUSED, EndReason.INSUFFICIENT_CONTRIBUTORS)).get(
        QUERY
    )
    assert view is not None
    assert (view.state, view.silent) == (S.REFUSED, 0)
    assert view.is_settled


def test_a_failed_attempt_starts_over_without_whom_it_waited_for():
    first = COMMITTEE.members
    again = failed(1, (2, 3, 7), waited=1 << first[0] | 1 << 9 | 1 << 200, contribute_by=NOW + 30_000)
    view = folded(*TO_ANSWERED[:4], again).get(QUERY)
    assert view is not None
    assert (view.state, view.attempt, view.contribute_by) == (S.REGISTERED, 2, NOW + 30_000)
    assert view.committee == (2, 3, 7)
    assert (view.committed, view.envelopes, view.session, view.computing_at) == (0, {}, None, None)
    assert view.excluded == (0 if first[0] in (2, 3, 7) else 1 << first[0])
    assert view.failures == (again,)
    assert view.attempt_height == 42


def test_exclusions_grow_until_the_contract_clears_them():
    one, two, three = COMMITTEE.members
    steps: tuple[tuple[int, Event] | Event, ...] = (
        *TO_ANSWERED[:4],
        failed(1, (two, three, 7), waited=1 << one, contribute_by=NOW + 30_000),
        committed(4, 2),
        committed(5, 2),
        computing(attempt=2),
    )
    view = folded(*steps, failed(2, (three, 7, 8), waited=1 << two, contribute_by=NOW + 40_000)).get(QUERY)
    assert view is not None
    assert view.excluded == bitmap((one, two))
    view = folded(*steps, failed(2, (one, 7, 8), waited=1 << two, contribute_by=NOW + 40_000)).get(QUERY)
    assert view is not None
    assert view.excluded == 0


def test_a_rejected_input_counts_as_refused_for_good():
    view = folded(*TO_ANSWERED[:4], rejected(4), failed(1, (1, 2, 3), contribute_by=NOW + 30_000)).get(QUERY)
    assert view is not None
    assert (view.refused, view.silent, view.attempt) == (1 << 4, 1 << 5, 2)


def test_a_last_failure_ends_the_query():
    view = folded(*TO_ANSWERED[:4], failed(1, ()), ended(S.ABORTED, EndReason.NO_TIME_LEFT, waited=0b10)).get(QUERY)
    assert view is not None
    assert (view.state, view.end_reason, view.waited) == (S.ABORTED, EndReason.NO_TIME_LEFT, 0b10)
    assert view.is_settled


@pytest.mark.parametrize("reached", range(1, 5))
def test_an_open_query_expires(reached):
    view = folded(*TO_ANSWERED[:reached], ended(S.EXPIRED, EndReason.DEADLINE)).get(QUERY)
    assert view is not None
    assert view.state is S.EXPIRED
    assert view.is_settled


@pytest.mark.parametrize(
    "events",
    [
        (committed(4),),
        (registered(), registered()),
        (registered(), committed(4, attempt=2)),
        (registered(), computing()),
        (registered(), posted()),
        (*TO_ANSWERED[:4], posted(), posted()),
        (registered(), ended(S.ANSWERED)),
        (registered(), ended(S.RELEASED)),
        (registered(), ended(S.REGISTERED)),
        (*TO_ANSWERED, ended(S.EXPIRED, EndReason.DEADLINE)),
        (registered(model=bytes(32)),),
    ],
)
def test_what_cannot_follow_is_an_error_of_this_program(events):
    with pytest.raises(LocalError):
        folded(*events)


def test_a_registration_that_no_client_would_accept_is_shown_all_the_same():
    stated = encode_request(changed_request(scheme="other", result_key=(1).to_bytes(32, "little")))
    view = folded(registered(request=stated)).get(QUERY)
    assert view is not None
    assert view.terms.scheme == "other"


def test_apply_names_the_changed_queries_once_and_in_order():
    ledger, other = ledger_view(), query_number(2)
    changed = ledger.apply(Height(39), block_time(39), [registered(), registered(other), committed(4)])
    assert changed == (QUERY, other)
    assert ledger.apply(Height(40), block_time(40), []) == ()
    assert [view.query for view in ledger.open()] == [QUERY, other]


def test_ended_queries_are_forgotten_oldest_first_and_late_verdicts_on_them_ignored():
    ledger = ledger_view(AuditMode.OFF, ended_max=2)
    names = [query_number(number) for number in range(4)]
    for place, name in enumerate(names):
        events: list[Event] = [registered(name), ended(S.EXPIRED, EndReason.DEADLINE, name)]
        ledger.apply(Height(place + 1), block_time(place + 1), events)
    assert [view.query for view in ledger.ended()] == names[2:]
    assert ledger.get(names[0]) is None
    assert ledger.apply(Height(9), block_time(9), [attested(Verdict.MATCH, names[0])]) == ()
    with pytest.raises(LocalError):
        ledger.apply(Height(9), block_time(9), [ended(S.EXPIRED, EndReason.DEADLINE, names[0])])


def test_equal_events_give_equal_views():
    assert folded(*TO_ANSWERED).get(QUERY) == folded(*TO_ANSWERED).get(QUERY)
    assert folded(*TO_ANSWERED).get(QUERY) != folded(*TO_ANSWERED[:4]).get(QUERY)


def test_a_view_knows_ranks():
    view = folded(registered()).get(QUERY)
    assert view is not None
    assert [view.rank_of(member) for member in COMMITTEE.members] == [0, 1, 2]
    assert view.rank_of(MemberIndex(4)) is None


def test_a_view_prints_nothing_sealed():
    view = folded(*TO_ANSWERED).get(QUERY)
    assert view is not None
    shown = repr(view)
    assert repr(ASKED.supervisor_copy)[2:20] not in shown
    assert repr(COMPUTED.inquirer_boxes)[2:20] not in shown
    assert RESULT.public.hex() not in shown
