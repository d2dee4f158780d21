"""A view folded from the real contract's logs says what the contract says, on random ways through the life cycle."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.contract import decode_log
from ledger.types import Height, Millis, Receipt
from mpcnode.query.committee import address_of, pool_order
from mpcnode.query.duties import duties, turn_to_post
from mpcnode.query.events import event_of
from mpcnode.query.view import LedgerView, QueryView
from mpcnode.types import AuditMode, MemberIndex, ModelHash, QueryId
from tests.support.contracts import CHAIN, World, bits, key, member, model_hash, query_id, standard
from tests.support.contracts import consortium as consortium_of
from tests.support.queries import members_from

MODES = {
    ModelHash(model_hash(name)): mode
    for name, mode in (
        ("before", AuditMode.BEFORE_RELEASE),
        ("after", AuditMode.AFTER_RELEASE),
        ("off", AuditMode.OFF),
    )
}
QUERY = QueryId(query_id(1))
VALIDATORS = tuple(MemberIndex(index) for index in range(4))
BASE = World(genesis=standard())


class Follower:
    """A contract and the view that follows it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ledger = LedgerView(MODES)

    def see(self, receipt: Receipt) -> bool:
        events = [event_of(log.event, log.values) for log in map(decode_log, receipt.logs)]
        self.ledger.apply(Height(self.world.height), Millis(self.world.now), events)
        return receipt.ok

    @property
    def view(self) -> QueryView:
        view = self.ledger.get(QUERY)
        assert view is not None
        return view

    def check(self) -> None:
        """Everything that the contract would answer of the query."""
        said, view = self.world.get(QUERY), self.view
        assert view.state.name == said["state"]
        assert (view.attempt, view.mode) == (said["attempt"], said["mode"])
        assert (view.panel, view.committed, view.refused) == (said["panel"], said["committed"], said["refused"])
        assert (list(view.committee), view.excluded) == (list(said["committee"]), said["excluded"])
        assert (view.contribute_by, view.deadline) == (said["contribute_by"], said["deadline"])
        assert (view.computing_at or 0) == said["computing_at"]
        assert (view.verdict or 0) == said["verdict"]
        assert (view.model, view.request_hash, view.inquirer) == (said["model"], said["request_hash"], said["inquirer"])
        assert view.terms.chain == CHAIN
        assert view.asked_by(key("inquirer"))
        assert view.is_over == (view not in self.ledger.open())


def step(follower: Follower, choice: int, number: int) -> None:
    """One call that somebody might make, sensible or not; reverted ones leave no event."""
    world, view = follower.world, follower.view
    participants, committee = bits(view.panel), view.committee
    world.now += (100, 3_000, 9_000, 30_000)[number % 4] if choice == 9 else 100
    actor = participants[number % len(participants)]
    order = pool_order(
        QUERY,
        view.attempt + 1,
        members_from(world.genesis),
        excluded=view.excluded | (1 << committee[number % len(committee)] if choice == 4 else 0),
        panel=view.panel,
        companies_min=world.genesis.committee_companies_min,
    )
    if choice in (0, 1, 9):
        follower.see(world.commit(QUERY, actor, attempt=view.attempt))
    elif choice == 2:
        follower.see(world.call(actor, "refuse", QUERY, view.attempt, 1, b"detail"))
    elif choice == 3:
        follower.see(world.call(0, "close_inputs", QUERY, view.attempt))
    elif choice == 4:
        waited = 1 << committee[number % len(committee)]
        follower.see(world.call(committee[0], "fail_attempt", QUERY, view.attempt, 1, waited, order))
    elif choice == 5:
        follower.see(world.call(1, "reject_input", QUERY, view.attempt, actor, order))
    elif choice == 6:
        follower.see(world.post(QUERY, attempt=view.attempt))
    elif choice == 7:
        follower.see(world.attest(QUERY, 1 + number % 3, attempt=view.attempt))
    else:
        world.now = max(world.now, view.deadline + number - 1)
        follower.see(world.call(0, "expire", QUERY, view.attempt))


@settings(max_examples=40)
@given(
    st.sampled_from(["before", "after", "off"]),
    st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 6, 7, 9, 8]), st.integers(0, 7)), max_size=14),
)
def test_the_view_follows_the_contract(model, steps):
    follower = Follower(BASE.fork())
    assert follower.see(follower.world.register(QUERY, model=model))
    follower.check()
    for choice, number in steps:
        step(follower, choice, number)
        follower.check()


def scarce() -> World:
    """Three MPC companies only: whoever is waited for must be taken again."""
    records = [
        member(0, 0, 1, votes=True),
        member(1, 1, 8),
        *(member(2 + index, 2 + index, 2) for index in range(3)),
        *(member(5 + index, 5 + index, 4, classes=0b011) for index in range(3)),
    ]
    return World(genesis=consortium_of(records))


def test_exclusions_that_the_contract_clears_are_cleared_in_the_view():
    follower = Follower(scarce())
    follower.see(follower.world.register(QUERY))
    for attempt in (1, 2):
        for participant in (5, 6, 7):
            assert follower.see(follower.world.commit(QUERY, participant, attempt=attempt))
        step(follower, 4, attempt)
        follower.check()
        assert (follower.view.attempt, follower.view.excluded) == (attempt + 1, 0)


def test_a_pool_order_from_the_view_is_accepted_on_every_attempt():
    follower = Follower(BASE.fork())
    follower.see(follower.world.register(QUERY))
    for attempt in (1, 2, 3):
        for participant in bits(follower.view.panel):
            assert follower.see(follower.world.commit(QUERY, participant, attempt=attempt))
        step(follower, 4, 0)
        follower.check()
    assert follower.view.state.name == "ABORTED"


def test_duties_are_due_when_the_contract_takes_them_and_not_before():
    follower = Follower(BASE.fork())
    follower.see(follower.world.register(QUERY))
    close, expire = duties(follower.view, VALIDATORS[0], VALIDATORS)
    for duty, first in ((close, follower.view.contribute_by), (expire, follower.view.deadline)):
        fork = follower.world.fork()
        fork.now = first
        assert fork.call(0, duty.method.removeprefix("queries."), *duty.values).reason == "TOO_EARLY"
        fork.now = duty.due_ms
        assert fork.call(0, duty.method.removeprefix("queries."), *duty.values).ok


def test_a_committee_members_turn_is_the_contracts():
    follower = Follower(BASE.fork())
    follower.see(follower.world.register(QUERY))
    for participant in bits(follower.view.panel):
        follower.see(follower.world.commit(QUERY, participant))
    for node in follower.view.committee:
        turn = turn_to_post(follower.view, node)
        assert turn is not None
        for now, ok in ((turn - 1, False), (turn, True)):
            fork = follower.world.fork()
            fork.now = now
            if now >= follower.world.now:
                assert fork.post(QUERY, sender=node).ok is ok


@pytest.mark.parametrize("name", ["inquirer", "other inquirer"])
def test_addresses_are_the_contracts(name):
    follower = Follower(BASE.fork())
    request = follower.world.request(QUERY)
    assert follower.see(follower.world.run(follower.world.register_tx(request, inquirer=name)))
    assert follower.view.inquirer == address_of(key(name))
