"""What a replica knows of its peers: how far they are, and the newest vote that each sent."""

from dataclasses import dataclass, field

from ledger.chain import faults_tolerated, quorum
from ledger.consensus import Message, Status
from ledger.replica.standing import is_validator
from ledger.types import Height, Proposal, PublicKey, ReplicaId, Validator, Vote

_LAG_MAX = 1
"""Heights that a replica may be behind and still follow: a block that is just being decided."""


@dataclass(slots=True, kw_only=True)
class Sightings:
    """Peers' own words; nothing here is verified, and nothing unsafe follows from it."""

    replica: ReplicaId
    key: PublicKey | None
    """Own vote key."""
    validators: tuple[Validator, ...]
    """Set that decides the next height; replaced when it changes."""
    _heights: dict[ReplicaId, Height] = field(default_factory=dict)
    _votes: dict[ReplicaId, Vote] = field(default_factory=dict)

    def take(self, sender: ReplicaId, message: Message) -> None:
        """Learn from a consensus message."""
        match message:
            case Vote():
                self.see(sender, message.height)
                known = self._votes.get(sender)
                if known is None or _place(known) < _place(message):
                    self._votes[sender] = message
            case Status() | Proposal():
                self.see(sender, message.height)
            case _:
                pass

    def see(self, peer: ReplicaId, height: Height) -> None:
        """Learn which height a peer is deciding."""
        self._heights[peer] = max(height, self._heights.get(peer, height))

    def newest_vote(self, peer: ReplicaId) -> Vote | None:
        """Return the newest vote that a peer sent."""
        return self._votes.get(peer)

    def follows(self, height: Height, connected: frozenset[ReplicaId]) -> bool:
        """Whether a replica that decides `height` is where a quorum of the validators is.

        Of the connected validators, q - 1 (q for an observer) must have said where they are; of what they say, the f
        highest may be invented.
        """
        replicas = {validator.replica for validator in self.validators} - {self.replica}
        votes = is_validator(self.replica, self.key, self.validators)
        size = len(self.validators)
        heights = sorted((self._heights[peer] for peer in replicas & connected & self._heights.keys()), reverse=True)
        if len(heights) < quorum(size) - votes:
            return False
        believed = heights[min(faults_tolerated(size), len(heights) - 1) :]
        return not believed or height + _LAG_MAX >= believed[0]


def _place(vote: Vote) -> tuple[int, int, int]:
    return vote.height, vote.view, vote.kind
