"""Whether a replica that starts may vote: its log may be older than its votes (docs/ledger.md, start).

A replica with the marker of a new one votes at once. Any other asks its peers for the newest vote of its key, and waits
for q - 1 validators. If its log holds every vote that they name, it is as new as anything that anybody remembers: it
votes. If they name a vote that the log does not hold, or the log holds none at all, the log was lost or restored: then
it observes the height that is the highest of those that they report, and the next. It may have voted there: whoever
votes at a height has the certificate of the one before, of whose signers an honest one answers, but nobody else need
have it. Where the companies said that the log is whole from a height on (`ledger.replica.rejoining`), only votes from
there count, and it signs from there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from ledger.chain import Verify, quorum
from ledger.encoding import vote_statement
from ledger.replica.items import TellVotes
from ledger.types import ChainId, Height, PublicKey, ReplicaId, Validator, Vote


@dataclass(slots=True, kw_only=True)
class Enlisting:
    """Collects peers' answers; those of the validators count.

    Who is a validator is a matter of the own head: a replica that was away follows the chain meanwhile, and the sets
    that it meets there have the say. Whoever left them is believed a vote that this key signed, and nothing else.
    """

    chain: ChainId
    key: PublicKey
    """Own vote key."""
    replica: ReplicaId
    validators: tuple[Validator, ...]
    """Set that decides the next height; replaced when it changes."""
    verify: Verify
    _answers: dict[ReplicaId, TellVotes] = field(default_factory=dict)

    def take(self, sender: ReplicaId, answer: TellVotes) -> None:
        """Take the first answer of a peer; a vote in it that this key did not sign is left out."""
        if sender != self.replica and sender not in self._answers:
            newest = answer.newest if answer.newest is not None and self._is_own(answer.newest) else None
            self._answers[sender] = TellVotes(answer.height, newest)

    def missing(self, peers: frozenset[ReplicaId]) -> list[ReplicaId]:
        """Return the peers that have not answered."""
        return sorted(peers - self._answers.keys())

    def is_complete(self) -> bool:
        """Whether q - 1 other validators have answered."""
        return len(self._of_validators()) >= quorum(len(self.validators)) - 1

    def sign_from(self, newest: Vote | None, knows: Callable[[Vote], bool], whole_from: Height = Height(0)) -> Height:
        """Return the lowest height at which to sign.

        Args:
            newest: the newest vote in the own log.
            knows: whether a vote is in the own log.
            whole_from: height from which on the log is whole by the companies' word; 0: they said nothing.
        """
        named = [answer.newest for answer in self._answers.values() if answer.newest is not None]
        if (newest is not None or whole_from) and all(vote.height < whole_from or knows(vote) for vote in named):
            return whole_from
        lost_at_most = [answer.height + 1 for answer in self._of_validators()] + [vote.height for vote in named]
        return Height(max(lost_at_most, default=0) + 1)

    def _of_validators(self) -> list[TellVotes]:
        others = {validator.replica for validator in self.validators}
        return [answer for sender, answer in self._answers.items() if sender in others]

    def _is_own(self, vote: Vote) -> bool:
        stated = vote_statement(self.chain, vote.kind, vote.height, vote.view, vote.block_hash)
        return self.verify(self.key, stated, vote.signature)
