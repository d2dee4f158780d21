"""Who owes what when: ranks spread the duty, and nobody acts on a query that has moved on."""

import pytest
from eth_hash.auto import keccak

from ledger.encoding import word
from ledger.types import Millis
from mpcnode.query.duties import due_duties, duties, turn_to_post, validator_rank, waited_for
from mpcnode.types import EndReason, MemberIndex, QueryState, bitmap
from scripts.vector_query import COMMITTEE, NOW, PANEL, QUERY
from tests.support.queries import (
    TO_ANSWERED,
    block_time,
    committed,
    computing,
    ended,
    failed,
    folded,
    query_number,
    refused,
    registered,
)

VALIDATORS = tuple(MemberIndex(index) for index in range(9))
RANKED = sorted(VALIDATORS, key=lambda member: keccak(QUERY + word(member)))


def view_after(*events):
    view = folded(*events).get(QUERY)
    assert view is not None
    return view


def test_ranks_are_by_hash_and_capped():
    ranks = [validator_rank(QUERY, member, VALIDATORS) for member in RANKED]
    assert ranks == [0, 1, 2, 3, 4, 5, 5, 5, 5]
    assert validator_rank(QUERY, MemberIndex(9), VALIDATORS) is None


def test_duty_is_spread_over_queries():
    firsts = {min(VALIDATORS, key=lambda m: validator_rank(query_number(n), m, VALIDATORS) or 0) for n in range(60)}
    assert len(firsts) >= 7


@pytest.mark.parametrize("rank", [0, 1, 5])
def test_inputs_are_closed_by_rank_after_their_time(rank):
    duty, _ = duties(view_after(registered()), RANKED[rank], VALIDATORS)
    assert (duty.method, duty.values) == ("queries.close_inputs", (QUERY, 1))
    assert duty.due_ms == NOW + 10_000 + 200 + 1_000 * rank


@pytest.mark.parametrize("events", [TO_ANSWERED[:4], TO_ANSWERED])
def test_a_query_that_computes_or_waits_for_its_verdict_only_expires(events):
    (duty,) = duties(view_after(*events), RANKED[2], VALIDATORS)
    assert duty.method == "queries.expire"
    assert duty.due_ms == NOW + 60_000 + 3_000 + 2_000 * 2


def test_duties_come_earliest_first_and_say_when_the_next_is_due():
    view = view_after(registered())
    owed = duties(view, RANKED[0], VALIDATORS)
    assert [duty.method for duty in owed] == ["queries.close_inputs", "queries.expire"]
    first, second = (duty.due_ms for duty in owed)
    assert due_duties(view, RANKED[0], VALIDATORS, Millis(first - 1)) == ((), first)
    assert due_duties(view, RANKED[0], VALIDATORS, first) == (owed[:1], second)
    assert due_duties(view, RANKED[0], VALIDATORS, second) == (owed, None)


def test_nobody_owes_an_ended_query_anything():
    view = view_after(registered(), ended(QueryState.EXPIRED, EndReason.DEADLINE))
    assert duties(view, RANKED[0], VALIDATORS) == ()
    assert due_duties(view, RANKED[0], VALIDATORS, view.deadline) == ((), None)


def test_who_is_no_validator_owes_nothing():
    assert duties(view_after(registered()), MemberIndex(100), VALIDATORS) == ()


def test_whom_a_query_waits_for():
    assert waited_for(view_after(registered())) == PANEL
    assert waited_for(view_after(registered(), refused(4))) == 1 << 5
    assert waited_for(view_after(*TO_ANSWERED[:4])) == bitmap(COMMITTEE.members)
    assert waited_for(view_after(*TO_ANSWERED)) == 0
    assert waited_for(view_after(*TO_ANSWERED), bitmap((6,))) == 1 << 6


def test_a_later_attempt_waits_for_whom_the_last_one_was_given_up_for():
    one, two, three = COMMITTEE.members
    begun = (*TO_ANSWERED[:4], failed(1, (one, two, three), waited=1 << two, contribute_by=NOW + 30_000))
    assert waited_for(view_after(*begun)) == PANEL
    again = (committed(4, 2), committed(5, 2), computing(attempt=2))
    assert waited_for(view_after(*begun, *again)) == 1 << two
    nobody = (*TO_ANSWERED[:4], failed(1, (one, two, three), contribute_by=NOW + 30_000))
    assert waited_for(view_after(*nobody, *again)) == bitmap(COMMITTEE.members)


def test_the_committee_posts_by_rank_while_computing():
    view = view_after(*TO_ANSWERED[:4])
    turns = [turn_to_post(view, member) for member in COMMITTEE.members]
    assert turns == [block_time(41), block_time(41) + 3_000, block_time(41) + 6_000]
    assert turn_to_post(view, MemberIndex(4)) is None
    assert turn_to_post(view_after(registered()), COMMITTEE.members[0]) is None
    assert turn_to_post(view_after(*TO_ANSWERED), COMMITTEE.members[0]) is None
