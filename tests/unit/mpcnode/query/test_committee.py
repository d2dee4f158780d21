"""Panel and committee follow from the ledger, in Python as in the contract."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.contract import address_of as contract_address_of
from ledger.types import PublicKey
from mpcnode.errors import ErrorCode, RequestError
from mpcnode.query.committee import (
    address_of,
    choose_committee,
    excluded_after,
    panel_of,
    pool_order,
    rank_value,
)
from mpcnode.types import Member, MemberIndex, QueryId, Role, bitmap
from tests.support import contracts
from tests.support.queries import members_from

QUERY = QueryId(contracts.query_id(1))


@st.composite
def consortia(draw):
    """Up to 12 MPC members of up to 6 companies, 3 participants with or without anchors."""
    count = draw(st.integers(1, 12))
    companies = draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    records = [contracts.member(index, company, contracts.MPC) for index, company in enumerate(companies)]
    for index in range(count, count + 3):
        anchors = draw(st.integers(0, 2**count - 1))
        records.append(contracts.member(index, 6, contracts.PARTICIPANT, classes=0b11, anchors=anchors))
    return contracts.consortium(records, companies_min=draw(st.sampled_from([2, 3])))


@given(consortia(), st.integers(1, 3), st.integers(0, 2**12 - 1), st.binary(min_size=32, max_size=32))
def test_the_rule_is_the_contracts_twin(genesis, attempt, excluded, query):
    """`tests.support.contracts` holds the rule that the contract is tested against, written by somebody else."""
    members, panel = members_from(genesis), contracts.panel_of(genesis)
    assert panel_of(members, 0b11) == panel
    expected = contracts.committee_of(genesis, query, attempt, panel, excluded)
    pool, remaining = contracts.pool_of(genesis, panel, excluded)
    order = contracts.order_of(query, attempt, pool)
    options = {"panel": panel, "excluded": excluded, "companies_min": genesis.committee_companies_min}
    assert list(pool_order(QueryId(query), attempt, members, **options)) == order
    if expected is None:
        with pytest.raises(RequestError) as caught:
            choose_committee(QueryId(query), attempt, members, **options)
        assert caught.value.code is ErrorCode.COMMITTEE_TOO_SMALL
        return
    chosen = choose_committee(QueryId(query), attempt, members, **options)
    assert list(chosen.members) == expected
    assert list(chosen.pool_order) == order
    assert chosen.excluded == remaining


@given(consortia(), st.integers(1, 3), st.integers(0, 2**12 - 1), st.binary(min_size=32, max_size=32))
def test_a_committee_keeps_its_promises(genesis, attempt, excluded, query):
    members, panel = members_from(genesis), contracts.panel_of(genesis)
    try:
        chosen = choose_committee(
            QueryId(query),
            attempt,
            members,
            panel=panel,
            excluded=excluded,
            companies_min=genesis.committee_companies_min,
        )
    except RequestError:
        return
    nodes = chosen.members
    assert 2 <= len(nodes) <= 8
    assert len(set(nodes)) == len(nodes)
    assert len({members[node].company for node in nodes}) >= genesis.committee_companies_min
    ranks = [rank_value(QueryId(query), attempt, node) for node in nodes]
    assert ranks == sorted(ranks)
    for participant in contracts.bits(panel):
        anchors = members[participant].anchors
        assert not anchors or anchors & bitmap(nodes)
    assert not chosen.excluded & bitmap(nodes)


@given(consortia(), st.integers(0, 2**12 - 1), st.integers(0, 2**128 - 1), st.binary(min_size=32, max_size=32))
def test_the_exclusions_after_a_failed_attempt_follow_from_its_event(genesis, excluded, waited, query):
    members, panel = members_from(genesis), contracts.panel_of(genesis)
    options = {"panel": panel, "companies_min": genesis.committee_companies_min}
    try:
        first = choose_committee(QueryId(query), 1, members, excluded=excluded, **options)
        grown = first.excluded | (waited & bitmap(first.members))
        second = choose_committee(QueryId(query), 2, members, excluded=grown, **options)
    except RequestError:
        return
    seen = excluded_after(first.excluded, first.members, waited, second.members)
    everyone = bitmap(member.index for member in members if Role.MPC in member.roles)
    assert seen & everyone == second.excluded & everyone


@pytest.mark.parametrize(("participants", "size"), [(5, 8), (6, None)])
def test_a_committee_has_at_most_8_members(participants, size):
    """Three by company, and an anchor of its own for each participant: the rank of these nodes decides nothing."""
    nodes = [contracts.member(index, index, contracts.MPC) for index in range(12)]
    first = set(pool_order(QUERY, 1, members_from(contracts.consortium(nodes)), excluded=0)[:3])
    free = [index for index in range(12) if index not in first]
    asked = [
        contracts.member(12 + place, 12, contracts.PARTICIPANT, classes=1, anchors=1 << free[place])
        for place in range(participants)
    ]
    members = members_from(contracts.consortium([*nodes, *asked]))
    options = {"panel": panel_of(members, 1), "excluded": 0, "companies_min": 3}
    if size is None:
        with pytest.raises(RequestError, match="at most 8 members, got 9"):
            choose_committee(QUERY, 1, members, **options)
    else:
        assert len(choose_committee(QUERY, 1, members, **options).members) == size


def test_suspended_members_neither_compute_nor_contribute():
    members = members_from(contracts.standard())
    suspended = tuple(
        Member(**({name: getattr(item, name) for name in Member.__slots__} | {"active": item.index not in (2, 7)}))
        for item in members
    )
    assert 2 not in pool_order(QUERY, 1, suspended, excluded=0)
    assert panel_of(suspended, 0b11) == panel_of(members, 0b11) & ~(1 << 7)


def test_ranks_differ_between_queries_and_attempts():
    ranks = {
        rank_value(QueryId(contracts.query_id(number)), attempt, MemberIndex(index))
        for number in range(3)
        for attempt in (1, 2, 3)
        for index in range(4)
    }
    assert len(ranks) == 36


def test_nobody_is_favoured():
    members = members_from(contracts.standard())
    firsts = [pool_order(QueryId(contracts.query_id(number)), 1, members, excluded=0)[0] for number in range(400)]
    assert all(70 <= firsts.count(MemberIndex(index)) <= 130 for index in (2, 3, 4, 5))


def test_an_address_is_the_contracts():
    key = PublicKey(b"\x05" * 32)
    assert address_of(key) == contract_address_of(key)
