"""The validators of one height: who leads, how many make a quorum, what their signatures cover."""

from dataclasses import dataclass, field
from typing import Protocol

from ledger.chain import Verify, faults_tolerated, quorum
from ledger.encoding import block_hash, proposal_statement, vote_statement
from ledger.types import (
    BlockHash,
    ChainId,
    Height,
    Proposal,
    PublicKey,
    ReplicaId,
    Signature,
    Validator,
    View,
    Vote,
    VoteKind,
)


class Signer(Protocol):
    """Holds a validator's vote key."""

    @property
    def key(self) -> PublicKey:
        """The public half."""

    def sign(self, statement: bytes) -> Signature:
        """Sign a statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committee:
    """The set that decides a height."""

    chain: ChainId
    height: Height
    validators: tuple[Validator, ...]
    """Sorted by key."""
    verify: Verify = field(repr=False)

    @property
    def size(self) -> int:
        """Number of validators, n."""
        return len(self.validators)

    @property
    def faults(self) -> int:
        """How many may be Byzantine: f = floor((n - 1) / 3)."""
        return faults_tolerated(self.size)

    @property
    def quorum(self) -> int:
        """Votes of a certificate, q = n - f: two quorums share at least f + 1 validators, so an honest one."""
        return quorum(self.size)

    def leader(self, view: View) -> int:
        """Index of the validator that proposes in a view."""
        return (self.height + view) % self.size

    def replica(self, index: int) -> ReplicaId:
        """Replica of a validator."""
        return self.validators[index].replica

    def index(self, key: PublicKey) -> int | None:
        """Index of a vote key; None for an observer's."""
        return next((i for i, validator in enumerate(self.validators) if validator.key == key), None)

    def vote_statement(self, kind: VoteKind, view: View, voted: BlockHash) -> bytes:
        """What a vote of this height signs."""
        return vote_statement(self.chain, kind, self.height, view, voted)

    def is_signed(self, vote: Vote) -> bool:
        """Whether its signer, known to be in the set, signed a vote."""
        stated = self.vote_statement(vote.kind, vote.view, vote.block_hash)
        return self.verify(self.validators[vote.signer].key, stated, vote.signature)

    def proposal_statement(self, proposal: Proposal) -> bytes:
        """What a proposal of this height signs."""
        proposed = block_hash(proposal.block.header)
        return proposal_statement(self.chain, self.height, proposal.view, proposed, proposal.base)

    def is_led(self, proposal: Proposal) -> bool:
        """Whether the leader of its view signed a proposal."""
        key = self.validators[self.leader(proposal.view)].key
        return self.verify(key, self.proposal_statement(proposal), proposal.signature)
