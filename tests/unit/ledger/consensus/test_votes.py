"""Votes are counted once, checked late, and never trusted."""

from dataclasses import replace

import pytest

from ledger.consensus import Evidence, MessageReceived
from ledger.consensus.votes import Certificates
from ledger.encoding import VIEWS_AHEAD_MAX
from ledger.types import ReplicaId, Signature, View
from tests.unit.ledger.consensus.lab import F, Lab, N, X, cast

FORGED = Signature(bytes(64))


def size(lab: Lab) -> int:
    return lab.machine._instance.state.tally.size()


def test_a_duplicate_is_dropped_before_its_signature_is_looked_at():
    lab = Lab()
    vote = lab.vote(1, X)
    lab.hear(1, vote)
    lab.hear(1, vote)
    lab.hear(1, replace(vote, signature=FORGED))
    assert (lab.verified, size(lab)) == (1, 1)


def test_a_vote_for_what_is_certified_is_dropped_before_its_signature_is_looked_at():
    lab = Lab()
    lab.hear(1, lab.certificate(X, 1, signers=(0, 1, 2)))
    verified = lab.verified
    lab.hear(3, lab.vote(3, X))
    assert lab.verified == verified


def test_signatures_that_came_as_votes_are_not_verified_again_in_a_certificate():
    lab = Lab()
    lab.hear(1, lab.vote(1, X))
    lab.hear(2, lab.certificate(X, 1, signers=(1, 2, 3)))
    assert lab.verified == 3
    lab.hear(3, lab.certificate(X, 1))
    assert lab.verified == 3
    assert lab.machine.status.view == 2


def test_a_vote_counts_only_from_its_signer_and_with_its_signature():
    lab = Lab()
    lab.hear(2, lab.vote(1, X))
    lab.hear(1, replace(lab.vote(1, X), signature=FORGED))
    lab.hear(1, replace(lab.vote(1, X), signer=7))
    lab.step(MessageReceived(sender=ReplicaId(99), message=lab.vote(1, X)))
    lab.step(MessageReceived(sender=lab.replica(0), message=lab.vote(0, X)))
    assert size(lab) == 0


@pytest.mark.parametrize(("view", "counted"), [(1 + VIEWS_AHEAD_MAX, 1), (2 + VIEWS_AHEAD_MAX, 0)])
def test_votes_too_far_ahead_are_dropped(view, counted):
    lab = Lab()
    lab.hear(1, lab.vote(1, X, view))
    assert size(lab) == counted


def test_votes_of_views_that_are_over_are_dropped_but_not_finalize():
    lab = Lab()
    block = lab.block()
    lab.hear_all([(1, lab.vote(1, X, 1)), (1, lab.vote(1, F, 1, block))])
    lab.hear(1, lab.certificate(N, 2, block))
    before = size(lab)
    lab.hear_all([(2, lab.vote(2, X, 1)), (2, lab.vote(2, F, 1, block))])
    assert (before, size(lab)) == (2, 3)
    lab.hear(1, lab.certificate(N, 70, block))
    assert lab.machine.status.view == 71
    assert size(lab) == 1


def test_two_votes_of_one_kind_are_evidence_and_a_third_is_dropped():
    lab = Lab()
    first, second, third = (lab.vote(1, N, 1, lab.block(tx)) for tx in (b"1", b"2", b"3"))
    assert lab.hear(1, first)[:-1] == []
    assert Evidence(first, second) in lab.hear(1, second)
    verified = lab.verified
    assert lab.hear(1, third) == []
    assert (lab.verified, size(lab)) == (verified, 2)


@pytest.mark.parametrize("first", [X, F])
def test_nullify_and_finalize_in_one_view_are_evidence(first):
    lab = Lab()
    votes = {X: lab.vote(1, X), F: lab.vote(1, F, 1, lab.block())}
    second = F if first is X else X
    lab.hear(1, votes[first])
    assert Evidence(votes[first], votes[second]) in lab.hear(1, votes[second])


def test_notarize_and_nullify_in_one_view_are_no_evidence():
    lab = Lab()
    effects = lab.hear(1, lab.vote(1, X)) + lab.hear(1, lab.vote(1, N, 1, lab.block()))
    assert [effect for effect in effects if isinstance(effect, Evidence)] == []


def test_either_of_two_conflicting_votes_may_complete_a_quorum():
    lab = Lab()
    block, other = lab.block(), lab.block(b"other")
    lab.accept(block)
    lab.hear(1, lab.vote(1, N, 1, other))
    effects = lab.hear(1, lab.vote(1, N, 1, block)) + lab.hear(2, lab.vote(2, N, 1, block))
    assert cast(effects) == [(F, 1)]


def test_certificates_open_views_however_they_come():
    lab = Lab()
    block = lab.block()
    lab.hear(1, lab.certificate(X, 3))
    lab.hear(1, lab.certificate(X, 5))
    assert lab.machine.status.view == 1
    lab.hear(1, lab.certificate(N, 2, block))
    assert lab.machine.status.view == 4
    lab.hear(1, lab.certificate(X, 4))
    assert lab.machine.status.view == 6


def test_a_certificate_of_a_kind_and_view_is_held_once():
    lab, held = Lab(), Certificates()
    first, second = lab.certificate(X, 1, signers=(0, 1, 2)), lab.certificate(X, 1, signers=(1, 2, 3))
    assert (held.add(first), held.add(second)) == (True, False)
    assert held.nullified == {1: first}
    assert held.justification(View(0), View(3), 64) is None


def test_the_newest_vote_of_a_key_is_held_for_its_owner():
    lab = Lab()
    assert lab.machine.newest_vote(lab.validators[1].key) is None
    lab.hear_all([(1, lab.vote(1, X, view)) for view in (2, 1)])
    assert lab.machine.newest_vote(lab.validators[1].key) == lab.vote(1, X, 2)
    assert lab.machine.newest_vote(type(lab.validators[1].key)(bytes(32))) is None
