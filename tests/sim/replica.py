"""The shell of a simulated replica: a disk that keeps what was persisted, a mempool, and crashes between effects."""

from typing import TYPE_CHECKING

from ledger import merkle
from ledger.chain import Head, check_header
from ledger.consensus import (
    BlockBuilt,
    BlockValidated,
    Broadcast,
    BuildBlock,
    Commit,
    Committed,
    Decided,
    Effect,
    Event,
    Evidence,
    Machine,
    Message,
    MessageReceived,
    Persist,
    Send,
    SendDecided,
    SetTimer,
    Started,
    TimerFired,
    ValidateBlock,
    WorkArrived,
    WorkGone,
    decode_message,
    encode_message,
)
from ledger.encoding import block_hash
from ledger.errors import InvalidBlockError
from ledger.types import Block, Certificate, Height, Millis, ReplicaId
from tests.sim.world import (
    CHAIN,
    CLOCK_SKEW_MS_MAX,
    TXS_PER_BLOCK_MAX,
    Key,
    execute,
    height_after,
    make_block,
    next_head,
    verify,
)

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

BATCH_BLOCKS = 4


class Replica:
    """One honest replica; strategies that run an honest core and misuse it derive from it."""

    honest = True

    def __init__(self, cluster: "Cluster", replica: ReplicaId, *, votes: bool) -> None:
        self.cluster, self.id, self.votes = cluster, replica, votes
        self.skew = cluster.random.randrange(-500, 500)
        self.chain: list[tuple[Block, Certificate]] = []
        self.heads: list[Head] = [cluster.committees.genesis()]
        self.included: set[bytes] = set()
        self.records: list[bytes] = []
        self.unflushed: list[bytes] = []
        self.up = True
        self.life = 0
        self.sign_from = Height(0)
        self.mempool: dict[bytes, None] = {}
        self.timer = 0
        self.machine = self.boot()

    @property
    def head(self) -> Head:
        return self.heads[-1]

    def clock(self) -> Millis:
        return Millis(self.cluster.now + self.skew)

    def boot(self) -> Machine:
        return Machine(
            chain=CHAIN,
            replica=self.id,
            height=height_after(self.head),
            parent=self.head.block_hash,
            validators=self.head.validators,
            verify=verify,
            signer=Key(self.id) if self.votes else None,
            timing=self.cluster.profile.timing,
            sign_from=self.sign_from,
            records=[decode_message(record) for record in self.records],  # type: ignore[misc]
        )

    def start(self) -> None:
        self.step(Started())

    def step(self, event: Event) -> None:
        if not self.up:
            return
        life = self.life
        for effect in self.machine.step(event, self.clock()):
            if self.cluster.strikes(self):
                self.crash()
            if life != self.life:
                return
            self.perform(effect)
        self.cluster.checker.stepped(self)

    def crash(self) -> None:
        """Lose everything that is not on disk; come back some time later."""
        self.up = False
        self.life += 1
        self.mempool = {}
        self.unflushed = []
        self.cluster.later(self.cluster.random.randrange(50, 3_000), self.restart)

    def lose_disk(self) -> None:
        """Forget everything, own votes included; sign again only at heights that nobody has reached."""
        if self.up:
            self.crash()
        self.sign_from = Height(max(len(replica.chain) for replica in self.cluster.honest) + 2)
        self.chain, self.heads = [], self.heads[:1]
        self.included, self.records = set(), []
        self.cluster.checker.forgets(self)

    def restart(self) -> None:
        if not self.up:
            self.up = True
            self.machine = self.boot()
            self.start()

    def perform(self, effect: Effect) -> None:
        match effect:
            case Persist():
                self.persist(effect)
            case Broadcast():
                self.speak(effect.message, None)
            case Send():
                self.speak(effect.message, effect.to)
            case SendDecided():
                for block, certificate in self.chain[effect.height - 1 : effect.height - 1 + BATCH_BLOCKS]:
                    self.speak(Decided(block=block, certificate=certificate), effect.to)
            case BuildBlock() | ValidateBlock():
                answer = self.build(effect) if isinstance(effect, BuildBlock) else self.validate(effect)
                self.later(self.cluster.execution_ms(), lambda: self.step(answer))
            case Commit():
                self.later(self.cluster.random.randrange(1, 6), lambda: self.commit(effect))
            case SetTimer():
                self.set_timer(effect.at)
            case Evidence():
                self.cluster.checker.accused(self, effect)

    def persist(self, effect: Persist) -> None:
        """Write, but flush no earlier than the law of durability asks: before the next message."""
        self.unflushed.append(encode_message(effect.record))

    def speak(self, message: Message, to: ReplicaId | None) -> None:
        self.records += self.unflushed
        self.unflushed = []
        self.cluster.checker.left(self, message)
        data = encode_message(message)
        for peer in self.cluster.peers if to is None else (to,):
            if peer != self.id:
                self.transmit(peer, data)

    def transmit(self, peer: ReplicaId, data: bytes) -> None:
        self.cluster.transmit(self.id, peer, data)

    def later(self, delay: int, action) -> None:
        """Do something later, unless this life is over by then."""
        life = self.life
        self.cluster.later(delay, lambda: action() if life == self.life and self.up else None)

    def set_timer(self, at: Millis) -> None:
        self.timer += 1
        mine = self.timer
        delay = max(0, at - self.clock())
        self.later(delay, lambda: self.step(TimerFired()) if mine == self.timer else None)

    def hear(self, sender: ReplicaId, message: Message) -> None:
        self.step(MessageReceived(sender=sender, message=message))

    def submit(self, tx: bytes) -> None:
        expired = self.cluster.now >= self.cluster.ghosts.get(tx, self.cluster.now + 1)
        if not self.up or expired or tx in self.included or tx in self.mempool:
            return
        self.mempool[tx] = None
        self.cluster.gossip(self.id, tx)
        self.step(WorkArrived())

    def expire(self, tx: bytes) -> None:
        if self.up and self.mempool.pop(tx, tx) is None and not self.mempool:
            self.step(WorkGone())

    def build(self, effect: BuildBlock) -> BlockBuilt:
        txs = tuple(self.mempool)[:TXS_PER_BLOCK_MAX]
        block = make_block(self.head, self.cluster.committees, txs, Key(self.id).key, self.clock()) if txs else None
        return BlockBuilt(height=effect.height, view=effect.view, block=block)

    def validate(self, effect: ValidateBlock) -> BlockValidated:
        header = effect.block.header
        valid = self.is_valid(effect.block)
        if effect.fresh and abs(header.timestamp_ms - self.clock()) > CLOCK_SKEW_MS_MAX:
            valid = False
        return BlockValidated(height=header.height, block_hash=block_hash(header), fresh=effect.fresh, valid=valid)

    def is_valid(self, block: Block) -> bool:
        try:
            check_header(block.header, self.head)
        except InvalidBlockError:
            return False
        txs = block.txs
        return (
            0 < len(txs) == len(set(txs)) <= TXS_PER_BLOCK_MAX
            and self.included.isdisjoint(txs)
            and all(self.cluster.knows(tx, block.header.timestamp_ms) for tx in txs)
            and merkle.root(txs) == block.header.tx_root
            and execute(self.head.header.state_root, txs) == block.header.state_root
            and block
            == make_block(self.head, self.cluster.committees, txs, block.header.proposer, block.header.timestamp_ms)
        )

    def commit(self, effect: Commit) -> None:
        block = effect.block
        self.cluster.checker.committed(self, effect)
        self.chain.append((block, effect.certificate))
        self.heads.append(next_head(self.head, block, self.cluster.committees))
        self.included.update(block.txs)
        self.records, self.unflushed = [], []
        for tx in block.txs:
            self.mempool.pop(tx, None)
        if self.cluster.strikes(self):
            self.crash()
            return
        decided = block_hash(block.header)
        self.step(Committed(height=block.header.height, block_hash=decided, validators=self.head.validators))
        if self.mempool and self.up:
            self.step(WorkArrived())
