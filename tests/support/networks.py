"""Replicas of one process: joined by a transport in memory that can lose and cut, with a clock that can be set."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager

from nacl.signing import SigningKey

from ledger.consensus import Timing
from ledger.errors import UnavailableError
from ledger.ports import Executor, Inbox, Store
from ledger.replica import Replica
from ledger.store import MemoryStore
from ledger.types import Genesis, Millis, PublicKey, ReplicaId, Signature
from tests.support.chains import public_key, sign, verify, vote_key
from tests.support.executors import CountingExecutor

FAST = Timing(view_ms=300, view_ms_max=1_500, resend_ms=100, repropose_ms=50, status_ms=500)


class WallClock:
    """The machine's time, moved by `offset_ms`."""

    def __init__(self) -> None:
        self.offset_ms = 0

    def now_ms(self) -> Millis:
        return Millis(int(time.time() * 1000) + self.offset_ms)


class VoteSigner:
    def __init__(self, key: SigningKey) -> None:
        self._key = key

    @property
    def key(self) -> PublicKey:
        return public_key(self._key)

    def sign(self, statement: bytes) -> Signature:
        return sign(self._key, statement)


class Hub:
    """Carries items between the replicas that joined; `drop` decides what gets lost."""

    def __init__(self) -> None:
        self.inboxes: dict[ReplicaId, Inbox] = {}
        self.queues: dict[tuple[ReplicaId, ReplicaId], asyncio.Queue[list[bytes]]] = {}
        self.drop: Callable[[ReplicaId, ReplicaId, bytes], bool] = lambda _sender, _to, _item: False
        self.sent: list[tuple[ReplicaId, ReplicaId, bytes]] = []

    def transport(self, own: int) -> "HubTransport":
        return HubTransport(self, ReplicaId(own))

    @asynccontextmanager
    async def joined(self, own: ReplicaId, inbox: Inbox):
        async with asyncio.TaskGroup() as tasks:
            lanes = []
            for peer, other in self.inboxes.items():
                lanes += [
                    tasks.create_task(self._carry(own, peer, other)),
                    tasks.create_task(self._carry(peer, own, inbox)),
                ]
            self.inboxes[own] = inbox
            for peer, other in list(self.inboxes.items()):
                if peer != own:
                    other.connected(own)
                    inbox.connected(peer)
            try:
                yield
            finally:
                del self.inboxes[own]
                for other in self.inboxes.values():
                    other.disconnected(own)
                for lane in lanes:
                    lane.cancel()

    async def _carry(self, sender: ReplicaId, to: ReplicaId, inbox: Inbox) -> None:
        queue = self.queues[sender, to] = asyncio.Queue()
        while True:
            items = await queue.get()
            if to in self.inboxes and sender in self.inboxes:
                with contextlib.suppress(UnavailableError):  # it stops just now
                    await inbox.receive(sender, items)


class HubTransport:
    def __init__(self, hub: Hub, own: ReplicaId) -> None:
        self.hub = hub
        self.own = own

    def send(self, to: ReplicaId, items: Sequence[bytes]) -> None:
        kept = [item for item in items if not self.hub.drop(self.own, to, item)]
        self.hub.sent += [(self.own, to, item) for item in kept]
        queue = self.hub.queues.get((self.own, to))
        if kept and queue is not None and to in self.hub.inboxes:
            queue.put_nowait(kept)

    def broadcast(self, items: Sequence[bytes]) -> None:
        for peer in self.peers():
            self.send(peer, items)

    def peers(self) -> frozenset[ReplicaId]:
        return frozenset(self.hub.inboxes) - {self.own}


class Cluster:
    """Replicas by number, each with a store that outlives it."""

    def __init__(self, genesis: Genesis, clock: WallClock | None = None) -> None:
        self.genesis = genesis
        self.clock = clock or WallClock()
        self.hub = Hub()
        self.stores: dict[int, Store] = {}
        self.executors: dict[int, CountingExecutor] = {}
        self.executing = CountingExecutor
        self.signers = {
            index: VoteSigner(vote_key(index))
            for index, member in enumerate(genesis.members)
            if member.vote_key is not None
        }
        """By replica: the vote key in its key file; it is read at a start."""
        self.replicas: dict[int, Replica] = {}
        self._running: dict[int, asyncio.Task[None]] = {}

    def store(self, index: int) -> Store:
        return self.stores.setdefault(index, MemoryStore())

    def executor(self, index: int, store: Store) -> Executor:
        made = self.executors[index] = self.executing(self.genesis.validators(), store.read_node)
        return made

    def build(self, index: int) -> Replica:
        store = self.store(index)
        return Replica(
            replica=ReplicaId(index),
            genesis=self.genesis,
            store=store,
            executor=self.executor(index, store),
            transport=self.hub.transport(index),
            clock=self.clock,
            verify=verify,
            signer=self.signers.get(index),
            timing=FAST,
        )

    async def _run(self, index: int, replica: Replica) -> None:
        async with self.hub.joined(ReplicaId(index), replica):
            await replica.run()

    def start(self, *indices: int) -> None:
        for index in indices:
            self.replicas[index] = self.build(index)
            self._running[index] = asyncio.get_running_loop().create_task(self._run(index, self.replicas[index]))

    async def stop(self, *indices: int) -> None:
        for index in indices:
            self._running[index].cancel()
        for index in indices:
            await asyncio.gather(self._running.pop(index), return_exceptions=True)

    def indices(self) -> frozenset[int]:
        """Replicas that were started and not stopped."""
        return frozenset(self._running)

    async def failure(self, index: int) -> BaseException:
        """What a replica died of."""
        (result,) = await asyncio.gather(self._running.pop(index), return_exceptions=True)
        assert isinstance(result, BaseException)
        return result

    @asynccontextmanager
    async def running(self, *indices: int):
        self.start(*indices)
        try:
            yield self
        finally:
            await self.stop(*self._running)


def gone(replica: Replica) -> set[ReplicaId]:
    """Peers that a replica's core gives less time, because the way to them broke."""
    assert replica._parts is not None
    return replica._parts.driver._machine._absences._gone


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any condition will do
            await asyncio.sleep(0.005)
