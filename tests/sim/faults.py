"""What goes wrong beside the Byzantine, and when: drawn, or aimed at the moment at which it does most harm."""

from typing import TYPE_CHECKING

from ledger.replica.items import Item
from ledger.types import ReplicaId, Vote, VoteKind
from tests.sim.clocks import MachineClock
from tests.sim.replica import Replica

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

HOUR_MS = 3_600_000
SHORT_OUTAGE_MS = 3_000
"""Silence after an aimed loss, so that nobody learns what the lost replica had said."""


class Faults:
    """Cuts, outages, crashes of all, lost disks, jumping clocks of one run."""

    def __init__(self, cluster: "Cluster") -> None:
        self.cluster = cluster
        self._island: frozenset[ReplicaId] = frozenset()
        self._cut = "both"
        """Which messages between the island and the rest are lost: those leaving it, entering it, or both."""
        self._outage_until = 0
        self._outages_armed = 0
        self._losses_armed = 0

    def plan(self) -> None:
        """Put everything into the network's future."""
        cluster, profile, r = self.cluster, self.cluster.profile, self.cluster.random
        if len(cluster.byzantine) + profile.losses + profile.roll_backs > cluster.faults:
            raise ValueError(f"{profile.name}: expected at most {cluster.faults} faulty replicas")
        end = profile.settled_ms - 500
        for _ in range(profile.losses):
            cluster.later(r.randrange(500, end // 2), self._arm_loss)
            cluster.later(end, self._lose_anyway)
        for replica in r.sample(cluster.honest, profile.roll_backs):
            cluster.later(r.randrange(500, end), replica.roll_back)
        for _ in range(profile.blackouts):
            cluster.later(r.randrange(500, end), self._black_out)
        for _ in range(profile.pauses):
            cluster.later(r.randrange(500, end), self._pause)
        if profile.outage_ms:
            cluster.later(r.randrange(200, 3_000), self._arm_outage)
        if profile.jumps:
            self._plan_jumps()
        if profile.partitions:
            self._repartition()

    def cuts(self, sender: ReplicaId, receiver: ReplicaId) -> bool:
        """Whether a message that leaves now is lost on a cut wire."""
        inside, to_inside = sender in self._island, receiver in self._island
        return (inside and not to_inside and self._cut != "entering") or (
            to_inside and not inside and self._cut != "leaving"
        )

    def is_outage(self) -> bool:
        """Whether nothing arrives now."""
        return self.cluster.now < self._outage_until

    def fades(self) -> bool:
        """Whether the long outage has begun or is over."""
        return self.cluster.profile.outage_ms > 0 and self._outages_armed == 0 and self._outage_until > 0

    def spoke(self, replica: Replica, item: Item) -> None:
        """An honest replica sends something: the moment for what was armed."""
        if not isinstance(item, Vote):
            return
        if self._outages_armed and item.kind is VoteKind.FINALIZE:
            self._outages_armed = 0
            self._go_dark(self.cluster.profile.outage_ms)
        if self._losses_armed and item.height == replica.height + 1:
            others = (other.height for other in self.cluster.honest if other is not replica)
            if replica.height > max(others, default=0):
                self._losses_armed -= 1
                self._go_dark(SHORT_OUTAGE_MS)
                self.cluster.later(0, replica.lose_disk)

    def _go_dark(self, duration: int) -> None:
        """From now on nothing arrives, not even what is on its way; not beyond the time at which all settles."""
        self._outage_until = max(self._outage_until, min(self.cluster.now + duration, self.cluster.settles))

    def _arm_outage(self) -> None:
        self._outages_armed = 1

    def _arm_loss(self) -> None:
        self._losses_armed += 1

    def _lose_anyway(self) -> None:
        """No moment was bad enough."""
        if self._losses_armed:
            self._losses_armed -= 1
            self.cluster.random.choice(self.cluster.honest).lose_disk()

    def _plan_jumps(self) -> None:
        """Wrong clocks are at no time those of more than f replicas, and right again when the network settles."""
        cluster, r = self.cluster, self.cluster.random
        for replica in r.sample(cluster.honest, cluster.faults - len(cluster.byzantine)):
            clock, right = replica.clock, replica.clock.offset_ms
            for _ in range(cluster.profile.jumps):
                by = r.choice((r.randint(-20_000, 20_000), HOUR_MS, -2 * HOUR_MS, 0))
                self._jump_later(r.randrange(cluster.profile.settled_ms), clock, right + by)
            self._jump_later(cluster.profile.settled_ms, clock, right)

    def _jump_later(self, delay: int, clock: MachineClock, offset_ms: int) -> None:
        def jump() -> None:
            clock.offset_ms = offset_ms

        self.cluster.later(delay, jump)

    def _black_out(self) -> None:
        for replica in self.cluster.honest:
            if replica.up:
                replica.crash()

    def _pause(self) -> None:
        self.cluster.random.choice(self.cluster.honest).pause(self.cluster.random.randrange(100, 3_000))

    def _repartition(self) -> None:
        cluster, r = self.cluster, self.cluster.random
        parted = r.random() < 0.5 and not cluster.is_settled()
        size = r.randrange(1, len(cluster.peers))
        self._island = frozenset(r.sample(cluster.peers, size)) if parted else frozenset()
        self._cut = r.choice(("both", "both", "leaving", "entering"))
        if not cluster.is_settled():
            cluster.later(r.randrange(500, 4_000), self._repartition)
