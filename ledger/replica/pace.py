"""How much of a peer is taken: a bucket of tokens that fills at a steady rate."""

from dataclasses import dataclass, field

from ledger.types import ReplicaId


@dataclass(slots=True, kw_only=True)
class Pace:
    """One bucket for each peer."""

    per_second: float
    burst: float
    _left: dict[ReplicaId, tuple[float, float]] = field(default_factory=dict)

    def allows(self, peer: ReplicaId, now_s: float, cost: float = 1.0) -> bool:
        """Take `cost` tokens of a peer, if there are so many."""
        left, since = self._left.get(peer, (self.burst, now_s))
        left = min(self.burst, left + (now_s - since) * self.per_second)
        allowed = cost <= left
        self._left[peer] = (left - cost if allowed else left, now_s)
        return allowed
