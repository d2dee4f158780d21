"""A deterministic network of replicas: one seed, one run."""

import hashlib
import heapq
import itertools
from collections.abc import Callable

from ledger.types import ReplicaId
from tests.sim import byzantine
from tests.sim.invariants import Checker, Violation
from tests.sim.profiles import Profile, draw, source
from tests.sim.replica import Replica
from tests.sim.world import EPOCH_MS, Committees, decode

LIVENESS_MS = 30_000
"""After the network has settled, everything must be decided within this time: the rest of the longest view (4 s), then
(f + 2) views of T(f + 1) + 4 message delays for each of the few heights that are left. Runs need up to 8 s."""

IDLE_MS = 30_000
"""How long the network is watched after everything was decided."""


class Cluster:
    """Replicas, the network between them, clients, and the faults of a profile."""

    def __init__(self, seed: int, profile: Profile | None = None) -> None:
        self.profile = profile or draw(seed)
        self.random = source(seed, self.profile)
        self.committees = Committees(self.profile.replicas, self.profile.rotating)
        self.now = EPOCH_MS
        self.settles = EPOCH_MS + self.profile.settled_ms
        self.messages = 0
        self.trace = hashlib.blake2b(digest_size=16)
        self.submitted: list[bytes] = []
        self.ghosts: dict[bytes, int] = {}
        """Transactions that expire, and when."""
        self.effects = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._island: frozenset[ReplicaId] = frozenset()
        self.peers = [ReplicaId(i) for i in range(self.profile.replicas + self.profile.observers)]
        self.checker = Checker(self)
        strategies = self.profile.byzantine
        self.byzantine = dict(
            zip(self.random.sample(self.peers[: self.profile.replicas], len(strategies)), strategies, strict=True)
        )
        self.bodies: dict[ReplicaId, list[Replica | byzantine.Chaos]] = {}
        for peer in self.peers:
            strategy = self.byzantine.get(peer)
            votes = peer < self.profile.replicas
            self.bodies[peer] = byzantine.make(self, peer, strategy) if strategy else [Replica(self, peer, votes=votes)]

    @property
    def honest(self) -> list[Replica]:
        return [body for bodies in self.bodies.values() for body in bodies if isinstance(body, Replica) and body.honest]

    def later(self, delay: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + delay, next(self._order), action))

    def is_settled(self) -> bool:
        return self.now >= self.settles

    def strikes(self, replica: Replica) -> bool:
        """Whether a replica crashes before its next effect."""
        if replica.id == self.profile.crash_replica and replica.honest:
            self.effects += 1
            return self.effects == self.profile.crash_effect
        if not self.profile.crash or not replica.honest or self.is_settled():
            return False
        return self.random.random() < self.profile.crash

    def knows(self, tx: bytes, timestamp_ms: int) -> bool:
        """Whether a block of that time may hold a transaction; replicas' clocks differ by up to a second."""
        return tx in self.submitted or timestamp_ms <= self.ghosts.get(tx, 0) + 1_000

    def execution_ms(self) -> int:
        """How long building or validating a block takes."""
        slow = not self.is_settled() and self.random.random() < self.profile.slow_execution
        return self.random.randrange(100, 1_500) if slow else self.random.randrange(1, 20)

    def transmit(self, sender: ReplicaId, receiver: ReplicaId, data: bytes) -> None:
        """Carry a message, or lose, delay or double it."""
        self.messages += 1
        for delay in self._delays(sender, receiver):
            self.later(delay, lambda: self._deliver(sender, receiver, data))

    def _deliver(self, sender: ReplicaId, receiver: ReplicaId, data: bytes) -> None:
        self.trace.update(b"%d %d %d " % (self.now, sender, receiver) + data)
        message = decode(data)
        for body in self.bodies[receiver]:
            if len(self.bodies[receiver]) == 1 or self.random.random() < 0.7:
                body.hear(sender, message)

    def gossip(self, sender: ReplicaId, tx: bytes) -> None:
        for peer in self.peers:
            if peer != sender:
                for delay in self._delays(sender, peer):
                    self.later(delay, lambda peer=peer: self._submit(peer, tx))  # type: ignore[misc]

    def _submit(self, peer: ReplicaId, tx: bytes) -> None:
        for body in self.bodies[peer]:
            body.submit(tx)

    def _delays(self, sender: ReplicaId, receiver: ReplicaId) -> list[int]:
        if self.is_settled():
            return [self.random.randrange(5, 60)]
        if (sender in self._island) != (receiver in self._island) or self.random.random() < self.profile.loss:
            return []
        slow = self.random.random() < self.profile.slow
        delay = self.random.randrange(50, 3_000) if slow else self.random.randrange(1, 60)
        return [delay, 2 * delay] if self.random.random() < self.profile.duplication else [delay]

    def run(self) -> "Cluster":
        """Run to the end.

        Raises:
            Violation: an invariant is broken.
        """
        self._begin()
        self._run_until(self.settles + LIVENESS_MS, self._is_done)
        self.checker.finished()
        self.checker.idle_begins()
        self._run_until(self.now + IDLE_MS, lambda: False)
        self.checker.idle_ends()
        return self

    def _begin(self) -> None:
        for bodies in self.bodies.values():
            for body in bodies:
                self.later(self.random.randrange(50), body.start)
        for number in range(self.profile.txs):
            at = self.random.randrange(self.profile.settled_ms * 5 // 4)
            self.later(at, lambda tx=b"tx %d" % number: self._offer(tx))  # type: ignore[misc]
        for ghost in [b"ghost %d" % number for number in range(self.profile.ghosts)]:
            at = self.random.randrange(self.profile.settled_ms // 2)
            self.ghosts[ghost] = self.now + at + 1_000
            self.later(at, lambda ghost=ghost: self.random.choice(self.honest).submit(ghost))  # type: ignore[misc]
            for bodies in self.bodies.values():
                for body in bodies:
                    self.later(at + 1_000, lambda ghost=ghost, body=body: body.expire(ghost))  # type: ignore[misc]
        for replica in self.random.sample(self.honest, self.profile.losses):
            self.later(self.random.randrange(500, self.profile.settled_ms), replica.lose_disk)
        for _ in range(self.profile.blackouts):
            self.later(self.random.randrange(500, self.profile.settled_ms), self._black_out)
        if self.profile.partitions:
            self._repartition()

    def _offer(self, tx: bytes) -> None:
        """Submit a client's transaction to some honest replica; again and again until it is decided."""
        if tx not in self.submitted:
            self.submitted.append(tx)
        if tx not in self.checker.decided_txs:
            self.random.choice(self.honest).submit(tx)
            self.later(1_500, lambda: self._offer(tx))

    def _black_out(self) -> None:
        for replica in self.honest:
            if replica.up:
                replica.crash()

    def _repartition(self) -> None:
        parted = self.random.random() < 0.5 and not self.is_settled()
        size = self.random.randrange(1, len(self.peers))
        self._island = frozenset(self.random.sample(self.peers, size)) if parted else frozenset()
        if not self.is_settled():
            self.later(self.random.randrange(500, 4_000), self._repartition)

    def _is_done(self) -> bool:
        return (
            self.now > self.settles + self.profile.settled_ms // 4
            and self.checker.decided_txs.issuperset(self.submitted)
            and all(len(replica.chain) == len(self.checker.decided) for replica in self.honest)
        )

    def _run_until(self, end: int, is_done: Callable[[], bool]) -> None:
        steps = itertools.count(1)
        while self._queue and self._queue[0][0] <= end:
            self.now, _, action = heapq.heappop(self._queue)
            action()
            if next(steps) % 16 == 0 and is_done():
                return


__all__ = ["Cluster", "Violation"]
