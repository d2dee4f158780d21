"""fail_attempt, reject_input, expire: docs/protocol.md 6.3, and what ends a query early."""

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
    panel_of,
    query_id,
    reason_of,
    some,
)

Q = query_id(1)
BANK, INSURER = 7, 8


@pytest.fixture
def computing(world: World) -> World:
    world.to_computing(Q)
    return world


def test_a_failed_attempt_begins_the_next(computing: World):
    committee = computing.get(Q)["committee"]
    waited = committee[1]
    computing.now += 5_000
    following = some(committee_of(computing.genesis, Q, 2, panel_of(computing.genesis), 1 << waited))
    (event,) = must(computing.fail(Q, 1, sender=committee[2], reason=2, waited=1 << waited))
    assert event.event == "AttemptFailed"
    assert event.values == {
        "query": Q,
        "attempt": 1,
        "by": committee[2],
        "reason": 2,
        "waited": 1 << waited,
        "committee": tuple(following),
        "contribute_by": computing.now + 10_000,
    }
    view = computing.get(Q)
    assert (view["state"], view["attempt"], view["committed"]) == ("REGISTERED", 2, 0)
    assert (view["contribute_by"], view["computing_at"]) == (computing.now + 10_000, 0)
    assert view["committee"] == tuple(following)
    assert view["excluded"] == 1 << waited
    assert waited not in following
    assert (view["mode"], view["minimum"], view["epoch"], view["deadline"]) == (2, 2, 7, computing.now - 5_000 + 60_000)


def test_contributions_belong_to_an_attempt(computing: World):
    must(computing.fail(Q, 1))
    assert reason_of(computing.commit(Q, BANK)) == "WRONG_ATTEMPT"
    computing.to_computing(Q, attempt=2)
    view = computing.get(Q)
    assert (view["state"], view["attempt"]) == ("COMPUTING", 2)
    assert reason_of(computing.post(Q)) == "WRONG_ATTEMPT"
    events = must(computing.post(Q, attempt=2))
    assert events[0].values["attempt"] == 2


def test_three_attempts_and_no_more(computing: World):
    for attempt in (1, 2):
        must(computing.fail(Q, attempt))
        computing.to_computing(Q, attempt=attempt + 1)
    events = must(computing.fail(Q, 3, waited=0b100, order=[]))
    assert [event.event for event in events] == ["AttemptFailed", "Ended"]
    assert (events[0].values["committee"], events[0].values["contribute_by"]) == ((), 0)
    assert events[1].values == {"query": Q, "state": 6, "reason": 2, "waited": 0b100}
    assert computing.get(Q)["state"] == "ABORTED"


def test_refusals_hold_for_later_attempts(world: World):
    must(world.register(Q))
    must(world.call(6, "refuse", Q, 1, 1, b""))
    must(world.commit(Q, BANK))
    must(world.commit(Q, INSURER))
    must(world.fail(Q, 1))
    view = world.get(Q)
    assert (view["committed"], view["refused"]) == (0, bitmap([6]))
    assert reason_of(world.commit(Q, 6, attempt=2)) == "ALREADY_CONTRIBUTED"
    must(world.commit(Q, BANK, attempt=2))
    events = must(world.commit(Q, INSURER, attempt=2))
    assert events[1].values["committed"] == bitmap([BANK, INSURER])


def test_the_silent_may_contribute_to_the_next_attempt(world: World):
    must(world.register(Q))
    world.commit(Q, BANK)
    world.commit(Q, INSURER)
    world.now += 10_001
    must(world.call(2, "close_inputs", Q, 1))
    must(world.fail(Q, 1))
    must(world.commit(Q, 6, attempt=2))


@pytest.mark.parametrize(("left", "goes_on"), [(0, False), (1, True)])
def test_a_further_attempt_needs_its_whole_window_before_the_deadline(computing: World, left: int, goes_on: bool):
    computing.now += 60_000 - 10_000 - left
    events = must(computing.fail(Q, 1, order=None if goes_on else []))
    assert (len(events) == 1) is goes_on
    if not goes_on:
        assert events[1].values == {"query": Q, "state": 6, "reason": 4, "waited": 0}


def test_exclusions_add_up_and_are_cleared_when_too_few_companies_remain(computing: World):
    """Four MPC companies: one may be excluded; a second would leave two companies, so all are back."""
    first = computing.get(Q)["committee"][0]
    must(computing.fail(Q, 1, waited=1 << first))
    computing.to_computing(Q, attempt=2)
    second = computing.get(Q)["committee"][0]
    (event,) = must(computing.fail(Q, 2, sender=1, waited=1 << second))
    assert computing.get(Q)["excluded"] == 0
    assert event.values["committee"] == tuple(some(committee_of(computing.genesis, Q, 3, panel_of(computing.genesis))))


def test_only_members_of_the_failed_committee_are_excluded(computing: World):
    """A corrupt node must not be able to thin out the pool by naming members that had no part."""
    committee = computing.get(Q)["committee"]
    everyone = (1 << 128) - 1
    (outside,) = {2, 3, 4, 5} - set(committee)
    (event,) = must(computing.fail(Q, 1, waited=everyone ^ bitmap(committee[1:])))
    assert event.values["waited"] == everyone ^ bitmap(committee[1:])
    assert computing.get(Q)["excluded"] == 1 << committee[0]
    assert outside in event.values["committee"]


def test_no_committee_ends_the_query():
    """Without exclusions to clear, an anchor list that cannot be met leaves no committee: seen at registration."""
    # The only anchor that participant 6 trusts is a member without the role: no committee ever.
    members = [
        member(0, 0, OPERATOR, votes=True),
        member(1, 1, SUPERVISOR),
        *(member(2 + i, 2 + i, MPC) for i in range(3)),
        member(5, 5, PARTICIPANT, classes=1),
        member(6, 6, PARTICIPANT, classes=1, anchors=1 << 5),
    ]
    world = World(genesis=consortium(members))
    assert reason_of(world.register(Q)) == "COMMITTEE_TOO_SMALL"


@pytest.mark.parametrize("order", [[], [2, 3], [5, 4, 3, 2, 1]])
def test_the_next_pool_has_its_order(computing: World, order: list[int]):
    assert reason_of(computing.fail(Q, 1, order=order)) == "COMMITTEE_ORDER"
    assert computing.get(Q)["state"] == "COMPUTING"


def test_the_order_of_another_attempt_does_not_do(computing: World):
    wrong = computing.pool_order(Q, 1)
    assert wrong != computing.pool_order(Q, 2)
    assert reason_of(computing.fail(Q, 1, order=wrong)) == "COMMITTEE_ORDER"


@pytest.mark.parametrize("sender", [0, 7, 99], ids=["operator", "participant", "nobody"])
def test_committee_and_supervisor_fail_attempts(computing: World, sender: int):
    reason = "MEMBER_ONLY" if sender == 99 else "NOT_IN_COMMITTEE"
    assert reason_of(computing.fail(Q, 1, sender=sender)) == reason
    fork = computing.fork()
    (event,) = must(fork.fail(Q, 1, sender=1))
    assert event.values["by"] == 1
    (outside,) = {2, 3, 4, 5} - set(computing.get(Q)["committee"])
    assert reason_of(computing.fail(Q, 1, sender=outside)) == "NOT_IN_COMMITTEE"


@pytest.mark.parametrize(
    ("reason", "known"), [(0, False), (1, True), (2, True), (3, True), (4, False), (5, True), (6, False)]
)
def test_reasons(computing: World, reason: int, known: bool):
    receipt = computing.fail(Q, 1, reason=reason)
    assert receipt.ok is known
    assert receipt.reason == ("" if known else "REASON")


def test_fail_attempt_checks_query_state_and_attempt(world: World):
    assert reason_of(world.call(1, "fail_attempt", Q, 1, 1, 0, [])) == "UNKNOWN_QUERY"
    must(world.register(Q))
    assert reason_of(world.fail(Q, 1, order=[])) == "WRONG_STATE"
    world.to_computing(query_id(2))
    assert reason_of(world.fail(query_id(2), 2, order=[])) == "WRONG_ATTEMPT"


# ------------------------------------------------------------- reject_input


def test_a_rejected_input_counts_as_refused(computing: World):
    order = computing.pool_order(Q, 2)
    events = must(computing.call(1, "reject_input", Q, 1, BANK, order))
    assert [event.event for event in events] == ["InputRejected", "AttemptFailed"]
    assert events[0].values == {"query": Q, "attempt": 1, "participant": BANK}
    assert (events[1].values["reason"], events[1].values["by"], events[1].values["waited"]) == (4, 1, 0)
    view = computing.get(Q)
    assert (view["state"], view["attempt"], view["refused"], view["excluded"]) == ("REGISTERED", 2, bitmap([BANK]), 0)
    assert reason_of(computing.commit(Q, BANK, attempt=2)) == "ALREADY_CONTRIBUTED"
    must(computing.commit(Q, 6, attempt=2))
    events = must(computing.commit(Q, INSURER, attempt=2))
    assert events[-1].values == {"query": Q, "state": 5, "reason": 1, "waited": 0}


def test_rejection_in_the_last_attempt_ends_the_query(computing: World):
    for attempt in (1, 2):
        must(computing.fail(Q, attempt))
        computing.to_computing(Q, attempt=attempt + 1)
    events = must(computing.call(1, "reject_input", Q, 3, BANK, []))
    assert [event.event for event in events] == ["InputRejected", "AttemptFailed", "Ended"]
    assert events[2].values["reason"] == 2
    assert computing.get(Q)["refused"] == bitmap([BANK])


@pytest.mark.parametrize("sender", [0, 2, 7, 99], ids=["operator", "mpc", "participant", "nobody"])
def test_only_the_supervisor_rejects(computing: World, sender: int):
    reason = "MEMBER_ONLY" if sender == 99 else "SUPERVISOR_ONLY"
    receipt = computing.call(sender, "reject_input", Q, 1, BANK, computing.pool_order(Q, 2))
    assert reason_of(receipt) == reason


def test_only_what_was_contributed_is_rejected(world: World):
    must(world.register(Q))
    must(world.call(6, "refuse", Q, 1, 1, b""))
    must(world.commit(Q, BANK))
    must(world.commit(Q, INSURER))
    for participant in (6, 9, 0, 200):
        receipt = world.call(1, "reject_input", Q, 1, participant, world.pool_order(Q, 2))
        assert reason_of(receipt) == "NO_CONTRIBUTION"


def test_reject_input_checks_query_state_and_attempt(world: World):
    assert reason_of(world.call(1, "reject_input", Q, 1, BANK, [])) == "UNKNOWN_QUERY"
    must(world.register(Q))
    assert reason_of(world.call(1, "reject_input", Q, 1, BANK, [])) == "WRONG_STATE"
    world.to_computing(query_id(2))
    assert reason_of(world.call(1, "reject_input", query_id(2), 2, BANK, [])) == "WRONG_ATTEMPT"


# ------------------------------------------------------------- expire


def reach(world: World, state: str) -> World:
    if state == "REGISTERED":
        must(world.register(Q))
    elif state == "COMPUTING":
        world.to_computing(Q)
    else:
        world.to_answered(
            Q, model={"ANSWERED before": "before", "ANSWERED after": "after", "ANSWERED off": "off"}[state]
        )
    return world


@pytest.mark.parametrize("state", ["REGISTERED", "COMPUTING", "ANSWERED before"])
def test_a_query_expires_after_its_deadline(world: World, state: str):
    reach(world, state)
    world.now += 60_000
    assert reason_of(world.call(0, "expire", Q, 5)) == "TOO_EARLY"
    world.now += 1
    (event,) = must(world.call(9, "expire", Q, 5))
    assert event.values == {"query": Q, "state": 7, "reason": 6, "waited": 5}
    assert world.get(Q)["state"] == "EXPIRED"
    assert reason_of(world.call(0, "expire", Q, 5)) == "WRONG_STATE"


@pytest.mark.parametrize("state", ["ANSWERED after", "ANSWERED off"])
def test_an_answered_query_does_not_expire(world: World, state: str):
    reach(world, state)
    world.now += 100_000
    assert reason_of(world.call(0, "expire", Q, 0)) == "WRONG_STATE"


def test_expire_is_for_members_and_known_queries(world: World):
    assert reason_of(world.call(0, "expire", Q, 0)) == "UNKNOWN_QUERY"
    must(world.register(Q))
    world.now += 60_001
    assert reason_of(world.call(99, "expire", Q, 0)) == "MEMBER_ONLY"


def test_an_expired_query_stays_so(world: World):
    reach(world, "COMPUTING")
    world.now += 60_001
    must(world.call(0, "expire", Q, 0))
    assert reason_of(world.post(Q)) == "WRONG_STATE"
    assert reason_of(world.fail(Q, 1)) == "WRONG_STATE"
    assert reason_of(world.attest(Q, 1)) == "WRONG_STATE"
    assert bits(world.get(Q)["committed"]) == [6, 7, 8]
