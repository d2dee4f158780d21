"""Making up for what was lost: repetition while a height is undecided, and answers to replicas that are behind.

Every automatic answer is limited for each peer, so no exchange of messages can feed itself.
"""

from ledger.consensus.effects import Broadcast, Send, SendRecorded
from ledger.consensus.messages import BlockMessage, GetBlock, Status
from ledger.consensus.proposing import ask_for_body
from ledger.consensus.state import HeightState
from ledger.encoding import VIEWS_AHEAD_MAX
from ledger.types import Certificate, Height, Millis, ReplicaId, View, VoteKind


class Limiter:
    """Lets one answer pass for each peer and subject, then again after a wait or when the peer has moved on."""

    def __init__(self, wait_ms: int) -> None:
        self._wait_ms = wait_ms
        self._last: dict[tuple[ReplicaId, str], tuple[tuple[Height, View], Millis]] = {}

    def allows(self, peer: ReplicaId, subject: str, place: tuple[Height, View], now: Millis) -> bool:
        """Whether to answer; `place` is where the peer says it is, and a higher one than before is progress."""
        last = self._last.get((peer, subject))
        if last is not None and place <= last[0] and now < last[1] + self._wait_ms:
            return False
        self._last[peer, subject] = (place, now)
        return True


def repeat(state: HeightState) -> None:
    """Say again what may have been lost: place, votes, the newest NOTARIZE certificate, proposal, open requests."""
    state.put(Broadcast(Status(height=state.height, view=state.view)))
    if not state.is_active():
        return
    finalizing = [view for kind, view in state.own if kind is VoteKind.FINALIZE]
    for (kind, view), vote in state.own.items():
        if view >= state.view - 1 or (kind is VoteKind.FINALIZE and view == max(finalizing)):
            state.put(Broadcast(vote))
    _forward(state)
    _repeat_proposal(state)
    for certificate in state.wanted.values():
        ask_for_body(state, certificate, state.ticks)


def _forward(state: HeightState) -> None:
    """Forward the newest NOTARIZE certificate, once; usually the height is decided before it comes to that."""
    base = state.certificates.base(state.view)
    if base > state.forwarded:
        state.forwarded = base
        state.put(Broadcast(state.certificates.notarized[base]))


def _repeat_proposal(state: HeightState) -> None:
    """Send own proposal again to the validators that have not voted for it."""
    if state.proposal is None or state.proposed != state.view:
        return
    voted = state.tally.signers(VoteKind.NOTARIZE, state.view)
    for index, validator in enumerate(state.committee.validators):
        if index != state.me and index not in voted:
            state.put(Send(validator.replica, state.proposal))


def answer_status(state: HeightState, peer: ReplicaId, view: View) -> None:
    """Upon a peer in an earlier view of this height, send what opens the views after its own."""
    for certificate in opening(state, view):
        state.put(Send(peer, certificate))


def opening(state: HeightState, view: View) -> list[Certificate]:
    """Certificates that lead from `view` towards this replica's: its base if that is not below, then NULLIFY."""
    base = state.certificates.base(state.view)
    start = base + 1 if base >= view else view
    path = [state.certificates.notarized[base]] if base >= view and base else []
    nullified = state.certificates.nullified
    return path + [nullified[View(w)] for w in range(start, min(state.view, start + VIEWS_AHEAD_MAX)) if w in nullified]


def answer_get_block(state: HeightState, peer: ReplicaId, request: GetBlock, now: Millis, limiter: Limiter) -> None:
    """Upon a request for a block that is in memory or on disk, send it."""
    body, hashed = state.bodies.get(request.block_hash), request.block_hash
    if body is None and hashed not in state.recorded:
        return
    if limiter.allows(peer, "block", (state.height, state.view), now):
        state.put(SendRecorded(peer, state.height, hashed) if body is None else Send(peer, BlockMessage(block=body)))
