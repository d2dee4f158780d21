"""Byzantine replicas. Each holds its own key and what it was sent, and no other key.

- silent: says nothing.
- selective: an honest core whose messages reach whom it likes, and which goes mute for a while.
- fading: an honest core until the long outage of the run, then silent.
- pest: an honest core that asks every peer for the same old blocks and views, forty times at once.
- amnesiac: an honest core that forgets its votes in frequent restarts.
- twins: two honest cores with one key, each talking to half of the network.
- chaos: signs every kind of vote for whatever it hears of, to random subsets; proposes blocks that conflict or are
  stale, on bases that are false or lack their certificates; completes certificates and shows them late, to one replica;
  shows forged final blocks to whoever is behind, as many as it keeps, and misleads those that ask for their own votes.
- splitter: proposes two well-justified blocks to two halves, votes for each before each, nullifies before the rest.
- miser: proposes to so few that its own vote is needed, and keeps that; shows the certificate when every honest replica
  has put the block away that it is for, and never hands out the block.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ledger.consensus import Decided, Message, Record, Status
from ledger.consensus.committee import Committee
from ledger.consensus.votes import Tally
from ledger.encoding import block_hash, proposal_statement
from ledger.replica.items import AskVotes, Item, TellVotes, encode_item
from ledger.types import (
    NO_BLOCK,
    Block,
    BlockHash,
    Certificate,
    Height,
    Millis,
    Proposal,
    ReplicaId,
    Signature,
    View,
    Vote,
    VoteKind,
)
from tests.sim.replica import TXS_PER_BLOCK_MAX, Replica
from tests.sim.world import decode

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster


QUESTIONS = 40


def make(cluster: "Cluster", replica: ReplicaId, strategy: str) -> list["Replica | Chaos"]:
    if strategy == "silent":
        return []
    if strategy == "twins":
        return [Twin(cluster, replica, side) for side in (0, 1)]
    cores: dict[str, type[Replica]] = {
        "selective": Selective,
        "fading": Fading,
        "pest": Pest,
        "amnesiac": Amnesiac,
    }
    if strategy in cores:
        return [cores[strategy](cluster, replica, votes=True)]
    return [{"chaos": Chaos, "splitter": Splitter, "miser": Miser}[strategy](cluster, replica)]


class Selective(Replica):
    honest = False

    def transmit(self, peer: ReplicaId, data: bytes) -> None:
        r = self.cluster.random
        mute = (self.cluster.now // 2_000 + self.id) % 3 == 0
        if not mute and r.random() < 0.5:
            super().transmit(peer, data)


class Fading(Replica):
    honest = False

    def transmit(self, peer: ReplicaId, data: bytes) -> None:
        if not self.cluster.faulty.fades():
            super().transmit(peer, data)


class Pest(Replica):
    honest = False

    def start(self) -> None:
        super().start()
        self._pester()

    def _pester(self) -> None:
        """Until the network settles."""
        peer = self.cluster.random.choice(self.cluster.peers)
        question = self.cluster.random.choice((Status(height=Height(1), view=View(1)), self.machine.status))
        if peer != self.id:
            for _ in range(QUESTIONS):
                self.transmit(peer, encode_item(question))
        if not self.cluster.is_settled():
            self.cluster.later(100, self._pester)


class Amnesiac(Replica):
    honest = False

    def persist(self, records: Sequence[Record]) -> None:
        super().persist([record for record in records if self.cluster.random.random() < 0.3])

    def hear(self, sender: ReplicaId, item: Item) -> None:
        if self.cluster.random.random() < 0.01:
            self.crash()
        else:
            super().hear(sender, item)


class Twin(Replica):
    honest = False

    def __init__(self, cluster: "Cluster", replica: ReplicaId, side: int) -> None:
        super().__init__(cluster, replica, votes=True)
        self.side = side
        self.friends = {peer for peer in cluster.peers if (peer + replica) % 2 == side}

    def transmit(self, peer: ReplicaId, data: bytes) -> None:
        if self.cluster.is_settled() or peer in self.friends or self.cluster.random.random() < 0.1:
            super().transmit(peer, data)


class Chaos:
    """No core at all: answers what it hears with whatever may do harm."""

    honest = False

    def __init__(self, cluster: "Cluster", replica: ReplicaId) -> None:
        self.cluster, self.id, self.key = cluster, replica, cluster.world.signer(replica)
        self.proposals: dict[tuple[int, int], list[Proposal]] = {}
        self.certificates: dict[tuple[VoteKind, int, int], Certificate] = {}
        self.tallies: dict[int, Tally] = {}
        r = cluster.random
        self.mute_at = r.choice([cluster.now * 10, cluster.now + r.randrange(cluster.profile.settled_ms)])

    def start(self) -> None:
        """Nothing to begin with."""

    def submit(self, tx: bytes) -> None:
        """It sees all transactions anyhow."""

    def receive(self, sender: ReplicaId, item: Item) -> None:
        """Take what the network brings."""
        if self.cluster.now > self.mute_at or sender in self.cluster.byzantine:
            return
        if isinstance(item, AskVotes):
            self.lie(sender)
        if isinstance(item, Vote | Proposal | Certificate | Status) and item.view:
            committee = self.committee(item.height)
            index = None if committee is None else committee.index(self.key.key)
            if committee is not None and index is not None:
                self.answer(sender, item, committee, index)

    def answer(
        self,
        sender: ReplicaId,
        message: Vote | Proposal | Certificate | Status,
        committee: Committee,
        index: int,
    ) -> None:
        """Do harm."""
        self.note(message)
        if isinstance(message, Vote):
            self.hoard(committee, index, message)
        if isinstance(message, Status):
            self.forge(sender, committee)
        self.vote(committee, index, message)
        self.lead(committee, index, message)

    def lie(self, sender: ReplicaId) -> None:
        """Name a height to a replica that asks for its newest vote, and never the vote."""
        named = self.cluster.checker.reference.head.header.height + self.cluster.random.choice((0, 0, 1, 2, 1_000))
        self.tell(sender, TellVotes(Height(named), None))

    def forge(self, sender: ReplicaId, committee: Committee) -> None:
        """Show a block as final that is not: too few signed it, or others did."""
        block = self.any_block(committee.height) if self.cluster.random.random() < 0.2 else None
        if block is not None:
            self.tell(sender, self.forged(committee, block))
        for data in self.cluster.checker.reference.decided_from(Height(committee.height + 1)):
            message = decode(data)
            later = self.committee(message.block.header.height) if isinstance(message, Decided) else None
            if isinstance(message, Decided) and later is not None:
                self.tell(sender, self.forged(later, message.block))

    def forged(self, committee: Committee, block: Block) -> Decided:
        """A certificate in which only the own signature is right, if any."""
        hashed = block_hash(block.header)
        stated = committee.vote_statement(VoteKind.FINALIZE, View(1), hashed)
        count = self.cluster.random.choice((1, committee.quorum - 1, committee.quorum))
        certificate = Certificate(
            kind=VoteKind.FINALIZE,
            height=committee.height,
            view=View(1),
            block_hash=hashed,
            signers=tuple(range(count)),
            signatures=(self.key.sign(stated),) * count,
        )
        return Decided(block=block, certificate=certificate)

    def note(self, message: Message) -> None:
        if isinstance(message, Certificate):
            self.certificates[message.kind, message.height, message.view] = message
        if isinstance(message, Proposal):
            self.proposals.setdefault((message.height, message.view), []).append(message)
            for certificate in message.justification:
                self.note(certificate)

    def committee(self, height: Height) -> Committee | None:
        """The set of a height, once the block before it is final."""
        head, world = self.cluster.checker.heads.get(height - 1), self.cluster.world
        if head is None:
            return None
        return Committee(chain=world.genesis.chain, height=height, validators=head.validators, verify=world.verify)

    def sign(self, committee: Committee, index: int, kind: VoteKind, view: View, voted: BlockHash) -> Vote:
        return Vote(
            kind=kind,
            height=committee.height,
            view=view,
            block_hash=voted,
            signer=index,
            signature=self.key.sign(committee.vote_statement(kind, view, voted)),
        )

    def hoard(self, committee: Committee, index: int, vote: Vote) -> None:
        """Add own vote to others'; show a certificate that this completes to one replica, at a bad time."""
        tally = self.tallies.setdefault(vote.height, Tally())
        for held in (vote, self.sign(committee, index, vote.kind, vote.view, vote.block_hash)):
            if tally.is_news(held):
                tally.add(held)
        certificate = tally.certificate(vote, committee)
        if certificate is not None and (vote.kind, vote.height, vote.view) not in self.certificates:
            self.certificates[vote.kind, vote.height, vote.view] = certificate
            r = self.cluster.random
            peer = r.choice(self.cluster.peers)
            self.cluster.later(r.randrange(2_000), lambda: self.tell(peer, certificate))

    def vote(self, committee: Committee, index: int, message: Vote | Proposal | Certificate | Status) -> None:
        voted = NO_BLOCK
        if isinstance(message, Proposal):
            voted = block_hash(message.block.header)
        elif isinstance(message, Vote | Certificate):
            voted = message.block_hash
        for kind in VoteKind:
            target = NO_BLOCK if kind is VoteKind.NULLIFY else voted
            if (kind is VoteKind.NULLIFY or target != NO_BLOCK) and self.cluster.random.random() < 0.35:
                self.scatter(self.sign(committee, index, kind, message.view, target))

    def lead(self, committee: Committee, index: int, message: Vote | Proposal | Certificate | Status) -> None:
        r = self.cluster.random
        view = View(message.view + r.choice((0, 0, 1)))
        if committee.leader(view) != index or r.random() < 0.5:
            return
        for _ in range(2):
            block = self.any_block(committee.height)
            if block is not None:
                bases = [w for kind, h, w in self.certificates if kind is VoteKind.NOTARIZE and h == committee.height]
                base = r.choice([0, *(w for w in bases if w < view)])
                self.scatter(self.propose(committee, view, block, View(base)))

    def any_block(self, height: Height) -> Block | None:
        r = self.cluster.random
        old = [p.block for (h, _), made in self.proposals.items() if h == height for p in made]
        return r.choice(old) if old and r.random() < 0.5 else self.new_block(height)

    def new_block(self, height: Height) -> Block | None:
        """Build a valid block of some transactions, if the one before it is the newest."""
        r, reference = self.cluster.random, self.cluster.checker.reference
        if reference.head.header.height != height - 1:
            return None
        now = Millis(self.cluster.now + r.randrange(5))
        txs = [self.cluster.checker.check(tx) for tx in self.cluster.undecided()]
        chosen = [pooled for pooled in txs if now <= pooled.tx.expiry_ms and r.random() < 0.6][:TXS_PER_BLOCK_MAX]
        return reference.build(chosen, self.key.key, now)[0]

    def propose(self, committee: Committee, view: View, block: Block, base: View) -> Proposal:
        known = [self.certificates.get((VoteKind.NOTARIZE, committee.height, base))] if base else []
        known += [self.certificates.get((VoteKind.NULLIFY, committee.height, w)) for w in range(base + 1, view)]
        stated = proposal_statement(committee.chain, committee.height, view, block_hash(block.header), base)
        return Proposal(
            height=committee.height,
            view=view,
            block=block,
            base=base,
            justification=tuple(certificate for certificate in known if certificate is not None),
            signature=Signature(self.key.sign(stated)),
        )

    def scatter(self, message: Message) -> None:
        """Send to a random part of the network."""
        for peer in self.cluster.peers:
            if peer != self.id and self.cluster.random.random() < 0.6:
                self.tell(peer, message)

    def tell(self, peer: ReplicaId, message: Item) -> None:
        self.cluster.transmit(self.id, peer, encode_item(message))


class Splitter(Chaos):
    """Equivocates in form: everything that it says is acceptable to whom it is said."""

    def __init__(self, cluster: "Cluster", replica: ReplicaId) -> None:
        super().__init__(cluster, replica)
        self.led: set[tuple[int, int]] = set()

    def vote(self, committee: Committee, index: int, message: Vote | Proposal | Certificate | Status) -> None:
        """Vote with every half; upon a certificate, finalize before some and nullify before others."""
        if isinstance(message, Proposal):
            self.split(committee, index, message.view, (block_hash(message.block.header), None))
        if isinstance(message, Vote) and message.kind is VoteKind.FINALIZE and self.cluster.random.random() < 0.3:
            self.scatter(self.sign(committee, index, VoteKind.FINALIZE, message.view, message.block_hash))

    def lead(self, committee: Committee, index: int, message: Vote | Proposal | Certificate | Status) -> None:
        view = View(message.view + 1 if isinstance(message, Certificate) else message.view)
        if committee.leader(view) != index or (committee.height, view) in self.led:
            return
        blocks = [self.new_block(committee.height), self.any_block(committee.height)]
        if None in blocks:
            return
        self.led.add((committee.height, view))
        for side, block in enumerate(blocks):
            if block is not None:
                for peer in self.side(side):
                    self.tell(peer, self.propose(committee, view, block, View(0)))
        self.split(committee, index, view, tuple(block_hash(block.header) if block else None for block in blocks))

    def split(self, committee: Committee, index: int, view: View, voted: tuple[BlockHash | None, ...]) -> None:
        """Notarize one block before each half; None: nullify there."""
        for side, block in enumerate(voted):
            kind = VoteKind.NULLIFY if block is None else VoteKind.NOTARIZE
            for peer in self.side(side):
                self.tell(peer, self.sign(committee, index, kind, view, block or NO_BLOCK))

    def side(self, side: int) -> list[ReplicaId]:
        return [peer for peer in self.cluster.peers if peer != self.id and (peer + self.id) % 2 == side]


class Miser(Chaos):
    """Would have a height wait for ever for a block that only it can produce. Misers share what they collect."""

    def __init__(self, cluster: "Cluster", replica: ReplicaId) -> None:
        super().__init__(cluster, replica)
        self.mute_at = self.cluster.now * 10
        self.led: set[tuple[int, int]] = set()
        self.given_up: set[tuple[int, int]] = set()

    def answer(
        self,
        sender: ReplicaId,
        message: Vote | Proposal | Certificate | Status,
        committee: Committee,
        index: int,
    ) -> None:
        """Collect, nullify with the others, and pay out late."""
        self.note(message)
        if isinstance(message, Vote) and message.kind is VoteKind.NOTARIZE:
            self.collect(committee, message)
        if isinstance(message, Vote) and message.kind is VoteKind.NULLIFY:
            self.give_up(committee, index, message.view)
        self.lead(committee, index, message)
        self.pay(committee)

    def collect(self, committee: Committee, vote: Vote) -> None:
        """Keep a certificate that others' votes and those of all misers make."""
        tally = self.tallies.setdefault(vote.height, Tally())
        misers = [body for bodies in self.cluster.bodies.values() for body in bodies if isinstance(body, Miser)]
        held = [vote]
        for miser in misers:
            index = committee.index(miser.key.key)
            if index is not None:
                held.append(miser.sign(committee, index, vote.kind, vote.view, vote.block_hash))
        for each in held:
            if tally.is_news(each):
                tally.add(each)
        certificate = tally.certificate(vote, committee)
        if certificate is not None:
            self.certificates.setdefault((vote.kind, vote.height, vote.view), certificate)

    def give_up(self, committee: Committee, index: int, view: View) -> None:
        if (committee.height, view) not in self.given_up:
            self.given_up.add((committee.height, view))
            vote = self.sign(committee, index, VoteKind.NULLIFY, view, NO_BLOCK)
            for peer in self.cluster.peers:
                self.tell(peer, vote)

    def lead(self, committee: Committee, index: int, message: Vote | Proposal | Certificate | Status) -> None:
        """Propose a block to no more than are needed."""
        view = message.view
        if committee.leader(view) != index or (committee.height, view) in self.led:
            return
        block = self.new_block(committee.height)
        if block is None:
            return
        self.led.add((committee.height, view))
        byzantine = self.cluster.byzantine
        honest = [v.replica for v in committee.validators if v.replica not in byzantine]
        needed = committee.quorum - (committee.size - len(honest))
        for peer in self.cluster.random.sample(honest, max(0, min(needed, len(honest)))):
            self.tell(peer, self.propose(committee, view, block, View(0)))

    def pay(self, committee: Committee) -> None:
        """Show the newest certificate whose block nobody honest has at hand any more."""
        known = [
            certificate
            for (kind, height, _), certificate in self.certificates.items()
            if kind is VoteKind.NOTARIZE and height == committee.height
        ]
        at_hand = {
            hashed
            for replica in self.cluster.honest
            if replica.up and replica.height == committee.height - 1
            for hashed in replica.machine._instance.state.bodies
        }
        gone = [certificate for certificate in known if certificate.block_hash not in at_hand]
        if gone:
            for peer in self.cluster.peers:
                self.tell(peer, max(gone, key=lambda certificate: certificate.view))
