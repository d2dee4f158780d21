"""What the companies change of members and validators, and the bounds of it."""

import pytest

from ledger.contract import address_of, encode_args
from ledger.contract.proposals import encode_proposal
from ledger.types import Height, Millis, ReplicaId, Validator
from tests.support.contracts import MPC, PARTICIPANT, World, bits, key, must, panel_of, query_id, reason_of
from tests.support.council import Council, assembly

Q = query_id(1)
NO_KEY = bytes(32)


def votes_of(council: Council) -> list[int]:
    return sorted(validator.replica for validator in validators(council))


def validators(council: Council) -> tuple[Validator, ...]:
    """The set as consensus sees it."""
    world = council.world
    return world.host.execute(world.root, Height(world.height + 1), Millis(world.now), []).validators


def council_of(companies: int, *, validators: int | None = None) -> Council:
    return Council(World(genesis=assembly(companies, validators=validators)))


EVERYBODY = list(range(7))


@pytest.fixture
def council() -> Council:
    return council_of(7)


def test_a_suspended_member_is_in_no_panel_and_no_committee(council: Council):
    world = council.world
    must(council.decide(EVERYBODY, "members.suspend", 2))
    assert world.view("members.suppliers", 0b011) == (0,)
    assert world.view("members.role", PARTICIPANT) == (0,)
    assert world.view("members.member", address_of(key("identity 2"))) == (2, 2, PARTICIPANT, False)
    assert reason_of(world.register(Q)) == "PANEL_STALE"
    must(council.decide([0, 1, 3, 4, 5], "members.resume", 2))
    assert world.view("members.suppliers", 0b011) == (panel_of(world.genesis),)
    must(council.decide(EVERYBODY, "members.suspend", 5))
    assert bits(world.view("members.role", MPC)[0]) == [3, 4, 6]
    assert reason_of(world.register(Q)) == "COMMITTEE_ORDER"


def test_what_is_suspended_twice_or_resumed_without_reason_is_refused(council: Council):
    assert reason_of(council.decide(EVERYBODY, "members.resume", 3)) == "ACTIVE"
    must(council.decide(EVERYBODY, "members.suspend", 3))
    assert reason_of(council.decide([0, 1, 2, 4, 5, 6], "members.suspend", 3)) == "NOT_ACTIVE"


@pytest.mark.parametrize("method", ["suspend", "resume", "remove", "rotate_identity", "set_supply", "set_vote_key"])
def test_a_member_that_is_not_there_cannot_be_changed(method: str):
    council = council_of(5, validators=4)
    must(council.decide([0, 1, 2, 3], "members.remove", 4))
    more = {"rotate_identity": (b"\1" * 20,), "set_supply": (1, 0), "set_vote_key": (key("new"),)}.get(method, ())
    for index in (4, 5, 128, 1 << 255):
        assert reason_of(council.decide([0, 1, 2], f"members.{method}", index, *more)) == "UNKNOWN_MEMBER"


def test_who_is_removed_never_comes_back():
    council = council_of(6, validators=5)
    assert reason_of(council.decide([0, 1, 2, 3, 5], "members.remove", 4)) == "STILL_VALIDATOR"
    must(council.decide([0, 1, 2, 3, 5], "members.set_vote_key", 4, NO_KEY))
    must(council.decide([0, 1, 2, 3, 5], "members.remove", 4))
    who = address_of(key("identity 4"))
    assert council.world.view("members.member", who) == (4, 4, MPC, False)
    assert reason_of(council.decide([0, 1, 2, 3, 5], "members.add", who, 4, MPC, 0, 0, NO_KEY)) == "MEMBER_EXISTS"
    must(council.decide([0, 1, 2, 3, 5], "members.add", b"\7" * 20, 4, MPC, 0, 0, NO_KEY))
    assert council.world.view("members.by_index", 6) == (b"\7" * 20,)


def test_a_member_is_added_with_everything_that_genesis_could_give_it(council: Council):
    newcomer = address_of(key("newcomer"))
    events = must(council.decide(EVERYBODY, "members.add", newcomer, 7, PARTICIPANT, 0b110, 1 << 3, key("its vote")))
    assert [event.event for event in events[-2:]] == ["MemberAdded", "ValidatorChanged"]
    view = council.world.view
    assert view("members.member", newcomer) == (7, 7, PARTICIPANT, True)
    assert view("members.suppliers", 0b100) == (1 << 7,)
    assert view("members.anchors_of", 7) == (1 << 3,)
    assert Validator(key("its vote"), ReplicaId(7)) in validators(council)
    assert reason_of(council.decide(EVERYBODY, "members.add", b"\1" * 20, 9, MPC, 0, 0, NO_KEY)) == "UNKNOWN_COMPANY"


def test_another_identity_takes_over_and_the_old_one_is_worth_nothing(council: Council):
    world, old, new = council.world, address_of(key("identity 0")), address_of(key("identity 100"))
    must(council.decide(EVERYBODY, "members.rotate_identity", 0, new))
    assert world.view("members.by_index", 0) == (new,)
    assert world.view("members.member", old)[3] is False
    assert world.view("members.member", new) == (0, 0, 1, True)
    assert reason_of(council.propose(0, "members.suspend", 3)) == "DELEGATE_ONLY"
    assert reason_of(world.run(world.register_tx(world.request(Q), sender=0))) == "OPERATOR_ONLY"
    must(world.run(world.register_tx(world.request(Q), sender=100)))
    for taken in (old, address_of(key("identity 3"))):
        assert reason_of(council.decide([1, 2, 3, 4, 5], "members.rotate_identity", 6, taken)) == "MEMBER_EXISTS"


def test_a_suspended_member_keeps_its_roles_through_a_change_of_identity(council: Council):
    must(council.decide(EVERYBODY, "members.suspend", 3))
    must(council.decide([0, 1, 2, 4, 5], "members.rotate_identity", 3, address_of(key("identity 103"))))
    assert council.world.view("members.member", address_of(key("identity 103"))) == (3, 3, MPC, False)
    must(council.decide([0, 1, 2, 4, 5], "members.resume", 3))
    assert bits(council.world.view("members.role", MPC)[0]) == [3, 4, 5, 6]


def test_what_a_participant_supplies_can_change(council: Council):
    view = council.world.view
    must(council.decide(EVERYBODY, "members.set_supply", 2, 0b110, 1 << 4))
    assert [view("members.suppliers", 1 << at)[0] for at in range(3)] == [0, 4, 4]
    assert view("members.anchors_of", 2) == (1 << 4,)
    must(council.decide(EVERYBODY, "members.set_supply", 2, 0b001, 0))
    assert [view("members.suppliers", 1 << at)[0] for at in range(3)] == [4, 0, 0]
    assert reason_of(council.decide(EVERYBODY, "members.set_supply", 3, 1, 0)) == "ROLES"


# ------------------------------------------------------------------------------------------------------ validators


@pytest.mark.parametrize(("before", "allowed"), [(4, 1), (5, 1), (6, 1), (7, 2), (10, 3)])
def test_at_most_f_validators_change_in_a_block(before: int, allowed: int):
    """The proposals are open; the last votes of all of them come in one block."""
    council = council_of(before + 4, validators=before)
    world, companies = council.world, before + 4
    enough = next(yes for yes in range(companies + 1) if 3 * yes > 2 * companies)
    calls = [encode_proposal("members.set_vote_key", before + i, key(f"new {i}")) for i in range(4)]
    for number, (target, data) in enumerate(calls):
        must(council.propose_call(0, target, data))
        for voter in range(1, enough - 1):
            must(council.vote(voter, number))
    txs = [
        world.tx(enough - 1, "governance.vote", encode_args("governance.vote", number, True, *call))
        for number, call in enumerate(calls)
    ]
    world.height += 1
    done = world.host.execute(world.root, Height(world.height), Millis(world.now), txs)
    assert [receipt.reason for receipt in done.receipts] == [""] * allowed + ["VALIDATORS_CHANGED"] * (4 - allowed)
    assert len(done.validators) == before + allowed


def test_four_validators_remain():
    council = council_of(5)
    must(council.decide(list(range(5)), "members.set_vote_key", 4, NO_KEY))
    assert votes_of(council) == [0, 1, 2, 3]
    assert reason_of(council.decide(list(range(5)), "members.set_vote_key", 3, NO_KEY)) == "VALIDATORS_MIN"


def test_a_small_network_keeps_one_validator():
    council = council_of(3, validators=2)
    must(council.decide([0, 1, 2], "members.set_vote_key", 1, NO_KEY))
    assert reason_of(council.decide([0, 1, 2], "members.set_vote_key", 0, NO_KEY)) == "VALIDATORS_MIN"
    assert votes_of(council) == [0]


def test_a_vote_key_belongs_to_one_member_for_ever():
    council = council_of(6, validators=5)
    everybody = list(range(6))
    must(council.decide(everybody, "members.set_vote_key", 3, key("rotated")))
    assert Validator(key("rotated"), ReplicaId(3)) in validators(council)
    for taken in (key("rotated"), key("vote 3"), key("vote 1")):
        assert reason_of(council.decide(everybody, "members.set_vote_key", 5, taken)) == "VOTE_KEY_USED"
    assert reason_of(council.decide(everybody, "members.set_vote_key", 3, key("rotated"))) == "VOTE_KEY_SAME"
    must(council.decide(everybody, "members.set_vote_key", 3, key("vote 3")))
    must(council.decide(everybody, "members.set_vote_key", 3, NO_KEY))
    assert reason_of(council.decide(everybody, "members.set_vote_key", 3, NO_KEY)) == "VOTE_KEY_SAME"
    must(council.decide(everybody, "members.set_vote_key", 3, key("vote 3")))


def test_a_company_has_one_validator():
    council = council_of(5)
    must(council.decide(list(range(5)), "members.add", b"\7" * 20, 1, MPC, 0, 0, NO_KEY))
    refused = council.decide(list(range(5)), "members.set_vote_key", 5, key("second"))
    assert reason_of(refused) == "ONE_VALIDATOR_PER_COMPANY"
    must(council.decide(list(range(5)), "members.set_vote_key", 1, NO_KEY))
    must(council.decide(list(range(5)), "members.set_vote_key", 5, key("second")))
    assert votes_of(council) == [0, 2, 3, 4, 5]


# ---------------------------------------------------------------------------------------- queries that are under way


def test_a_member_suspended_in_mid_query_counts_as_absent(council: Council):
    world = council.world
    must(world.register(Q))
    must(council.decide(EVERYBODY, "members.suspend", 2))
    assert reason_of(world.commit(Q, 2)) == "NOT_IN_PANEL"
    world.now += 10_001
    must(world.call(3, "close_inputs", Q, 1))
    assert world.get(Q)["state"] == "REFUSED"
