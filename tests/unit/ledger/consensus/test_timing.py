"""Waits grow, and stop growing; leaders that are absent get less."""

import pytest

from ledger.consensus import PeerReached, Timing, WorkArrived
from ledger.consensus.absence import TURNS_MISSED, Absences
from ledger.consensus.committee import Committee
from ledger.consensus.votes import Certificates
from ledger.types import Height, ReplicaId, View
from tests.sim.world import CHAIN, validators_of, verify
from tests.unit.ledger.consensus.lab import F, Lab, N, X, cast


@pytest.mark.parametrize(("view", "timeout"), [(1, 2000), (2, 3000), (3, 4500), (4, 6750), (5, 8000), (10**6, 8000)])
def test_view_timeouts_are_capped(view, timeout):
    assert Timing().view_timeout(View(view)) == timeout
    assert Timing().view_timeout(View(view), absent=True) == timeout // 4


def test_replicas_do_not_repeat_in_chorus():
    timing = Timing()
    waits = [timing.resend_wait(ReplicaId(replica), 0) for replica in range(8)]
    assert len(set(waits)) == 8
    assert all(500 <= wait < 625 for wait in waits)
    assert max(timing.resend_wait(ReplicaId(1), tick) for tick in range(1000)) < 2_500
    assert all(10_000 <= timing.status_wait(ReplicaId(1), tick) < 12_500 for tick in range(1000))


def committee(height: int) -> Committee:
    return Committee(chain=CHAIN, height=Height(height), validators=validators_of(range(4)), verify=verify)


def test_a_leader_that_missed_its_last_turns_is_absent_until_it_leads_again():
    lab, absences = Lab(), Absences()
    block = lab.block()
    missed = Certificates(nullified={View(1): lab.certificate(X, 1)}, notarized={View(2): lab.certificate(N, 2, block)})
    for turn in range(1, TURNS_MISSED + 1):
        absences.note(committee(1), missed)
        assert absences.among(committee(1)) == (frozenset({2}) if turn == TURNS_MISSED else frozenset())
    absences.note(committee(1), Certificates(final=lab.certificate(F, 1, block)))
    assert absences.among(committee(1)) == frozenset()


def test_an_absent_leaders_view_is_short():
    lab = Lab(timing=Timing(resend_ms=100_000))
    block = lab.block()
    for _ in range(TURNS_MISSED):
        lab.machine._absences.note(committee(3), Certificates(nullified={View(4): lab.certificate(X, 4)}))
    lab.accept(block)
    lab.hear_all(lab.votes((1, 2, 3), F, 1, block))
    lab.committed(block)
    lab.step(WorkArrived())
    assert cast(lab.wait(499)) == []
    assert cast(lab.wait(1)) == [(X, 1)]


def reached(lab: Lab, leader: int, *, now: bool) -> PeerReached:
    return PeerReached(peer=lab.validators[leader].replica, reached=now)


def test_a_leader_that_went_away_gets_less_time_until_it_is_back():
    lab = Lab(timing=Timing(resend_ms=100_000))
    lab.step(reached(lab, 2, now=False))
    lab.step(reached(lab, 2, now=True))
    lab.step(reached(lab, 3, now=False))
    lab.step(WorkArrived())
    assert cast(lab.wait(1_999)) == []
    assert cast(lab.wait(1)) == [(X, 1)]
    lab.hear_all(lab.votes((1, 2, 3), X, 1))
    assert cast(lab.wait(749)) == []
    assert cast(lab.wait(1)) == [(X, 2)]


def test_the_time_of_a_leader_that_goes_away_meanwhile_is_cut_short():
    lab = Lab(timing=Timing(resend_ms=100_000))
    lab.step(WorkArrived())
    assert cast(lab.wait(300)) == []
    lab.step(reached(lab, 2, now=False))
    assert cast(lab.wait(499)) == []
    assert cast(lab.wait(1)) == [(X, 1)]


def test_a_leader_that_goes_away_late_gets_no_more_time_than_before():
    lab = Lab(timing=Timing(resend_ms=100_000))
    lab.step(WorkArrived())
    lab.wait(1_900)
    lab.step(reached(lab, 2, now=False))
    assert cast(lab.wait(99)) == []
    assert cast(lab.wait(1)) == [(X, 1)]


def test_nothing_begins_because_a_peer_went_away():
    lab = Lab()
    assert lab.step(reached(lab, 2, now=False)) == []
    assert cast(lab.wait(5_000)) == []
