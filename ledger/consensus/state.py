"""What a replica knows of the height that it is deciding.

The rule families (`voting`, `proposing`, `repair`) are functions over this state; `height` runs them.
"""

from dataclasses import dataclass, field

from ledger import merkle
from ledger.consensus.committee import Committee, Signer
from ledger.consensus.effects import Effect, Outbox, Persist
from ledger.consensus.timing import Timing
from ledger.consensus.votes import Certificates, Tally
from ledger.encoding import block_hash
from ledger.types import (
    Block,
    BlockHash,
    Certificate,
    Height,
    Millis,
    Proposal,
    ReplicaId,
    View,
    Vote,
    VoteKind,
)


@dataclass(slots=True, kw_only=True)
class HeightState:
    """One height, from its parent's commit to its own."""

    committee: Committee
    parent: BlockHash
    replica: ReplicaId
    """This replica."""
    signer: Signer | None
    """None: this replica observes the height."""
    me: int | None
    """Index of the signer's key in the committee; None: this replica observes the height."""
    timing: Timing
    outbox: Outbox
    absent: frozenset[int] = frozenset()
    """Leaders that missed their last turns or cannot be reached."""

    view: View = View(1)
    """Never goes back."""
    certificates: Certificates = field(default_factory=Certificates)
    tally: Tally = field(default_factory=Tally)
    own: dict[tuple[VoteKind, View], Vote] = field(default_factory=dict)
    """Every vote this replica ever signed at this height."""
    proposal: Proposal | None = None
    """The first acceptable one of this view."""
    proposed: View = View(0)
    """Highest view in which this replica proposed."""
    bodies: dict[BlockHash, Block] = field(default_factory=dict)
    recorded: set[BlockHash] = field(default_factory=set)
    """Blocks of the proposals that were made durable; those that are needed no more in memory can be read again."""
    verdicts: dict[tuple[BlockHash, bool], bool | None] = field(default_factory=dict)
    """Whether a block is valid, by hash and whether its time was checked too; None: being found out."""
    wanted: dict[BlockHash, Certificate] = field(default_factory=dict)
    """Certified blocks without a body."""
    unanswered: list[View] = field(default_factory=list)
    """Views whose NOTARIZE certificate is new and may call for a FINALIZE vote."""
    decided: bool = False
    """`Commit` was asked for."""

    work: bool = False
    """The mempool holds something includable."""
    building: View = View(0)
    """View for which a block was asked for last."""
    work_since_build: bool = False

    deadline: Millis | None = None
    """When this view counts as failed."""
    propose_at: Millis | None = None
    """When the leader may propose a notarized block again."""
    resend_at: Millis | None = None
    ticks: int = 0
    """Repetitions since the view began."""
    forwarded: View = View(0)
    """Highest view whose NOTARIZE certificate this replica forwarded."""

    @property
    def height(self) -> Height:
        """The height being decided."""
        return self.committee.height

    @property
    def leads(self) -> bool:
        """Whether this replica may propose in this view."""
        return self.me is not None and self.me == self.committee.leader(self.view)

    def is_active(self) -> bool:
        """Whether the clock of this view runs: not while there is nothing to decide.

        A view that is over leaves no duty behind: whoever still is in it asks, and gets its certificate.
        """
        return not self.decided and (
            (self.work and self.me is not None)
            or self.certificates.final is not None
            or self.certificates.base(self.view) > 0
            or self._has_hopeful_proposal()
            or any(self.voted(kind, self.view) for kind in VoteKind)
            or self.tally.voters(self.view) > self.committee.faults
        )

    def _has_hopeful_proposal(self) -> bool:
        if self.proposal is None:
            return False
        return self.is_valid(block_hash(self.proposal.block.header), fresh=self.proposal.base == 0) is not False

    def voted(self, kind: VoteKind, view: View) -> bool:
        """Whether this replica cast such a vote."""
        return (kind, view) in self.own

    def is_valid(self, block: BlockHash, *, fresh: bool) -> bool | None:
        """Verdict on a block; None while it is unknown. A block that was valid when fresh is valid for good."""
        if self.verdicts.get((block, True)):
            return True
        return self.verdicts.get((block, fresh))

    def put(self, effect: Effect) -> None:
        """Ask the shell for something."""
        self.outbox.put(effect)

    def record(self, proposal: Proposal) -> None:
        """Make a proposal durable, with its body."""
        self.recorded.add(block_hash(proposal.block.header))
        self.put(Persist(proposal))

    def keep_body(self, block: Block) -> bool:
        """Keep a block if it is one whole block of this height on this parent."""
        header = block.header
        if (header.chain, header.height, header.previous) != (self.committee.chain, self.height, self.parent):
            return False
        if merkle.root(block.txs) != header.tx_root:
            return False
        hashed = block_hash(header)
        self.bodies.setdefault(hashed, block)
        self.wanted.pop(hashed, None)
        return True

    def prune(self) -> None:
        """Drop what no later rule is likely to need, so that a height of many views stays small.

        Of bodies there remain those proposed now, notarized last, and voted for last by this replica. If a block gets
        a FINALIZE certificate in view v, whoever notarized it in v voted for no other block since: it held, by H3, a
        certificate of v or later for the same block. So its last vote is for that block, and its body is here. A block
        that was notarized only may be called for after all its voters voted for another, when the Byzantine show its
        certificate late: they read it from their records (`recorded`).
        """
        base = self.certificates.base(self.view)
        self.tally.forget(base, View(max(0, self.view - VIEWS_BACK_MAX)))
        needed = {block_hash(self.proposal.block.header)} if self.proposal else set()
        needed |= {self.certificates.notarized[base].block_hash} if base else set()
        notarizing = [view for kind, view in self.own if kind is VoteKind.NOTARIZE]
        if notarizing:
            needed.add(self.own[VoteKind.NOTARIZE, max(notarizing)].block_hash)
        if self.certificates.final:
            needed.add(self.certificates.final.block_hash)
        self.bodies = {hashed: body for hashed, body in self.bodies.items() if hashed in needed}
        self.wanted = {hashed: certificate for hashed, certificate in self.wanted.items() if hashed in needed}
        self.verdicts = {key: verdict for key, verdict in self.verdicts.items() if key[0] in needed}


VIEWS_BACK_MAX = 64
"""FINALIZE votes of views further back are dropped: a later view decides in their place."""
