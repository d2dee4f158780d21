"""Governance: who may propose and vote, when something is decided, and that nothing else decides anything."""

import pytest

from ledger.contract.abi import encode_args, encode_calldata, find_function
from ledger.contract.proposals import CALL_BYTES_MAX, GOVERNED, decode_proposal, encode_proposal, parameters
from ledger.errors import InvalidError
from tests.support.contracts import MPC, PARTICIPANT, World, bits, consortium, key, member, must, reason_of
from tests.support.council import DAY_MS, Council, assembly


@pytest.fixture
def council() -> Council:
    return Council(World(genesis=assembly(7)))


@pytest.mark.parametrize("companies", range(1, 11))
def test_more_than_two_thirds_of_the_companies_decide(companies: int):
    council = Council(World(genesis=assembly(companies, validators=1)))
    enough = next(yes for yes in range(1, companies + 1) if 3 * yes > 2 * companies)
    receipt = council.propose(0, "members.set_committee_companies_min", 2)
    for voter in range(1, enough):
        must(receipt)
        assert council.proposal(0).state == "open"
        assert council.world.view("members.committee_companies_min") == (3,)
        receipt = council.vote(voter, 0)
    events = [happened.event for happened in must(receipt)]
    assert events[-2:] == ["Decided", "CommitteeCompaniesChanged"]
    assert council.proposal(0).state == "approved"
    assert council.world.view("members.committee_companies_min") == (2,)


@pytest.mark.parametrize("companies", range(2, 11))
def test_a_third_of_the_companies_rejects(companies: int):
    council = Council(World(genesis=assembly(companies, validators=1)))
    must(council.propose(0, "members.set_committee_companies_min", 2))
    needed = next(no for no in range(1, companies + 1) if 3 * (companies - no) <= 2 * companies)
    for voter in range(1, needed + 1):
        assert council.proposal(0).state == "open"
        must(council.vote(voter, 0, False))
    assert council.proposal(0).state == "rejected"
    if needed + 1 < companies:
        assert reason_of(council.vote(needed + 1, 0)) == "PROPOSAL_DECIDED"
    assert council.world.view("members.committee_companies_min") == (3,)


def test_a_proposal_is_on_the_ledger_with_its_call_and_its_votes(council: Council):
    target, data = encode_proposal("members.suspend", 3)
    (proposed,) = must(council.propose(4, "members.suspend", 3))
    assert proposed.event == "Proposed"
    assert proposed.values == {
        "id": 0,
        "company": 4,
        "target": target,
        "data": data,
        "closes_at": council.world.now + DAY_MS,
    }
    (voted,) = must(council.vote(5, 0, False))
    assert voted.values == {"id": 0, "company": 5, "approve": False}
    found = council.proposal(0)
    assert (found.company, bits(found.yes), bits(found.no)) == (4, [4], [5])
    assert council.world.view("governance.proposal_count") == (1,)
    assert council.proposal(1).state == "none"


def test_a_company_has_one_vote_and_keeps_it(council: Council):
    must(council.propose(0, "members.suspend", 3))
    assert reason_of(council.vote(0, 0)) == "ALREADY_VOTED"
    must(council.vote(1, 0, False))
    for approve in (True, False):
        assert reason_of(council.vote(1, 0, approve)) == "ALREADY_VOTED"


def test_nobody_votes_for_bytes_that_he_has_not_seen(council: Council):
    must(council.propose(0, "members.suspend", 3))
    target, data = encode_proposal("members.suspend", 3)
    for call in (encode_proposal("members.suspend", 4), (target + 1, data), (target, data + b"\0"), (target, b"")):
        assert reason_of(council.vote(1, 0, call=call)) == "OTHER_CALL"
    must(council.vote(1, 0))


def test_what_is_closed_or_unknown_takes_no_votes(council: Council):
    must(council.propose(0, "members.suspend", 3, closes_in=1000))
    council.world.now += 1000
    must(council.vote(1, 0))
    council.world.now += 1
    assert reason_of(council.vote(2, 0)) == "PROPOSAL_CLOSED"
    assert council.proposal(0).state == "open"
    assert reason_of(council.vote(2, 1)) == "UNKNOWN_PROPOSAL"


@pytest.mark.parametrize("closes_in", [0, -1, 90 * DAY_MS + 1])
def test_a_proposal_closes_within_ninety_days(council: Council, closes_in: int):
    assert reason_of(council.propose(0, "members.suspend", 3, closes_in=closes_in)) == "CLOSES_AT"


def test_a_proposal_calls_a_contract(council: Council):
    assert reason_of(council.propose_call(0, 5, b"call")) == "TARGET"
    assert reason_of(council.propose_call(0, 0, b"abc")) == "CALL"
    assert not council.propose_call(0, 0, bytes(CALL_BYTES_MAX + 1)).ok


def test_a_call_that_fails_takes_the_deciding_vote_with_it():
    council = Council(World(genesis=assembly(4)))
    must(council.propose(0, "members.resume", 3))
    for voter in (1,):
        must(council.vote(voter, 0))
    assert reason_of(council.vote(2, 0)) == "ACTIVE"
    assert (council.proposal(0).state, bits(council.proposal(0).yes)) == ("open", [0, 1])
    council.decide([0, 1, 3], "members.suspend", 3)
    must(council.vote(2, 0))
    assert council.proposal(0).state == "approved"


def test_what_is_approved_is_done_once(council: Council):
    must(council.decide([0, 1, 2, 3, 4], "members.suspend", 6))
    must(council.decide([0, 1, 2, 3, 4], "members.resume", 6))
    assert reason_of(council.vote(5, 0)) == "PROPOSAL_DECIDED"
    assert council.world.view("members.role", MPC) == (0b1111000,)


@pytest.mark.parametrize("method", GOVERNED)
def test_no_member_does_alone_what_companies_decide(council: Council, method: str):
    receipt = council.world.run(council.world.tx(0, method, b""))
    assert (receipt.ok, receipt.reason) == (False, "UNKNOWN_METHOD")


def test_governance_has_no_other_power_than_what_is_governed(council: Council):
    """Whatever else a proposal calls sees a sender that is no member."""
    calls = {
        "governance.propose": encode_args("governance.propose", 0, b"call", council.world.now + DAY_MS),
        "governance.vote": encode_args("governance.vote", 0, True, 0, b"call"),
        "queries.expire": encode_args("queries.expire", bytes(32), 0),
    }
    for number, (method, args) in enumerate(calls.items()):
        function = find_function(method)
        assert function is not None
        data = encode_calldata(function, (), b"", args)
        target = {"governance": 3, "queries": 1}[function.contract]
        must(council.propose_call(0, target, data))
        for voter in range(1, 4):
            must(council.vote(voter, number))
        assert reason_of(council.vote(4, number)) in {"DELEGATE_ONLY", "MEMBER_ONLY"}
        assert council.proposal(number).state == "open"


# ------------------------------------------------------------------------------------------- who speaks for a company


def two_daemons(*, first_votes: bool, second_votes: bool) -> Council:
    """Company 2 has members 2 and 3."""
    members = [
        member(0, 0, 1, votes=True),
        member(1, 1, 8, votes=True),
        member(2, 2, PARTICIPANT, votes=first_votes),
        member(3, 2, MPC, votes=second_votes),
        member(4, 3, MPC, votes=True),
    ]
    return Council(World(genesis=consortium(members)))


@pytest.mark.parametrize(("first_votes", "second_votes", "speaker"), [(1, 0, 2), (0, 1, 3), (0, 0, 2)])
def test_one_daemon_speaks_for_a_company(first_votes: int, second_votes: int, speaker: int):
    council = two_daemons(first_votes=bool(first_votes), second_votes=bool(second_votes))
    other = {2: 3, 3: 2}[speaker]
    assert reason_of(council.propose(other, "members.suspend", 4)) == "DELEGATE_ONLY"
    must(council.propose(speaker, "members.suspend", 4))
    must(council.vote(0, 0))
    assert reason_of(council.vote(other, 0)) == "DELEGATE_ONLY"
    must(council.decide([0, 1, speaker], "members.suspend", speaker))
    assert reason_of(council.propose(speaker, "members.resume", speaker)) == "DELEGATE_ONLY"
    must(council.propose(other, "members.resume", speaker))
    assert reason_of(council.vote(other, 0)) == "ALREADY_VOTED"


def test_a_stranger_has_no_voice(council: Council):
    assert reason_of(council.propose(99, "members.suspend", 4)) == "DELEGATE_ONLY"


def test_companies_without_an_active_member_do_not_count():
    council = Council(World(genesis=assembly(5)))
    must(council.propose(0, "members.set_committee_companies_min", 2))
    must(council.vote(4, 0))
    must(council.decide([0, 1, 2, 3], "members.suspend", 4))
    assert council.world.view("members.voice", b"\1" * 20) == (0, 0b1111)
    must(council.vote(1, 0))  # yes of 0 and 1 (4 lost its voice): not more than two thirds of four
    assert council.proposal(0).state == "open"
    must(council.vote(2, 0))
    assert council.proposal(0).state == "approved"


# ------------------------------------------------------------------------------------------------- calls as people see


@pytest.mark.parametrize("method", GOVERNED)
def test_names_of_arguments_are_those_of_the_contract(method: str):
    function = find_function(method)
    assert function is not None
    assert len(GOVERNED[method]) == len(function.inputs)
    assert not function.takes_transactions
    assert list(parameters(method).items()) == list(zip(GOVERNED[method], function.inputs, strict=True))


def test_what_cannot_be_decided_has_no_parameters():
    with pytest.raises(InvalidError, match=r"expected one of .*members\.add.*, got 'members\.voice'"):
        parameters("members.voice")


def test_a_call_is_read_back_as_it_was_written():
    for method, values in {
        "members.add": (key("who")[:20], 1, 2, 3, 4, bytes(32)),
        "members.set_vote_key": (7, key("vote")),
        "members.suspend": (127,),
    }.items():
        target, data = encode_proposal(method, *values)
        call = decode_proposal(target, data)
        assert (call.method, tuple(call.arguments.values())) == (method, values)
        assert tuple(call.arguments) == GOVERNED[method]
        for broken in (data + b"\0", data[:-1], b"\xff" + data[1:], b""):
            with pytest.raises(InvalidError):
                decode_proposal(target, broken)
        for other in {0, 1, 2, 3, 4, 5} - {target}:
            with pytest.raises(InvalidError):
                decode_proposal(other, data)


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("members.set_up", (1, 3)),
        ("queries.set_chain", (bytes(32),)),
        ("members.suspend", ()),
        ("members.suspend", (-1,)),
    ],
)
def test_what_cannot_be_decided_is_not_written(method: str, values: tuple):
    with pytest.raises(InvalidError):
        encode_proposal(method, *values)
