"""How much of a peer is taken: buckets of tokens, one for each peer, that fill at a steady rate.

What a peer sends again anyway - transactions, questions - is dropped beyond its rate. Everything else waits: the peer's
reader sleeps, its stream's flow control stops the peer, and nobody else notices.
"""

from dataclasses import dataclass, field

from ledger.types import ReplicaId


@dataclass(slots=True, kw_only=True)
class Pace:
    """One bucket for each peer, full at first."""

    per_second: float
    burst: float
    _left: dict[ReplicaId, tuple[float, float]] = field(default_factory=dict)

    def allows(self, peer: ReplicaId, now_s: float) -> bool:
        """Take a token of a peer, if there is one."""
        left = self._filled(peer, now_s)
        allowed = left >= 1.0
        self._left[peer] = (left - 1.0 if allowed else left, now_s)
        return allowed

    def wait_s(self, peer: ReplicaId, now_s: float, cost: float) -> float:
        """Take tokens of a peer, on credit if need be; return how long it takes until they are paid back."""
        left = self._filled(peer, now_s) - cost
        self._left[peer] = (left, now_s)
        return max(0.0, -left / self.per_second)

    def _filled(self, peer: ReplicaId, now_s: float) -> float:
        left, since = self._left.get(peer, (self.burst, now_s))
        return min(self.burst, left + (now_s - since) * self.per_second)


@dataclass(slots=True)
class Quota:
    """What one peer may ask of this replica; docs/ledger.md, wire."""

    items: Pace = field(default_factory=lambda: Pace(per_second=2_000, burst=4_000))
    """Items of any kind. A height that goes well is three from each validator, and one for each transaction."""
    size: Pace = field(default_factory=lambda: Pace(per_second=16 * 1024 * 1024, burst=8 * 1024 * 1024))
    """Bytes of them."""
    transactions: Pace = field(default_factory=lambda: Pace(per_second=500, burst=2_000))
    """Each costs its signatures."""
    questions: Pace = field(default_factory=lambda: Pace(per_second=50, burst=100))
    """`Status` and `GetBlock`: each may cost a batch of blocks, and a replica that is behind asks once for a batch."""
    votes: Pace = field(default_factory=lambda: Pace(per_second=1, burst=3))
    """`AskVotes`: each costs a search in the newest blocks."""

    def wait_s(self, peer: ReplicaId, now_s: float, items: int, size: int) -> float:
        """Take a message of so many items and bytes; return how long to wait before the peer's next one is read."""
        return max(self.items.wait_s(peer, now_s, items), self.size.wait_s(peer, now_s, size))
