"""post_result and attest: rows COMPUTING and ANSWERED of docs/protocol.md 6.4."""

import dataclasses

import pytest

from tests.support.contracts import World, must, query_id, reason_of

Q = query_id(1)
MATCH, MISMATCH, INCOMPLETE = 1, 2, 3


@pytest.fixture
def computing(world: World) -> World:
    world.to_computing(Q)
    return world


def answered(world: World, model: str) -> World:
    world.to_answered(Q, model=model)
    return world


def test_a_result_is_an_event_with_everything_in_it(computing: World):
    ends = computing.ends(Q, 1, 3)
    events = must(computing.post(Q))
    assert [event.event for event in events] == ["ResultPosted", "Ended"]
    assert events[0].values == {
        "query": Q,
        "attempt": 1,
        "poster": computing.get(Q)["committee"][0],
        "statements": b"".join(end.bytes() for end in ends),
        "inquirer_boxes": b"".join(end.inquirer_box for end in ends),
        "supervisor_boxes": b"".join(end.supervisor_box for end in ends),
    }
    assert events[1].values == {"query": Q, "state": 3, "reason": 0, "waited": 0}
    assert computing.get(Q)["state"] == "ANSWERED"
    assert reason_of(computing.post(Q)) == "WRONG_STATE"


@pytest.mark.parametrize(("model", "ends"), [("before", False), ("after", True), ("off", True)])
def test_answered_is_an_end_unless_the_audit_comes_first(world: World, model: str, ends: bool):
    world.to_computing(Q, model=model)
    assert any(event.event == "Ended" for event in must(world.post(Q))) is ends


def test_query_state_and_attempt(world: World):
    world.to_computing(query_id(2))
    tx = world.post_tx(query_id(2))
    must(world.register(Q))
    as_q = dataclasses.replace(tx, args=Q + tx.args[32:])
    assert reason_of(world.run(dataclasses.replace(tx, args=query_id(3) + tx.args[32:]))) == "UNKNOWN_QUERY"
    assert reason_of(world.run(as_q)) == "WRONG_STATE"
    assert reason_of(world.post(query_id(2), attempt=2)) == "WRONG_ATTEMPT"


@pytest.mark.parametrize("sender", [0, 1, 7, 99], ids=["operator", "supervisor", "participant", "nobody"])
def test_only_the_committee_posts(computing: World, sender: int):
    assert reason_of(computing.post(Q, sender=sender)) == "NOT_IN_COMMITTEE"


def test_an_mpc_member_outside_the_committee_does_not_post(computing: World):
    (outside,) = {2, 3, 4, 5} - set(computing.get(Q)["committee"])
    assert reason_of(computing.post(Q, sender=outside)) == "NOT_IN_COMMITTEE"


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_rank_decides_when_one_may_post(computing: World, rank: int):
    sender = computing.get(Q)["committee"][rank]
    computing.now += 3_000 * rank - 1
    if rank:
        assert reason_of(computing.post(Q, sender=sender)) == "NOT_YOUR_TURN"
    computing.now += 1
    events = must(computing.post(Q, sender=sender))
    assert events[0].values["poster"] == sender


def test_the_whole_committee_signs_in_rank_order(computing: World):
    committee = computing.get(Q)["committee"]
    (outside,) = {2, 3, 4, 5} - set(committee)
    ends = computing.ends(Q, 1, 3)
    a, b, c = committee
    for signers in ((b, a, c), (a, b), (a, b, b), (a, b, outside), (a, b, c, c), (a, b, 99), (), (outside, b, c)):
        chosen = (ends + ends)[: len(signers)]
        boxes = (b"".join(end.inquirer_box for end in ends), b"".join(end.supervisor_box for end in ends))
        receipt = computing.post(Q, signers=signers, ends=chosen, boxes=boxes, sender=a)
        assert reason_of(receipt) == "COMMITTEE_SIGNATURES", signers


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("change", [{"domain": "mpcnode/end/2"}, {"chain": b"\xaa" * 32}], ids=["domain", "chain"])
def test_every_end_has_its_form(computing: World, rank: int, change: dict):
    ends = computing.ends(Q, 1, 3)
    ends[rank] = dataclasses.replace(ends[rank], **change)
    assert reason_of(computing.post(Q, ends=ends)) == "END_FORM"


def test_ends_have_their_length(computing: World):
    ends = [end.bytes() for end in computing.ends(Q, 1, 3)]
    boxes = (b"i" * 30, b"s" * 30)
    for wrong in ([end[:-32] for end in ends], [end + bytes(32) for end in ends]):
        assert reason_of(computing.post(Q, ends=wrong, boxes=boxes)) == "END_FORM"


def test_nobody_finishes_the_statement_of_another_signer(computing: World):
    """Joined, these are three ends; but the second signer signed only the last words of "its" end."""
    first, second, third = (end.bytes() for end in computing.ends(Q, 1, 3))
    boxes = computing.ends(Q, 1, 3)
    widths = (b"".join(end.inquirer_box for end in boxes), b"".join(end.supervisor_box for end in boxes))
    must(computing.fork().post(Q, ends=[first, second, third], boxes=widths))
    spliced = [first + second[:192], second[192:], third]
    assert reason_of(computing.post(Q, ends=spliced, boxes=widths)) == "UNEQUAL_STATEMENTS"


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize(
    "change",
    [
        {"query": query_id(9)},
        {"attempt": 2},
        {"session": b"\xaa" * 32},
        {"deal": b"\xaa" * 32},
        {"transcript": b"\xaa" * 32},
    ],
    ids=["query", "attempt", "session", "deal", "transcript"],
)
def test_ends_agree(computing: World, rank: int, change: dict):
    ends = computing.ends(Q, 1, 3)
    ends[rank] = dataclasses.replace(ends[rank], **change)
    assert reason_of(computing.post(Q, ends=ends)) == "END_MISMATCH"


@pytest.mark.parametrize("change", [{"query": query_id(9)}, {"attempt": 2}], ids=["query", "attempt"])
def test_ends_agree_with_the_query(computing: World, change: dict):
    ends = [dataclasses.replace(end, **change) for end in computing.ends(Q, 1, 3)]
    assert reason_of(computing.post(Q, ends=ends)) == "END_MISMATCH"


def test_ends_may_differ_in_output_commitment_only_besides_boxes(computing: World):
    ends = [dataclasses.replace(end, output=bytes([rank]) * 32) for rank, end in enumerate(computing.ends(Q, 1, 3))]
    must(computing.post(Q, ends=ends))


def test_boxes_are_those_of_the_ends(computing: World):
    ends = computing.ends(Q, 1, 3)
    inquirer = b"".join(end.inquirer_box for end in ends)
    supervisor = b"".join(end.supervisor_box for end in ends)

    def flip(data: bytes, place: int) -> bytes:
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    for boxes in (
        *((flip(inquirer, place), supervisor) for place in (0, 200, 599)),
        *((inquirer, flip(supervisor, place)) for place in (0, 400, 1199)),
        (inquirer[:-1], supervisor),
        (inquirer, supervisor + b"\0"),
        (b"", supervisor),
        (inquirer, b""),
        (inquirer[200:] + inquirer[:200], supervisor),
        (supervisor, inquirer),
    ):
        assert reason_of(computing.post(Q, ends=ends, boxes=boxes)) == "BOX_MISMATCH"


def test_a_result_may_come_after_the_deadline_if_nobody_expired_the_query(computing: World):
    computing.now += 1_000_000
    must(computing.post(Q))


# ------------------------------------------------------------- attest


def test_an_attestation_is_an_event(world: World):
    (event,) = must(answered(world, "after").attest(Q, MISMATCH))
    assert event.values == {
        "query": Q,
        "attempt": 1,
        "verdict": MISMATCH,
        "member": 3,
        "stage": 2,
        "round": 1,
        "release": b"release",
    }


@pytest.mark.parametrize(
    ("verdict", "state", "end"),
    [(MATCH, "RELEASED", (4, 0)), (MISMATCH, "ABORTED", (6, 5)), (INCOMPLETE, "ANSWERED", None)],
)
def test_before_release(world: World, verdict: int, state: str, end):
    events = must(answered(world, "before").attest(Q, verdict))
    assert world.get(Q)["state"] == state
    assert world.get(Q)["verdict"] == verdict
    ended = [(event.values["state"], event.values["reason"]) for event in events if event.event == "Ended"]
    assert ended == ([] if end is None else [end])


@pytest.mark.parametrize("verdict", [MATCH, MISMATCH, INCOMPLETE])
def test_after_release_only_the_verdict_changes(world: World, verdict: int):
    (event,) = must(answered(world, "after").attest(Q, verdict))
    assert event.event == "Attested"
    assert world.get(Q)["state"] == "ANSWERED"
    assert world.get(Q)["verdict"] == verdict


def test_without_audit_nothing_is_attested(world: World):
    assert reason_of(answered(world, "off").attest(Q, MATCH)) == "WRONG_STATE"


@pytest.mark.parametrize("verdict", [MATCH, MISMATCH])
def test_after_release_a_verdict_is_final(world: World, verdict: int):
    must(answered(world, "after").attest(Q, verdict))
    for again in (MATCH, MISMATCH, INCOMPLETE):
        assert reason_of(world.attest(Q, again)) == "ALREADY_ATTESTED"


@pytest.mark.parametrize("model", ["before", "after"])
@pytest.mark.parametrize("second", [MATCH, MISMATCH, INCOMPLETE])
def test_incomplete_is_replaced_once(world: World, model: str, second: int):
    must(answered(world, model).attest(Q, INCOMPLETE))
    must(world.attest(Q, second))
    assert world.get(Q)["verdict"] == second
    over = model == "before" and second != INCOMPLETE
    for third in (MATCH, MISMATCH, INCOMPLETE):
        assert reason_of(world.attest(Q, third)) == ("WRONG_STATE" if over else "ALREADY_ATTESTED")


@pytest.mark.parametrize("sender", [0, 2, 7, 99], ids=["operator", "mpc", "participant", "nobody"])
def test_only_the_supervisor_attests(world: World, sender: int):
    reason = "MEMBER_ONLY" if sender == 99 else "SUPERVISOR_ONLY"
    assert reason_of(answered(world, "after").attest(Q, MATCH, sender=sender)) == reason


@pytest.mark.parametrize("verdict", [0, 4, 255])
def test_a_verdict_is_known(world: World, verdict: int):
    assert reason_of(answered(world, "after").attest(Q, verdict)) == "VERDICT"


def test_attest_checks_query_state_and_attempt(world: World):
    assert reason_of(world.attest(Q, MATCH)) == "UNKNOWN_QUERY"
    world.to_computing(Q)
    assert reason_of(world.attest(Q, MATCH)) == "WRONG_STATE"
    must(world.post(Q))
    assert reason_of(world.attest(Q, MATCH, attempt=2)) == "WRONG_ATTEMPT"
