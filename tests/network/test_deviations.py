"""Real daemons, one of which deviates: a pool of four nodes answers without it, or the answer stays closed.

All four MPC daemons obey a file that says which rank deviates and how (tests/support/deviating_daemon.py), so they are
started once. `tests/integration/test_deviations.py` tries the rest, where time costs nothing.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpcnode.client import Answer, AnswerState
from mpcnode.client.opening import view_of_receipt
from mpcnode.config.profile import load_profile
from mpcnode.errors import ResultError
from mpcnode.query.committee import choose_committee
from mpcnode.query.view import QueryView
from mpcnode.rpc.inquiry import Progress
from mpcnode.types import NOBODY, FailReason, MemberIndex, QueryState, Role, Verdict
from tests.support.deviations import CASES, Accuses, Audited, Harmless, Named, Unopenable
from tests.support.devnet import MPC, PARTICIPANTS, SPARE, Devnet

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

CONTRIBUTE_BY_MS, DEADLINE_MS = 4_000, 40_000
POOL = (*MPC, SPARE.name)


@dataclass
class Deviating:
    """The network, and what its four nodes are told."""

    net: Devnet
    orders: Path
    profile: Path
    subject: str
    grade: str | None

    def order(self, name: str, rank: int) -> None:
        self.orders.write_text(json.dumps({"name": name, "rank": rank}))

    def behave(self) -> None:
        self.orders.write_text("")

    def ask(self, on_progress=None) -> Answer:
        return self.net.ask(self.subject, self.profile, wait_audit=True, on_progress=on_progress)

    def view(self, query: str) -> QueryView:
        """What the receipt proves of a query."""
        consortium = load_profile(self.profile).consortium
        return view_of_receipt(self.net.receipt(query).read_bytes(), consortium)

    def node(self, query: str, rank: int) -> MemberIndex:
        """Who had a rank in the first committee."""
        view, members = self.view(query), load_profile(self.profile).consortium.members
        committee = choose_committee(view.query, 1, members, panel=view.panel, excluded=0, companies_min=3)
        return committee.members[rank]

    def is_right(self, answer: Answer) -> None:
        assert (answer.state, answer.verdict) == (AnswerState.ANSWERED, "MATCH")
        assert answer.grade == self.grade


@pytest.fixture(scope="module")
def deviating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deviating]:
    root = tmp_path_factory.mktemp("net")
    net, orders = Devnet(root / "n", spare=True), root / "orders"
    orders.write_text("")
    try:
        net.limit(preparation_ms=1_500, computation_ms=1_500)
        net.deviating = dict.fromkeys(POOL, orders)
        net.up()
        truth = net.truth()
        known = next(
            subject for subject in truth.subjects() if len(truth.expect(subject).known_to) == len(PARTICIPANTS)
        )
        profile = net.profile(contribute_by_ms=CONTRIBUTE_BY_MS, deadline_ms=DEADLINE_MS)
        yield Deviating(net, orders, profile, known, truth.expect(known).outcome.grade)
    finally:
        net.close()


DOZEN = (
    "silent after its accept",
    "a frame a byte short",
    "a frame of a megabyte",
    "a frame twice with other content",
    "a gap in the rounds",
    "different openings to two nodes",
    "misleads a node and has it look guilty",
    "a wrong wire opened",
    "an accept in another's name",
    "a flood",
    "an end of another attempt",
    "another output share",
    "another share for the inquirer",
    "an abort before its accept",
    "blames an honest node",
)


@pytest.mark.parametrize("name", DOZEN)
def test_a_deviation(deviating: Deviating, name: str) -> None:
    rank, expected = random.Random(name).randrange(3), CASES[name].expected
    deviating.order(name, rank)
    try:
        if isinstance(expected, Unopenable):
            with pytest.raises(ResultError, match=r"member \d+ sealed another share") as caught:
                deviating.ask()
            query = deviating.net.newest_query()
            assert f"member {deviating.node(query, rank)} " in str(caught.value)
            return
        answer = deviating.ask()
    finally:
        deviating.behave()
    view, evil = deviating.view(answer.query), deviating.node(answer.query, rank)
    said = [(failure.reason, failure.waited) for failure in view.failures]
    match expected:
        case Harmless():
            assert said == []
            deviating.is_right(answer)
        case Named(reason=reason):
            assert said == [(reason, 1 << evil)]
            assert evil not in view.committee
            deviating.is_right(answer)
        case Accuses():
            assert {failure.by for failure in view.failures} == {evil}
            assert not any(failure.waited & 1 << evil for failure in view.failures)
            assert answer.state is AnswerState.ABORTED or answer.grade == deviating.grade
        case Audited(stage=stage, round=number):
            assert view.attestation is not None
            found = view.attestation
            assert (found.member, found.stage, found.round) == (evil, stage, number)
            assert (answer.state, answer.grade, view.verdict) == (AnswerState.ABORTED, None, Verdict.MISMATCH)
        case _:
            pytest.fail(f"expected a case for {expected}")


def test_a_node_that_opens_its_streams_anew_all_the_time_hurts_only_itself(deviating: Deviating) -> None:
    """Hundreds of connections; a session that one of them broke fails because of it, and the next goes without."""
    deviating.order("redials", 0)
    try:
        answer = deviating.ask()
    finally:
        deviating.behave()
    view, evil = deviating.view(answer.query), deviating.node(answer.query, 0)
    assert {failure.waited for failure in view.failures} <= {1 << evil}
    deviating.is_right(answer)


def test_when_one_of_a_pool_of_four_dies_the_next_attempt_answers(deviating: Deviating) -> None:
    """It dies when the query is registered, so the committee waits for it in vain, once."""
    net, gone = deviating.net, SPARE.name
    index = next(m.index for m in load_profile(deviating.profile).consortium.members if m.name == gone)
    assert Role.MPC in load_profile(deviating.profile).consortium.members[index].roles

    def seen(progress: Progress) -> None:
        if progress.state is QueryState.REGISTERED and progress.attempt == 1:
            net.kill(gone)

    for _ in range(10):
        answer = deviating.ask(seen)
        deviating.is_right(answer)
        view = deviating.view(answer.query)
        net.start(gone)
        net.wait_ready(gone)
        if view.failures:
            assert [(failure.reason, failure.waited) for failure in view.failures] == [(FailReason.TIMEOUT, 1 << index)]
            assert (view.attempt, index in view.committee) == (2, False)
            return
    pytest.fail("expected the node in one of ten committees")


def test_all_daemons_live_and_the_next_query_is_answered_at_once(deviating: Deviating) -> None:
    deviating.behave()
    deviating.net.wait_ready()
    answer = deviating.ask()
    deviating.is_right(answer)
    assert answer.attempt == 1
    assert NOBODY not in deviating.view(answer.query).committee
    deviating.net.equal_heads()
    for name in deviating.net.names:
        assert [line for line in deviating.net.log(name) if line["level"] in {"error", "critical"}] == [], name
