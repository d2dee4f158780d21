"""The task that owns the consensus core: feeds it events and carries out its effects, in order.

Records are durable before anything that follows them leaves: the effects of all events that were waiting are put
together, and if something is sent, all records go to disk before it in one flush. Building, executing and committing
run in the worker while the owner goes on; their answers come back as events.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ledger.chain import Verify
from ledger.consensus import (
    BlockBuilt,
    BlockValidated,
    Broadcast,
    BuildBlock,
    Commit,
    Committed,
    Effect,
    Event,
    Evidence,
    Machine,
    Persist,
    Record,
    Send,
    SendDecided,
    SendRecorded,
    SetTimer,
    Signer,
    Started,
    Status,
    TimerFired,
    Timing,
    ValidateBlock,
    WorkArrived,
)
from ledger.encoding import block_hash
from ledger.ports import Clock, Transport
from ledger.replica.engine import Engine
from ledger.replica.inflow import Inflow
from ledger.replica.items import encode_item
from ledger.replica.mempool import Mempool
from ledger.replica.outcomes import CommittedBlock
from ledger.replica.turns import Turn
from ledger.replica.worker import Worker
from ledger.types import Block, Genesis, Height, Millis, PublicKey, ReplicaId, TxId, Vote

T = TypeVar("T")

BLOCK_TXS_MAX = 256
"""Transactions that are tried for one block; gas and size usually end it before."""

NEVER = Height((1 << 63) - 1)
"""`sign_from` while it is not known yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this replica is."""

    replica: ReplicaId
    genesis: Genesis
    verify: Verify
    signer: Signer | None
    timing: Timing


class Driver:
    """Owns the consensus core of one replica, on one event loop."""

    def __init__(
        self,
        *,
        identity: Identity,
        engine: Engine,
        worker: Worker,
        transport: Transport,
        clock: Clock,
        mempool: Mempool,
        on_commit: Callable[[CommittedBlock], None],
        records: Sequence[Record],
        sign_from: Height,
    ) -> None:
        """Take what it drives.

        Args:
            identity: who this replica is.
            engine: the chain, in the worker.
            worker: the worker.
            transport: to the other replicas.
            clock: wall clock, for blocks.
            mempool: where blocks come from.
            on_commit: called with each final block on the loop, before consensus goes on.
            records: what is durable of the height after the head.
            sign_from: lowest height at which to sign.
        """
        self.inflow = Inflow()
        self._identity = identity
        self._engine = engine
        self._worker = worker
        self._transport = transport
        self._clock = clock
        self._mempool = mempool
        self._on_commit = on_commit
        self._machine = self._begin(records, sign_from)
        self._records: list[Record] = []
        """Not durable yet, for nothing has been sent since."""
        self._committing = False
        """From `Commit` until the core was told that it is done."""
        self._restart_from: Height | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._latest = Millis(0)

    @property
    def status(self) -> Status:
        """Height and view that are being decided."""
        return self._machine.status

    @property
    def may_vote(self) -> bool:
        """Whether it signs at the height that is being decided."""
        return self._sign_from <= self.status.height

    @property
    def is_enlisted(self) -> bool:
        """Whether it is settled from which height on it signs."""
        return self._sign_from < NEVER

    @property
    def head_ms(self) -> Millis:
        """Time of the newest block."""
        return self._engine.head.header.timestamp_ms

    def newest_vote(self, key: PublicKey) -> Vote | None:
        """Return the newest vote of a key at the height that is being decided."""
        return self._machine.newest_vote(key)

    def allow_votes(self, sign_from: Height) -> None:
        """Vote from a height on; takes effect between two events, never while a block is being committed."""
        self._restart_from = sign_from
        self.inflow.post(TimerFired())

    async def run(self) -> None:
        """Decide heights until cancelled; a vote is never lost by that, for what was sent is durable.

        Raises:
            StorageError: the disk failed, or a decided block does not hold here; the daemon must stop.
        """
        try:
            await self._feed([Started(), *self._work(self.head_ms)])
            while True:
                await self._feed(await self.inflow.take())
                if self._restart_from is not None and not self._committing:
                    await self._restart(self._restart_from)
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def _restart(self, sign_from: Height) -> None:
        """Begin the height after the head anew, as after a restart of the process."""
        self._restart_from = None
        await self._worker.run(self._engine.persist, self._records)
        self._records = []
        height = Height(self._engine.head.header.height + 1)
        self._machine = self._begin(await self._worker.run(self._engine.records, height), sign_from)
        await self._feed([Started(), *self._work(self.head_ms)])

    def _begin(self, records: Sequence[Record], sign_from: Height) -> Machine:
        self._sign_from = sign_from
        head, identity = self._engine.head, self._identity
        return Machine(
            chain=identity.genesis.chain,
            replica=identity.replica,
            height=Height(head.header.height + 1),
            parent=head.block_hash,
            validators=head.validators,
            verify=identity.verify,
            signer=identity.signer,
            timing=identity.timing,
            records=records,
            sign_from=sign_from,
        )

    def _work(self, head_ms: Millis) -> list[Event]:
        timestamp = Millis(max(self._clock.now_ms(), head_ms + 1))
        return [WorkArrived()] if self._mempool.has_includable(timestamp) else []

    async def _feed(self, events: list[Event]) -> None:
        """Step through events, then carry out all their effects: one flush at most."""
        effects: list[Effect] = []
        turn = Turn()
        for event in events:
            if isinstance(event, Committed):
                self._committing = False
                self._records = [record for record in self._records if record.height > event.height]
            effects += self._machine.step(event, self._now())
            await turn.share()
        self._records += [effect.record for effect in effects if isinstance(effect, Persist)]
        if self._records and any(isinstance(effect, Broadcast | Send) for effect in effects):
            records, self._records = self._records, []
            await self._worker.run(self._engine.persist, records)
        for effect in effects:
            self._carry_out(effect)

    def _now(self) -> Millis:
        """The loop's own clock: it never goes back and knows no time zones or corrections."""
        self._latest = max(self._latest, Millis(int(asyncio.get_running_loop().time() * 1000)))
        return self._latest

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Persist():
                pass
            case Broadcast():
                self._transport.broadcast([encode_item(effect.message)])
            case Send():
                self._transport.send(effect.to, [encode_item(effect.message)])
            case SendDecided() | SendRecorded():
                self._send_stored(effect)
            case BuildBlock():
                self._build(effect)
            case ValidateBlock():
                self._validate(effect.block, fresh=effect.fresh)
            case Commit():
                self._commit(effect)
            case SetTimer():
                self._set_timer(effect.at)
            case Evidence():
                self._later(self._worker.run(self._engine.accuse, effect), lambda _: None)

    def _later(self, job: asyncio.Future[T], then: Callable[[T], None]) -> None:
        """Call `then` with a job's result on the loop; what it raises ends the owner."""

        def done(finished: asyncio.Future[T]) -> None:
            if finished.cancelled():
                return
            error = finished.exception()
            if error is None:
                then(finished.result())
            else:
                self.inflow.post(error if isinstance(error, Exception) else RuntimeError(str(error)))

        job.add_done_callback(done)

    def _send_stored(self, effect: SendDecided | SendRecorded) -> None:
        if isinstance(effect, SendDecided):
            job = self._worker.run(self._engine.decided_from, effect.height)
        else:
            job = self._worker.run(self._engine.recorded_block, effect.height, effect.block_hash)
        self._later(job, lambda items: self._transport.send(effect.to, items))

    def _build(self, effect: BuildBlock) -> None:
        signer = self._identity.signer
        assert signer is not None  # noqa: S101 - observers are never asked
        candidates = self._mempool.oldest(self._clock.now_ms(), BLOCK_TXS_MAX)
        job = self._worker.run(self._engine.build, candidates, signer.key, self._clock.now_ms())

        def built(result: tuple[Block | None, tuple[TxId, ...]]) -> None:
            block, final = result
            self._mempool.remove(final)
            self.inflow.post(BlockBuilt(height=effect.height, view=effect.view, block=block))

        self._later(job, built)

    def _validate(self, block: Block, *, fresh: bool) -> None:
        job = self._worker.run(self._engine.validate, block, fresh=fresh, now=self._clock.now_ms())
        height, hashed = block.header.height, block_hash(block.header)

        def validated(valid: bool) -> None:
            self.inflow.post(BlockValidated(height=height, block_hash=hashed, fresh=fresh, valid=valid))

        self._later(job, validated)

    def _commit(self, effect: Commit) -> None:
        self._committing = True

        def committed(block: CommittedBlock) -> None:
            self._on_commit(block)
            validators = self._engine.head.validators
            self.inflow.post(Committed(height=block.height, block_hash=block.block_hash, validators=validators))
            for event in self._work(block.header.timestamp_ms):
                self.inflow.post(event)

        self._later(self._worker.run(self._engine.commit, effect.block, effect.certificate), committed)

    def _set_timer(self, at: Millis) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(at / 1000 + 0.001, self.inflow.post, TimerFired())
