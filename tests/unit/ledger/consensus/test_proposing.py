"""The leader's part, silence while there is nothing to do, and the way from votes to a commit."""

from dataclasses import replace

import pytest

from ledger.consensus import (
    BlockMessage,
    BuildBlock,
    Commit,
    GetBlock,
    Send,
    Status,
    ValidateBlock,
    WorkArrived,
    WorkGone,
)
from ledger.types import Height, Proposal, View, Vote
from tests.unit.ledger.consensus.lab import F, Lab, N, X, asked, cast, hash_of, kept, said

LEADER = 2


def test_work_at_the_leader_starts_a_block_at_once():
    lab = Lab(me=LEADER)
    assert asked(lab.step(WorkArrived())) == [BuildBlock(Height(1), View(1))]
    assert asked(lab.step(WorkArrived())) == []
    block = lab.block()
    effects = lab.built(block)
    assert [(p.view, p.base, p.block) for p in said(effects, Proposal) if isinstance(p, Proposal)] == [(1, 0, block)]
    assert cast(effects) == [(N, 1)]


def test_work_elsewhere_starts_the_clock():
    lab = Lab()
    assert lab.alarm is not None
    assert lab.alarm > lab.now + 2_000
    assert asked(lab.step(WorkArrived())) == []
    assert cast(lab.wait(1_999)) == []
    assert cast(lab.wait(1)) == [(X, 1)]


def test_work_that_expired_stops_the_clock():
    lab = Lab()
    lab.step(WorkArrived())
    lab.step(WorkGone())
    assert cast(lab.wait(60_000)) == []


@pytest.mark.parametrize("me", [0, LEADER, None])
def test_an_idle_replica_only_says_where_it_is(me):
    lab = Lab(me=me)
    said_in_ten_minutes = said(lab.wait(600_000))
    assert {type(message) for message in said_in_ten_minutes} == {Status}
    assert 48 <= len(said_in_ten_minutes) <= 60
    assert lab.machine.status.view == 1


def test_votes_of_f_validators_do_not_wake_an_idle_replica_and_those_of_one_more_do():
    lab = Lab(n=7)
    block = lab.block()
    lab.hear_all(lab.votes((1, 2), F, 1, block))
    assert cast(lab.wait(60_000)) == []
    lab.hear_all(lab.votes((3,), F, 1, block))
    assert (X, 1) in cast(lab.wait(10_000))


def test_an_invalid_proposal_does_not_keep_the_network_awake():
    lab = Lab()
    block = lab.block()
    lab.hear_proposal(block)
    lab.validated(block, valid=False)
    assert cast(lab.wait(60_000)) == []


def test_a_view_without_anything_to_decide_is_idle_too():
    lab = Lab()
    lab.hear(1, lab.certificate(X, 1))
    assert lab.machine.status.view == 2
    assert {type(message) for message in said(lab.wait(60_000))} == {Status}


def test_a_leader_that_finds_nothing_to_include_stays_silent_until_new_work():
    lab = Lab(me=LEADER)
    lab.step(WorkArrived())
    assert said(lab.built(None)) == []
    assert cast(lab.wait(60_000)) == []
    assert asked(lab.step(WorkArrived())) == [BuildBlock(Height(1), View(1))]


def test_work_that_comes_while_a_block_is_built_is_not_forgotten():
    lab = Lab(me=LEADER)
    lab.step(WorkArrived())
    lab.step(WorkArrived())
    assert asked(lab.built(None)) == [BuildBlock(Height(1), View(1))]


def test_a_block_built_for_an_earlier_view_is_not_proposed():
    lab = Lab(me=LEADER)
    lab.step(WorkArrived())
    lab.hear(1, lab.certificate(X, 1))
    assert said(lab.built(lab.block())) == []


def test_a_block_that_is_built_after_the_height_was_decided_is_not_proposed():
    lab = Lab(me=LEADER)
    lab.step(WorkArrived())
    block = lab.block(b"theirs")
    lab.hear_all(lab.votes((0, 1, 3), F, 2, block))
    assert [e.block for e in lab.hear(1, BlockMessage(block=block)) if isinstance(e, Commit)] == [block]
    assert lab.built(lab.block(b"mine")) == []


def test_a_block_that_nobody_asked_for_is_not_proposed():
    lab = Lab(me=LEADER)
    assert said(lab.built(lab.block())) == []


def test_a_block_of_another_parent_is_the_shells_mistake():
    lab = Lab(me=LEADER)
    lab.step(WorkArrived())
    block = lab.block()
    with pytest.raises(ValueError, match="expected a whole block of height 1"):
        lab.built(replace(block, txs=(b"other",)))


def notarized(lab: Lab, block, *, hold: bool) -> list:
    """Bring the replica into view 2, which it leads if it is validator 3, with or without the block's body."""
    if hold:
        lab.accept(block)
    return lab.hear(1, lab.certificate(N, 1, block))


def test_a_notarized_block_is_proposed_again_after_a_pause():
    lab = Lab(me=3)
    lab.step(WorkArrived())
    block = lab.block()
    assert asked(notarized(lab, block, hold=True)) == []
    assert said(lab.wait(249), Proposal) == []
    effects = lab.wait(1)
    (proposal,) = said(effects, Proposal)
    assert proposal == lab.proposal(block, 2, 1, (lab.certificate(N, 1, block),))
    assert cast(effects) == [(N, 2)]


def test_a_block_that_is_decided_in_the_pause_is_not_proposed_again():
    lab = Lab(me=3)
    block = lab.block()
    notarized(lab, block, hold=True)
    (commit,) = [e for e in lab.hear_all(lab.votes((0, 1), F, 1, block)) if isinstance(e, Commit)]
    assert commit.block == block
    assert commit.certificate == lab.certificate(F, 1, block, signers=(0, 1, 3))
    assert lab.wait(60_000) == []


def test_a_proposal_carries_the_nullified_views_and_no_more_than_fit():
    lab = Lab(me=3)
    for view in range(1, 98):
        lab.hear(1, lab.certificate(X, view))
    assert lab.machine.status.view == 98
    assert lab.leader(98) == 3
    lab.step(WorkArrived())
    (proposal,) = [p for p in said(lab.built(lab.block(), 98), Proposal) if isinstance(p, Proposal)]
    assert [certificate.view for certificate in proposal.justification] == list(range(34, 98))


def test_a_leader_fetches_the_body_that_it_must_propose_again():
    lab = Lab(me=3)
    block = lab.block()
    wanted = GetBlock(height=Height(1), block_hash=hash_of(block))
    first = [e.to for e in notarized(lab, block, hold=False) + lab.wait(250) if isinstance(e, Send)]
    others = [e.to for e in lab.wait(3_000) if isinstance(e, Send) and e.message == wanted]
    assert len(first) == 1
    assert set(first + others) == {lab.replica(index) for index in (0, 1, 2)}
    assert said(lab.hear(0, BlockMessage(block=lab.block(b"other"))), Proposal) == []
    assert said(lab.hear(0, BlockMessage(block=replace(block, txs=(b"swapped",)))), Proposal) == []
    (proposal,) = said(lab.hear(0, BlockMessage(block=block)), Proposal)
    assert isinstance(proposal, Proposal)
    assert (proposal.block, proposal.base) == (block, 1)


def test_a_quorum_of_finalize_votes_of_any_view_commits():
    lab = Lab()
    block = lab.block()
    lab.hear_proposal(block)
    lab.hear(1, lab.certificate(X, 1))
    lab.hear(1, lab.certificate(X, 2))
    effects = lab.hear_all(lab.votes((1, 2, 3), F, 1, block))
    assert [e.block for e in effects if isinstance(e, Commit)] == []
    assert [e.message for e in effects if isinstance(e, Send)] == [
        GetBlock(height=Height(1), block_hash=hash_of(block))
    ]
    assert [e.block for e in lab.hear(1, BlockMessage(block=block)) if isinstance(e, Commit)] == [block]


def test_a_body_comes_with_a_later_proposal_too():
    lab = Lab()
    block = lab.block()
    lab.hear_all(lab.votes((1, 2, 3), F, 1, block))
    assert [type(e) for e in lab.hear_proposal(block) if isinstance(e, Commit | ValidateBlock)] == [Commit]


def test_after_the_commit_only_requests_are_answered():
    lab = Lab()
    block = lab.block()
    lab.accept(block)
    lab.hear_all(lab.votes((1, 2, 3), F, 1, block))
    assert lab.hear(1, lab.certificate(X, 1)) == []
    assert lab.wait(60_000) == []
    (answer,) = lab.hear(1, GetBlock(height=Height(1), block_hash=hash_of(block)))
    assert answer == Send(lab.replica(1), BlockMessage(block=block))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_networks_too_small_for_faults_decide_with_everybody(n):
    lab = Lab(n=n, me=(1 + 1) % n)
    lab.step(WorkArrived())
    block = lab.block(by=lab.leader())
    effects = lab.built(block)
    others = [index for index in range(n) if index != lab.me]
    for kind in (N, F):
        assert others == [] or [e for e in effects if isinstance(e, Commit)] == []
        effects += lab.hear_all(lab.votes(others, kind, 1, block))
    (commit,) = [e for e in effects if isinstance(e, Commit)]
    assert len(commit.certificate.signers) == n


def test_an_observer_signs_nothing_and_commits():
    lab = Lab(me=None)
    lab.step(WorkArrived())
    block = lab.block()
    effects = lab.accept(block)
    effects += lab.hear_all(lab.votes((1, 2, 3), N, 1, block)) + lab.hear_all(lab.votes((1, 2), X)) + lab.wait(20_000)
    effects += lab.hear_all(lab.votes((1, 2, 3), F, 1, block))
    assert said(effects, Vote) == []
    assert [record for record in kept(effects) if isinstance(record, Vote)] == []
    assert [e.block for e in effects if isinstance(e, Commit)] == [block]


def test_a_replica_that_may_have_forgotten_votes_observes_until_it_is_told_to_sign():
    lab = Lab(sign_from=2)
    block = lab.block()
    assert cast(lab.accept(block) + lab.hear_all(lab.votes((1, 2, 3), F, 1, block))) == []
    lab.committed(block)
    (mine,) = [i for i, validator in enumerate(lab.validators) if validator.replica == lab.replica(0)]
    lab.step(WorkArrived())
    assert mine == 0
    assert cast(lab.wait(2_000)) == [(X, 1)]
