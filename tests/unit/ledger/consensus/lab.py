"""One replica under test, with every validator's key in hand; validators are named by their index in the set."""

from collections.abc import Iterable

from ledger import merkle
from ledger.chain import Head, build_header, genesis_head, quorum
from ledger.consensus import (
    BlockBuilt,
    BlockValidated,
    Broadcast,
    BuildBlock,
    Committed,
    Effect,
    Event,
    Machine,
    Message,
    MessageReceived,
    Persist,
    Record,
    SetTimer,
    Started,
    TimerFired,
    Timing,
    ValidateBlock,
)
from ledger.encoding import block_hash, proposal_statement, vote_statement
from ledger.types import (
    NO_BLOCK,
    Block,
    BlockHash,
    Certificate,
    Height,
    Millis,
    Proposal,
    PublicKey,
    ReplicaId,
    Signature,
    View,
    Vote,
    VoteKind,
)
from tests.sim.world import CHAIN, Key, validators_of, verify

N, X, F = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE


class Lab:
    """At height 1, view v is led by validator (1 + v) mod n."""

    def __init__(
        self,
        n: int = 4,
        me: int | None = 0,
        *,
        records: Iterable[Record] = (),
        timing: Timing | None = None,
        sign_from: int = 0,
        start: bool = True,
    ):
        self.n, self.me = n, me
        self.validators = validators_of(range(n))
        self.head = genesis_head(CHAIN, merkle.EMPTY_ROOT, self.validators)
        self.timing = timing or Timing()
        self.now = 1_000_000
        self.verified = 0
        self.alarm: int | None = None
        mine = ReplicaId(n) if me is None else self.validators[me].replica
        self.machine = Machine(
            chain=CHAIN,
            replica=mine,
            height=Height(1),
            parent=self.head.block_hash,
            validators=self.validators,
            verify=self._verify,
            signer=Key(mine),
            timing=self.timing,
            records=records,
            sign_from=Height(sign_from),
        )
        self.started = self.step(Started()) if start else []

    def _verify(self, key: PublicKey, statement: bytes, signature: Signature) -> bool:
        self.verified += 1
        return verify(key, statement, signature)

    def step(self, event: Event) -> list[Effect]:
        effects = self.machine.step(event, Millis(self.now))
        for effect in effects:
            if isinstance(effect, SetTimer):
                self.alarm = effect.at
        return effects

    def replica(self, index: int) -> ReplicaId:
        return self.validators[index].replica

    def hear(self, index: int, message: Message) -> list[Effect]:
        return self.step(MessageReceived(sender=self.replica(index), message=message))

    def hear_all(self, messages: Iterable[tuple[int, Message]]) -> list[Effect]:
        return [effect for index, message in messages for effect in self.hear(index, message)]

    def wait(self, ms: int) -> list[Effect]:
        """Let time pass, with every timer on the way."""
        end, effects = self.now + ms, list[Effect]()
        while self.alarm is not None and self.alarm <= end:
            self.now, self.alarm = max(self.now, self.alarm), None
            effects += self.step(TimerFired())
        self.now = end
        return effects

    def block(self, *txs: bytes, by: int = 2) -> Block:
        return block_on(self.head, *(txs or (b"tx",)), by=self.validators[by].key, timestamp_ms=self.now)

    def sign(self, index: int, statement: bytes) -> Signature:
        return Key(self.replica(index)).sign(statement)

    def vote(self, index: int, kind: VoteKind, view: int = 1, block: Block | None = None, height: int = 1) -> Vote:
        voted = NO_BLOCK if block is None else block_hash(block.header)
        stated = vote_statement(CHAIN, kind, Height(height), View(view), voted)
        return Vote(
            kind=kind,
            height=Height(height),
            view=View(view),
            block_hash=voted,
            signer=index,
            signature=self.sign(index, stated),
        )

    def votes(
        self, signers: Iterable[int], kind: VoteKind, view: int = 1, block: Block | None = None
    ) -> list[tuple[int, Vote]]:
        return [(index, self.vote(index, kind, view, block)) for index in signers]

    def certificate(
        self, kind: VoteKind, view: int = 1, block: Block | None = None, signers: Iterable[int] | None = None
    ) -> Certificate:
        chosen = tuple(range(self.n))[: quorum(self.n)] if signers is None else tuple(signers)
        votes = [self.vote(index, kind, view, block) for index in chosen]
        return Certificate(
            kind=kind,
            height=Height(1),
            view=View(view),
            block_hash=votes[0].block_hash,
            signers=chosen,
            signatures=tuple(vote.signature for vote in votes),
        )

    def leader(self, view: int = 1) -> int:
        return (1 + view) % self.n

    def proposal(
        self, block: Block, view: int = 1, base: int = 0, just: Iterable[Certificate] = (), by: int | None = None
    ) -> Proposal:
        stated = proposal_statement(CHAIN, Height(1), View(view), block_hash(block.header), View(base))
        return Proposal(
            height=Height(1),
            view=View(view),
            block=block,
            base=View(base),
            justification=tuple(just),
            signature=self.sign(self.leader(view) if by is None else by, stated),
        )

    def hear_proposal(
        self, block: Block, view: int = 1, base: int = 0, just: Iterable[Certificate] = ()
    ) -> list[Effect]:
        return self.hear(self.leader(view), self.proposal(block, view, base, just))

    def validated(self, block: Block, *, fresh: bool = True, valid: bool = True) -> list[Effect]:
        hashed = block_hash(block.header)
        return self.step(BlockValidated(height=block.header.height, block_hash=hashed, fresh=fresh, valid=valid))

    def accept(self, block: Block, view: int = 1, base: int = 0, just: Iterable[Certificate] = ()) -> list[Effect]:
        """Have a proposal accepted and its block found valid."""
        return self.hear_proposal(block, view, base, just) + self.validated(block, fresh=base == 0)

    def built(self, block: Block | None, view: int = 1) -> list[Effect]:
        return self.step(BlockBuilt(height=Height(1), view=View(view), block=block))

    def committed(self, block: Block) -> list[Effect]:
        self.head = self.head.follow(block.header, self.validators)
        return self.step(
            Committed(height=block.header.height, block_hash=self.head.block_hash, validators=self.head.validators)
        )


def block_on(head: Head, *txs: bytes, by: PublicKey, timestamp_ms: int) -> Block:
    """A block that the core takes for whole; what transactions are is nothing to it."""
    header = build_header(
        head,
        timestamp_ms=Millis(max(timestamp_ms, head.header.timestamp_ms + 1)),
        proposer=by,
        txs=txs,
        state_root=merkle.root(txs),
        receipts=(),
        validators=head.validators,
    )
    return Block(header=header, txs=txs)


def said(effects: Iterable[Effect], kind: type = object) -> list[Message]:
    """Messages broadcast."""
    return [e.message for e in effects if isinstance(e, Broadcast) and isinstance(e.message, kind)]


def cast(effects: Iterable[Effect]) -> list[tuple[VoteKind, int]]:
    """Own votes sent, as kind and view."""
    return [(vote.kind, int(vote.view)) for vote in said(effects, Vote) if isinstance(vote, Vote)]


def kept(effects: Iterable[Effect]) -> list[Record]:
    """Records persisted."""
    return [effect.record for effect in effects if isinstance(effect, Persist)]


def asked(effects: Iterable[Effect]) -> list[BuildBlock | ValidateBlock]:
    """Blocks that the shell was asked to build or validate."""
    return [effect for effect in effects if isinstance(effect, BuildBlock | ValidateBlock)]


def hash_of(block: Block) -> BlockHash:
    return block_hash(block.header)
