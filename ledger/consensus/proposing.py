"""Proposals and NOTARIZE votes: rules H1, H3 and the leader's part (docs/ledger.md, Consensus)."""

from ledger.consensus.effects import Broadcast, BuildBlock, Send, ValidateBlock
from ledger.consensus.messages import GetBlock
from ledger.consensus.state import HeightState
from ledger.consensus.voting import cast, enter_view, receive_certificate
from ledger.encoding import VIEWS_AHEAD_MAX, block_hash
from ledger.types import Block, Certificate, Millis, Proposal, ReplicaId, Signature, View, VoteKind


def propose(state: HeightState, now: Millis) -> bool:
    """Upon leading a view: propose the notarized block of its base again, else a new block as soon as there is work."""
    if not state.leads or state.proposed >= state.view:
        return False
    base = state.certificates.base(state.view)
    if base:
        return _propose_again(state, base, now)
    if not state.work or state.building == state.view:
        return False
    state.building = state.view
    state.work_since_build = False
    state.put(BuildBlock(state.height, state.view))
    return True


def _propose_again(state: HeightState, base: View, now: Millis) -> bool:
    """Propose the block of `base` in this view, after a pause in which FINALIZE votes usually decide it."""
    if state.propose_at is not None and now < state.propose_at:
        return False
    certificate = state.certificates.notarized[base]
    body = state.bodies.get(certificate.block_hash)
    if body is None:
        want(state, certificate)
        return False
    return _publish(state, body, base)


def take_built(state: HeightState, view: View, block: Block | None) -> None:
    """Upon the block that was asked for: propose it, if its view still is this one; none means that work is gone.

    Raises:
        ValueError: the block is not one of this height; the shell's mistake.
    """
    if state.decided or state.building != view:
        return
    if block is None:
        state.work = state.work_since_build
        state.building = View(0)
        return
    if view != state.view or not state.leads or state.proposed >= view or state.certificates.base(view):
        return
    if not state.keep_body(block):
        raise ValueError(f"expected a whole block of height {state.height} on its parent, got {block.header}")
    state.verdicts[block_hash(block.header), True] = True
    _publish(state, block, View(0))


def _publish(state: HeightState, block: Block, base: View) -> bool:
    """Sign a proposal, make it durable and send it (H5): a leader that restarts proposes nothing else in its view."""
    justification = state.certificates.justification(base, state.view, VIEWS_AHEAD_MAX)
    if state.signer is None or justification is None:
        return False
    unsigned = Proposal(
        height=state.height,
        view=state.view,
        block=block,
        base=base,
        justification=justification,
        signature=Signature(bytes(64)),
    )
    statement = state.committee.proposal_statement(unsigned)
    proposal = Proposal(
        height=unsigned.height,
        view=unsigned.view,
        block=block,
        base=base,
        justification=justification,
        signature=state.signer.sign(statement),
    )
    state.proposed = state.view
    state.proposal = proposal
    state.record(proposal)
    state.put(Broadcast(proposal))
    return True


def receive_proposal(state: HeightState, sender: ReplicaId, proposal: Proposal, now: Millis) -> None:
    """Upon a leader's own proposal: learn its certificates, which may open its view, and take the view's first."""
    leader = state.committee.leader(proposal.view)
    if state.committee.replica(leader) != sender or leader == state.me:
        return
    wanted = block_hash(proposal.block.header) in state.wanted
    if wanted:
        state.keep_body(proposal.block)
    if not state.view <= proposal.view <= state.view + VIEWS_AHEAD_MAX:
        return
    if proposal.view == state.view and state.proposal is not None:
        return
    if not 0 <= proposal.base < proposal.view or not state.committee.is_led(proposal):
        return
    if not all(receive_certificate(state, certificate) for certificate in proposal.justification):
        return
    enter_view(state, now)
    if proposal.view == state.view and is_justified(state, proposal) and state.keep_body(proposal.block):
        state.proposal = proposal


def is_justified(state: HeightState, proposal: Proposal) -> bool:
    """H3: its base is 0 or notarized for this very block, and every view between base and its own is nullified."""
    notarized, nullified = state.certificates.notarized, state.certificates.nullified
    if proposal.base:
        base = notarized.get(proposal.base)
        if base is None or base.block_hash != block_hash(proposal.block.header):
            return False
    return all(View(view) in nullified for view in range(proposal.base + 1, proposal.view))


def validate(state: HeightState, _now: Millis) -> bool:
    """Upon a proposal whose block has not been executed here, have it executed."""
    if state.proposal is None or state.me is None or state.voted(VoteKind.NOTARIZE, state.view):
        return False
    key = (block_hash(state.proposal.block.header), state.proposal.base == 0)
    if key in state.verdicts or state.is_valid(key[0], fresh=key[1]):
        return False
    state.verdicts[key] = None
    state.put(ValidateBlock(state.proposal.block, fresh=key[1]))
    return True


def notarize(state: HeightState, _now: Millis) -> bool:
    """Upon the first proposal of this view, justified and valid, cast NOTARIZE (H1, H3), even after own NULLIFY.

    Were it forbidden after NULLIFY, a view in which some had cast FINALIZE and the others NULLIFY could hold everybody.
    """
    proposal = state.proposal
    if proposal is None or state.me is None or state.voted(VoteKind.NOTARIZE, state.view):
        return False
    hashed = block_hash(proposal.block.header)
    if not state.is_valid(hashed, fresh=proposal.base == 0):
        return False
    if not state.leads:
        state.record(proposal)
    cast(state, VoteKind.NOTARIZE, state.view, hashed)
    return True


def want(state: HeightState, certificate: Certificate) -> None:
    """Ask for the body of a certified block, one signer at a time, beginning with another one at every replica."""
    if certificate.block_hash not in state.wanted:
        state.wanted[certificate.block_hash] = certificate
        ask_for_body(state, certificate, 0)


def ask_for_body(state: HeightState, certificate: Certificate, attempt: int) -> None:
    """Ask the next signer of a certificate; f + 1 of them are honest and have the body, in memory or on disk."""
    others = [signer for signer in certificate.signers if signer != state.me]
    if others:
        replica = state.committee.replica(others[(state.replica + attempt) % len(others)])
        state.put(Send(replica, GetBlock(height=state.height, block_hash=certificate.block_hash)))
