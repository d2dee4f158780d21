"""Models after genesis: published by the companies, asked of whoever approved them, retired."""

import pytest

from ledger.contract.abi import encode_args
from ledger.types import Receipt
from tests.support.contracts import (
    MPC,
    OPERATOR,
    PARTICIPANT,
    SUPERVISOR,
    World,
    bitmap,
    consortium,
    key,
    member,
    model_hash,
    must,
    query_id,
    reason_of,
    standard,
)
from tests.support.council import DELEGATES, Council

PURPOSES = (b"credit".ljust(32, b"\0"), b"a new one".ljust(32, b"\0"))
NEW = model_hash("new")
GOOD = (NEW, 0b011, 1, 2, PURPOSES, 8, 700)
FOUNDERS = bitmap([6, 7, 8, 9])


@pytest.fixture
def council() -> Council:
    return Council(World(genesis=standard()))


def publish(council: Council, **changes: object) -> Receipt:
    names = ("model", "classes", "minimum", "mode", "purposes", "reach", "share")
    values = dict(zip(names, GOOD, strict=True)) | changes
    return council.decide(DELEGATES, "registries.publish_model", *values.values())


def approve(council: Council, sender: int, model: bytes, approved: bool = True) -> Receipt:
    args = encode_args("registries.approve_model", model, approved)
    return council.world.run(council.world.tx(sender, "registries.approve_model", args))


def panel(council: Council, model: bytes) -> int:
    (found,) = council.world.view("registries.panel", model)
    assert isinstance(found, int)
    return found


def test_the_companies_publish_a_model(council: Council):
    happened = must(publish(council))[-1]
    assert happened.event == "ModelPublished"
    assert happened.values == {
        "model": NEW,
        "index": 3,
        "classes": 0b011,
        "minimum": 1,
        "mode": 2,
        "purposes": PURPOSES,
        "reach": 8,
        "share": 700,
    }
    assert council.world.view("registries.model", NEW) == (True, 3, 0b011, 1, 2, PURPOSES, False, 0, 8, 700)
    assert council.world.view("registries.model_at", 3) == (NEW,)


def test_a_model_asks_only_those_that_approved_it(council: Council):
    must(publish(council))
    assert panel(council, NEW) == 0
    happened = must(approve(council, 7, NEW))[0]
    assert (happened.event, happened.values) == (
        "ModelApproved",
        {"model": NEW, "participant": 7, "approved": True},
    )
    must(approve(council, 8, NEW))
    must(approve(council, 9, NEW))  # has no class of it
    assert panel(council, NEW) == bitmap([7, 8])
    world = council.world
    request = world.request(query_id(1), model="new", panel=bitmap([7, 8]), purpose="a new one")
    must(world.run(world.register_tx(request)))
    assert world.get(query_id(1))["panel"] == bitmap([7, 8])
    assert reason_of(world.commit(query_id(1), 6)) == "NOT_IN_PANEL"
    stale = world.request(query_id(2), model="new", panel=bitmap([6, 7, 8]))
    assert reason_of(world.run(world.register_tx(stale))) == "PANEL_STALE"


def test_a_query_that_would_ask_nobody_is_refused(council: Council):
    must(publish(council))
    request = council.world.request(query_id(1), model="new", panel=0)
    assert reason_of(council.world.run(council.world.register_tx(request))) == "SUPPLIERS_TOO_FEW"


def test_an_approval_that_is_withdrawn_counts_from_the_next_query_on(council: Council):
    world = council.world
    must(world.register(query_id(1)))
    must(approve(council, 7, model_hash("after"), False))
    assert panel(council, model_hash("after")) == bitmap([6, 8])
    must(world.commit(query_id(1), 7))
    assert reason_of(world.register(query_id(2))) == "PANEL_STALE"
    must(world.run(world.register_tx(world.request(query_id(2), panel=bitmap([6, 8])))))
    must(approve(council, 7, model_hash("after")))
    must(world.register(query_id(3)))


def test_only_participants_approve_and_only_what_changes_something(council: Council):
    for sender in (0, 1, 2, 99):
        assert reason_of(approve(council, sender, model_hash("after"), False)) == "PARTICIPANT_ONLY"
    assert reason_of(approve(council, 7, NEW)) == "UNKNOWN_MODEL"
    assert reason_of(approve(council, 7, model_hash("after"))) == "APPROVAL_SAME"
    must(publish(council))
    assert reason_of(approve(council, 7, NEW, False)) == "APPROVAL_SAME"
    must(council.decide(DELEGATES, "members.suspend", 7))
    assert reason_of(approve(council, 7, NEW)) == "PARTICIPANT_ONLY"


def test_whoever_joins_later_has_approved_nothing(council: Council):
    must(council.decide(DELEGATES, "members.add", key("late")[:20], 9, PARTICIPANT, 0b011, 0, bytes(32)))
    assert panel(council, model_hash("after")) == bitmap([6, 7, 8])


def test_suppliers_are_counted_by_company():
    """The minimum is one of companies: three participants of one company are no three suppliers."""
    members = [*standard().members, member(10, 7, PARTICIPANT, classes=0b001)]
    council = Council(World(genesis=consortium(members)))
    assert council.world.view("members.supplying_companies", 0b011) == (bitmap([0, 6, 7]),)
    assert council.world.view("members.supplying_companies", 0b1000) == (0,)
    assert reason_of(publish(council, minimum=2)) == "SUPPLIERS_TOO_FEW"
    must(publish(council))


def test_a_query_whose_panel_is_smaller_than_the_minimum_ends_without_an_answer(council: Council):
    must(publish(council))
    must(council.decide(DELEGATES, "registries.set_isolation", 8, 700, 0))
    few = model_hash("few")
    must(publish(council, model=few, minimum=3))
    for participant in (7, 8):
        must(approve(council, participant, few))
    world = council.world
    must(world.run(world.register_tx(world.request(query_id(1), model="few", panel=bitmap([7, 8])))))
    must(world.commit(query_id(1), 7))
    assert [event.event for event in must(world.commit(query_id(1), 8))] == ["InputCommitted", "Ended"]
    assert world.get(query_id(1))["state"] == "REFUSED"


def test_the_dearest_model_is_published_by_the_largest_network():
    """128 members, and all of its 16 purposes are new."""
    members = [
        member(index, index % 64, MPC if index < 66 else PARTICIPANT, classes=0b011 * (index >= 66), votes=index < 64)
        for index in range(2, 128)
    ]
    members = [member(0, 0, OPERATOR, votes=True), member(1, 1, SUPERVISOR, votes=True), *members]
    council = Council(World(genesis=consortium(members)))
    purposes = tuple(f"purpose {number}".encode().ljust(32, b"\0") for number in range(16))
    must(council.decide(range(44), "registries.publish_model", NEW, 0b011, 1, 2, purposes, 8, 700))
    assert council.world.view("registries.model", NEW)[5] == purposes


def test_a_retired_model_takes_no_more_queries_and_finishes_those_it_has(council: Council):
    world = council.world
    must(world.register(query_id(1)))
    (*_, happened) = must(council.decide(DELEGATES, "registries.retire_model", model_hash("after")))
    assert (happened.event, happened.values) == ("ModelRetired", {"model": model_hash("after")})
    assert reason_of(world.register(query_id(2))) == "MODEL_RETIRED"
    must(world.register(query_id(2), model="before"))
    for participant in (6, 7, 8):
        must(world.commit(query_id(1), participant))
    must(world.post(query_id(1)))
    must(approve(council, 7, model_hash("after"), False))
    assert reason_of(approve(council, 7, model_hash("after"))) == "MODEL_RETIRED"
    assert reason_of(council.decide(DELEGATES, "registries.retire_model", model_hash("after"))) == "MODEL_RETIRED"
    assert reason_of(publish(council, model=model_hash("after"))) == "MODEL_EXISTS"


REFUSED: dict[str, dict[str, object]] = {
    "MODEL_HASH": {"model": bytes(32)},
    "MODEL_EXISTS": {"model": model_hash("off")},
    "CLASSES": {"classes": 0},
    "MINIMUM": {"minimum": 0},
    "MODE": {"mode": 4},
    "PURPOSE": {"purposes": (bytes(32),)},
    "ISOLATION reach": {"reach": 9},
    "ISOLATION no reach": {"reach": 0},
    "ISOLATION wide reach": {"reach": 256},
    "ISOLATION share": {"share": 701},
    "ISOLATION no share": {"share": 0},
    "ISOLATION wide share": {"share": 1001},
    "SUPPLIERS_TOO_FEW": {"minimum": 2},
    "SUPPLIERS_TOO_FEW other class": {"classes": 0b001},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_no_model_is_not_published(council: Council, reason: str):
    assert reason_of(publish(council, **REFUSED[reason])) == reason.split(maxsplit=1)[0]
    assert council.world.view("registries.model_count") == (3,)


def test_the_companies_change_what_a_model_must_keep_to(council: Council):
    assert reason_of(publish(council, minimum=3)) == "SUPPLIERS_TOO_FEW"
    happened = must(council.decide(DELEGATES, "registries.set_isolation", 2, 100, 0))[-1]
    assert (happened.event, happened.values) == ("IsolationChanged", {"reach_max": 2, "share_max": 100, "spare": 0})
    assert council.world.view("registries.isolation") == (2, 100, 0)
    assert reason_of(publish(council, minimum=3)) == "ISOLATION"
    must(publish(council, minimum=3, reach=2, share=100))
    for limits in ((0, 1, 0), (256, 1, 0), (1, 0, 0), (1, 1001, 0), (1, 1, 128)):
        assert reason_of(council.decide(DELEGATES, "registries.set_isolation", *limits)) == "ISOLATION"
