"""Panel and committee (docs/protocol.md 6.1 and 6.2) against a second implementation, on random consortia."""

import random

import pytest

from tests.support.contracts import (
    MPC,
    OPERATOR,
    PARTICIPANT,
    SUPERVISOR,
    World,
    bitmap,
    bits,
    committee_of,
    consortium,
    member,
    must,
    order_of,
    panel_of,
    pool_of,
    query_id,
    reason_of,
)

ORDER_WRONG, TOO_SMALL = 1, 2


def random_world(seed: int) -> World:
    """Up to 60 members, MPC members spread over few or many companies, some participants with anchors."""
    rng = random.Random(seed)
    nodes = rng.randint(2, 14)
    companies = rng.randint(1, nodes + 2)
    spread = rng.choice([0, 25])  # members beyond the first storage word of companies
    members = [member(0, 0, OPERATOR, votes=True), member(1, 1, SUPERVISOR, votes=True)]
    members += [member(2 + i, 2, PARTICIPANT) for i in range(spread)]
    first = len(members)
    members += [member(first + i, 3 + rng.randrange(companies), MPC) for i in range(nodes)]
    indices = range(first, first + nodes)
    for _ in range(rng.randint(1, 8)):
        anchors = bitmap(rng.sample(indices, rng.randint(1, min(3, nodes)))) if rng.random() < 0.5 else 0
        index = len(members)
        members.append(
            member(
                index,
                30 + index,
                PARTICIPANT | (OPERATOR if rng.random() < 0.2 else 0),
                classes=rng.randint(0, 7),
                anchors=anchors,
            )
        )
    return World(genesis=consortium(members, companies_min=rng.choice([2, 3])))


def unpack(packed: int) -> list[int]:
    return [packed >> (8 * rank) & 255 for rank in range(packed >> 64 & 255)]


@pytest.mark.parametrize("seed", range(16))
def test_committees_of_random_pools(seed: int):
    world = random_world(seed)
    rng = random.Random(seed + 1000)
    genesis = world.genesis
    mpc = [i for i, m in enumerate(genesis.members) if m.roles & MPC]
    for number in range(12):
        classes = rng.randint(1, 7)
        panel = panel_of(genesis, classes)
        assert world.view("members.suppliers", classes) == (panel,)
        query, attempt = query_id(number), rng.randint(1, 3)
        excluded = bitmap(rng.sample(mpc, rng.randint(0, len(mpc)))) if rng.random() < 0.7 else 0
        pool, remaining = pool_of(genesis, panel, excluded)
        order = order_of(query, attempt, pool)
        packed, kept = world.view("members.next_committee", query, attempt, panel, excluded, order)
        expected = committee_of(genesis, query, attempt, panel, excluded)
        assert kept == remaining
        if expected is None:
            assert packed >> 248 == TOO_SMALL
        else:
            assert packed >> 248 == 0
            assert unpack(packed) == expected
        shuffled = rng.sample(order, len(order))
        if shuffled != order:
            packed, _ = world.view("members.next_committee", query, attempt, panel, excluded, shuffled)
            assert packed >> 248 == ORDER_WRONG


def test_random_consortia_cover_the_rule():
    """The seeds above meet every branch: anchors added, pools cleared, no committee."""
    seen = set()
    for seed in range(16):
        genesis = random_world(seed).genesis
        rng = random.Random(seed + 1000)
        mpc = [i for i, m in enumerate(genesis.members) if m.roles & MPC]
        for number in range(12):
            panel = panel_of(genesis, rng.randint(1, 7))
            query, attempt = query_id(number), rng.randint(1, 3)
            excluded = bitmap(rng.sample(mpc, rng.randint(0, len(mpc)))) if rng.random() < 0.7 else 0
            pool, remaining = pool_of(genesis, panel, excluded)
            rng.sample(list(pool), len(pool))
            committee = committee_of(genesis, query, attempt, panel, excluded)
            seen.add("none" if committee is None else min(len(committee), 4))
            if excluded:
                seen.add("cleared" if not remaining else "kept")
    assert seen >= {"none", 2, 3, 4, "cleared", "kept"}


def anchored(anchor_lists: list[int], nodes: int = 12) -> World:
    members = [
        member(0, 0, OPERATOR, votes=True),
        member(1, 1, SUPERVISOR),
        *(member(2 + i, 2 + i, MPC) for i in range(nodes)),
        *(member(2 + nodes + i, 40 + i, PARTICIPANT, classes=1, anchors=a) for i, a in enumerate(anchor_lists)),
    ]
    return World(genesis=consortium(members))


def test_each_panel_member_gets_one_of_its_anchors():
    world = anchored([0, 1 << 2, 1 << 3 | 1 << 4, 0])
    panel = panel_of(world.genesis)
    sizes = set()
    for number in range(12):
        (event,) = must(world.register(query_id(number)))
        committee = event.values["committee"]
        assert 2 in committee
        assert {3, 4} & set(committee)
        assert list(committee) == order_of(query_id(number), 1, set(committee))
        assert list(committee) == committee_of(world.genesis, query_id(number), 1, panel)
        sizes.add(len(committee))
    assert max(sizes) > 3


def test_at_most_eight_and_else_no_committee():
    """Six different anchors and three of the first rank: nine, unless one of them is both."""
    world = anchored([1 << (2 + i) for i in range(6)])
    panel = panel_of(world.genesis)
    fits = {number: committee_of(world.genesis, query_id(number), 1, panel) for number in range(20)}
    assert None in fits.values()
    for number, committee in fits.items():
        receipt = world.register(query_id(number))
        if committee is None:
            assert reason_of(receipt) == "COMMITTEE_TOO_SMALL"
        else:
            assert list(must(receipt)[0].values["committee"]) == committee
            assert len(committee) <= 8


def test_an_attempt_without_a_committee_ends_the_query():
    """As above, but the first attempt has a committee and the second has none."""
    world = anchored([1 << (2 + i) for i in range(6)])
    genesis, panel = world.genesis, panel_of(world.genesis)
    number = next(
        n
        for n in range(10_000)
        if committee_of(genesis, query_id(n), 1, panel) and committee_of(genesis, query_id(n), 2, panel) is None
    )
    query = query_id(number)
    world.to_computing(query)
    assert reason_of(world.fail(query, 1, order=[])) == "COMMITTEE_ORDER"
    events = must(world.fail(query, 1, waited=0))
    assert [event.event for event in events] == ["AttemptFailed", "Ended"]
    assert (events[0].values["committee"], events[0].values["contribute_by"]) == ((), 0)
    assert (events[1].values["state"], events[1].values["reason"]) == (6, 3)


def test_eight_nodes_make_a_result():
    """The widest committee: every statement and box of eight members in one transaction."""
    world = anchored([1 << (2 + i) for i in range(6)])
    panel = panel_of(world.genesis)
    query = next(query_id(n) for n in range(1000) if len(committee_of(world.genesis, query_id(n), 1, panel) or []) == 8)
    world.to_computing(query)
    receipt = world.post(query)
    must(receipt)
    assert receipt.gas < 250_000


def test_an_anchor_that_was_waited_for_brings_all_exclusions_back():
    world = anchored([1 << 2, 0, 0])
    query = query_id(1)
    world.to_computing(query)
    committee = world.get(query)["committee"]
    assert 2 in committee
    others = [index for index in committee if index != 2]
    fork = world.fork()
    must(fork.fail(query, 1, waited=bitmap(others)))
    assert bits(fork.get(query)["excluded"]) == sorted(others)
    must(world.fail(query, 1, waited=bitmap(committee)))
    assert world.get(query)["excluded"] == 0


def test_the_widest_pool_and_panel_fit_a_transaction():
    """64 MPC members and 60 participants, half of them with anchors."""
    members = [member(0, 0, OPERATOR, votes=True), member(1, 1, SUPERVISOR)]
    members += [member(2 + i, 2 + i, MPC) for i in range(64)]
    few = bitmap([2, 3, 4])
    members += [member(66 + i, 66 + i, PARTICIPANT, classes=1, anchors=few if i % 2 else 0) for i in range(60)]
    world = World(genesis=consortium(members))
    receipt = world.register(query_id(1))
    must(receipt)
    assert receipt.gas < 500_000
