"""Daemons that are down: a query is answered without them or ends in time, and says who was waited for."""

import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpcnode.client import Answer, AnswerState
from mpcnode.errors import UnavailableError
from mpcnode.rpc.inquiry import Progress
from mpcnode.types import QueryState
from scripts.demo.expectation import Expectation, Truth
from tests.support.devnet import MPC, NAMES, PARTICIPANTS, Devnet, wait_for

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

CONTRIBUTE_BY_MS, DEADLINE_MS = 3_000, 10_000
"""Room for a turn of each validator that is down: half a second, for the way to it broke."""
END_AFTER_DEADLINE_MS = 15_000
"""What is promised: the latest end of a query after its deadline."""
DRAIN_S = 15
"""What a daemon waits for its open queries at most (limits.drain_ms)."""


@dataclass(frozen=True)
class Faulty:
    """The network, a profile with short windows, and the clear evaluation."""

    net: Devnet
    short: Path
    truth: Truth

    def expect(self, silent: tuple[str, ...] = ()) -> Expectation:
        """Somebody whom all companies know."""
        subjects = self.truth.subjects()
        known = next(subject for subject in subjects if len(self.truth.expect(subject).known_to) == len(PARTICIPANTS))
        return self.truth.expect(known, silent)


@pytest.fixture(scope="module")
def up(devnet: Devnet) -> Faulty:
    devnet.limit(preparation_ms=2_500, computation_ms=2_500)
    short = devnet.profile(contribute_by_ms=CONTRIBUTE_BY_MS, deadline_ms=DEADLINE_MS)
    devnet.up()
    return Faulty(devnet, short, devnet.truth())


@pytest.fixture
def faulty(up: Faulty) -> Faulty:
    """All daemons ready, and where the others are."""
    up.net.up()
    up.net.equal_heads()
    return up


@pytest.mark.parametrize("number", [1, 2])
def test_silent_participants_cost_coverage_only(faulty: Faulty, number: int) -> None:
    down = tuple(sorted(PARTICIPANTS)[-number:])
    for name in down:
        faulty.net.kill(name)
    expected = faulty.expect(down)
    answer = faulty.net.ask(expected.subject, faulty.short, wait_audit=True)
    assert (answer.state, answer.verdict, answer.attempt) == (AnswerState.ANSWERED, "MATCH", 1)
    assert (answer.grade, answer.coverage_band) == (expected.outcome.grade, expected.outcome.coverage_band)
    assert set(answer.silent) == set(down)
    assert set(answer.contributed) == set(PARTICIPANTS) - set(down)
    assert answer.latency_ms is not None
    assert answer.latency_ms >= CONTRIBUTE_BY_MS


def test_too_few_contributors_are_a_refusal(faulty: Faulty) -> None:
    for name in PARTICIPANTS:
        faulty.net.kill(name)
    answer = faulty.net.ask(faulty.expect().subject, faulty.short)
    assert (answer.state, answer.reason) == (AnswerState.REFUSED, "insufficient contributors")
    assert (answer.grade, set(answer.silent)) == (None, set(PARTICIPANTS))


def ended_late(answer: Answer, deadline_ms: int = DEADLINE_MS) -> None:
    """What holds of a query whose computation could not be done."""
    assert answer.state in {AnswerState.ABORTED, AnswerState.EXPIRED}
    assert answer.reason in {"attempts exhausted", "no committee", "no time left", "deadline"}
    assert time.time() * 1000 <= answer.asked_ms + deadline_ms + END_AFTER_DEADLINE_MS


@pytest.mark.parametrize("down", [MPC[0], "regulator"])
def test_a_node_of_the_computation_that_is_down_ends_the_query_and_is_named(faulty: Faulty, down: str) -> None:
    faulty.net.kill(down)
    attempts: list[int] = []
    answer = faulty.net.ask(
        faulty.expect().subject,
        faulty.net.profile(contribute_by_ms=5_000, deadline_ms=20_000),
        on_progress=lambda progress: attempts.append(progress.attempt),
    )
    ended_late(answer, 20_000)
    assert answer.waited == (down,)
    assert max(attempts) >= 2


def test_a_node_that_comes_back_computes_the_next_attempt(faulty: Faulty) -> None:
    net, down = faulty.net, MPC[1]
    net.freeze(down)

    def seen(progress: Progress) -> None:
        if progress.attempt == 2:
            net.thaw(down)

    expected = faulty.expect()
    try:
        answer = net.ask(expected.subject, net.profile(contribute_by_ms=4_000, deadline_ms=40_000), on_progress=seen)
    finally:
        net.thaw(down)
    assert (answer.state, answer.grade) == (AnswerState.ANSWERED, expected.outcome.grade)
    assert answer.attempt >= 2


def test_the_same_query_goes_on_after_the_operator_restarts(faulty: Faulty) -> None:
    """A participant is down, so the query is open; the order that it missed comes from the operator's next life."""
    net, expected = faulty.net, faulty.expect()
    net.kill("bank-data")

    def seen(progress: Progress) -> None:
        if progress.state is QueryState.REGISTERED:
            net.kill("operator")

    with pytest.raises(UnavailableError):
        net.ask(expected.subject, net.profile(contribute_by_ms=40_000, deadline_ms=60_000), on_progress=seen)
    query = net.newest_query()
    net.start("operator")
    net.start("bank-data")
    net.wait_ready("operator", "bank-data")
    answer = net.show(query, wait_audit=True)
    assert (answer.query, answer.state, answer.grade) == (query, AnswerState.ANSWERED, expected.outcome.grade)
    assert (set(answer.contributed), answer.verdict) == (set(PARTICIPANTS), "MATCH")


def test_an_operator_that_is_told_to_stop_answers_what_it_took(faulty: Faulty) -> None:
    net, expected = faulty.net, faulty.expect()
    told: list[QueryState] = []

    def seen(progress: Progress) -> None:
        if not told:
            net.signal("operator", signal.SIGTERM)
        told.append(progress.state)

    answer = net.ask(expected.subject, on_progress=seen)
    assert (answer.state, answer.grade) == (AnswerState.ANSWERED, expected.outcome.grade)
    wait_for(lambda: net.children["operator"].poll() is not None, "the operator to end")
    assert net.children["operator"].poll() == 0
    with pytest.raises(UnavailableError):
        net.ask(expected.subject, faulty.short)


def test_an_open_query_does_not_keep_daemons_that_cannot_end_it(faulty: Faulty) -> None:
    """A query waits for a participant, and too many validators are gone: who is told to stop does not wait for it."""
    net, gone = faulty.net, ("telecom-data", "notary-mpc")
    net.kill(gone[0])

    def seen(_: Progress) -> None:
        net.kill(gone[1])
        raise InterruptedError

    with pytest.raises(InterruptedError):
        net.ask(faulty.expect().subject, net.profile(contribute_by_ms=40_000, deadline_ms=60_000), on_progress=seen)
    began = time.monotonic()
    outcome = net.down()
    assert time.monotonic() - began < DRAIN_S
    assert outcome == {name: "was not running" if name in gone else "stopped" for name in NAMES}
    stopped = {name: child for name, child in net.children.items() if name not in gone}
    wait_for(lambda: all(child.poll() is not None for child in stopped.values()), "their exit codes")
    assert {child.poll() for child in stopped.values()} == {0}


def test_a_daemon_that_is_alone_stops_at_once(up: Faulty) -> None:
    """The others are down: it is not ready and cannot become so, and SIGTERM does not wait for that."""
    net = up.net
    net.down()
    lives = len([line for line in net.log("notary-mpc") if line["event"] == "replica.started"])
    net.start("notary-mpc")
    wait_for(
        lambda: len([line for line in net.log("notary-mpc") if line["event"] == "replica.started"]) > lives,
        "its replica to start",
    )
    began = time.monotonic()
    assert net.kill("notary-mpc", signal.SIGTERM) == 0
    assert time.monotonic() - began < 8
