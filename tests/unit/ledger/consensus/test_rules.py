"""The rules H1-H5: what a replica must never sign, and what must be on disk before it speaks."""

from dataclasses import replace

import pytest

from ledger.consensus import Broadcast, Persist, Send, TimerFired, Timing, ValidateBlock, WorkArrived
from ledger.types import BlockHash, ChainId, Proposal, Vote
from tests.unit.ledger.consensus.lab import F, Lab, N, X, asked, cast, hash_of, kept, said


def test_h1_only_the_first_proposal_of_a_view_is_voted_for():
    lab = Lab()
    first, second = lab.block(b"first"), lab.block(b"second")
    assert cast(lab.accept(first)) == [(N, 1)]
    assert lab.accept(second) == []


def test_h1_no_second_vote_in_a_view_after_a_restart():
    lab = Lab()
    first, second = lab.block(b"first"), lab.block(b"second")
    records = kept(lab.accept(first))
    again = Lab(records=records)
    assert cast(again.accept(second)) == []
    bare = Lab(records=[record for record in records if isinstance(record, Vote)])
    assert cast(bare.accept(second)) == []


def test_h2_no_finalize_in_a_view_that_was_nullified():
    lab = Lab()
    block = lab.block()
    lab.accept(block)
    assert cast(lab.hear_all(lab.votes((1, 2), X))) == [(X, 1)]
    effects = lab.hear(1, lab.certificate(N, 1, block))
    assert lab.machine.status.view == 2
    assert cast(effects) == []


def test_h2_no_nullify_in_a_view_that_was_finalized_even_if_its_certificate_is_lost():
    lab = Lab()
    block = lab.block()
    lab.accept(block)
    finalized = [r for r in kept(lab.hear(1, lab.certificate(N, 1, block))) if isinstance(r, Vote)]
    assert [vote.kind for vote in finalized] == [F]
    again = Lab(records=finalized)
    effects = again.hear_all(again.votes((1, 2), X)) + again.wait(60_000)
    assert (X, 1) not in cast(effects)


def test_h2_nullify_is_cast_once():
    lab = Lab()
    lab.step(WorkArrived())
    effects = lab.wait(2_000)
    assert [record.kind for record in kept(effects) if isinstance(record, Vote)] == [X]
    assert kept(lab.hear_all(lab.votes((1,), X))) == []


def unjustified(lab: Lab) -> dict[str, Proposal]:
    """Proposals for view 4 that no honest replica may vote for; base 2 was notarized, view 3 nullified."""
    block, other = lab.block(), lab.block(b"other")
    base, gap = lab.certificate(N, 2, block), lab.certificate(X, 3)
    whole = lab.proposal(block, 4, 2, (base, gap))
    few = lab.certificate(N, 2, block, signers=(0, 1))
    twice = replace(base, signers=(0, 0, 1))
    stranger = replace(base, signers=(0, 1, 9))
    forged = replace(base, signatures=(*base.signatures[:2], base.signatures[0]))
    past = replace(base, height=type(base.height)(2))
    elsewhere = replace(block, header=replace(block.header, chain=ChainId(bytes(32))))
    orphan = replace(block, header=replace(block.header, previous=BlockHash(bytes(32))))
    return {
        "no certificate of its base": lab.proposal(block, 4, 2, (gap,)),
        "no certificate of a view between": lab.proposal(block, 4, 2, (base,)),
        "base 0 beside a notarized view": lab.proposal(block, 4, 0, (base, gap)),
        "another block than the notarized one": lab.proposal(other, 4, 2, (base, gap)),
        "a base that is its own view": lab.proposal(block, 4, 4, (base, gap)),
        "a base of too few signers": lab.proposal(block, 4, 2, (few, gap)),
        "a base signed twice by one": lab.proposal(block, 4, 2, (twice, gap)),
        "a base signed by a stranger": lab.proposal(block, 4, 2, (stranger, gap)),
        "a base with a forged signature": lab.proposal(block, 4, 2, (forged, gap)),
        "a base of another height": lab.proposal(block, 4, 2, (past, gap)),
        "not signed by the leader": lab.proposal(block, 4, 2, (base, gap), by=2),
        "a signature over another base": replace(whole, signature=lab.proposal(block, 4, 0).signature),
        "a body that is not its header's": replace(whole, block=replace(block, txs=(b"swapped",))),
        "a block of another chain": lab.proposal(elsewhere, 4, 0, tuple(lab.certificate(X, w) for w in (1, 2, 3))),
        "a block on another parent": lab.proposal(orphan, 4, 0, tuple(lab.certificate(X, w) for w in (1, 2, 3))),
    }


@pytest.mark.parametrize("flaw", unjustified(Lab()))
def test_h3_no_vote_for_a_proposal_with(flaw):
    lab = Lab()
    proposal = unjustified(lab)[flaw]
    assert asked(lab.hear(lab.leader(4), proposal)) == []
    assert cast(lab.validated(proposal.block, fresh=False) + lab.validated(proposal.block)) == []


def test_h3_the_sound_proposal_that_the_flawed_ones_imitate_is_voted_for():
    lab = Lab()
    block = lab.block()
    just = (lab.certificate(N, 2, block), lab.certificate(X, 3))
    assert cast(lab.accept(block, 4, 2, just)) == [(F, 2), (N, 4)]


def test_h3_what_the_replica_holds_itself_need_not_be_attached():
    lab = Lab()
    lab.hear(1, lab.certificate(X, 1))
    assert cast(lab.accept(lab.block(), 2)) == [(N, 2)]


def test_h3_no_vote_for_an_invalid_block():
    lab = Lab()
    block = lab.block()
    assert asked(lab.hear_proposal(block)) == [ValidateBlock(block, fresh=True)]
    assert cast(lab.validated(block, valid=False)) == []


def test_h3_a_block_that_was_stale_when_fresh_is_judged_anew_when_it_was_notarized():
    lab = Lab()
    block = lab.block()
    lab.hear_proposal(block)
    lab.validated(block, valid=False)
    effects = lab.hear_proposal(block, 2, 1, (lab.certificate(N, 1, block),))
    assert asked(effects) == [ValidateBlock(block, fresh=False)]
    assert cast(lab.validated(block, fresh=False)) == [(N, 2)]


def test_h3_a_block_is_executed_once():
    lab = Lab()
    block = lab.block()
    lab.accept(block)
    effects = lab.hear_proposal(block, 2, 1, (lab.certificate(N, 1, block),))
    assert asked(effects) == []
    assert (N, 2) in cast(effects)


def test_h3_notarize_after_nullify_is_allowed():
    lab = Lab()
    lab.step(WorkArrived())
    assert (X, 1) in cast(lab.wait(2_000))
    assert cast(lab.accept(lab.block())) == [(N, 1)]


def test_h4_finalize_needs_the_certificate():
    lab = Lab()
    block = lab.block()
    effects = (
        lab.accept(block) + lab.hear_all(lab.votes((1,), N, 1, block)) + lab.hear_all(lab.votes((2, 3), F, 1, block))
    )
    assert cast(effects) == [(N, 1)]
    assert cast(lab.hear_all(lab.votes((2,), N, 1, block))) == [(F, 1)]


def test_h4_two_quorums_of_six_share_an_honest_validator():
    lab = Lab(n=6)
    block = lab.block()
    assert (F, 1) not in cast(lab.accept(block) + lab.hear_all(lab.votes((1, 2, 3), N, 1, block)))
    assert (F, 1) in cast(lab.hear_all(lab.votes((4,), N, 1, block)))


def test_h5_records_come_before_what_relies_on_them():
    lab = Lab()
    block = lab.block()
    effects = lab.accept(block)
    (vote,) = said(effects, Vote)
    assert kept(effects) == [lab.proposal(block), vote]
    effects = lab.hear(1, lab.certificate(N, 1, block))
    (vote,) = said(effects, Vote)
    assert kept(effects) == [lab.certificate(N, 1, block), vote]
    sends = [at for at, effect in enumerate(effects) if isinstance(effect, Broadcast | Send)]
    assert max(at for at, effect in enumerate(effects) if isinstance(effect, Persist)) < min(sends)


def test_h5_a_leader_keeps_its_proposal_and_proposes_nothing_else_after_a_restart():
    lab = Lab(me=2)
    lab.step(WorkArrived())
    mine = lab.block(b"mine")
    effects = lab.built(mine)
    (proposal,) = said(effects, Proposal)
    assert proposal in kept(effects)
    again = Lab(me=2, records=[proposal])
    assert again.step(WorkArrived()) == []
    assert again.built(again.block(b"another")) == []
    assert cast(again.validated(mine)) == [(N, 1)]
    resent = [effect for effect in again.wait(1_000) if isinstance(effect, Send)]
    assert {effect.to for effect in resent} == {again.replica(index) for index in (0, 1, 3)}
    assert {hash_of(effect.message.block) for effect in resent if isinstance(effect.message, Proposal)} == {
        hash_of(mine)
    }


def test_h5_after_a_restart_votes_are_said_again_and_the_view_is_kept():
    lab = Lab()
    block = lab.block()
    records = kept(lab.accept(block) + lab.hear(1, lab.certificate(N, 1, block)))
    again = Lab(records=records)
    assert again.machine.status.view == 2
    assert cast(again.started) == [(N, 1), (F, 1)]
    assert kept(again.started) == []


def test_h5_a_crash_between_a_certificate_and_its_vote_is_made_good():
    lab = Lab()
    block = lab.block()
    again = Lab(records=[lab.certificate(N, 1, block)])
    assert [(vote.kind, vote.view) for vote in kept(again.started) if isinstance(vote, Vote)] == [(F, 1)]


def test_amplification_takes_one_more_than_may_be_faulty():
    lab = Lab(n=7)
    assert cast(lab.hear_all(lab.votes((1, 2), X))) == []
    assert cast(lab.hear_all(lab.votes((3,), X))) == [(X, 1)]


def test_amplification_counts_votes_that_came_before_their_view():
    lab = Lab()
    assert cast(lab.hear_all(lab.votes((1, 2), X, 2))) == []
    assert (X, 2) in cast(lab.hear(3, lab.certificate(X, 1)))


def test_a_late_timer_nullifies_and_an_early_one_does_nothing():
    lab = Lab(timing=Timing(view_ms=1_000, resend_ms=10_000))
    lab.step(WorkArrived())
    lab.now += 999
    early = lab.step(TimerFired())
    assert cast(early) == []
    assert lab.alarm == 1_001_000
    lab.now += 1
    assert cast(lab.step(TimerFired())) == [(X, 1)]
