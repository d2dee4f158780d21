"""Messages of heights that this replica has not reached: a bounded number, so no peer can fill the memory.

Of the next height each peer may leave its first votes and one proposal; of the heights after it, final blocks are kept
and everything else only tells that the peer is ahead. What a peer sends that was not asked fills empty places only, so
nobody who floods a replica with final blocks that are none keeps those of the peer that it asked out. And whoever sent
one that is none, which shows when its height has come, is neither asked nor believed again.
"""

from ledger.consensus.messages import Decided, Message, height_of
from ledger.types import Height, Proposal, ReplicaId, Vote

VOTES_KEPT_MAX = 8
"""Votes of the next height kept for each peer; a height that goes well takes two."""

DECIDED_KEPT_MAX = 16
"""Final blocks ahead that are kept; with the largest blocks 8 MiB."""


class Inbox:
    """What waits for later heights."""

    def __init__(self, height: Height) -> None:
        self._height = height
        self._ahead: dict[ReplicaId, Height] = {}
        self._votes: dict[ReplicaId, list[Vote]] = {}
        self._proposals: dict[ReplicaId, Proposal] = {}
        self._decided: dict[Height, tuple[ReplicaId, Decided]] = {}
        self._asked: ReplicaId = ReplicaId(-1)
        self._liars: set[ReplicaId] = set()

    def keep(self, sender: ReplicaId, message: Message) -> None:
        """Keep a message of a later height, if there is room."""
        height = height_of(message)
        if sender not in self._liars:
            self._ahead[sender] = max(height, self._ahead.get(sender, height))
        match message:
            case Decided():
                free = sender == self._asked or height not in self._decided
                if height <= self._height + DECIDED_KEPT_MAX and free and sender not in self._liars:
                    self._decided[height] = sender, message
            case Vote() if height == self._height + 1:
                votes = self._votes.setdefault(sender, [])
                if len(votes) < VOTES_KEPT_MAX and message not in votes:
                    votes.append(message)
            case Proposal() if height == self._height + 1:
                self._proposals.setdefault(sender, message)
            case _:
                pass

    def distrust(self, liar: ReplicaId) -> None:
        """Keep no final blocks of a peer any more, nor ask it for any."""
        self._liars.add(liar)
        self._ahead.pop(liar, None)
        self._decided = {at: entry for at, entry in self._decided.items() if entry[0] != liar}

    def open(self, height: Height) -> list[tuple[ReplicaId, Message]]:
        """Move to a height and return what waited for it: a final block first, then proposals, then votes."""
        opened: list[tuple[ReplicaId, Message]] = []
        if height in self._decided:
            opened.append(self._decided.pop(height))
        opened += self._proposals.items()
        opened += [(sender, vote) for sender, votes in self._votes.items() for vote in votes]
        self._votes, self._proposals = {}, {}
        self._ahead = {peer: reached for peer, reached in self._ahead.items() if reached > height}
        self._decided = {at: entry for at, entry in self._decided.items() if at > height}
        self._height = height
        return opened

    def next_ahead(self) -> ReplicaId | None:
        """Return a peer that is ahead, another one each time; None if none is."""
        peers = sorted(self._ahead)
        if not peers:
            return None
        self._asked = next((peer for peer in peers if peer > self._asked), peers[0])
        return self._asked

    def is_ahead(self) -> bool:
        """Whether a peer was seen beyond this height."""
        return bool(self._ahead)

    def size(self) -> int:
        """Messages kept."""
        return sum(map(len, self._votes.values())) + len(self._proposals) + len(self._decided)
