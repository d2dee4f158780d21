"""A daemon's control socket in a thread of its own, over a replica that only reads: for tests of commands."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from structlog.testing import capture_logs

from ledger.contract import ContractHost
from ledger.encoding import block_hash
from ledger.ports import Compaction, FoundLog, Store
from ledger.replica import Replica, TxOutcome
from ledger.replica.engine import Engine
from ledger.replica.opening import open_chain
from ledger.replica.rejoining import Position, Rejoin, check_rejoin
from ledger.types import Address, Certificate, Height, Millis, Receipt, ReplicaId, Transaction, View, Vote, VoteKind
from mpcnode.adapters.clock import SystemClock
from mpcnode.adapters.keystore import load_key
from mpcnode.adapters.ledger_link import LedgerLink
from mpcnode.adapters.randomness import random_bytes
from mpcnode.adapters.replica_standing import names_of
from mpcnode.config.node import NodeConfig, load_node
from mpcnode.daemon.voice import MemberVoice
from mpcnode.devnet.plan import Layout
from mpcnode.rpc.control import NodeHealth, NodeState, NodeStatus, serve_control
from mpcnode.rpc.governance import GovernanceServicer, Voice, add_governance_service
from mpcnode.rpc.storage import StoreServicer, add_store_service
from mpcnode.sealing.keyfile import KeyKind
from mpcnode.sealing.keys import SigningKey, verify

DELEGATES = ("operator", "bank-mpc", "insurer-mpc", "telecom-data", "notary-mpc", "regulator")
"""Of a development network."""


class ReadingReplica:
    """What a daemon asks of its replica, answered from a store; `knows` is the newest vote it knows of any key."""

    def __init__(self, node: NodeConfig, store: Store) -> None:
        self.node, self.store = node, store
        self.host = ContractHost(node.consortium.chain, store.read_node)
        self.knows: Vote | None = None

    async def head(self) -> Any:
        height = self.store.height() or Height(0)
        return SimpleNamespace(height=height, header=self.store.header(height))

    async def view(self, method: str, *args: object) -> tuple[object, ...]:
        head = await self.head()
        at = Millis(head.header.timestamp_ms + 1)
        return self.host.view(head.header.state_root, Height(head.height + 1), at, method, *args)

    def is_ready(self) -> bool:
        return True

    async def find_logs(self, first: Height, last: Height, address: Address, topic: bytes) -> tuple[FoundLog, ...]:
        return self.store.find_logs(first, last, address, topic)

    async def check_rejoin(self, rejoin: Rejoin) -> None:
        head = await self.head()
        position = Position(
            chain=self.node.consortium.chain,
            head=head.height,
            validators={ReplicaId(v.replica): v.key for v in self.store.validators(head.height)},
            newest_vote=self.knows,
        )
        check_rejoin(rejoin, position, SystemClock().now_ms())


class DecidingReplica(ReadingReplica):
    """Also takes transactions: each is final in a block of its own at once, with nobody's signatures."""

    def __init__(self, node: NodeConfig, store: Store) -> None:
        super().__init__(node, store)
        genesis = node.consortium.genesis()
        self.engine = Engine(store=store, executor=self.host, genesis=genesis, verify=verify)
        self.ready = True
        self.fails: Exception | None = None
        """What submitting ends with."""
        self.submitted = 0

    def is_ready(self) -> bool:
        return self.ready

    async def try_call(self, tx: Transaction) -> Receipt:
        return self.engine.try_call(SystemClock().now_ms(), tx)

    async def submit(self, data: bytes) -> TxOutcome:
        self.submitted += 1
        if self.fails is not None:
            raise self.fails
        pooled = self.engine.check(data)
        block, _ = self.engine.build([pooled], self.engine.head.validators[0].key, SystemClock().now_ms())
        assert block is not None
        certificate = Certificate(
            kind=VoteKind.FINALIZE,
            height=block.header.height,
            view=View(1),
            block_hash=block_hash(block.header),
            signers=(),
            signatures=(),
        )
        self.engine.commit(block, certificate)
        outcome = self.engine.outcome(pooled.tx_id)
        assert outcome is not None
        return outcome


def voice_of(node: NodeConfig, replica: Any) -> MemberVoice:
    """The member's voice, with its real identity key."""
    key = SigningKey(load_key(node.keys_dir / "identity.key", KeyKind.IDENTITY, None).secret)
    clock, chain = SystemClock(), node.consortium.chain
    link = LedgerLink(
        replica=replica,
        chain=chain,
        modes={},
        epoch=node.consortium.epoch,
        key=key,
        clock=clock,
        random=random_bytes,
    )
    return MemberVoice(
        names=names_of(node.consortium),
        me=node.member,
        documents=frozenset(model.model for model in node.consortium.models),
        key=key,
        replica=cast("Replica", replica),
        link=link,
        clock=clock,
    )


@contextmanager
def serving(
    node: NodeConfig, voice: Voice, compact: Callable[[], AsyncGenerator[Compaction, None]] | None = None
) -> Iterator[list[MutableMapping[str, Any]]]:
    """Serve a daemon's control socket until the context ends; yield what it logs."""
    status = NodeStatus(
        name=node.member.name,
        role="mpc",
        version="0",
        state=NodeState.READY,
        pid=1,
        started_ms=Millis(0),
        chain=node.consortium.chain,
        height=0,
        head=bytes(32),
        head_time_ms=Millis(0),
    )
    started, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        servicer = GovernanceServicer(voice)
        beside = [lambda server: add_governance_service(server, servicer)]
        if compact is not None:
            files = StoreServicer(compact)
            beside.append(lambda server: add_store_service(server, files))
        async with serve_control(node.control, lambda: status, lambda: NodeHealth(healthy=True), beside):
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    with capture_logs() as lines:  # the daemon's log is not the command's output
        thread.start()
        try:
            assert started.wait(10)
            yield lines
        finally:
            loops[0].call_soon_threadsafe(stop.set)
            thread.join(10)
            assert not thread.is_alive()


class SharedChain:
    """A chain at genesis that several daemons of a development network share, for their commands."""

    def __init__(self, network: Layout, store: Store) -> None:
        self.network = network
        node = load_node(self.config("bank-mpc"))
        open_chain(store, ContractHost(node.consortium.chain, store.read_node), node.consortium.genesis(), verify)
        self.replica = DecidingReplica(node, store)
        self.logs: dict[str, list[MutableMapping[str, Any]]] = {}

    def config(self, name: str) -> Path:
        return self.network.node(name).config

    @contextmanager
    def up(self, *names: str) -> Iterator[None]:
        """Serve the control sockets of some daemons, of all delegates if none is named."""
        with ExitStack() as stack:
            for name in names or DELEGATES:
                node = load_node(self.config(name))
                self.logs[name] = stack.enter_context(serving(node, voice_of(node, self.replica)))
            yield
