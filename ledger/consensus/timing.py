"""How long a replica waits, and for what."""

from dataclasses import dataclass

from ledger.types import Millis, ReplicaId, View

_GROWTH_STEPS_MAX = 64
"""1.5 to this power exceeds every sensible maximum; a larger exponent could overflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """A consortium's waits, in ms; the same at every replica, though only liveness needs that.

    A view needs four message delays, two block executions and `repropose_ms`. `view_ms` should be no less, and
    `view_ms_max / 4` must be no less, or nothing is decided.
    """

    view_ms: int = 2_000
    """T0: how long view 1 may take."""
    view_ms_max: int = 8_000
    """Tmax: how long any view may take; without it, a long outage is followed by one as long."""
    resend_ms: int = 500
    """R: shortest time between two repetitions of what was sent."""
    repropose_ms: int = 250
    """How long the leader after a notarized view waits for FINALIZE votes before it proposes that block again."""
    status_ms: int = 10_000
    """How often an idle replica says where it is."""

    def view_timeout(self, view: View, *, absent: bool = False) -> int:
        """T(v) = min(T0 · 1.5^(v-1), Tmax); a quarter of it if the leader is absent."""
        timeout = int(min(self.view_ms * 1.5 ** min(view - 1, _GROWTH_STEPS_MAX), self.view_ms_max))
        return timeout // 4 if absent else timeout

    def resend_wait(self, replica: ReplicaId, tick: int) -> int:
        """R, growing to 4R while nothing changes, spread over a quarter so that replicas do not speak in chorus."""
        wait = self.resend_ms * min(tick + 1, 4)
        return wait + _spread(replica, tick, wait // 4)

    def status_wait(self, replica: ReplicaId, tick: int) -> int:
        """Time until an idle replica says where it is, spread likewise."""
        return self.status_ms + _spread(replica, tick, self.status_ms // 4)


def _spread(replica: ReplicaId, tick: int, width: int) -> Millis:
    """Return a time below `width` that differs between replicas and from tick to tick."""
    return Millis((replica * 7919 + tick * 104_729) % 997 * width // 997)
