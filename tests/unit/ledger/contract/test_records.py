"""What members put on record, and what is refused there."""

import hashlib
from typing import Any

import pytest

from ledger.contract.abi import encode_args
from ledger.encoding import statement
from ledger.types import ChainId, Receipt
from tests.support.contracts import (
    CHAIN,
    World,
    committee_of,
    consortium,
    inquirer_address,
    key,
    member,
    must,
    panel_of,
    query_id,
    reason_of,
    some,
    standard,
)
from tests.support.council import Council

HOUR_MS = 3_600_000
POOL = b"\x0c" * 32
QUERY = query_id(1)
CLAIM = b"\x0d" * 32


def send(
    world: World, sender: int, method: str, *values: object, said: bytes | None = None, by: str = "inquirer"
) -> Receipt:
    args = encode_args(f"records.{method}", *values)
    cosigned = [] if said is None else [(key(by), said)]
    return world.run(world.tx(sender, f"records.{method}", args, cosigned))


# ------------------------------------------------------------------------------------------------------------ usage


def test_usage_is_reported_by_the_hour_once(world: World):
    hour = world.now // HOUR_MS
    assert reason_of(send(world, 2, "report_usage", hour, [7], [5])) == "TOO_EARLY"
    world.now = (hour + 1) * HOUR_MS - 1
    assert reason_of(send(world, 2, "report_usage", hour, [7], [5])) == "TOO_EARLY"
    world.now += 1
    happened = must(send(world, 2, "report_usage", hour, [6, 7, 127], [5, 0, 9]))[0]
    assert (happened.event, happened.values) == (
        "UsageReported",
        {"hour": hour, "holder": 2, "participants": (6, 7, 127), "counts": (5, 0, 9)},
    )
    assert reason_of(send(world, 2, "report_usage", hour, [6], [5])) == "HOUR_REPORTED"
    assert reason_of(send(world, 2, "report_usage", hour - 1, [6], [5])) == "HOUR_REPORTED"
    must(send(world, 3, "report_usage", hour - 1, [6], [1]))
    world.now += 3 * HOUR_MS
    must(send(world, 2, "report_usage", hour + 3, [6], [2]))
    assert world.view("records.usage", 2, 6) == (7, hour + 4)
    assert world.view("records.usage", 2, 7) == (0, hour + 4)
    assert world.view("records.usage", 3, 6) == (1, hour)


@pytest.mark.parametrize(
    ("participants", "counts"),
    [([6], []), ([], [1]), ([6, 6], [1, 1]), ([7, 6], [1, 1]), ([128], [1])],
)
def test_usage_that_is_not_in_form(world: World, participants: list[int], counts: list[int]):
    assert reason_of(send(world, 2, "report_usage", 1, participants, counts)) == "USAGE_FORM"
    assert world.view("records.usage", 2, 6) == (0, 0)


def test_every_participants_usage_fits_one_transaction(world: World):
    everybody, most = list(range(128)), 2**64 - 1
    world.now += HOUR_MS
    hour = world.now // HOUR_MS - 1
    must(send(world, 2, "report_usage", hour, everybody, [5] * 128))
    world.now += HOUR_MS
    counts = [0, 0, most - 5, *range(125)]
    must(send(world, 2, "report_usage", hour + 1, everybody, counts))
    assert [world.view("records.usage", 2, at)[0] for at in everybody] == [5 + count for count in counts]
    assert world.view("records.usage", 2, 128) == (0, hour + 2)
    assert world.view("records.usage", 2, 255) == (0, hour + 2)
    assert world.view("records.usage", 3, 2) == (0, 0)
    world.now += HOUR_MS
    # a sum does not run over into the next participant's
    assert reason_of(send(world, 2, "report_usage", hour + 2, [2], [1])) == "USAGE_FORM"
    must(send(world, 2, "report_usage", hour + 2, [1, 3], [1, 1]))
    assert [world.view("records.usage", 2, at)[0] for at in (1, 2, 3)] == [6, most, 6]


@pytest.mark.parametrize("sender", [0, 1, 7, 99])
def test_only_computing_members_report_and_mark(world: World, sender: int):
    assert reason_of(send(world, sender, "report_usage", 1, [6], [1])) == "MPC_ONLY"
    assert reason_of(send(world, sender, "mark", POOL, 1)) == "MPC_ONLY"


# ------------------------------------------------------------------------------------------------------------ marks


def test_a_mark_only_moves_on(world: World):
    happened = must(send(world, 2, "mark", POOL, 1000))[0]
    assert (happened.event, happened.values) == ("Marked", {"member": 2, "pool": POOL, "upto": 1000})
    for upto in (1000, 999, 0):
        assert reason_of(send(world, 2, "mark", POOL, upto)) == "MARK_NOT_AHEAD"
    must(send(world, 2, "mark", POOL, 1001))
    must(send(world, 3, "mark", POOL, 1))
    must(send(world, 2, "mark", bytes(32), 1))
    assert [world.view("records.marked", who, POOL) for who in (2, 3, 4)] == [(1001,), (1,), (0,)]
    assert reason_of(send(world, 4, "mark", POOL, 0)) == "MARK_NOT_AHEAD"


# --------------------------------------------------------------------------------------------------- access records


def test_every_look_is_on_record_before_it_is_taken(world: World):
    must(world.register(QUERY))
    must(world.register(query_id(2)))
    purpose = b"complaint 17".ljust(32, b"\0")
    happened = must(send(world, 1, "record_access", purpose, [QUERY, query_id(2)], b"sealed"))[0]
    assert (happened.event, happened.values) == (
        "AccessRecorded",
        {"number": 0, "member": 1, "purpose": purpose, "queries": (QUERY, query_id(2)), "detail": b"sealed"},
    )
    must(send(world, 1, "record_access", purpose, [QUERY], b""))
    assert world.view("records.access_count") == (2,)
    assert [world.view("records.accesses", query_id(n)) for n in (1, 2, 3)] == [(2,), (1,), (0,)]


def test_as_many_queries_as_one_look_may_name_fit_a_transaction(world: World):
    queries = [query_id(number) for number in range(25)]
    for query in queries:
        must(world.register(query))
    assert reason_of(send(world, 1, "record_access", POOL, queries, b"")) == "MALFORMED_ARGUMENTS"
    must(send(world, 1, "record_access", POOL, queries[:24], b"s" * 1024))
    assert [world.view("records.accesses", query) for query in queries] == [(1,)] * 24 + [(0,)]


def test_a_look_that_says_too_little_is_none(world: World):
    must(world.register(QUERY))
    for sender in (0, 2, 7, 99):
        assert reason_of(send(world, sender, "record_access", POOL, [QUERY], b"")) == "SUPERVISOR_ONLY"
    assert reason_of(send(world, 1, "record_access", bytes(32), [QUERY], b"")) == "PURPOSE"
    assert reason_of(send(world, 1, "record_access", POOL, [], b"")) == "UNKNOWN_QUERY"
    assert reason_of(send(world, 1, "record_access", POOL, [QUERY, query_id(9)], b"")) == "UNKNOWN_QUERY"
    assert world.view("records.accesses", QUERY) == (0,)


# --------------------------------------------------------------------------------------------------------- disputes


def dispute(world: World, sender: int, *, query: bytes = QUERY, kind: int = 1, **options: Any) -> Receipt:
    return send(world, sender, "open_dispute", query, kind, CLAIM, b"detail", **options)


def said(
    step: int,
    *,
    number: int = 0,
    query: bytes = QUERY,
    claim: bytes = CLAIM,
    detail: bytes = b"detail",
    chain: bytes = CHAIN,
) -> bytes:
    about = hashlib.sha256(detail).digest()
    return statement("mpcnode/dispute/1", ChainId(chain), query, number, step, claim, about)


def states(world: World, count: int) -> list[tuple]:
    return [world.view("records.dispute", number) for number in range(count)]


def test_whom_a_query_concerns_may_dispute_it(world: World):
    must(world.register(QUERY))
    committee = world.get(QUERY)["committee"]
    (outside,) = {2, 3, 4, 5} - set(committee)
    for number, sender in enumerate((0, 1, 6, 7, 8, *committee)):
        happened = must(dispute(world, sender))[0]
        assert happened.event == "DisputeOpened"
        assert (happened.values["id"], happened.values["member"]) == (number, sender)
    for sender in (9, outside):
        assert reason_of(dispute(world, sender)) == "NOT_A_PARTY"
    assert reason_of(dispute(world, 99)) == "MEMBER_ONLY"
    assert world.view("records.dispute_count") == (8,)
    assert states(world, 1) == [(1, 1, 0, False, QUERY)]


def test_the_inquirers_company_is_a_party(world: World):
    """Company 1's inquirer asks; member 9 is of company 8."""
    records = [*standard().members[:9], member(9, 1, 2)]
    world = World(genesis=consortium(records))
    panel = panel_of(world.genesis)
    query = next(q for q in map(query_id, range(100)) if 9 not in some(committee_of(world.genesis, q, 1, panel)))
    must(world.run(world.register_tx(world.request(query), inquirer="other inquirer")))
    must(dispute(world, 9, query=query))


def test_an_inquirer_speaks_through_any_member(world: World):
    must(world.register(QUERY))
    happened = must(dispute(world, 9, kind=2, said=said(18)))[0]
    assert happened.values == {
        "id": 0,
        "query": QUERY,
        "kind": 2,
        "member": 9,
        "inquirer": inquirer_address(),
        "claim": CLAIM,
        "detail": b"detail",
    }
    assert states(world, 1) == [(1, 2, 9, True, QUERY)]


def test_an_inquirers_statement_is_for_one_thing_once(world: World):
    must(world.register(QUERY))
    must(world.register(query_id(2)))
    for wrong in (
        said(17),
        said(18, number=1),
        said(18, query=query_id(2)),
        said(18, claim=bytes(32)),
        said(18, detail=b"another"),
        said(18, chain=bytes(32)),
        said(18)[:-32],
        said(18).replace(b"dispute/1", b"dispute/2"),
    ):
        assert reason_of(dispute(world, 0, kind=2, said=wrong)) == "DISPUTE_FORM"
    assert reason_of(dispute(world, 0, kind=2, said=said(18), by="other inquirer")) == "NOT_A_PARTY"
    must(dispute(world, 0, kind=2, said=said(18)))
    assert reason_of(dispute(world, 0, kind=2, said=said(18))) == "STATEMENT_USED"
    must(send(world, 0, "answer_dispute", 0, CLAIM, b"detail", said=said(1)))
    assert reason_of(send(world, 9, "answer_dispute", 0, CLAIM, b"detail", said=said(1))) == "STATEMENT_USED"
    assert world.view("records.dispute_count") == (1,)


def test_parties_answer_and_the_supervisor_decides(world: World):
    must(world.register(QUERY))
    must(dispute(world, 7))
    must(dispute(world, 7, kind=5))
    happened = must(send(world, 8, "answer_dispute", 0, CLAIM, b"no"))[0]
    assert (happened.event, happened.values) == (
        "DisputeAnswered",
        {"id": 0, "member": 8, "claim": CLAIM, "detail": b"no"},
    )
    assert reason_of(send(world, 9, "answer_dispute", 0, CLAIM, b"")) == "NOT_A_PARTY"
    for sender in (0, 7, 9):
        assert reason_of(send(world, sender, "close_dispute", 0, 2, CLAIM, b"")) == "SUPERVISOR_ONLY"
    happened = must(send(world, 1, "close_dispute", 0, 2, CLAIM, b"ruling"))[0]
    assert (happened.event, happened.values) == (
        "DisputeClosed",
        {"id": 0, "outcome": 2, "member": 1, "claim": CLAIM, "detail": b"ruling"},
    )
    must(send(world, 1, "close_dispute", 1, 3, CLAIM, b""))
    assert [found[0] for found in states(world, 3)] == [2, 3, 0]
    for method, values in {"answer_dispute": (0, CLAIM, b""), "close_dispute": (0, 3, CLAIM, b"")}.items():
        assert reason_of(send(world, 1, method, *values)) == "DISPUTE_CLOSED"
        assert reason_of(send(world, 1, method, 2, *values[1:])) == "UNKNOWN_DISPUTE"


def test_only_the_claimant_withdraws(world: World):
    must(world.register(QUERY))
    must(dispute(world, 7))
    must(dispute(world, 0, said=said(17)))
    for sender in (0, 1, 8):
        assert reason_of(send(world, sender, "close_dispute", 0, 4, CLAIM, b"")) == "CLAIMANT_ONLY"
    # the operator submitted the second one, for the inquirer
    assert reason_of(send(world, 0, "close_dispute", 1, 4, CLAIM, b"")) == "CLAIMANT_ONLY"
    assert reason_of(send(world, 7, "close_dispute", 0, 4, CLAIM, b"detail", said=said(2))) == "CLAIMANT_ONLY"
    must(send(world, 7, "close_dispute", 0, 4, CLAIM, b""))
    must(send(world, 9, "close_dispute", 1, 4, CLAIM, b"detail", said=said(2, number=1)))
    assert [found[0] for found in states(world, 2)] == [4, 4]


def test_a_claimant_that_is_no_party_any_more_can_withdraw(world: World):
    """Its node computed in an attempt that failed, and is in no committee since."""
    world.to_computing(QUERY)
    (claimant, *_) = world.get(QUERY)["committee"]
    must(dispute(world, claimant))
    must(world.fail(QUERY, 1, waited=1 << claimant))
    assert claimant not in world.get(QUERY)["committee"]
    assert reason_of(dispute(world, claimant)) == "NOT_A_PARTY"
    assert reason_of(send(world, 99, "close_dispute", 0, 4, CLAIM, b"")) == "MEMBER_ONLY"
    must(send(world, claimant, "close_dispute", 0, 4, CLAIM, b""))
    assert states(world, 1)[0][0] == 4


def test_disputes_that_are_none(world: World):
    must(world.register(QUERY))
    for kind in (0, 6):
        assert reason_of(dispute(world, 7, kind=kind)) == "DISPUTE_KIND"
    assert reason_of(dispute(world, 7, query=query_id(9))) == "UNKNOWN_QUERY"
    must(dispute(world, 7))
    for outcome in (0, 1, 5):
        assert reason_of(send(world, 1, "close_dispute", 0, outcome, CLAIM, b"")) == "OUTCOME"


def test_a_suspended_member_puts_nothing_on_record():
    council = Council(World(genesis=standard()))
    world = council.world
    must(world.register(QUERY))
    for index, voters in ((7, [0, 1, 2, 3, 4, 5, 8]), (2, [0, 1, 3, 4, 5, 8]), (1, [0, 3, 4, 5, 8])):
        must(council.decide(voters, "members.suspend", index))
    assert reason_of(send(world, 2, "mark", POOL, 1)) == "MPC_ONLY"
    assert reason_of(send(world, 1, "record_access", POOL, [QUERY], b"")) == "SUPERVISOR_ONLY"
    assert reason_of(dispute(world, 7)) == "MEMBER_ONLY"
