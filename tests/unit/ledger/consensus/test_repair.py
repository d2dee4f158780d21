"""Repetition, answers to replicas that are behind, and their limits."""

import itertools
from dataclasses import replace

import pytest

from ledger.consensus import (
    BlockMessage,
    Broadcast,
    Commit,
    Committed,
    Decided,
    GetBlock,
    MessageReceived,
    Send,
    SendDecided,
    SendRecorded,
    Started,
    Status,
    Timing,
    WorkArrived,
)
from ledger.consensus.inbox import DECIDED_KEPT_MAX, VOTES_KEPT_MAX, Inbox
from ledger.encoding import block_hash, vote_statement
from ledger.types import Block, Certificate, ChainId, Height, Proposal, ReplicaId, View, Vote
from tests.unit.ledger.consensus.lab import F, Lab, N, X, block_on, cast, hash_of, kept, said


def status(height: int = 1, view: int = 1) -> Status:
    return Status(height=Height(height), view=View(view))


def sent(effects, kind=object) -> list:
    return [(e.to, e.message) for e in effects if isinstance(e, Send) and isinstance(e.message, kind)]


def test_a_replica_says_where_it_is_when_it_starts():
    lab = Lab()
    assert Broadcast(status()) in lab.started


def test_an_active_replica_repeats_its_votes_ever_more_rarely():
    lab = Lab(timing=Timing(view_ms=60_000, view_ms_max=60_000))
    lab.accept(lab.block())
    repeats = [lab.now - 1_000_000 for _ in range(200) if (N, 1) in cast(lab.wait(50))]
    gaps = [later - earlier for earlier, later in itertools.pairwise(repeats)]
    assert 500 <= repeats[0] <= 675
    assert gaps == sorted(gaps)
    assert 2_000 <= gaps[-1] <= 2_550


def test_a_notarize_certificate_is_forwarded_once_and_others_never():
    lab = Lab()
    block = lab.block()
    lab.accept(block)
    certificate = lab.certificate(N, 1, block)
    effects = lab.hear(1, certificate)
    assert said(effects, Certificate) == []
    assert said(lab.wait(2_900), Certificate) == [certificate]
    other = Lab()
    other.step(WorkArrived())
    assert said(other.hear(1, other.certificate(X, 1)) + other.wait(20_000), Certificate) == []


def test_a_leader_repeats_its_proposal_to_those_who_did_not_vote_for_it():
    lab = Lab(me=2)
    lab.step(WorkArrived())
    block = lab.block()
    lab.built(block)
    lab.hear_all(lab.votes((0,), N, 1, block))
    assert {to for to, _ in sent(lab.wait(700), Proposal)} == {lab.replica(1), lab.replica(3)}


def test_old_votes_are_not_repeated_but_the_newest_finalize_is():
    lab = Lab()
    block = lab.block()
    lab.accept(block)
    lab.hear(1, lab.certificate(N, 1, block))
    lab.hear_all([(1, lab.certificate(X, view)) for view in (2, 3, 4)])
    assert set(cast(lab.wait(700))) == {(F, 1)}


def test_a_peer_in_an_earlier_view_gets_the_certificates_after_it():
    lab = Lab()
    block = lab.block()
    base, after = lab.certificate(N, 2, block), lab.certificate(X, 3)
    lab.hear_all([(1, lab.certificate(X, 1)), (1, base), (1, after)])
    assert sent(lab.hear(1, status(view=1))) == [(lab.replica(1), base), (lab.replica(1), after)]
    assert sent(lab.hear(3, status(view=3))) == [(lab.replica(3), after)]
    assert sent(lab.hear(2, status(view=4))) == []


def test_answers_to_one_peer_are_limited_unless_it_moves_on():
    lab = Lab()
    for view in (1, 2, 3):
        lab.hear(1, lab.certificate(X, view))
    assert len(sent(lab.hear(1, status(view=1)))) == 3
    assert sent(lab.hear(1, status(view=1))) == []
    assert len(sent(lab.hear(2, status(view=1)))) == 3
    assert len(sent(lab.hear(1, status(view=2)))) == 2
    lab.now += lab.timing.resend_ms
    assert len(sent(lab.hear(1, status(view=1)))) == 3


def test_a_long_row_of_nullified_views_is_handed_over_in_parts():
    lab = Lab()
    for view in range(1, 101):
        lab.hear(1, lab.certificate(X, view))
    views = [certificate.view for _, certificate in sent(lab.hear(1, status()))]
    assert views == list(range(1, 65))
    assert [c.view for _, c in sent(lab.hear(1, status(view=65)))] == list(range(65, 101))


def test_a_peer_in_a_later_view_is_told_where_this_replica_is():
    lab = Lab()
    assert sent(lab.hear(1, status(view=5))) == [(lab.replica(1), status())]
    assert sent(lab.hear(1, status(view=5))) == []


def test_a_requested_block_is_sent_once_in_a_while():
    lab = Lab()
    block = lab.block()
    lab.hear_proposal(block)
    request = GetBlock(height=Height(1), block_hash=hash_of(block))
    assert sent(lab.hear(1, request)) == [(lab.replica(1), BlockMessage(block=block))]
    assert sent(lab.hear(1, request)) == []
    assert sent(lab.hear(2, GetBlock(height=Height(1), block_hash=hash_of(lab.block(b"other"))))) == []


@pytest.mark.parametrize("restarted", [False, True])
def test_a_block_that_was_voted_for_and_is_needed_no_more_is_sent_from_the_records(restarted):
    """Else a certificate that the Byzantine show late would be for a block that no honest replica can produce."""
    lab = Lab()
    first, second, never = (lab.block(name) for name in (b"first", b"second", b"never"))
    views = [lab.certificate(X, view) for view in (1, 2)]
    effects = lab.accept(first) + lab.hear(1, views[0]) + lab.accept(second, 2, just=views[:1]) + lab.hear(1, views[1])
    assert cast(effects) == [(N, 1), (N, 2)]
    if restarted:
        lab = Lab(records=kept(effects))
    asker, height = lab.replica(1), Height(1)
    request = GetBlock(height=height, block_hash=hash_of(first))
    assert lab.hear(1, request) == [SendRecorded(asker, height, hash_of(first))]
    assert lab.hear(1, request) == []
    assert sent(lab.hear(2, GetBlock(height=height, block_hash=hash_of(second)))) == [
        (lab.replica(2), BlockMessage(block=second))
    ]
    assert lab.hear(3, GetBlock(height=height, block_hash=hash_of(never))) == []


def chain(lab: Lab, length: int) -> list[Decided]:
    """Final blocks of heights 1 to `length`."""
    head, blocks = lab.head, []
    for number in range(1, length + 1):
        block = block_on(head, b"tx %d" % number, by=lab.validators[0].key, timestamp_ms=lab.now)
        head = head.follow(block.header, lab.validators)
        votes = [lab.vote(index, F, 1, block, number) for index in (0, 1, 2)]
        certificate = Certificate(
            kind=F,
            height=Height(number),
            view=View(1),
            block_hash=hash_of(block),
            signers=(0, 1, 2),
            signatures=tuple(vote.signature for vote in votes),
        )
        blocks.append(Decided(block=block, certificate=certificate))
    return blocks


def commits(effects) -> list[Block]:
    return [effect.block for effect in effects if isinstance(effect, Commit)]


def test_a_peer_at_an_earlier_height_is_sent_final_blocks_within_limits():
    lab = Lab()
    for decided in chain(lab, 3):
        assert commits(lab.hear(1, decided)) == [decided.block]
        lab.committed(decided.block)
    assert lab.hear(1, status(1)) == [SendDecided(lab.replica(1), Height(1))]
    assert lab.hear(1, status(1)) == []
    assert lab.hear(1, status(2)) == [SendDecided(lab.replica(1), Height(2))]
    request = GetBlock(height=Height(3), block_hash=hash_of(lab.block()))
    assert lab.hear(2, request) == [SendDecided(lab.replica(2), Height(3))]
    assert lab.hear(3, lab.vote(3, X)) == []


def test_a_batch_of_final_blocks_is_committed_one_by_one():
    lab = Lab()
    batch = chain(lab, 4)
    effects = []
    for decided in batch:
        effects += lab.hear(1, decided)
    for decided in batch:
        assert commits(effects) == [decided.block]
        effects = lab.committed(decided.block)
    assert sent(effects, Status) == []
    assert lab.machine.status == status(5)


def of_another_chain(lab: Lab, decided: Decided) -> Decided:
    """What the same validators made final in a chain of another consortium document."""
    header = replace(decided.block.header, chain=ChainId(bytes(32)))
    stated = vote_statement(header.chain, F, Height(1), View(1), block_hash(header))
    signatures = tuple(lab.sign(index, stated) for index in (0, 1, 2))
    certificate = replace(decided.certificate, block_hash=block_hash(header), signatures=signatures)
    return Decided(block=Block(header=header, txs=decided.block.txs), certificate=certificate)


@pytest.mark.parametrize("flaw", ["kind", "block", "quorum", "body", "set", "chain"])
def test_a_final_block_without_its_certificate_or_body_is_refused(flaw):
    lab = Lab()
    (decided,) = chain(lab, 1)
    block = decided.block
    flawed = {
        "kind": Decided(block=block, certificate=lab.certificate(N, 1, block)),
        "block": Decided(block=block, certificate=lab.certificate(F, 1, lab.block(b"other"))),
        "quorum": Decided(block=block, certificate=lab.certificate(F, 1, block, signers=(0, 1))),
        "set": Decided(block=block, certificate=Lab(n=7).certificate(F, 1, block, signers=(4, 5, 6))),
        "chain": of_another_chain(lab, decided),
        "body": Decided(block=Block(header=block.header, txs=(b"swapped",)), certificate=decided.certificate),
    }
    assert commits(lab.hear(1, flawed[flaw])) == []
    assert commits(lab.hear(2, decided)) == [block]


def test_whoever_sent_a_false_final_block_is_not_believed_again():
    lab = Lab()
    first, second, third, fourth = chain(lab, 4)
    for each in (second, third, fourth):  # too few signed; they come before the true ones
        few = replace(each.certificate, signers=(0, 1), signatures=each.certificate.signatures[:2])
        lab.hear(1, replace(each, certificate=few))
    assert commits(lab.hear(2, first)) == [first.block]
    assert commits(lab.committed(first.block)) == []  # the first lie is found out
    for each in (third, fourth):
        lab.hear(2, each)
    assert commits(lab.hear(2, second)) == [second.block]
    assert commits(lab.committed(second.block)) == [third.block]
    assert commits(lab.committed(third.block)) == [fourth.block]


def test_a_liar_is_asked_for_nothing():
    lab = Lab()
    first, second = chain(lab, 2)
    lab.hear(1, status(9))
    lab.hear(3, status(9))
    lab.hear(1, replace(first, certificate=second.certificate))
    assert {to for to, _ in sent(lab.wait(3_000), Status)} == {lab.replica(3)}
    lab.hear(1, status(10))
    assert {to for to, _ in sent(lab.wait(3_000), Status)} == {lab.replica(3)}


def test_a_replica_that_is_behind_asks_those_ahead_in_turn_but_not_at_once():
    lab = Lab()
    assert sent(lab.hear(1, status(4))) == []
    assert sent(lab.hear(3, status(9))) == []
    assert [to for to, _ in sent(lab.wait(250), Status)] == [min(lab.replica(1), lab.replica(3))]
    assert {to for to, _ in sent(lab.wait(1_000), Status)} == {lab.replica(1), lab.replica(3)}
    (first, *_) = batch = chain(lab, 2)
    lab.hear(1, first)
    assert sent(lab.wait(2_000), Status) == []
    assert [message for _, message in sent(lab.committed(first.block), Status)] == [status(2)]
    lab.hear(1, batch[1])
    lab.committed(batch[1].block)
    assert lab.machine.status == status(3)


def test_final_blocks_that_are_none_do_not_keep_out_those_of_the_peer_that_is_asked():
    lab = Lab()
    batch = chain(lab, 5)
    forged = [Decided(block=decided.block, certificate=batch[0].certificate) for decided in batch[1:]]
    lab.hear_all((1, decided) for decided in forged)
    lab.hear(2, status(6))
    while lab.replica(2) not in {to for to, _ in sent(lab.wait(50), Status)}:
        pass
    effects = lab.hear_all((2, decided) for decided in batch) + lab.hear_all((1, decided) for decided in forged)
    for decided in batch:
        assert commits(effects) == [decided.block]
        effects = lab.committed(decided.block)
    assert lab.machine.status == status(6)


def test_messages_of_the_next_height_wait_for_it():
    lab = Lab()
    (decided,) = chain(lab, 1)
    lab.hear(1, decided)
    for index in (1, 2):
        lab.hear(index, lab.vote(index, X, height=2))
    effects = lab.committed(decided.block)
    assert [(vote.kind, vote.height) for vote in said(effects, Vote) if isinstance(vote, Vote)] == [(X, 2)]
    assert sent(lab.wait(300), Status) == []


def test_what_waits_for_later_heights_is_bounded_for_each_peer():
    lab, inbox = Lab(), Inbox(Height(1))
    peer, other = ReplicaId(1), ReplicaId(2)
    for view in range(1, 100):
        inbox.keep(peer, lab.vote(1, X, view, height=2))
        inbox.keep(peer, lab.vote(1, X, view, height=3))
        inbox.keep(peer, status(view + 1))
    assert inbox.size() == VOTES_KEPT_MAX
    inbox.keep(other, lab.vote(1, X, 1, height=2))
    inbox.keep(other, lab.vote(1, X, 1, height=2))
    assert inbox.size() == VOTES_KEPT_MAX + 1
    batch = chain(lab, 30)
    for decided in batch:
        inbox.keep(peer, decided)
        inbox.keep(other, decided)
    assert inbox.size() == VOTES_KEPT_MAX + 1 + DECIDED_KEPT_MAX + 1
    proposal = lab.proposal(batch[1].block)
    for view in (1, 2, 3):
        inbox.keep(
            peer, Proposal(**{**{f: getattr(proposal, f) for f in proposal.__slots__}, "height": 2, "view": view})
        )
    assert inbox.size() == VOTES_KEPT_MAX + 2 + DECIDED_KEPT_MAX + 1
    opened = inbox.open(Height(2))
    assert opened[0] == (peer, batch[1])
    assert len(opened) == VOTES_KEPT_MAX + 3
    assert inbox.is_ahead()


def test_a_commit_of_another_height_is_the_shells_mistake():
    lab = Lab()
    with pytest.raises(ValueError, match="expected the commit of height 1, got 2"):
        lab.step(Committed(height=Height(2), block_hash=hash_of(lab.block()), validators=lab.validators))


def test_own_messages_and_answers_for_other_heights_are_ignored():
    lab = Lab()
    assert lab.step(MessageReceived(sender=lab.replica(0), message=status(9))) == []
    block = lab.block()
    lab.hear_proposal(block)
    (decided,) = chain(lab, 1)
    lab.hear(1, decided)
    lab.committed(decided.block)
    assert cast(lab.validated(block)) == []
    assert said(lab.built(block)) == []


def test_a_machine_that_was_started_sets_a_timer():
    lab = Lab(start=False)
    assert lab.alarm is None
    lab.step(Started())
    assert lab.alarm is not None
