"""Votes and certificates: rules H1, H2, H4, the quorum rules and amplification (docs/ledger.md, Consensus)."""

from ledger.chain import check_certificate
from ledger.consensus.effects import Broadcast, Evidence, Persist
from ledger.consensus.state import VIEWS_BACK_MAX, HeightState
from ledger.consensus.votes import known_signatures
from ledger.encoding import VIEWS_AHEAD_MAX
from ledger.errors import InvalidCertificateError
from ledger.types import (
    NO_BLOCK,
    BlockHash,
    Certificate,
    Millis,
    PublicKey,
    ReplicaId,
    Signature,
    View,
    Vote,
    VoteKind,
)


def cast(state: HeightState, kind: VoteKind, view: View, voted: BlockHash = NO_BLOCK) -> None:
    """Sign a vote, make it durable and send it (H5); once for each kind and view (H1)."""
    if state.signer is None or state.me is None or state.voted(kind, view):
        return
    vote = Vote(
        kind=kind,
        height=state.height,
        view=view,
        block_hash=voted,
        signer=state.me,
        signature=state.signer.sign(state.committee.vote_statement(kind, view, voted)),
    )
    state.own[kind, view] = vote
    state.put(Persist(vote))
    state.put(Broadcast(vote))
    count(state, vote)


def receive_vote(state: HeightState, sender: ReplicaId, vote: Vote) -> None:
    """Upon a peer's own vote; everything that can be dropped is, before its signature is verified."""
    if not 0 <= vote.signer < state.committee.size or state.committee.replica(vote.signer) != sender:
        return
    if vote.signer == state.me or not _is_in_reach(state, vote) or not state.tally.is_news(vote):
        return
    certificate = state.certificates.get(vote.kind, vote.view)
    if certificate is not None and certificate.block_hash == vote.block_hash:
        return
    if state.committee.is_signed(vote):
        count(state, vote)


def _is_in_reach(state: HeightState, vote: Vote) -> bool:
    lowest = state.view - VIEWS_BACK_MAX if vote.kind is VoteKind.FINALIZE else state.certificates.base(state.view)
    return max(1, lowest) <= vote.view <= state.view + VIEWS_AHEAD_MAX


def count(state: HeightState, vote: Vote) -> None:
    """Add a verified vote; upon q equal ones, learn their certificate."""
    contradicted = state.tally.add(vote)
    if contradicted is not None:
        state.put(Evidence(contradicted, vote))
    certificate = state.tally.certificate(vote, state.committee)
    if certificate is not None:
        learn(state, certificate)


def receive_certificate(state: HeightState, certificate: Certificate) -> bool:
    """Upon a certificate that came along somehow: verify and learn it, unless it is held; False if it is invalid."""
    held = state.certificates.get(certificate.kind, certificate.view)
    if held is not None and held.block_hash == certificate.block_hash:
        return certificate.height == state.height
    if not is_quorum(state, certificate):
        return False
    learn(state, certificate)
    return True


def is_quorum(state: HeightState, certificate: Certificate) -> bool:
    """Whether a certificate is one of this height; signatures that were verified as votes are not verified again."""
    if certificate.height != state.height:
        return False
    known = known_signatures(state.tally, certificate, state.committee)

    def verify(key: PublicKey, statement: bytes, signature: Signature) -> bool:
        return (key, signature) in known or state.committee.verify(key, statement, signature)

    try:
        check_certificate(certificate, state.committee.validators, state.committee.chain, verify)
    except InvalidCertificateError:
        return False
    return True


def learn(state: HeightState, certificate: Certificate) -> None:
    """Take a verified certificate; NOTARIZE and NULLIFY are made durable, for they may be impossible to rebuild.

    A replica that cast FINALIZE never nullifies that view. If the other signers are Byzantine and fall silent, only
    the kept NOTARIZE certificate can lead everybody out of it after a crash of the whole network.
    """
    if not state.certificates.add(certificate):
        return
    if certificate.kind is VoteKind.FINALIZE:
        return
    state.put(Persist(certificate))
    if certificate.kind is VoteKind.NOTARIZE:
        state.unanswered.append(certificate.view)


def enter_view(state: HeightState, now: Millis) -> bool:
    """Upon certificates that open a higher view, enter the highest (view rule)."""
    view = state.certificates.next_view(state.view)
    if view == state.view:
        return False
    state.view = view
    state.proposal = None
    state.deadline = None
    state.ticks = 0
    state.propose_at = Millis(now + state.timing.repropose_ms)
    state.prune()
    return True


def finalize(state: HeightState, _now: Millis) -> bool:
    """Upon a NOTARIZE certificate of view v, cast FINALIZE, unless own NULLIFY of v was cast (H4, H2)."""
    if not state.unanswered:
        return False
    view = state.unanswered.pop()
    if not state.voted(VoteKind.NULLIFY, view):
        cast(state, VoteKind.FINALIZE, view, state.certificates.notarized[view].block_hash)
    return True


def amplify(state: HeightState, _now: Millis) -> bool:
    """Upon f + 1 NULLIFY of this view, cast NULLIFY too: one of them is honest, and idle replicas join."""
    if len(state.tally.signers(VoteKind.NULLIFY, state.view)) <= state.committee.faults:
        return False
    return nullify(state)


def nullify(state: HeightState) -> bool:
    """Give this view up, unless it was given up or FINALIZE was cast in it (H2)."""
    if state.me is None or any(state.voted(kind, state.view) for kind in (VoteKind.NULLIFY, VoteKind.FINALIZE)):
        return False
    cast(state, VoteKind.NULLIFY, state.view)
    return True
