"""The consensus core of one replica: many heights, one after the other.

`Machine.step` is its only way in. It does no I/O, reads no clock and draws no randomness: the same events at the same
times give the same effects. One owner feeds it; it has no lock.
"""

from collections.abc import Iterable
from typing import assert_never

from ledger.chain import Verify
from ledger.consensus import proposing, repair
from ledger.consensus.absence import Absences
from ledger.consensus.committee import Committee, Signer
from ledger.consensus.effects import Effect, Outbox, Send, SendDecided, SetTimer
from ledger.consensus.events import (
    BlockBuilt,
    BlockValidated,
    Committed,
    Event,
    MessageReceived,
    PeerReached,
    Started,
    TimerFired,
    WorkArrived,
    WorkGone,
)
from ledger.consensus.height import Instance
from ledger.consensus.inbox import Inbox
from ledger.consensus.messages import GetBlock, Message, Record, Status, height_of
from ledger.consensus.state import HeightState
from ledger.consensus.timing import Timing
from ledger.types import BlockHash, ChainId, Height, Millis, PublicKey, ReplicaId, Validator, View, Vote


class Machine:
    """Decides heights."""

    def __init__(
        self,
        *,
        chain: ChainId,
        replica: ReplicaId,
        height: Height,
        parent: BlockHash,
        validators: tuple[Validator, ...],
        verify: Verify,
        signer: Signer | None = None,
        timing: Timing | None = None,
        records: Iterable[Record] = (),
        sign_from: Height = Height(0),
    ) -> None:
        """Build the core of a replica, new or restarted.

        Args:
            chain: hash of the consortium document.
            replica: this daemon, as its peers know it.
            height: height to decide: one more than the newest block.
            parent: hash of the newest block.
            validators: set that decides `height`, sorted by key.
            verify: checks an Ed25519 signature.
            signer: this daemon's vote key; None for an observer. A key that the set does not have for this very daemon
                observes as well.
            timing: waits; the default is for daemons in one data centre or region.
            records: what was made durable for `height`, in any order.
            sign_from: lowest height at which to sign. A daemon whose database may be older than its votes observes
                until it is certain to be past them; which height that is, the shell finds out from its peers.
        """
        self._chain = chain
        self._replica = replica
        self._verify = verify
        self._signer = signer
        self._timing = timing or Timing()
        self._sign_from = sign_from
        self._outbox = Outbox()
        self._limiter = repair.Limiter(self._timing.resend_ms)
        self._inbox = Inbox(height)
        self._absences = Absences()
        self._ask_at: Millis | None = None
        self._timer: Millis | None = None
        self._instance = self._begin(height, parent, validators, records)

    @property
    def status(self) -> Status:
        """Where this replica is."""
        return Status(height=self._instance.state.height, view=self._instance.state.view)

    def newest_vote(self, key: PublicKey) -> Vote | None:
        """Return the newest vote of a key that is held for the current height: for its owner, after a lost database."""
        state = self._instance.state
        index = state.committee.index(key)
        return None if index is None else state.tally.newest(index)

    def step(self, event: Event, now: Millis) -> list[Effect]:
        """Take one event at a time that never goes back, and return what must now be done, in order."""
        match event:
            case Started():
                self._start(now)
            case MessageReceived():
                self._receive(event, now)
            case PeerReached():
                self._absences.reach(event.peer, reached=event.reached)
                self._instance.expect_absent(self._absences.among(self._instance.state.committee), now)
            case TimerFired():
                self._tick(now)
            case WorkArrived() | WorkGone():
                self._instance.work(arrived=isinstance(event, WorkArrived))
                self._instance.settle(now)
            case BlockBuilt() | BlockValidated():
                self._take_answer(event, now)
            case Committed():
                self._advance(event, now)
            case _:
                assert_never(event)
        self._set_timer()
        return self._outbox.take()

    def _begin(
        self, height: Height, parent: BlockHash, validators: tuple[Validator, ...], records: Iterable[Record]
    ) -> Instance:
        committee = Committee(chain=self._chain, height=height, validators=validators, verify=self._verify)
        signer = self._signer if height >= self._sign_from else None
        me = None if signer is None else committee.index(signer.key)
        if me is not None and committee.replica(me) != self._replica:
            me = None  # the key is another daemon's now; two that sign with it would contradict each other
        state = HeightState(
            committee=committee,
            parent=parent,
            replica=self._replica,
            signer=signer if me is not None else None,
            me=me,
            timing=self._timing,
            outbox=self._outbox,
            absent=self._absences.among(committee),
        )
        return Instance(state, self._limiter, records)

    def _start(self, now: Millis) -> None:
        self._instance.start(now)
        repair.repeat(self._instance.state)

    def _receive(self, event: MessageReceived, now: Millis) -> None:
        """Sort a message by its height: this one's is taken, a higher one's kept, a lower one's answered."""
        sender, message = event.sender, event.message
        height, current = height_of(message), self._instance.state.height
        if sender == self._replica:
            return
        if height < current:
            if isinstance(message, Status | GetBlock) and self._limiter.allows(
                sender, "decided", (height, View(0)), now
            ):
                self._outbox.put(SendDecided(sender, height))
            return
        if height > current:
            self._inbox.keep(sender, message)
            self._note_ahead(now)
            return
        if isinstance(message, Status) and message.view > self._instance.state.view:
            self._answer_ahead(sender, now)
        self._take(sender, message, now)

    def _take(self, sender: ReplicaId, message: Message, now: Millis) -> None:
        """Take a message of the current height."""
        if not self._instance.receive(sender, message, now):
            self._inbox.distrust(sender)

    def _answer_ahead(self, sender: ReplicaId, now: Millis) -> None:
        """Upon a peer in a later view of this height, say where this replica is; the peer sends what it takes."""
        if self._limiter.allows(sender, "place", (self.status.height, self.status.view), now):
            self._outbox.put(Send(sender, self.status))

    def _note_ahead(self, now: Millis) -> None:
        """Upon a message of a later height, ask for final blocks, but not before this one had time to be decided."""
        if self._ask_at is None:
            self._ask_at = Millis(now + self._timing.repropose_ms)

    def _ask(self, now: Millis) -> None:
        """Ask one of the peers that are ahead, another one each time."""
        self._ask_at = None
        peer = self._inbox.next_ahead()
        if peer is not None and not self._instance.state.decided:
            self._outbox.put(Send(peer, self.status))
        if peer is not None:
            self._ask_at = Millis(now + self._timing.resend_ms)

    def _take_answer(self, event: BlockBuilt | BlockValidated, now: Millis) -> None:
        """Take what the shell found out about a block of this height; a height that is over needs it no more."""
        if event.height != self._instance.state.height:
            return
        if isinstance(event, BlockBuilt):
            proposing.take_built(self._instance.state, event.view, event.block)
        else:
            self._instance.validated(event.block_hash, fresh=event.fresh, valid=event.valid)
        self._instance.settle(now)

    def _tick(self, now: Millis) -> None:
        self._timer = None
        if self._ask_at is not None and now >= self._ask_at:
            self._ask(now)
        self._instance.tick(now)

    def _advance(self, event: Committed, now: Millis) -> None:
        """Begin the next height with what was kept for it."""
        decided = self._instance.state.height
        if event.height != decided:
            raise ValueError(f"expected the commit of height {decided}, got {event.height}")
        self._absences.note(self._instance.state.committee, self._instance.state.certificates)
        height = Height(decided + 1)
        self._instance = self._begin(height, event.block_hash, event.validators, ())
        self._instance.start(now)
        kept = self._inbox.open(height)
        for sender, message in kept:
            if not self._instance.state.decided:
                self._take(sender, message, now)
        if not self._inbox.is_ahead():
            self._ask_at = None
        elif not self._instance.state.decided:
            self._ask(now)

    def _set_timer(self) -> None:
        times = self._instance.wakes() + ([] if self._ask_at is None else [self._ask_at])
        at = min(times, default=None)
        if at is not None and at != self._timer:
            self._outbox.put(SetTimer(at))
        self._timer = at
