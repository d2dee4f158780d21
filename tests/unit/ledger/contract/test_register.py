"""queries.register: what it freezes, and every check in its order (docs/protocol.md 5)."""

import hashlib
from typing import Any

import pytest

from ledger.contract import address_of, encode_args
from ledger.types import PublicKey
from tests.support.contracts import (
    COPY,
    START,
    World,
    bits,
    committee_of,
    consortium,
    inquirer_address,
    key,
    model_hash,
    must,
    panel_of,
    query_id,
    reason_of,
    some,
    standard,
)

Q = query_id(1)
BLOBS = (b"\x05" * 32, b"\x06" * 32)
DAY = 86_400_000


def test_registration_freezes_the_query(world: World):
    request = world.request(Q)
    (event,) = must(world.run(world.register_tx(request)))
    committee = some(committee_of(world.genesis, Q, 1, panel_of(world.genesis)))
    assert (event.contract, event.event) == ("queries", "Registered")
    assert event.values == {
        "query": Q,
        "model": model_hash("after"),
        "inquirer": inquirer_address(),
        "request": request.bytes(),
        "supervisor_copy": COPY,
        "committee": tuple(committee),
    }
    assert world.get(Q) == {
        "state": "REGISTERED",
        "attempt": 1,
        "mode": 2,
        "verdict": 0,
        "minimum": 2,
        "epoch": 7,
        "contribute_by": START + 10_000,
        "deadline": START + 60_000,
        "computing_at": 0,
        "panel": panel_of(world.genesis),
        "committed": 0,
        "refused": 0,
        "excluded": 0,
        "committee": tuple(committee),
        "model": model_hash("after"),
        "request_hash": hashlib.sha256(request.bytes()).digest(),
        "inquirer": inquirer_address(),
    }


def test_the_standard_panel_is_who_supplies_a_class_of_the_model(world: World):
    assert bits(panel_of(world.genesis)) == [6, 7, 8]


def test_an_unknown_query_reads_as_zero(world: World):
    values = world.get(Q)
    assert values.pop("state") == "NONE"
    assert all(value in (0, (), bytes(32), bytes(20)) for value in values.values())


@pytest.mark.parametrize("sender", [1, 2, 6, 99], ids=["supervisor", "mpc", "participant", "nobody"])
def test_only_an_operator_registers(world: World, sender: int):
    assert reason_of(world.run(world.register_tx(world.request(Q), sender=sender))) == "OPERATOR_ONLY"


@pytest.mark.parametrize("count", [0, 2])
def test_one_inquirer_signs(world: World, count: int):
    args = encode_args("queries.register", COPY, world.pool_order(Q, 1))
    cosigned = [(key("inquirer"), world.request(Q).bytes())] * count
    assert reason_of(world.run(world.tx(0, "queries.register", args, cosigned))) == "ONE_INQUIRER"


@pytest.mark.parametrize(
    "changes",
    [
        {"domain": "mpcnode/request/2"},
        {"chain": b"\xaa" * 32},
        {"scheme": ""},
        {"result_key": bytes(32)},
        {"subjects": 0},
        {"subjects": 1_000_001, "blobs": BLOBS},
        {"subjects": 2**256 - 1, "blobs": BLOBS},
        {"subjects": 1, "blobs": BLOBS},
        {"subjects": 1, "blobs": (bytes(32), BLOBS[1])},
        {"subjects": 2},
        {"subjects": 2, "blobs": (BLOBS[0], bytes(32))},
        {"subjects": 2, "blobs": (bytes(32), BLOBS[1])},
    ],
)
def test_the_request_has_its_form(world: World, changes: dict):
    assert reason_of(world.run(world.register_tx(world.request(Q, **changes)))) == "REQUEST_FORM"


@pytest.mark.parametrize("change", [lambda text: text[:-32], lambda text: text + bytes(32)], ids=["short", "long"])
def test_the_request_has_its_length(world: World, change):
    args = encode_args("queries.register", COPY, world.pool_order(Q, 1))
    cosigned = [(key("inquirer"), change(world.request(Q).bytes()))]
    assert reason_of(world.run(world.tx(0, "queries.register", args, cosigned))) == "REQUEST_FORM"


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("UNKNOWN_MODEL", {"model": "nobody's"}),
        ("PURPOSE_NOT_ALLOWED", {"purpose": "curiosity"}),
        ("PURPOSE_NOT_ALLOWED", {"purpose": ""}),
        ("WINDOW", {"contribute_by": START}),
        ("WINDOW", {"contribute_by": START + 60_000}),
        ("WINDOW", {"deadline": START + 3_600_001}),
        ("WINDOW", {"deadline": 2**256 - 1}),
        ("PANEL_STALE", {"panel": 0b11_0000_0000}),
        ("PANEL_STALE", {"panel": 2**255}),
        ("EPOCH_STALE", {"epoch": 6}),
        ("EPOCH_STALE", {"epoch": 8}),
        ("COPY_MISMATCH", {"copy_hash": b"\x0c" * 32}),
    ],
)
def test_the_request_is_checked(world: World, reason: str, changes: dict):
    assert reason_of(world.run(world.register_tx(world.request(Q, **changes)))) == reason
    assert world.get(Q)["state"] == "NONE"


def test_the_widest_window(world: World):
    must(world.run(world.register_tx(world.request(Q, contribute_by=START + 1, deadline=START + 3_600_000))))
    must(
        world.run(
            world.register_tx(world.request(query_id(2), contribute_by=START + 3_599_999, deadline=START + 3_600_000))
        )
    )
    assert world.get(query_id(2))["contribute_by"] == START + 3_599_999


def test_a_purpose_of_another_model_does_not_do(world: World):
    must(world.run(world.register_tx(world.request(Q, model="off", purpose="statistics"))))
    other = world.request(query_id(2), model="after", purpose="statistics")
    assert reason_of(world.run(world.register_tx(other))) == "PURPOSE_NOT_ALLOWED"


def test_both_purposes_of_a_model(world: World):
    must(world.run(world.register_tx(world.request(Q, purpose="review"))))


def test_unknown_inquirer(world: World):
    assert reason_of(world.run(world.register_tx(world.request(Q), inquirer="stranger"))) == "UNKNOWN_INQUIRER"


def test_an_id_is_accepted_once_for_ever(world: World):
    must(world.register(Q))
    assert reason_of(world.register(Q)) == "QUERY_EXISTS"
    world.now += 60_001
    must(world.call(0, "expire", Q, 0))
    assert reason_of(world.register(Q)) == "QUERY_EXISTS"


def test_the_copy_is_the_one_that_was_signed_for(world: World):
    assert reason_of(world.run(world.register_tx(world.request(Q), copy=COPY[:-1]))) == "COPY_MISMATCH"


def test_a_quota_is_for_a_day_of_block_time(world: World):
    def ask(number: int, inquirer: str = "other inquirer"):
        return world.run(world.register_tx(world.request(query_id(number)), inquirer=inquirer))

    world.now = DAY * (START // DAY + 1) - 2
    must(ask(1))
    assert reason_of(ask(2)) == "QUOTA_EXCEEDED"
    world.now += 1
    assert reason_of(ask(2)) == "QUOTA_EXCEEDED"
    world.now += 1
    must(ask(2))
    assert reason_of(ask(3)) == "QUOTA_EXCEEDED"
    must(ask(4, "inquirer"))
    world.now += 5 * DAY
    must(ask(5))


def test_a_quota_of_several_and_of_none():
    world = World(genesis=consortium(standard().members, quota=3))
    for number in range(3):
        must(world.register(query_id(number)))
    assert reason_of(world.register(query_id(3))) == "QUOTA_EXCEEDED"
    none = World(genesis=consortium(standard().members, quota=0))
    assert reason_of(none.register(Q)) == "QUOTA_EXCEEDED"


@pytest.mark.parametrize(
    ("quota", "asked"),
    [
        (10, [(10, True), (1, False)]),
        (10, [(11, False), (1, True), (9, True), (1, False)]),
        (10, [(8, True), (3, False), (2, True)]),
        (2**31, [(1_000_000, True), (1_000_000, True), (1, True)]),
        (0, [(1, False)]),
    ],
)
def test_a_quota_counts_subjects(quota: int, asked: list[tuple[int, bool]]):
    world = World(genesis=consortium(standard().members, quota=quota))
    for number, (subjects, is_taken) in enumerate(asked):
        blobs = BLOBS if subjects > 1 else (bytes(32), bytes(32))
        receipt = world.register(query_id(number), subjects=subjects, blobs=blobs)
        if is_taken:
            must(receipt)
        else:
            assert reason_of(receipt) == "QUOTA_EXCEEDED"


def test_the_order_is_the_whole_pool_by_rank(world: World):
    right = world.pool_order(Q, 1)
    for wrong in (
        right[:-1],
        [*right, 1],
        right[::-1],
        [*right, right[-1]],
        [right[0], *right],
        [*right, 255],
        [],
        [right[1], right[0], *right[2:]],
    ):
        assert reason_of(world.run(world.register_tx(world.request(Q), order=wrong))) == "COMMITTEE_ORDER", wrong


def test_an_order_may_not_smuggle_in_a_number_that_is_no_member(world: World):
    """A shift by 256 or more gives an empty bitmap; it must not pass for a member already ticked off."""
    right = world.pool_order(Q, 1)
    args = encode_args("queries.register", COPY, right)
    last = args.rindex(right[-1].to_bytes(32, "big"))
    forged = args[:last] + (right[-1] + 2**200).to_bytes(32, "big")
    cosigned = [(key("inquirer"), world.request(Q).bytes())]
    assert reason_of(world.run(world.tx(0, "queries.register", forged, cosigned))) == "COMMITTEE_ORDER"


def test_too_few_companies_for_a_committee():
    members = [
        m
        if m.company not in {4, 5}
        else type(m)(name=m.name, company=3, roles=m.roles, identity=m.identity, vote_key=None)
        for m in standard().members
    ]
    world = World(genesis=consortium(members))
    assert reason_of(world.register(Q)) == "COMMITTEE_TOO_SMALL"
    two = World(genesis=consortium(members, companies_min=2))
    (event,) = must(two.register(Q))
    assert len(event.values["committee"]) == 2


def test_checks_come_in_the_order_of_the_protocol(world: World):
    """Everything is wrong; each step repairs what was reported."""
    wrong: dict[str, Any] = {
        "domain": "x",
        "model": "nobody's",
        "purpose": "curiosity",
        "contribute_by": 0,
        "panel": 1,
        "epoch": 1,
        "copy_hash": bytes(32),
    }
    repairs = [
        ("REQUEST_FORM", "domain"),
        ("UNKNOWN_MODEL", "model"),
        ("PURPOSE_NOT_ALLOWED", "purpose"),
        ("WINDOW", "contribute_by"),
        ("PANEL_STALE", "panel"),
        ("EPOCH_STALE", "epoch"),
        ("COPY_MISMATCH", "copy_hash"),
    ]
    for reason, field in repairs:
        assert reason_of(world.run(world.register_tx(world.request(Q, **wrong), order=[]))) == reason
        del wrong[field]
    assert reason_of(world.run(world.register_tx(world.request(Q), order=[]))) == "COMMITTEE_ORDER"
    must(world.register(Q))


def test_addresses_are_the_end_of_the_hash_of_the_key():
    # keccak256 of 32 zero bytes: a constant of the Solidity world.
    assert (
        address_of(PublicKey(bytes(32))).hex()
        == "290decd9548b62a8d60345a988386fc84ba6bc95484008f6362f93160ef3e563"[-40:]
    )
