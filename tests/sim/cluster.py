"""A deterministic network of replicas: one seed, one run."""

import hashlib
import heapq
import itertools
import random
from collections.abc import Callable

from ledger.chain import faults_tolerated
from ledger.encoding import decode_transaction, transaction_id
from ledger.types import Millis, ReplicaId, TxId
from tests.sim import byzantine
from tests.sim.faults import Faults
from tests.sim.invariants import Checker, Violation
from tests.sim.profiles import Profile, draw, source
from tests.sim.replica import Replica
from tests.sim.world import EPOCH_MS, Symbolic, World, decode

SLOW_MS = 6_000
"""Longest delay of a message before the network settles."""

IDLE_MS = 30_000
"""How long the network is watched after everything was decided."""

EXPIRY_MS = 3_000_000
"""Life of a transaction: under an hour by 10 minutes, so that no wall clock that is right refuses it."""


class Cluster:
    """Replicas, the network between them, clients, and the faults of a profile."""

    def __init__(self, seed: int, profile: Profile | None = None, *, inside: bool = True) -> None:
        """Put a run together; without `inside` nobody looks into replicas (`invariants.Invariant`)."""
        self.profile = profile or draw(seed)
        self.random = source(seed, self.profile)
        self.news = random.Random(f"{seed} {self.profile.name} news")
        """What decides who hears of whose end and return: of its own, so that everything else is as without."""
        self.world = self._make_world()
        self.now = EPOCH_MS
        self.settles = EPOCH_MS + self.profile.settled_ms
        self.messages = 0
        self.effects = 0
        """Effects of the replica that `crash_replica` names."""
        self.trace = hashlib.blake2b(digest_size=16)
        self.submitted: dict[TxId, bytes] = {}
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.peers = [ReplicaId(i) for i in range(self.profile.everybody)]
        strategies = self.profile.byzantine
        self.byzantine = dict(
            zip(self.random.sample(self.peers[: self.profile.replicas], len(strategies)), strategies, strict=True)
        )
        self.checker = Checker(self, inside=inside)
        self.faulty = Faults(self)
        self.bodies: dict[ReplicaId, list[Replica | byzantine.Chaos]] = {}
        for peer in self.peers:
            strategy = self.byzantine.get(peer)
            votes = peer < self.profile.replicas + self.profile.spare
            self.bodies[peer] = byzantine.make(self, peer, strategy) if strategy else [Replica(self, peer, votes=votes)]
        self.honest = [
            body for bodies in self.bodies.values() for body in bodies if isinstance(body, Replica) and body.honest
        ]

    def _make_world(self) -> World:
        if self.profile.real:
            from tests.sim.reality import Reality  # noqa: PLC0415 - py-evm takes a second to import

            return Reality(self.profile.replicas)
        return Symbolic(self.profile.replicas, self.profile.spare)

    @property
    def faults(self) -> int:
        """How many replicas may be faulty at first."""
        return faults_tolerated(self.profile.replicas)

    def later(self, delay: int, action: Callable[[], None]) -> None:
        """Do something in so many ms."""
        heapq.heappush(self._queue, (self.now + delay, next(self._order), action))

    def is_settled(self) -> bool:
        """Whether all faults but the Byzantine are over."""
        return self.now >= self.settles

    def strikes(self, replica: Replica) -> bool:
        """Whether a replica crashes before its next effect, or within a flush."""
        if replica.id == self.profile.crash_replica and replica.honest:
            self.effects += 1
            return self.effects == self.profile.crash_effect
        if not self.profile.crash or not replica.honest or self.is_settled():
            return False
        return self.random.random() < self.profile.crash

    def execution_ms(self) -> int:
        """How long building or validating a block takes."""
        slow = not self.is_settled() and self.random.random() < self.profile.slow_execution
        return self.random.randrange(100, 1_500) if slow else self.random.randrange(1, 20)

    def transmit(self, sender: ReplicaId, receiver: ReplicaId, data: bytes) -> None:
        """Carry a message, or lose, delay or double it."""
        self.messages += 1
        for delay in self._delays(sender, receiver):
            self.later(delay, lambda: self._deliver(sender, receiver, data))

    def spread_news(self, peer: ReplicaId, *, reached: bool) -> None:
        """Let some hear that a replica is gone or back; now and then it is said of another one."""
        for replica in self.honest:
            if self.news.random() < 0.7:
                replica.hear_of(self.news.choice(self.peers) if self.news.random() < 0.1 else peer, reached=reached)

    def _deliver(self, sender: ReplicaId, receiver: ReplicaId, data: bytes) -> None:
        if self.faulty.is_outage():
            return
        self.trace.update(b"%d %d %d " % (self.now, sender, receiver) + data)
        item = decode(data)
        for body in self.bodies[receiver]:
            if len(self.bodies[receiver]) == 1 or self.random.random() < 0.7:
                body.receive(sender, item)

    def _delays(self, sender: ReplicaId, receiver: ReplicaId) -> list[int]:
        draw, profile = self.random.random, self.profile
        if self.now >= self.settles:
            return [5 + int(draw() * 55)]
        if draw() < profile.loss or self.faulty.cuts(sender, receiver):
            return []
        delay = 50 + int(draw() * 2_950) if draw() < profile.slow else 1 + int(draw() * 59)
        return [delay, 2 * delay] if draw() < profile.duplication else [delay]

    def undecided(self) -> list[bytes]:
        """Transactions that were submitted and are in no block."""
        return [tx for tx_id, tx in self.submitted.items() if tx_id not in self.checker.decided_txs]

    def run(self) -> "Cluster":
        """Run to the end.

        Raises:
            Violation: an invariant is broken.
        """
        try:
            self._begin()
            self._run_until(self.settles + self.checker.liveness_ms, self._is_done)
            self.checker.finished()
            self.checker.idle_begins()
            self._run_until(self.now + IDLE_MS, lambda: False)
            self.checker.idle_ends()
        finally:
            self.world.close()
        return self

    def _begin(self) -> None:
        for bodies in self.bodies.values():
            for body in bodies:
                self.later(self.random.randrange(50), body.start)
        self._plan_transactions()
        self.faulty.plan()

    def _plan_transactions(self) -> None:
        profile, r = self.profile, self.random
        for number in range(profile.txs + profile.changes):
            self.later(r.randrange(profile.settled_ms * 5 // 4), lambda number=number: self._make(number))  # type: ignore[misc]
        for number in range(1_000, 1_000 + profile.ghosts):
            at = r.randrange(profile.settled_ms // 2)
            ghost = self.world.transaction(number, Millis(self.now + at), Millis(self.now + at + 1_000))
            self.later(at, lambda ghost=ghost: r.choice(self.honest).submit(ghost))  # type: ignore[misc]

    def _make(self, number: int) -> None:
        """Let a client make its transaction, and offer it until it is decided."""
        expiry = Millis(self.now + EXPIRY_MS)
        if number < self.profile.txs:
            tx = self.world.transaction(number, Millis(self.now), expiry)
        else:
            changing = self.random.choice(self.peers[: self.profile.replicas + self.profile.spare])
            tx = self.world.change(number, changing, expiry)
        tx_id = transaction_id(decode_transaction(tx))
        self.submitted[tx_id] = tx
        self._offer(tx_id)

    def _offer(self, tx_id: TxId) -> None:
        """Submit a transaction to some honest replica; again and again until it is decided."""
        if tx_id not in self.checker.decided_txs:
            self.random.choice(self.honest).submit(self.submitted[tx_id])
            self.later(1_500, lambda: self._offer(tx_id))

    def _is_done(self) -> bool:
        return (
            self.now > self.settles + max(self.profile.settled_ms // 4, SLOW_MS)
            and self.checker.decided_txs.issuperset(self.submitted)
            and all(replica.is_at(len(self.checker.decided)) for replica in self.honest)
        )

    def _run_until(self, end: int, is_done: Callable[[], bool]) -> None:
        steps = itertools.count(1)
        while self._queue and self._queue[0][0] <= end:
            self.now, _, action = heapq.heappop(self._queue)
            action()
            if next(steps) % 16 == 0 and is_done():
                return


__all__ = ["Cluster", "Violation"]
