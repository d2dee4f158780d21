"""One daemon from start to end: open, follow the ledger, serve, drain, close.

Everything is owned by one `asyncio.TaskGroup`: if a part ends with an error, the daemon ends with it, and its exit code
says why. READY is told when the replica follows and the role runs, not before.
"""

import asyncio
import gc
import os
import random
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack

import structlog
import uvloop

from ledger.consensus import Timing
from ledger.contract import ContractHost
from ledger.errors import UnavailableError
from ledger.ports import Compaction
from ledger.replica import Replica, registered_key
from ledger.rpc import Backoff, PeerNetwork
from ledger.store import SqliteStore
from ledger.types import ReplicaId
from mpcnode.adapters.allocator import keep_freed_memory
from mpcnode.adapters.blob_files import BlobFiles
from mpcnode.adapters.blob_store import BlobStore
from mpcnode.adapters.clock import SystemClock
from mpcnode.adapters.journal import Journal
from mpcnode.adapters.keystore import Keystore
from mpcnode.adapters.ledger_link import LedgerLink, VoteSigner
from mpcnode.adapters.notify import Notifier
from mpcnode.adapters.randomness import random_bytes
from mpcnode.config.node import NodeConfig
from mpcnode.daemon.network import make_listeners, open_channels, peer_addresses, peer_directory
from mpcnode.daemon.roles import build_context, build_role
from mpcnode.daemon.roster import RosterKeeper
from mpcnode.daemon.state import NodeReporter
from mpcnode.daemon.voice import MemberVoice
from mpcnode.errors import Exit
from mpcnode.governance.roster import Roster
from mpcnode.governance.standing import Names
from mpcnode.mpc.kernels import Choice, choose
from mpcnode.query.view import QueryView
from mpcnode.roles.blobs import QueryBlobs
from mpcnode.roles.compute import Compute
from mpcnode.roles.operator import Operator
from mpcnode.roles.supervisor import Supervisor
from mpcnode.roles.timekeeper import Timekeeper
from mpcnode.rpc.blobs import (
    Authenticate,
    BlobLink,
    BlobServicer,
    add_blob_service,
    blob_stub,
    of_certificate,
    of_signed_call,
)
from mpcnode.rpc.calls import CallGate
from mpcnode.rpc.control import NodeState, serve_control
from mpcnode.rpc.corrections import CorrectionsPuller, Pullers
from mpcnode.rpc.deliveries import Deliveries
from mpcnode.rpc.governance import GovernanceServicer, add_governance_service
from mpcnode.rpc.inquiry import InquiryServicer, add_inquiry_service
from mpcnode.rpc.peers import Peers, PeerServicer, add_peer_service, make_stubs
from mpcnode.rpc.rounds import Rounds
from mpcnode.rpc.storage import StoreServicer, add_store_service
from mpcnode.rpc.tls import PeerDirectory
from mpcnode.sealing.keys import verify
from mpcnode.types import MemberIndex, Role

_log = structlog.get_logger(__name__)

_POLL_S = 0.05
_ALONE_S = 2.0
"""Without a quorum of validators for so long, no open query can end; a drain that waits for one gives up."""
_LINGER_S = 0.3
"""From the end of the last query: time for peers to hear of it."""
_CLOSE_S = 2.0
"""For calls under way when the listeners close."""


def run(config: NodeConfig, keys: Keystore, kernels: Choice = Choice.AUTO) -> int:
    """Run a daemon until SIGTERM or SIGINT; return its exit code.

    Args:
        config: whose.
        keys: its member's.
        kernels: what runs the loops of computations, for roles that compute.

    Raises:
        NodeError, LedgerError: what ended it; the caller turns it into a line and an exit code.
    """
    keep_freed_memory()
    if config.member.roles & (Role.MPC | Role.SUPERVISOR):
        _load_kernels(kernels, config)  # before the loop runs: compiling takes seconds
    uvloop.run(_run(config, keys))
    return int(Exit.OK)


def _load_kernels(choice: Choice, config: NodeConfig) -> None:
    loaded = choose(choice, str(config.kernels_dir))
    if loaded.refused:
        _log.warning("daemon.kernels", kernels=loaded.kernels.name, numba=loaded.refused)
    else:
        _log.info("daemon.kernels", kernels=loaded.kernels.name)


class _StoppedError(Exception):
    """The daemon was told to stop, and has drained."""


class _Daemon:
    """The parts of one daemon: built whole by the constructor, run by `run`."""

    def __init__(self, config: NodeConfig, keys: Keystore, journal: Journal) -> None:
        consortium, self._me = config.consortium, config.member
        self._config = config
        self._journal = journal
        self._notifier = Notifier(address=os.environ.get("NOTIFY_SOCKET"))
        self.reporter = NodeReporter(config)
        directory = peer_directory(config)
        self._network = PeerNetwork(
            replica=ReplicaId(self._me.index),
            peers=peer_addresses(config, keys),
            peer_of=lambda context: ReplicaId(directory.peer_of(context)),
            backoff=Backoff(spread=random.SystemRandom().random),
        )
        self._replica = make_replica(config, keys, self._network)
        self._vote_key = None if keys.vote is None else keys.vote.public
        self._link = LedgerLink(
            replica=self._replica,
            chain=consortium.chain,
            modes={model.model: model.audit for model in consortium.models},
            epoch=consortium.epoch,
            key=keys.identity,
            clock=SystemClock(),
            random=random_bytes,
        )
        names = Names([member.name for member in consortium.members], consortium.companies)
        roster = Roster(consortium.members)
        self._keeper = RosterKeeper(roster, names, self._replica)
        self.voice = MemberVoice(
            names=names,
            me=self._me,
            documents=frozenset(model.model for model in consortium.models),
            key=keys.identity,
            replica=self._replica,
            link=self._link,
            clock=SystemClock(),
        )
        self.channels = open_channels(config, keys)
        self._stubs = make_stubs(self.channels)
        self._outboxes = {member: Deliveries(member, stub) for member, stub in self._stubs.items()}
        self._rounds = self._make_rounds(keys) if self._me.roles & Role.MPC else None
        self._pullers = self._make_pullers() if self._me.roles & Role.MPC else {}
        self._blobs = BlobStore(BlobFiles(config.blobs_dir, config.limits.blobs_bytes))
        self._context = build_context(
            config,
            keys,
            members=roster,
            ledger=self._link,
            peers=self._make_peers(keys),
            journal=journal,
            blobs=self._blobs,
        )
        self._keeper_of_blobs = QueryBlobs(self._context, offers_bytes=config.limits.offers_bytes)
        self._role = build_role(config, keys, self._context)
        self._listeners = make_listeners(config, keys)
        self._inquiry: InquiryServicer | None = None
        self._register(directory)

    def _make_rounds(self, keys: Keystore) -> Rounds:
        nodes = self._config.consortium.with_role(Role.MPC)
        return Rounds(
            chain=self._config.consortium.chain,
            me=self._me.index,
            identities={node.index: node.identity for node in nodes},
            sign=keys.identity.sign,
            verify=verify,
        )

    def _make_peers(self, keys: Keystore) -> Peers:
        consortium = self._config.consortium
        return Peers(
            chain=consortium.chain,
            me=self._me.index,
            key=keys.identity,
            outboxes=self._outboxes,
            rounds=self._rounds,
            pullers=self._pullers,
            blobs=self._blobs,
            links={
                member: BlobLink(blob_stub(channel), consortium.chain, consortium.members[member].identity)
                for member, channel in self.channels.items()
            },
        )

    def _make_pullers(self) -> Pullers:
        dealers = self._config.consortium.with_role(Role.SUPERVISOR)
        return {dealer.index: CorrectionsPuller() for dealer in dealers[:1]}

    def _register(self, directory: PeerDirectory) -> None:
        """Say what the listeners serve."""
        consortium, role = self._config.consortium, self._role
        self._network.register(self._listeners.peers)
        self._servicer = PeerServicer(
            chain=consortium.chain,
            me=self._me,
            members=self._context.members,
            directory=directory,
            handlers=role.handlers,
            rounds=self._rounds,
            dealer=role.deals if isinstance(role, Supervisor) else None,
        )
        add_peer_service(self._listeners.peers, self._servicer)
        add_blob_service(self._listeners.peers, self._blob_servicer(of_certificate(directory)))
        if self._listeners.inquiry is not None and isinstance(role, Operator):
            calls = CallGate(consortium.chain, SystemClock(), role.check_inquirer)
            self._inquiry = InquiryServicer(role, calls)
            add_inquiry_service(self._listeners.inquiry, self._inquiry)
            add_blob_service(self._listeners.inquiry, self._blob_servicer(of_signed_call(calls)))

    def _blob_servicer(self, authenticate: Authenticate) -> BlobServicer:
        return BlobServicer(
            chain=self._config.consortium.chain,
            blobs=self._blobs,
            keeper=self._keeper_of_blobs,
            authenticate=authenticate,
            sign=self._context.sign,
        )

    def compact(self) -> AsyncGenerator[Compaction, None]:
        """Remove old state while the daemon runs."""
        return self._replica.compact()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._end(stop), name="end")
                tasks.create_task(self._replica.run(), name="replica")
                tasks.create_task(self._journal.watch(), name="journal")
                tasks.create_task(self._blobs.run(), name="blobs")
                tasks.create_task(_beside_replica(self._link.run()), name="ledger link")
                tasks.create_task(_beside_replica(self._watch()), name="watch")
                await self._listeners.peers.start()
                tasks.create_task(self._network.run(self._replica), name="ledger network")
                for member, outbox in self._outboxes.items():
                    tasks.create_task(outbox.run(), name=f"messages to {member}")
                if self._rounds is not None:
                    tasks.create_task(self._rounds.dial(self._stubs), name="rounds")
                for dealer, puller in self._pullers.items():
                    tasks.create_task(puller.run(self._stubs[dealer]), name="corrections")
                tasks.create_task(_beside_replica(self._begin_work(tasks)), name="begin")
        except* _StoppedError:
            _log.info("daemon.stopped")
        finally:
            self._servicer.close()
            await self._listeners.peers.stop(_CLOSE_S)

    async def _end(self, stop: asyncio.Event) -> None:
        await stop.wait()
        works = self.reporter.state is NodeState.READY
        self.reporter.state, self.reporter.detail = NodeState.STOPPING, "finishing open queries"
        self._notifier.stopping()
        _log.info("daemon.stopping", open_queries=len(self._link.view.open()))
        if works:
            await self._drain()
        self._servicer.close()  # before the role ends: what it cannot use is not to be acknowledged
        raise _StoppedError

    async def _watch(self) -> None:
        """Keep what the control socket tells up to date."""
        while True:
            head = await self._replica.head()
            self.reporter.see_block(head.header, head.block_hash)
            self.reporter.connected = frozenset(MemberIndex(peer) for peer in self._network.peers())
            self.reporter.follows = self._replica.is_ready()
            registered = registered_key(ReplicaId(self._me.index), self._replica.validators)
            self.reporter.vote_key_wanted = None if registered == self._vote_key else registered
            self.reporter.counters = {"open_queries": len(self._link.view.open()), **self._stock()}
            await asyncio.sleep(_POLL_S)

    def _stock(self) -> Mapping[str, int]:
        joint = self._context.correlations.is_joint
        return {"correlations_in_stock": self._role.in_stock} if joint and isinstance(self._role, Compute) else {}

    async def _begin_work(self, tasks: asyncio.TaskGroup) -> None:
        """Wait until the replica follows, then let the role work, and only then be ready."""
        self.reporter.detail = "catching up with the other replicas"
        await _poll(self._replica.is_ready)
        await self._link.reach((await self._replica.head()).height)
        await self._keeper.refresh()
        tasks.create_task(_beside_replica(self._keeper.run()), name="roster")
        tasks.create_task(self._role.run(), name="role")
        tasks.create_task(Timekeeper(self._context, self._validators).run(), name="timekeeper")
        if self._listeners.inquiry is not None:
            await self._listeners.inquiry.start()
        gc.collect()
        gc.freeze()  # what is there now stays: later collections pass it by, and the loop waits a few ms less for each
        self.reporter.state, self.reporter.detail = NodeState.READY, ""
        self._notifier.ready(f"{self._me.name} follows the ledger")
        _log.info("daemon.ready", member=self._me.name)

    def _validators(self) -> tuple[MemberIndex, ...]:
        return tuple(MemberIndex(validator.replica) for validator in self._replica.validators)

    async def _drain(self) -> None:
        """Take no more questions, and give the queries under way a little time to end; answers can still be fetched."""
        if self._inquiry is not None:
            self._inquiry.take_no_more()
        try:
            async with asyncio.timeout(self._config.limits.drain_ms / 1000):
                await self._finish_queries()
        except TimeoutError:
            _log.warning("daemon.drained_in_part", open_queries=len(self._link.view.open()))
        if self._listeners.inquiry is not None:
            await self._listeners.inquiry.stop(_CLOSE_S)

    async def _finish_queries(self) -> None:
        """Wait until no open query needs this daemon, or until none can end."""
        clock = asyncio.get_running_loop().time
        followed, waited = clock(), False
        while any(self._takes_part(view) for view in self._link.view.open()):
            waited = True
            if self._replica.is_ready():
                followed = clock()
            elif clock() - followed > _ALONE_S:
                _log.warning("daemon.drained_alone", open_queries=len(self._link.view.open()))
                return
            await asyncio.sleep(_POLL_S)
        if waited:
            await asyncio.sleep(_LINGER_S)

    def _takes_part(self, view: QueryView) -> bool:
        me = self._me
        in_panel = bool(view.panel >> me.index & 1)
        return in_panel or me.index in view.committee or bool(me.roles & (Role.OPERATOR | Role.SUPERVISOR))


async def _beside_replica(work: Coroutine[object, object, None]) -> None:
    """Do what needs the replica; if that fails, its own task says why, and nothing may cancel that before it did."""
    try:
        await work
    except UnavailableError:
        await asyncio.Event().wait()


async def _poll(holds: Callable[[], bool]) -> None:
    """Wait until something that nobody announces holds."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(_POLL_S)


def make_replica(config: NodeConfig, keys: Keystore, network: PeerNetwork) -> Replica:
    """Put the replica together on its store; `Replica.run` opens it and closes it."""
    store = SqliteStore(config.ledger_dir)
    timings = config.consortium.timings
    return Replica(
        replica=ReplicaId(config.member.index),
        genesis=config.consortium.genesis(),
        store=store,
        executor=ContractHost(config.consortium.chain, store.read_node),
        transport=network,
        clock=SystemClock(),
        verify=verify,
        signer=None if keys.vote is None else VoteSigner(keys.vote),
        timing=Timing(
            view_ms=timings.view_timeout_ms, view_ms_max=timings.view_timeout_ms_max, resend_ms=timings.resend_ms
        ),
    )


async def _run(config: NodeConfig, keys: Keystore) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        journal = await Journal.open(config.journal)
        stack.push_async_callback(journal.close)
        daemon = _Daemon(config, keys, journal)
        for channel in daemon.channels.values():
            stack.push_async_callback(channel.close, None)
        governance = GovernanceServicer(daemon.voice)
        files = StoreServicer(daemon.compact)
        beside = [
            lambda server: add_governance_service(server, governance),
            lambda server: add_store_service(server, files),
        ]
        reporter = daemon.reporter
        await stack.enter_async_context(serve_control(config.control, reporter.status, reporter.health, beside))
        await daemon.run(stop)
