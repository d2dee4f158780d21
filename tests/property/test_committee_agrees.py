"""What a daemon computes of panel and committee is what the contract accepts."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.types import Genesis
from mpcnode.errors import ErrorCode, RequestError
from mpcnode.query.committee import choose_committee, panel_of, pool_order
from mpcnode.types import Bitmap, CompanyIndex, Member, MemberIndex, QueryId, Role, SealingKey
from tests.support.contracts import MPC, OPERATOR, PARTICIPANT, SUPERVISOR, World, bitmap, consortium, member, query_id

COMPANIES_MIN = 3
NODES = range(2, 10)


@dataclass(frozen=True)
class Case:
    """One consortium, on the contracts and as daemons know it."""

    world: World
    members: tuple[Member, ...]


def known(genesis: Genesis) -> tuple[Member, ...]:
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


@pytest.fixture(scope="module", params=["no anchors", "some anchors", "many anchors"])
def case(request: pytest.FixtureRequest) -> Case:
    """Eight nodes of six companies, six participants."""
    lists = {
        "no anchors": [0] * 6,
        "some anchors": [0, bitmap([2, 3]), 0, bitmap([9]), 0, 0],
        "many anchors": [1 << node for node in (2, 3, 4, 5, 6, 7)],
    }[request.param]
    genesis = consortium(
        [
            member(0, 0, OPERATOR, votes=True),
            member(1, 1, SUPERVISOR),
            *(member(node, 2 + node % 6, MPC) for node in NODES),
            *(member(10 + i, 20 + i, PARTICIPANT, classes=i + 1, anchors=anchors) for i, anchors in enumerate(lists)),
        ],
        companies_min=COMPANIES_MIN,
    )
    return Case(World(genesis=genesis), known(genesis))


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(0, 10**6),
    attempt=st.integers(1, 3),
    excluded=st.sets(st.sampled_from(NODES)),
    classes=st.integers(1, 7),
)
def test_daemon_and_contract_agree(case: Case, number: int, attempt: int, excluded: set[int], classes: int):
    query, gone = QueryId(query_id(number)), bitmap(excluded)
    panel = panel_of(case.members, classes)
    assert case.world.view("members.suppliers", classes) == (panel,)
    order = pool_order(query, attempt, case.members, excluded=gone, panel=panel, companies_min=COMPANIES_MIN)
    packed, kept = case.world.view("members.next_committee", query, attempt, panel, gone, order)
    assert packed >> 248 in {0, 2}
    if packed >> 248 == 2:
        with pytest.raises(RequestError) as raised:
            choose_committee(query, attempt, case.members, panel=panel, excluded=gone, companies_min=COMPANIES_MIN)
        assert raised.value.code is ErrorCode.COMMITTEE_TOO_SMALL
        return
    chosen = choose_committee(query, attempt, case.members, panel=panel, excluded=gone, companies_min=COMPANIES_MIN)
    assert tuple(packed >> (8 * rank) & 255 for rank in range(packed >> 64 & 255)) == chosen.members
    assert kept == chosen.excluded
