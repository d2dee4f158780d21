"""commit_input, refuse, close_inputs: rows REGISTERED of docs/protocol.md 6.4."""

import pytest

from ledger.contract import encode_args
from ledger.encoding import word
from tests.support.contracts import (
    MPC,
    OPERATOR,
    PARTICIPANT,
    World,
    bitmap,
    consortium,
    member,
    must,
    query_id,
    reason_of,
)

Q = query_id(1)
INSIDER, BANK, INSURER = 6, 7, 8
"""The panel; the insider's company is the inquirer's and does not count towards the minimum of 2."""


@pytest.fixture
def asked(world: World) -> World:
    must(world.register(Q))
    return world


def names(events) -> list[str]:
    return [event.event for event in events]


def test_a_commit_is_an_event_and_a_bit(asked: World):
    asked.now += 1
    (event,) = must(asked.commit(Q, BANK))
    assert event.values["query"] == Q
    assert (event.values["attempt"], event.values["participant"]) == (1, BANK)
    assert len(event.values["commitments"]) == 3
    assert event.values["envelope"] == b"e" * 600
    view = asked.get(Q)
    assert (view["state"], view["committed"], view["refused"]) == ("REGISTERED", bitmap([BANK]), 0)


def test_the_last_commit_starts_the_computation(asked: World):
    asked.commit(Q, INSIDER)
    asked.commit(Q, BANK)
    asked.now += 777
    events = must(asked.commit(Q, INSURER))
    assert names(events) == ["InputCommitted", "Computing"]
    assert events[1].values == {"query": Q, "attempt": 1, "committed": bitmap([INSIDER, BANK, INSURER])}
    view = asked.get(Q)
    assert (view["state"], view["attempt"], view["computing_at"]) == ("COMPUTING", 1, asked.now)
    assert view["committed"] == bitmap([INSIDER, BANK, INSURER])


def test_the_last_refusal_starts_the_computation(asked: World):
    asked.commit(Q, INSURER)
    asked.commit(Q, BANK)
    events = must(asked.call(INSIDER, "refuse", Q, 1, 2, b"busy"))
    assert names(events) == ["ContributionRefused", "Computing"]
    assert events[0].values == {"query": Q, "attempt": 1, "participant": INSIDER, "code": 2, "detail": b"busy"}
    assert events[1].values["committed"] == bitmap([BANK, INSURER])
    assert asked.get(Q)["refused"] == bitmap([INSIDER])


@pytest.mark.parametrize("last", ["commit", "refuse"])
def test_too_few_other_companies_end_the_query(asked: World, last: str):
    """The inquirer's own company and one other: below the minimum of 2 others."""
    if last == "commit":
        must(asked.call(BANK, "refuse", Q, 1, 1, b""))
        must(asked.commit(Q, INSIDER))
        events = must(asked.commit(Q, INSURER))
    else:
        must(asked.commit(Q, INSIDER))
        must(asked.commit(Q, BANK))
        events = must(asked.call(INSURER, "refuse", Q, 1, 1, b""))
    assert events[-1].event == "Ended"
    assert events[-1].values == {"query": Q, "state": 5, "reason": 1, "waited": 0}
    assert asked.get(Q)["state"] == "REFUSED"


def test_everybody_refuses(asked: World):
    for participant in (INSIDER, BANK):
        must(asked.call(participant, "refuse", Q, 1, 1, b""))
    assert names(must(asked.call(INSURER, "refuse", Q, 1, 1, b""))) == ["ContributionRefused", "Ended"]


def test_closing_counts_the_silent_as_absent(asked: World):
    asked.commit(Q, BANK)
    asked.commit(Q, INSURER)
    asked.now += 10_001
    (event,) = must(asked.call(9, "close_inputs", Q, 1))
    assert event.event == "Computing"
    assert event.values["committed"] == bitmap([BANK, INSURER])
    view = asked.get(Q)
    assert (view["state"], view["committed"], view["refused"]) == ("COMPUTING", bitmap([BANK, INSURER]), 0)


def test_closing_below_the_minimum_ends_the_query(asked: World):
    asked.commit(Q, INSIDER)
    asked.commit(Q, INSURER)
    asked.now += 10_001
    (event,) = must(asked.call(2, "close_inputs", Q, 1))
    assert event.values == {"query": Q, "state": 5, "reason": 1, "waited": 0}


def test_closing_waits_for_contribute_by(asked: World):
    asked.commit(Q, BANK)
    asked.commit(Q, INSURER)
    asked.now += 10_000
    assert reason_of(asked.call(2, "close_inputs", Q, 1)) == "TOO_EARLY"
    asked.now += 1
    must(asked.call(2, "close_inputs", Q, 1))


def test_contributions_end_at_contribute_by(asked: World):
    asked.now += 10_000
    must(asked.commit(Q, BANK))
    asked.now += 1
    assert reason_of(asked.commit(Q, INSURER)) == "TOO_LATE"
    assert reason_of(asked.call(INSURER, "refuse", Q, 1, 1, b"")) == "TOO_LATE"


@pytest.mark.parametrize("sender", [0, 1, 2, 9, 99], ids=["operator", "supervisor", "mpc", "not asked", "nobody"])
def test_only_the_panel_contributes(asked: World, sender: int):
    assert reason_of(asked.commit(Q, sender)) == "NOT_IN_PANEL"
    assert reason_of(asked.call(sender, "refuse", Q, 1, 1, b"")) == "NOT_IN_PANEL"


def test_a_member_contributes_once(asked: World):
    must(asked.commit(Q, BANK))
    must(asked.call(INSIDER, "refuse", Q, 1, 1, b""))
    for sender in (BANK, INSIDER):
        assert reason_of(asked.commit(Q, sender)) == "ALREADY_CONTRIBUTED"
        assert reason_of(asked.call(sender, "refuse", Q, 1, 1, b"")) == "ALREADY_CONTRIBUTED"


@pytest.mark.parametrize("count", [0, 2, 4])
def test_one_commitment_for_each_node(asked: World, count: int):
    assert reason_of(asked.commit(Q, BANK, count=count)) == "COMMITMENTS"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_no_commitment_is_zero(asked: World, place: int):
    commitments = [b"\x01" * 32] * 3
    commitments[place] = bytes(32)
    assert reason_of(asked.call(BANK, "commit_input", Q, 1, commitments, b"")) == "COMMITMENTS"


@pytest.mark.parametrize("code", [0, 3, 255])
def test_a_refusal_has_a_known_code(asked: World, code: int):
    assert reason_of(asked.call(BANK, "refuse", Q, 1, code, b"")) == "REASON"


CALLS = [
    ("commit_input", lambda query, attempt: (query, attempt, [b"\x01" * 32] * 3, b"")),
    ("refuse", lambda query, attempt: (query, attempt, 1, b"")),
    ("close_inputs", lambda query, attempt: (query, attempt)),
]


@pytest.mark.parametrize(("method", "values"), CALLS, ids=[name for name, _ in CALLS])
def test_query_state_and_attempt_are_checked_in_this_order(asked: World, method: str, values):
    assert reason_of(asked.call(BANK, method, *values(query_id(2), 1))) == "UNKNOWN_QUERY"
    assert reason_of(asked.call(BANK, method, *values(Q, 2))) == "WRONG_ATTEMPT"
    assert reason_of(asked.call(BANK, method, *values(Q, 0))) == "WRONG_ATTEMPT"
    for participant in (INSIDER, BANK, INSURER):
        asked.commit(Q, participant)
    assert reason_of(asked.call(BANK, method, *values(Q, 1))) == "WRONG_STATE"
    assert reason_of(asked.call(BANK, method, *values(Q, 9))) == "WRONG_STATE"


def test_an_attempt_is_a_number_not_its_last_byte(asked: World):
    args = encode_args("queries.close_inputs", Q, 1)
    asked.now += 10_001
    forged = args[:32] + word(1 + 2**8)
    assert reason_of(asked.run(asked.tx(2, "queries.close_inputs", forged))) == "WRONG_ATTEMPT"
    forged = args[:32] + word(1 + 2**248)
    assert reason_of(asked.run(asked.tx(2, "queries.close_inputs", forged))) == "WRONG_ATTEMPT"


@pytest.mark.parametrize("sender", [99])
def test_any_member_closes_and_nobody_else(asked: World, sender: int):
    asked.now += 10_001
    assert reason_of(asked.call(sender, "close_inputs", Q, 1)) == "MEMBER_ONLY"


def test_minimum_counts_companies_not_members():
    """Two participants of one company are one company."""
    members = [
        member(0, 0, OPERATOR, votes=True),
        *(member(1 + i, 1 + i, MPC) for i in range(3)),
        *(member(4 + i, 4, PARTICIPANT, classes=1) for i in range(3)),
        member(7, 5, PARTICIPANT, classes=1),
    ]
    world = World(genesis=consortium(members))
    must(world.register(Q))
    for participant in (4, 5, 6):
        must(world.commit(Q, participant))
    fork = world.fork()
    assert names(must(fork.call(7, "refuse", Q, 1, 1, b""))) == ["ContributionRefused", "Ended"]
    assert names(must(world.commit(Q, 7))) == ["InputCommitted", "Computing"]


def test_a_stranger_is_not_member_zero():
    """Who is unknown reads as zero, and so does the index of the first member."""
    members = [
        member(0, 0, OPERATOR | MPC | PARTICIPANT, classes=1, votes=True),
        *(member(1 + i, 1 + i, MPC | PARTICIPANT, classes=1) for i in range(3)),
    ]
    world = World(genesis=consortium(members))
    must(world.register(Q))
    assert world.get(Q)["panel"] == 0b1111
    assert reason_of(world.commit(Q, 99, count=3)) == "NOT_IN_PANEL"
    assert reason_of(world.call(99, "refuse", Q, 1, 1, b"")) == "NOT_IN_PANEL"
    for participant in range(4):
        must(world.commit(Q, participant))
    assert reason_of(world.post(Q, sender=99)) == "NOT_IN_COMMITTEE"
    assert reason_of(world.fail(Q, 1, sender=99)) == "MEMBER_ONLY"
    signers = [99 if index == 0 else index for index in world.get(Q)["committee"]]
    assert 99 in signers
    world.now += 9_000
    assert reason_of(world.post(Q, sender=1, signers=signers)) == "COMMITTEE_SIGNATURES"
