"""A replica: the chain as its daemon uses it. All of it belongs to one event loop."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from ledger.chain import Verify
from ledger.consensus import (
    GetBlock,
    MessageReceived,
    PeerReached,
    Signer,
    Status,
    Timing,
    WorkArrived,
    WorkGone,
    encode_message,
)
from ledger.encoding import vote_statement
from ledger.errors import StorageError, UnavailableError
from ledger.ports import Clock, Compaction, Equivocation, Executor, FoundLog, Place, Store, Transport
from ledger.replica.driver import NEVER, Driver, Identity
from ledger.replica.engine import Engine
from ledger.replica.enlisting import Enlisting
from ledger.replica.intake import Intake
from ledger.replica.items import AskVotes, TellVotes, Transactions, decode_item, encode_item
from ledger.replica.mempool import Mempool
from ledger.replica.outcomes import CommittedBlock, ReplicaStatus, TxOutcome
from ledger.replica.pace import Quota
from ledger.replica.rejoining import Position, Rejoin, check_rejoin
from ledger.replica.sightings import Sightings
from ledger.replica.standing import is_validator, registered_key
from ledger.replica.worker import Worker
from ledger.types import Address, Genesis, Height, PublicKey, Receipt, ReplicaId, Transaction, TxId, Validator, Vote

_RECENT_BLOCKS = 32
_HOUSEKEEPING_S = 0.25
_SCRUB_EVERY_S = 86_400.0
"""Time from the end of a pass over the whole store to the next one."""
_REPEAT_ROUNDS = 4
"""Rounds of housekeeping after which own transactions, and questions that are open, are sent again."""

_log = structlog.get_logger("ledger.replica")


@dataclass(frozen=True, slots=True)
class _Parts:
    """What exists while the replica runs."""

    engine: Engine
    intake: Intake
    driver: Driver


class Replica:
    """One replica of the chain, from `run` until that ends; it is the transport's `Inbox`."""

    def __init__(
        self,
        *,
        replica: ReplicaId,
        genesis: Genesis,
        store: Store,
        executor: Executor,
        transport: Transport,
        clock: Clock,
        verify: Verify,
        signer: Signer | None = None,
        timing: Timing | None = None,
    ) -> None:
        """Put a replica together; `run` opens it.

        Args:
            replica: this daemon's member index.
            genesis: the consortium document.
            store: its chain and votes; `run` closes it.
            executor: the contract, reading its state from `store`.
            transport: to the other replicas.
            clock: wall clock, for expiries and block times.
            verify: checks an Ed25519 signature; called by the loop and by the worker thread.
            signer: this daemon's vote key; None for an observer.
            timing: waits of consensus, the same at every replica.
        """
        self._identity = Identity(
            replica=replica, genesis=genesis, verify=verify, signer=signer, timing=timing or Timing()
        )
        self._store = store
        self._executor = executor
        self._transport = transport
        self._clock = clock
        self._worker = Worker()
        self._key = None if signer is None else signer.key
        self._validators: tuple[Validator, ...] = ()
        self._sightings = Sightings(replica=replica, key=self._key, validators=())
        self._enlisting: Enlisting | None = None
        self._quota = Quota()
        self._parts: _Parts | None = None
        self._opened = asyncio.Event()
        self._stopped = False
        self._height = Height(0)
        self._busy = False
        self._compacting = asyncio.Lock()
        self._recent: OrderedDict[Height, CommittedBlock] = OrderedDict()
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Open the store and keep the replica running until cancelled; then close the store.

        Raises:
            StorageError: the disk failed or holds something else than this chain; the daemon must stop.
        """
        try:
            engine = await self._worker.run(self._open)
            self._height = engine.head.header.height
            self._follow_validators(engine.head.validators)
            self._parts = parts = await self._assemble(engine)
            self._opened.set()
            _log.info("replica.started", height=self._height, asks=self._enlisting is not None)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(parts.driver.run())
                tasks.create_task(self._keep_house(parts))
                for peer in self._transport.peers():
                    self.connected(peer)
        except BaseExceptionGroup as failed:
            # One task's failure ends the other; what matters is the failure itself.
            raise failed.exceptions[0] from None
        finally:
            self._stopped = True
            self._opened.set()
            self._news.set()
            if self._parts is not None:
                self._parts.intake.end()
            await self._worker.close(self._store.close)

    async def submit(self, data: bytes) -> TxOutcome:
        """Send a transaction and wait until it is final, reverted or not; the same one again has the same outcome.

        Raises:
            InvalidError: no block may hold it.
            ExpiredError: its expiry passed before a block held it.
            UnavailableError: too many transactions wait, or the replica stops.
        """
        parts = await self._running()
        pooled = parts.engine.check(data)
        outcome = parts.intake.expect(pooled)
        try:
            known = await self._worker.run(parts.engine.outcome, pooled.tx_id)
            if known is not None:
                return known
            if not outcome.done():
                parts.intake.submit(pooled)
            return await outcome
        finally:
            parts.intake.forget(pooled.tx_id, outcome)

    async def subscribe(self, from_height: Height) -> AsyncIterator[CommittedBlock]:
        """Every final block from a height on, in order, without end.

        Raises:
            UnavailableError: the replica stops.
        """
        height = from_height
        while True:
            await self._running()
            if height > self._height:
                await self._news.wait()
            else:
                yield await self.block(height)
                height = Height(height + 1)

    async def block(self, height: Height) -> CommittedBlock:
        """Return a final block.

        Raises:
            UnavailableError: there is none yet, or the replica stops.
        """
        parts = await self._running()
        recent = self._recent.get(height)
        return await self._worker.run(parts.engine.committed, height) if recent is None else recent

    async def head(self) -> CommittedBlock:
        """Return the newest block."""
        await self._running()
        return await self.block(self._height)

    async def outcome(self, tx_id: TxId) -> TxOutcome | None:
        """Return what became of a transaction; None while it is in no block."""
        parts = await self._running()
        return await self._worker.run(parts.engine.outcome, tx_id)

    async def view(self, method: str, *args: object) -> tuple[object, ...]:
        """Call a read function of the contract on the newest state.

        Raises:
            InvalidError: there is no such function, or it does not take these arguments.
        """
        parts = await self._running()
        return await self._worker.run(parts.engine.view, self._clock.now_ms(), method, args)

    async def try_call(self, tx: Transaction) -> Receipt:
        """Execute a transaction on the newest state and keep nothing; its signatures are not checked."""
        parts = await self._running()
        return await self._worker.run(parts.engine.try_call, self._clock.now_ms(), tx)

    async def find_logs(self, first: Height, last: Height, address: Address, topic: bytes) -> tuple[FoundLog, ...]:
        """Return one contract's events of one kind in blocks `first` to `last`, in order; few blocks at a time."""
        parts = await self._running()
        return await self._worker.run(parts.engine.find_logs, first, last, address, topic)

    async def receipt(self, places: Sequence[Place]) -> bytes:
        """Write the receipt file of final transactions (`ledger.receipts`).

        Raises:
            UnavailableError: there is no such transaction.
        """
        parts = await self._running()
        return await self._worker.run(parts.engine.receipt, tuple(places))

    async def status(self) -> ReplicaStatus:
        """Where this replica is."""
        parts = await self._running()
        head = parts.engine.head
        return ReplicaStatus(
            height=head.header.height,
            block_hash=head.block_hash,
            view=parts.driver.status.view,
            peers=len(self._transport.peers()),
            mempool=len(parts.intake.mempool),
            ready=self.is_ready(),
            may_vote=is_validator(self._identity.replica, self._key, head.validators) and parts.driver.may_vote,
        )

    @property
    def validators(self) -> tuple[Validator, ...]:
        """Set that decides the next height; empty before the store is open."""
        return self._validators

    def is_ready(self) -> bool:
        """Whether it follows: a quorum of the validators is connected, and it is where they are."""
        if self._parts is None or self._stopped or not self._parts.driver.is_enlisted:
            return False
        return self._sightings.follows(Height(self._height + 1), self._transport.peers())

    async def check_rejoin(self, rejoin: Rejoin) -> None:
        """Check what this replica knows of a statement that a validator may vote again (`ledger.replica.rejoining`).

        Raises:
            InvalidError: as far as it knows, the statement is not true.
        """
        parts = await self._running()
        newest = await self._newest_vote(rejoin.replica, rejoin.vote_key, parts)
        head = parts.engine.head
        position = Position(
            chain=self._identity.genesis.chain,
            head=head.header.height,
            validators={validator.replica: validator.key for validator in head.validators},
            newest_vote=newest,
        )
        check_rejoin(rejoin, position, self._clock.now_ms())

    async def evidence(self) -> tuple[Equivocation, ...]:
        """Return what was ever proven against validators: pairs of votes that no honest one casts both."""
        parts = await self._running()
        return await self._worker.run(parts.engine.evidence)

    async def compact(self) -> AsyncGenerator[Compaction, None]:
        """Remove old state now, in moments between other work; tell after each how far it is, to the end.

        Raises:
            UnavailableError: the replica stops.
        """
        async with self._compacting:
            done = False
            while not done:
                parts = await self._running()
                with self._fatal(parts):
                    so_far = await self._worker.run(parts.engine.compact)
                yield so_far
                done = so_far.done

    async def receive(self, sender: ReplicaId, items: Sequence[bytes]) -> None:
        """Take items of a peer (`ledger.ports.Inbox`).

        Raises:
            DecodeError: an item is none; the peer is at fault.
            UnavailableError: the replica stops.
        """
        parts = await self._running()
        now = asyncio.get_running_loop().time()
        for data in items:
            item = decode_item(data)
            match item:
                case Transactions():
                    await parts.intake.take(sender, item.txs)
                case AskVotes() | TellVotes():
                    await self._take_question(sender, item, parts)
                case _:
                    self._sightings.take(sender, item)
                    if not isinstance(item, Status | GetBlock) or self._quota.questions.allows(sender, now):
                        await parts.driver.inflow.put(MessageReceived(sender=sender, message=item), len(data))
        wait_s = self._quota.wait_s(sender, now, len(items), sum(map(len, items)))
        if wait_s:
            await asyncio.sleep(wait_s)

    def connected(self, peer: ReplicaId) -> None:
        """Greet a peer that can be reached now: say where this replica is and what it waits for."""
        if self._parts is not None and self._opened.is_set() and not self._stopped:
            self._parts.driver.inflow.post(PeerReached(peer=peer, reached=True))
            self._transport.send(
                peer, [encode_message(self._parts.driver.status), *self._open_questions(), *self._parts.intake.items()]
            )

    def disconnected(self, peer: ReplicaId) -> None:
        """Expect nothing of a peer that cannot be reached any more."""
        if self._parts is not None:
            self._parts.driver.inflow.post(PeerReached(peer=peer, reached=False))

    async def _running(self) -> _Parts:
        await self._opened.wait()
        if self._stopped or self._parts is None:
            raise UnavailableError("replica: expected it to run, got its end")
        return self._parts

    def _open(self) -> Engine:
        return Engine(
            store=self._store,
            executor=self._executor,
            genesis=self._identity.genesis,
            verify=self._identity.verify,
        )

    async def _assemble(self, engine: Engine) -> _Parts:
        sign_from = await self._enlist(engine)
        members = frozenset(member.identity for member in self._identity.genesis.members)
        mempool = Mempool(may_send=members.__contains__)
        driver = Driver(
            identity=self._identity,
            engine=engine,
            worker=self._worker,
            transport=self._transport,
            clock=self._clock,
            mempool=mempool,
            on_commit=self._take_block,
            records=await self._worker.run(engine.records, Height(self._height + 1)),
            sign_from=sign_from,
        )
        intake = Intake(
            mempool=mempool,
            check=engine.check,
            transport=self._transport,
            clock=self._clock,
            pace=self._quota.transactions,
            on_work=lambda: driver.inflow.post(WorkArrived()),
        )
        return _Parts(engine, intake, driver)

    async def _enlist(self, engine: Engine) -> Height:
        """Return the height to sign from; `NEVER` while peers must be asked (`ledger.replica.enlisting`)."""
        signer, genesis = self._identity.signer, self._identity.genesis
        if signer is None:
            return Height(0)
        if await self._worker.run(engine.has_never_voted) and not await self._worker.run(engine.whole_from):
            return Height(0)
        self._enlisting = Enlisting(
            chain=genesis.chain,
            key=signer.key,
            replica=self._identity.replica,
            validators=engine.head.validators,
            verify=self._identity.verify,
        )
        sign_from = await self._enlisted(engine)
        return NEVER if sign_from is None else sign_from

    async def _enlisted(self, engine: Engine) -> Height | None:
        """Return the height to sign from, once enough peers have answered."""
        enlisting = self._enlisting
        if enlisting is None or not enlisting.is_complete():
            return None
        self._enlisting = None
        newest, whole_from = await self._worker.run(engine.newest_vote), await self._worker.run(engine.whole_from)
        sign_from = await self._worker.run(enlisting.sign_from, newest, engine.knows_vote, whole_from)
        _log.info("replica.enlisted", sign_from=sign_from)
        return sign_from

    async def _take_question(self, sender: ReplicaId, item: AskVotes | TellVotes, parts: _Parts) -> None:
        with self._fatal(parts):
            if isinstance(item, AskVotes):
                await self._tell_votes(sender, item.key, parts)
            else:
                self._sightings.see(sender, item.height)
                await self._take_answer(sender, item, parts)

    @contextmanager
    def _fatal(self, parts: _Parts) -> Iterator[None]:
        """Let a failed disk end the replica, and not only what met it on somebody's behalf."""
        try:
            yield
        except StorageError as error:
            parts.driver.inflow.post(error)
            raise UnavailableError("replica: expected a working disk, got its failure") from error

    async def _take_answer(self, sender: ReplicaId, answer: TellVotes, parts: _Parts) -> None:
        if self._enlisting is not None:
            self._enlisting.take(sender, answer)
            await self._try_to_enlist(parts)

    async def _try_to_enlist(self, parts: _Parts) -> None:
        """Vote from now on if those who must have answered; who must changes with the validators."""
        sign_from = await self._enlisted(parts.engine)
        if sign_from is not None:
            parts.driver.allow_votes(sign_from)

    async def _tell_votes(self, peer: ReplicaId, key: PublicKey, parts: _Parts) -> None:
        if not self._quota.votes.allows(peer, asyncio.get_running_loop().time()):
            return
        newest = await self._newest_vote(peer, key, parts)
        self._transport.send(peer, [encode_item(TellVotes(parts.driver.status.height, newest))])

    async def _newest_vote(self, replica: ReplicaId, key: PublicKey, parts: _Parts) -> Vote | None:
        certified = await self._worker.run(parts.engine.newest_vote_of, key)
        sent = self._sightings.newest_vote(replica)
        if sent is not None and not self._signed(sent, key):
            sent = None  # with another key than this one, or by nobody: what peers send is not verified
        known = (certified, sent, parts.driver.newest_vote(key))
        return max((vote for vote in known if vote is not None), key=_place, default=None)

    def _signed(self, vote: Vote, key: PublicKey) -> bool:
        chain = self._identity.genesis.chain
        stated = vote_statement(chain, vote.kind, vote.height, vote.view, vote.block_hash)
        return self._identity.verify(key, stated, vote.signature)

    def _take_block(self, block: CommittedBlock) -> None:
        self._height = block.height
        self._busy = True
        self._recent[block.height] = block
        if len(self._recent) > _RECENT_BLOCKS:
            self._recent.popitem(last=False)
        if self._parts is not None:
            self._parts.intake.take_block(block)
        self._follow_validators(block.validators)
        self._news.set()
        self._news = asyncio.Event()

    def _follow_validators(self, validators: tuple[Validator, ...]) -> None:
        """Take the set that decides the next height."""
        if validators == self._validators:
            return
        self._validators = self._sightings.validators = validators
        if self._enlisting is not None:
            self._enlisting.validators = validators
        registered = registered_key(self._identity.replica, validators)
        votes = registered is not None and registered == self._key
        _log.info("replica.validators", after=self._height, validators=len(validators), votes=votes)
        if registered is not None and not votes:
            _log.warning(
                "replica.vote_key_differs",
                registered=registered.hex(),
                held="none" if self._key is None else self._key.hex(),
                hint="this replica observes: start its daemon with the registered vote key, or register the one it has",
            )

    def _open_questions(self) -> list[bytes]:
        return [encode_item(AskVotes(self._enlisting.key))] if self._enlisting is not None else []

    async def _keep_house(self, parts: _Parts) -> None:
        rounds, now = 0, asyncio.get_running_loop().time
        scrub_at = now()
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            rounds += 1
            if parts.intake.expire(parts.driver.head_ms):
                parts.driver.inflow.post(WorkGone())
            if not self._compacting.locked() and await self._worker.run(parts.engine.wants_compaction):
                await self._worker.run(parts.engine.compact)
            if now() >= scrub_at and await self._worker.run(parts.engine.scrub):
                scrub_at = now() + _SCRUB_EVERY_S
            await self._try_to_enlist(parts)
            if rounds % _REPEAT_ROUNDS == 0:
                await self._repeat(parts)

    async def _repeat(self, parts: _Parts) -> None:
        """Say again what may have been lost; and if no block came since the last time, let the store tidy up."""
        items = [*self._open_questions(), *parts.intake.overdue()]
        if items:
            self._transport.broadcast(items)
        if not self._busy:
            await self._worker.run(parts.engine.maintain)
        self._busy = False


def _place(vote: Vote) -> tuple[int, int, int]:
    return vote.height, vote.view, vote.kind
