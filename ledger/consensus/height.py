"""One height: takes events, applies every rule that they enable, and arms the clocks.

Each rule is a function of the state that says whether it did anything. After an event the rules run until none does;
that ends because each acts at most once for a view and views only rise within one step by certificates already held.
"""

from collections.abc import Callable, Iterable
from typing import Final

from ledger.consensus import proposing, repair, voting
from ledger.consensus.effects import Commit
from ledger.consensus.messages import BlockMessage, Decided, GetBlock, Message, Record, Status
from ledger.consensus.state import HeightState
from ledger.encoding import block_hash
from ledger.types import BlockHash, Certificate, Millis, Proposal, ReplicaId, View, Vote, VoteKind


def decide(state: HeightState, _now: Millis) -> bool:
    """Upon q FINALIZE votes of any view, or their certificate, and the body of their block: commit it."""
    certificate = state.certificates.final
    if certificate is None:
        return False
    body = state.bodies.get(certificate.block_hash)
    if body is None:
        proposing.want(state, certificate)
        return False
    state.decided = True
    state.put(Commit(body, certificate))
    return True


RULES: Final[tuple[Callable[[HeightState, Millis], bool], ...]] = (
    decide,
    voting.enter_view,
    voting.finalize,
    voting.amplify,
    proposing.propose,
    proposing.validate,
    proposing.notarize,
)


class Instance:
    """The consensus on one height."""

    def __init__(self, state: HeightState, limiter: repair.Limiter, records: Iterable[Record] = ()) -> None:
        """Rebuild from the records that were made durable for this height; without any, begin."""
        self.state = state
        self._limiter = limiter
        for record in records:
            self._restore(record)

    def _restore(self, record: Record) -> None:
        """Take a record of before a restart; whatever followed from it but was not kept, the rules do again."""
        state = self.state
        match record:
            case Vote() if record.signer == state.me:
                state.own[record.kind, record.view] = record
                if record.kind is VoteKind.NOTARIZE:
                    state.verdicts[record.block_hash, True] = True
                if state.tally.is_news(record):
                    voting.count(state, record)
            case Vote():
                pass
            case Certificate():
                if state.certificates.add(record) and record.kind is VoteKind.NOTARIZE:
                    state.unanswered.append(record.view)
            case Proposal():
                state.keep_body(record.block)
                state.recorded.add(block_hash(record.block.header))
                if state.committee.leader(record.view) == state.me:
                    state.proposed = max(state.proposed, record.view)
                if state.proposal is None or record.view > state.proposal.view:
                    state.proposal = record

    def start(self, now: Millis) -> None:
        """Enter the view that the restored certificates open."""
        state = self.state
        restored = state.proposal
        voting.enter_view(state, now)
        state.proposal = restored if restored is not None and restored.view == state.view else None
        if state.proposal is not None:
            state.keep_body(state.proposal.block)
        state.prune()
        self.settle(now)

    def receive(self, sender: ReplicaId, message: Message, now: Millis) -> bool:
        """Take a message of this height; False if it is a final block that is none, so its sender lies."""
        state, honest = self.state, True
        if state.decided and not isinstance(message, GetBlock):
            return True
        match message:
            case Vote():
                voting.receive_vote(state, sender, message)
            case Certificate():
                voting.receive_certificate(state, message)
            case Proposal():
                proposing.receive_proposal(state, sender, message, now)
            case Status():
                self._take_status(sender, message.view, now)
            case GetBlock():
                repair.answer_get_block(state, sender, message, now, self._limiter)
            case BlockMessage():
                if block_hash(message.block.header) in state.wanted:
                    state.keep_body(message.block)
            case Decided():
                honest = self._take_decided(message)
        self.settle(now)
        return honest

    def _take_status(self, sender: ReplicaId, view: View, now: Millis) -> None:
        state = self.state
        if view < state.view and self._limiter.allows(sender, "views", (state.height, view), now):
            repair.answer_status(state, sender, view)

    def _take_decided(self, message: Decided) -> bool:
        """Upon a final block: with a certificate of this height's set and its whole body, it is decided here too."""
        state, certificate = self.state, message.certificate
        if certificate.kind is not VoteKind.FINALIZE or certificate.block_hash != block_hash(message.block.header):
            return False
        if not voting.receive_certificate(state, certificate):
            return False
        state.keep_body(message.block)
        return certificate.block_hash in state.bodies

    def work(self, *, arrived: bool) -> None:
        """Take note that the mempool holds, or holds no longer, something includable."""
        self.state.work = arrived
        self.state.work_since_build = arrived

    def expect_absent(self, absent: frozenset[int], now: Millis) -> None:
        """Give these leaders less time, also in the view that is under way."""
        state = self.state
        state.absent = absent
        if state.deadline is not None:
            state.deadline = min(state.deadline, self._deadline(now))

    def _deadline(self, now: Millis) -> Millis:
        state = self.state
        absent = state.committee.leader(state.view) in state.absent
        return Millis(now + state.timing.view_timeout(state.view, absent=absent))

    def validated(self, block: BlockHash, *, fresh: bool, valid: bool) -> None:
        """Take the verdict on a block."""
        self.state.verdicts[block, fresh] = valid

    def tick(self, now: Millis) -> None:
        """Act on every clock whose time has come."""
        state = self.state
        if state.decided:
            return
        if state.propose_at is not None and now >= state.propose_at:
            state.propose_at = None
        if state.deadline is not None and now >= state.deadline:
            state.deadline = None
            voting.nullify(state)
        if state.resend_at is not None and now >= state.resend_at:
            state.resend_at = None
            state.ticks += 1
            repair.repeat(state)
        self.settle(now)

    def settle(self, now: Millis) -> None:
        """Apply the rules until none does anything, then arm the clocks."""
        state = self.state
        while not state.decided and any(rule(state, now) for rule in RULES):
            pass
        if state.decided:
            state.deadline = state.resend_at = state.propose_at = None
            return
        if not state.is_active():
            state.deadline = None
        elif state.deadline is None and state.me is not None and not state.voted(VoteKind.NULLIFY, state.view):
            state.deadline = self._deadline(now)
        self._arm_resend(now)

    def _arm_resend(self, now: Millis) -> None:
        state, timing = self.state, self.state.timing
        active = state.is_active()
        wait = timing.resend_wait if active else timing.status_wait
        at = Millis(now + wait(state.replica, state.ticks))
        if state.resend_at is None or (active and at < state.resend_at):
            state.resend_at = at

    def wakes(self) -> list[Millis]:
        """Return the times at which `tick` has something to do."""
        state = self.state
        waits = state.leads and state.proposed < state.view and state.certificates.base(state.view) > 0
        times = (state.deadline, state.resend_at, state.propose_at if waits else None)
        return [] if state.decided else [time for time in times if time is not None]
