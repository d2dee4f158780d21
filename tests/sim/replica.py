"""The shell of a simulated replica: what `ledger.replica` does around the core, without threads and streams.

The engine, the store, the mempool and the question for own votes are the real ones. The shell decides when things
happen: it flushes no earlier than the law of durability asks, it may crash between any two effects and within a flush,
and building, validating and committing take their time while other events go on.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ledger.consensus import (
    BlockBuilt,
    BlockValidated,
    Broadcast,
    BuildBlock,
    Commit,
    Committed,
    Effect,
    Event,
    Evidence,
    Machine,
    Message,
    MessageReceived,
    PeerReached,
    Persist,
    Record,
    Send,
    SendDecided,
    SendRecorded,
    SetTimer,
    Started,
    TimerFired,
    ValidateBlock,
    WorkArrived,
    WorkGone,
)
from ledger.encoding import block_hash
from ledger.errors import LedgerError, StorageError
from ledger.replica.driver import NEVER
from ledger.replica.engine import Engine
from ledger.replica.enlisting import Enlisting
from ledger.replica.items import AskVotes, Item, TellVotes, Transactions, encode_item
from ledger.replica.mempool import Mempool
from ledger.replica.pace import Pace
from ledger.replica.sightings import Sightings
from ledger.store.audit import AuditableStore
from ledger.types import Height, Millis, PublicKey, ReplicaId, Vote
from tests.sim.clocks import PPM, MachineClock
from tests.sim.world import decode

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

TXS_PER_BLOCK_MAX = 5
HOUSEKEEPING_MS = 500
ASK_MS = 1_000


class Replica:
    """One honest replica; strategies that run an honest core and misuse it derive from it."""

    honest = True

    def __init__(self, cluster: "Cluster", replica: ReplicaId, *, votes: bool) -> None:
        self.cluster, self.id = cluster, replica
        self.signer = cluster.world.signer(replica) if votes else None
        source, profile = cluster.random, cluster.profile
        self.clock = MachineClock(
            lambda: cluster.now,
            rate_ppm=PPM + source.randint(-profile.drift_ppm, profile.drift_ppm),
            offset_ms=source.randint(-profile.skew_ms, profile.skew_ms),
        )
        self.disk = cluster.world.disk()
        self.up = False
        self.life = 0
        self.paused_until = 0
        self.damaged = False
        """Whether its disk was damaged so that it must see it."""
        self.store: AuditableStore
        self.engine: Engine
        self.machine: Machine
        self._power_on()

    @property
    def height(self) -> int:
        """Height of the newest block."""
        return self.engine.head.header.height

    def is_at(self, height: int) -> bool:
        """Whether it runs, knows of all its votes, and has this newest block."""
        return self.up and self.enlisting is None and not self.committing and self.height == height

    # ------------------------------------------------------------------ its lives

    def _power_on(self) -> None:
        self.clock.start(self.cluster.random.randrange(1_000, 1_000_000_000))
        try:
            self._open()
        except StorageError:
            if self.honest and not self.damaged:
                raise
            # The daemon stops and says why; a person gives it an empty directory.
            self.disk.wipe()
            self.cluster.checker.forgets(self)
            self._open()
        self.damaged = False
        self.up = True
        self.mempool = Mempool(may_send=lambda _sender: True)
        own = None if self.signer is None else self.signer.key
        self.sightings = Sightings(replica=self.id, key=own, validators=self.engine.head.validators)
        self.answers = Pace(per_second=1, burst=3)
        self.unflushed: list[Record] = []
        self.committing = False
        self.timer = 0
        self.keeping_house = False
        self.allowed: Height | None = None
        self.enlisting: Enlisting | None = None
        if self.signer is not None and self.cluster.profile.asks and not self.engine.has_never_voted():
            self.enlisting = Enlisting(
                chain=self.cluster.world.genesis.chain,
                key=self.signer.key,
                replica=self.id,
                validators=self.engine.head.validators,
                verify=self.cluster.world.verify,
            )
        self._begin(Height(0) if self.enlisting is None else NEVER)

    def _open(self) -> None:
        world = self.cluster.world
        self.store = self.disk.open()
        executor = world.executor(self.store.read_node)
        self.engine = Engine(store=self.store, executor=executor, genesis=world.genesis, verify=world.verify)

    def _begin(self, sign_from: Height) -> None:
        head = self.engine.head
        height = Height(head.header.height + 1)
        self.machine = Machine(
            chain=self.cluster.world.genesis.chain,
            replica=self.id,
            height=height,
            parent=head.block_hash,
            validators=head.validators,
            verify=self.cluster.world.verify,
            signer=self.signer,
            timing=self.cluster.profile.timing,
            records=self.engine.records(height),
            sign_from=sign_from,
        )

    def start(self) -> None:
        """Run what was put together."""
        self.step(Started())
        if self.up:
            self._tell_work()
            self._ask()

    def restart(self) -> None:
        """Come back after a crash."""
        if not self.up:
            self._power_on()
            self.start()
            self.cluster.spread_news(self.id, reached=True)

    def crash(self, torn: Sequence[Record] = ()) -> None:
        """Lose everything that is not on disk; come back some time later."""
        self.up = False
        self.life += 1
        self.disk.lose_power(torn)
        self.cluster.spread_news(self.id, reached=False)
        self.cluster.later(self.cluster.random.randrange(50, 3_000), self.restart)

    def lose_disk(self) -> None:
        """Come back without anything, or with something that is seen to be damaged."""
        if self.up:
            self.crash()
        if self.cluster.random.random() < 0.5:
            self.disk.wipe()
            self.cluster.checker.forgets(self)
        else:
            self.damaged = True
            self.disk.corrupt(self.cluster.random)

    def roll_back(self) -> None:
        """Come back without the last thing that was flushed, and do not know it."""
        if self.up:
            self.crash()
        self.cluster.checker.forgives(self, self.height + 1)
        self.disk.roll_back(self.cluster.random)

    def pause(self, duration: int) -> None:
        """Stand still: everything that happens meanwhile is seen afterwards."""
        self.paused_until = self.cluster.now + duration

    def hear_of(self, peer: ReplicaId, *, reached: bool) -> None:
        """Learn that the way to a peer opened or broke, sooner or later; or never, or wrongly."""
        self._later(self.cluster.news.randrange(1_000), lambda: self.step(PeerReached(peer=peer, reached=reached)))

    # ------------------------------------------------------------------ the owner of the core

    def step(self, event: Event) -> None:
        """Feed an event and carry out the effects, unless a crash comes between."""
        if not self.up:
            return
        life = self.life
        try:
            for effect in self.machine.step(event, self.clock.monotone()):
                if life == self.life and self.cluster.strikes(self):
                    self.crash()
                if life != self.life:
                    return
                self._perform(effect)
        except StorageError as error:
            self._fails(error)
        if life == self.life:
            self.cluster.checker.stepped(self)
            self._restart_core()

    def _fails(self, error: StorageError) -> None:
        if self.honest:
            self.cluster.checker.failed(self, error)
        self.crash()
        self.disk.wipe()

    def _restart_core(self) -> None:
        """Vote from now on, if peers allowed it; never while a block is being committed."""
        if self.allowed is None or self.committing:
            return
        sign_from, self.allowed = self.allowed, None
        self.engine.persist(self.unflushed)
        self.unflushed = []
        self._begin(sign_from)
        self.start()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Persist():
                self.unflushed.append(effect.record)
            case Broadcast():
                self._speak(effect.message, None)
            case Send():
                self._speak(effect.message, effect.to)
            case SetTimer():
                self._set_timer(effect.at)
            case Evidence():
                self.cluster.checker.accused(self, effect)
            case _:
                self._work(effect)

    def _work(self, effect: SendDecided | SendRecorded | BuildBlock | ValidateBlock | Commit) -> None:
        """What the real one gives to its worker."""
        match effect:
            case SendDecided():
                for data in self.engine.decided_from(effect.height):
                    self._say(decode(data), data, effect.to)
            case SendRecorded():
                for data in self.engine.recorded_block(effect.height, effect.block_hash):
                    self._say(decode(data), data, effect.to)
            case BuildBlock():
                self._later(self.cluster.execution_ms(), self._answer(self._build(effect)))
            case ValidateBlock():
                self._later(self.cluster.execution_ms(), self._answer(self._validate(effect)))
            case Commit():
                self.committing = True
                self._later(self.cluster.random.randrange(1, 6), lambda: self._commit(effect))

    def _speak(self, message: Message, to: ReplicaId | None) -> None:
        """Flush, no earlier than now, and send."""
        if self.unflushed:
            records, self.unflushed = self.unflushed, []
            if self.cluster.strikes(self):
                self.crash(torn=records)
                return
            self.persist(records)
        self._say(message, encode_item(message), to)

    def persist(self, records: Sequence[Record]) -> None:
        """Make records durable."""
        self.engine.persist(records)

    def _say(self, item: Item, data: bytes, to: ReplicaId | None) -> None:
        self.cluster.checker.left(self, item, to)
        if self.honest:
            self.cluster.faulty.spoke(self, item)
        for peer in self.cluster.peers if to is None else (to,):
            if peer != self.id:
                self.transmit(peer, data)

    def transmit(self, peer: ReplicaId, data: bytes) -> None:
        """Hand to the network."""
        self.cluster.transmit(self.id, peer, data)

    def _later(self, delay: int, action: Callable[[], None]) -> None:
        """Do something later, unless this life is over by then."""
        life = self.life

        def act() -> None:
            if life != self.life or not self.up:
                return
            if self.cluster.now < self.paused_until:
                self.cluster.later(self.paused_until - self.cluster.now, act)
            else:
                action()

        self.cluster.later(delay, act)

    def _set_timer(self, at: Millis) -> None:
        self.timer += 1
        mine = self.timer
        self._later(self.clock.delay_until(at), lambda: self.step(TimerFired()) if mine == self.timer else None)

    # ------------------------------------------------------------------ blocks

    def _answer(self, event: BlockBuilt | BlockValidated) -> Callable[[], None]:
        return lambda: self.step(event)

    def _build(self, effect: BuildBlock) -> BlockBuilt:
        assert self.signer is not None
        now = self.clock.now_ms()
        block, final = self.engine.build(self.mempool.oldest(now, TXS_PER_BLOCK_MAX), self.signer.key, now)
        self.mempool.remove(final)
        return BlockBuilt(height=effect.height, view=effect.view, block=block)

    def _validate(self, effect: ValidateBlock) -> BlockValidated:
        block = effect.block
        valid = self.engine.validate(block, fresh=effect.fresh, now=self.clock.now_ms())
        hashed = block_hash(block.header)
        return BlockValidated(height=block.header.height, block_hash=hashed, fresh=effect.fresh, valid=valid)

    def _commit(self, effect: Commit) -> None:
        self.cluster.checker.committed(self, effect)
        try:
            done = self.engine.commit(effect.block, effect.certificate)
        except StorageError as error:
            self._fails(error)
            return
        self.mempool.remove(done.tx_ids)
        self.unflushed = [record for record in self.unflushed if record.height > done.height]
        if self.cluster.strikes(self):
            self.crash()
            return
        self.committing = False
        validators = self.engine.head.validators
        life = self.life
        self.step(Committed(height=done.height, block_hash=done.block_hash, validators=validators))
        if life == self.life:
            self._tell_work()

    def _tell_work(self) -> None:
        timestamp = Millis(max(self.clock.now_ms(), self.engine.head.header.timestamp_ms + 1))
        if self.mempool.has_includable(timestamp):
            self.step(WorkArrived())

    # ------------------------------------------------------------------ what peers say

    def receive(self, sender: ReplicaId, item: Item) -> None:
        """Take what the network brings."""
        if self.cluster.now < self.paused_until:
            self._later(self.paused_until - self.cluster.now, lambda: self.hear(sender, item))
        elif self.up:
            self.hear(sender, item)

    def hear(self, sender: ReplicaId, item: Item) -> None:
        """Take an item of a peer."""
        match item:
            case Transactions():
                for tx in item.txs:
                    self._admit(tx)
            case AskVotes():
                self._tell_votes(sender, item.key)
            case TellVotes():
                self.sightings.see(sender, item.height)
                self._take_answer(sender, item)
            case _:
                self.sightings.take(sender, item)
                if isinstance(item, Vote):
                    self.cluster.checker.hears(self, sender, item)
                self.step(MessageReceived(sender=sender, message=item))

    def submit(self, tx: bytes) -> None:
        """Take a client's transaction and pass it on."""
        if self.up and self.cluster.now >= self.paused_until and self._admit(tx):
            data = encode_item(Transactions((tx,)))
            for peer in self.cluster.peers:
                if peer != self.id:
                    self.transmit(peer, data)

    def _admit(self, tx: bytes) -> bool:
        try:
            pooled = self.engine.check(tx)
            is_new = self.store.locate(pooled.tx_id) is None and self.mempool.add(pooled, self.clock.now_ms())
        except LedgerError:
            return False
        if is_new:
            if not self.keeping_house:
                self.keeping_house = True
                self._later(HOUSEKEEPING_MS, self._keep_house)
            self.step(WorkArrived())
        return is_new

    def _keep_house(self) -> None:
        """Drop transactions that are over."""
        now = self.clock.now_ms()
        timestamp = Millis(max(now, self.engine.head.header.timestamp_ms + 1))
        if self.mempool.expire(now) and not self.mempool.has_includable(timestamp):
            self.step(WorkGone())
        self.keeping_house = self.up and len(self.mempool) > 0
        if self.keeping_house:
            self._later(HOUSEKEEPING_MS, self._keep_house)

    def _ask(self) -> None:
        """Ask everybody for the newest own vote, until enough have answered."""
        if self.enlisting is not None:
            data = encode_item(AskVotes(self.enlisting.key))
            for peer in self.enlisting.missing(frozenset(self.cluster.peers)):
                if peer != self.id:
                    self.transmit(peer, data)
            self._later(ASK_MS, self._ask)

    def _tell_votes(self, peer: ReplicaId, key: PublicKey) -> None:
        if self.answers.allows(peer, self.clock.monotone() / 1_000):
            known = (self.engine.newest_vote_of(key), self.sightings.newest_vote(peer), self.machine.newest_vote(key))
            newest = max((vote for vote in known if vote is not None), key=_place, default=None)
            self.transmit(peer, encode_item(TellVotes(self.machine.status.height, newest)))

    def _take_answer(self, sender: ReplicaId, answer: TellVotes) -> None:
        if self.enlisting is None:
            return
        self.enlisting.take(sender, answer)
        if self.enlisting.is_complete():
            self.allowed = self.enlisting.sign_from(self.engine.newest_vote(), self.engine.knows_vote)
            self.enlisting = None
            self.step(TimerFired())


def _place(vote: Vote) -> tuple[int, int, int]:
    return vote.height, vote.view, vote.kind
