"""Inquirers and fees as the companies change them."""

import pytest

from ledger.contract import address_of
from tests.support.contracts import World, inquirer_address, key, model_hash, must, query_id, reason_of, standard
from tests.support.council import DELEGATES, Council, at_once

DAY_MS = 86_400_000
WHO = inquirer_address()
OTHER = inquirer_address("another inquirer")


@pytest.fixture
def council() -> Council:
    return Council(World(genesis=standard()))


def decide(council: Council, method: str, *values: object):
    return council.decide(DELEGATES, f"registries.{method}", *values)


def ask(council: Council, number: int, inquirer: str = "inquirer"):
    world = council.world
    return world.run(world.register_tx(world.request(query_id(number)), inquirer=inquirer))


def test_an_inquirer_comes_and_asks(council: Council):
    assert reason_of(ask(council, 1, "another inquirer")) == "UNKNOWN_INQUIRER"
    happened = must(decide(council, "add_inquirer", OTHER, 3, 1))[-1]
    assert (happened.event, happened.values) == ("InquirerAdded", {"who": OTHER, "index": 2, "company": 3, "quota": 1})
    must(ask(council, 1, "another inquirer"))
    assert council.world.get(query_id(1))["inquirer"] == OTHER
    assert reason_of(ask(council, 2, "another inquirer")) == "QUOTA_EXCEEDED"
    assert council.world.view("registries.inquirer_count") == (3,)


def test_quotas_count_for_today_at_once(council: Council):
    must(decide(council, "set_quota", WHO, 1))
    must(ask(council, 1))
    assert reason_of(ask(council, 2)) == "QUOTA_EXCEEDED"
    happened = must(decide(council, "set_quota", WHO, 2))[-1]
    assert (happened.event, happened.values) == ("QuotaChanged", {"who": WHO, "quota": 2})
    must(ask(council, 2))
    assert reason_of(ask(council, 3)) == "QUOTA_EXCEEDED"
    council.world.now += DAY_MS
    must(ask(council, 3))
    assert council.world.view("registries.inquirer", WHO) == (0, True, 2)


def test_a_suspended_inquirer_may_not_ask(council: Council):
    must(decide(council, "suspend_inquirer", WHO))
    assert reason_of(ask(council, 1)) == "UNKNOWN_INQUIRER"
    assert reason_of(decide(council, "suspend_inquirer", WHO)) == "NOT_ACTIVE"
    must(decide(council, "resume_inquirer", WHO))
    must(ask(council, 1))
    assert reason_of(decide(council, "resume_inquirer", WHO)) == "ACTIVE"


def test_an_inquirers_key_is_replaced_for_good(council: Council):
    must(ask(council, 1))
    happened = must(decide(council, "rotate_inquirer", WHO, OTHER))[-1]
    assert (happened.event, happened.values) == ("InquirerRotated", {"who": WHO, "successor": OTHER})
    assert reason_of(ask(council, 2)) == "UNKNOWN_INQUIRER"
    must(ask(council, 2, "another inquirer"))
    assert council.world.view("registries.inquirer", OTHER) == (0, True, 1000)
    # an earlier query names its inquirer by index: it is the same one
    assert council.world.get(query_id(1))["inquirer"] == OTHER
    for method, values in {
        "set_quota": (WHO, 5),
        "suspend_inquirer": (WHO,),
        "resume_inquirer": (WHO,),
        "rotate_inquirer": (WHO, address_of(key("third"))),
    }.items():
        assert reason_of(decide(council, method, *values)) == "UNKNOWN_INQUIRER"
    assert reason_of(decide(council, "add_inquirer", WHO, 0, 1)) == "INQUIRER_EXISTS"


@pytest.mark.parametrize(
    ("method", "values", "reason"),
    [
        ("add_inquirer", (WHO, 0, 1), "INQUIRER_EXISTS"),
        ("add_inquirer", (bytes(20), 0, 1), "INQUIRER_EXISTS"),
        ("add_inquirer", (OTHER, 9, 1), "UNKNOWN_COMPANY"),
        ("add_inquirer", (OTHER, 1 << 255, 1), "UNKNOWN_COMPANY"),
        ("add_inquirer", (OTHER, 0, 1 << 32), "QUOTA"),
        ("set_quota", (WHO, 1 << 32), "QUOTA"),
        ("set_quota", (OTHER, 1), "UNKNOWN_INQUIRER"),
        ("suspend_inquirer", (OTHER,), "UNKNOWN_INQUIRER"),
        ("rotate_inquirer", (WHO, bytes(20)), "INQUIRER_EXISTS"),
        ("rotate_inquirer", (WHO, inquirer_address("other inquirer")), "INQUIRER_EXISTS"),
        ("rotate_inquirer", (WHO, WHO), "INQUIRER_EXISTS"),
        ("set_fees", (model_hash("new"), 0, 1, 1, 1), "UNKNOWN_MODEL"),
        ("set_fees", (model_hash("off"), 1 << 48, 1, 1, 1), "FEES"),
        ("set_fees", (model_hash("off"), 0, 1 << 64, 1, 1), "FEES"),
        ("set_fees", (model_hash("off"), 0, 1, 1 << 64, 1), "FEES"),
        ("set_fees", (model_hash("off"), 0, 1, 1, 1 << 64), "FEES"),
    ],
)
def test_what_does_not_hold_is_refused(council: Council, method: str, values: tuple, reason: str):
    assert reason_of(decide(council, method, *values)) == reason


def test_the_first_inquirer_stays_one_without_quota_and_suspended(council: Council):
    """Of company 0, with index 0, quota 0 and not active: all of its word is zero but for what says that it is one."""
    must(decide(council, "set_quota", WHO, 0))
    must(decide(council, "suspend_inquirer", WHO))
    assert reason_of(decide(council, "add_inquirer", WHO, 0, 5)) == "INQUIRER_EXISTS"
    assert reason_of(decide(council, "rotate_inquirer", WHO, WHO)) == "INQUIRER_EXISTS"
    must(decide(council, "rotate_inquirer", WHO, OTHER))
    assert reason_of(decide(council, "add_inquirer", WHO, 0, 5)) == "INQUIRER_EXISTS"
    must(decide(council, "resume_inquirer", OTHER))
    must(decide(council, "set_quota", OTHER, 1))
    must(ask(council, 1, "another inquirer"))
    assert council.world.view("registries.inquirer_count") == (2,)


def test_an_inquirer_comes_with_a_company_that_came_later(council: Council):
    assert reason_of(decide(council, "add_inquirer", OTHER, 9, 1)) == "UNKNOWN_COMPANY"
    must(council.decide(DELEGATES, "members.add", key("late")[:20], 9, 4, 0b011, 0, bytes(32)))
    must(decide(council, "add_inquirer", OTHER, 9, 1))


def test_another_key_is_no_other_quota(council: Council):
    must(decide(council, "set_quota", WHO, 1))
    must(ask(council, 1))
    must(decide(council, "rotate_inquirer", WHO, OTHER))
    assert reason_of(ask(council, 2, "another inquirer")) == "QUOTA_EXCEEDED"


# ------------------------------------------------------------------------------------------------------------- fees


def fees(council: Council, at: int, model: str = "after"):
    return council.world.view("registries.fees", model_hash(model), at)


def test_fees_hold_from_their_time_on_and_what_was_before_stays_to_be_read(council: Council):
    world, first = council.world, council.world.now
    assert fees(council, first) == (0, 0, 0, 0)
    happened = must(decide(council, "set_fees", model_hash("after"), 0, 250, 40, 30))[-1]
    assert happened.event == "FeesChanged"
    assert happened.values == {
        "model": model_hash("after"),
        "since": first,
        "asked": 250,
        "contributed": 40,
        "computed": 30,
    }
    world.now += 1000
    must(decide(council, "set_fees", model_hash("after"), world.now + 5000, 300, 50, 30))
    assert fees(council, first - 1) == (0, 0, 0, 0)
    assert fees(council, world.now + 4999) == (first, 250, 40, 30)
    assert fees(council, world.now + 5000) == (world.now + 5000, 300, 50, 30)
    assert fees(council, world.now, "off") == (0, 0, 0, 0)
    assert fees(council, world.now, "unknown") == (0, 0, 0, 0)


def test_a_model_has_so_many_fees_and_all_stay_to_be_read(council: Council):
    world, first = council.world, council.world.now
    for number in range(1024):
        world.now = first + number
        assert at_once(world, "registries.set_fees", model_hash("after"), 0, number, 0, 0) == ""
    world.now += 1
    assert at_once(world, "registries.set_fees", model_hash("after"), 0, 9, 9, 9) == "FEES_FULL"
    assert at_once(world, "registries.set_fees", model_hash("off"), 0, 9, 9, 9) == ""
    assert fees(council, first - 1) == (0, 0, 0, 0)
    for number in (0, 1, 2, 511, 512, 513, 1022, 1023):
        assert fees(council, first + number) == (first + number, number, 0, 0)
    assert fees(council, first + 5000) == (first + 1023, 1023, 0, 0)


def test_fees_that_are_yet_to_come_are_replaced_and_those_in_force_are_not(council: Council):
    world = council.world
    must(decide(council, "set_fees", model_hash("after"), 0, 1, 1, 1))
    must(decide(council, "set_fees", model_hash("after"), world.now + 9000, 9, 9, 9))
    must(decide(council, "set_fees", model_hash("after"), world.now + 2000, 2, 2, 2))
    assert fees(council, world.now + 10_000) == (world.now + 2000, 2, 2, 2)
    assert fees(council, world.now + 1999)[1] == 1
    world.now += 2000
    must(decide(council, "set_fees", model_hash("after"), 0, 3, 3, 3))
    assert fees(council, world.now - 1)[1] == 1
    assert fees(council, world.now)[1] == 3


def test_the_dearest_fees_are_read_back(council: Council):
    most = (1 << 64) - 1
    must(decide(council, "set_fees", model_hash("off"), 0, most, most, most))
    assert fees(council, council.world.now, "off") == (council.world.now, most, most, most)
