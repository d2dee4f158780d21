"""Transactions on their way into a block: own ones from their submitters, others' from peers.

The replica where a transaction was submitted sends it to all peers and sends it again until it is final; nobody passes
on what he received.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from ledger.errors import ExpiredError, LedgerError, UnavailableError
from ledger.ports import Clock, Transport
from ledger.replica.engine import FRESH_MS
from ledger.replica.items import gossip
from ledger.replica.mempool import Mempool, Pooled
from ledger.replica.outcomes import CommittedBlock, TxOutcome
from ledger.replica.pace import Pace
from ledger.replica.turns import Turn
from ledger.types import Millis, ReplicaId, TxId

_log = structlog.get_logger("ledger.replica")

_FINAL_KEPT = 20_000


@dataclass(slots=True)
class _Awaited:
    expiry_ms: Millis
    outcomes: list[asyncio.Future[TxOutcome]] = field(default_factory=list)


class Intake:
    """Owns the mempool."""

    def __init__(
        self,
        *,
        mempool: Mempool,
        check: Callable[[bytes], Pooled],
        transport: Transport,
        clock: Clock,
        pace: Pace,
        on_work: Callable[[], None],
    ) -> None:
        """Take what it works on.

        Args:
            mempool: waiting transactions.
            check: stateless check of a transaction.
            transport: to the other replicas.
            clock: wall clock.
            pace: how many transactions of a peer are checked.
            on_work: called when a transaction has joined the mempool.
        """
        self.mempool = mempool
        self._check = check
        self._transport = transport
        self._clock = clock
        self._on_work = on_work
        self._awaited: dict[TxId, _Awaited] = {}
        self._own: dict[TxId, bytes] = {}
        self._unsent: list[bytes] = []
        self._sent: frozenset[TxId] = frozenset()
        """Own ones that were not final at the last repetition."""
        self._final: OrderedDict[TxId, None] = OrderedDict()
        self._pace = pace

    def expect(self, pooled: Pooled) -> asyncio.Future[TxOutcome]:
        """Return the future of a transaction's outcome."""
        outcome: asyncio.Future[TxOutcome] = asyncio.get_running_loop().create_future()
        self._awaited.setdefault(pooled.tx_id, _Awaited(pooled.tx.expiry_ms)).outcomes.append(outcome)
        return outcome

    def forget(self, tx_id: TxId, outcome: asyncio.Future[TxOutcome]) -> None:
        """Expect an outcome no more; the transaction itself stays on its way."""
        outcome.cancel()
        awaited = self._awaited.get(tx_id)
        if awaited is not None:
            awaited.outcomes = [other for other in awaited.outcomes if other is not outcome]
            if not awaited.outcomes:
                del self._awaited[tx_id]

    def submit(self, pooled: Pooled) -> None:
        """Admit an own transaction and send it to all peers; those of one turn of the loop travel together.

        Raises:
            LedgerError: the mempool does not take it.
        """
        self._own[pooled.tx_id] = pooled.data
        try:
            is_new = self.mempool.add(pooled, self._clock.now_ms())
        except LedgerError:
            del self._own[pooled.tx_id]
            raise
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append(pooled.data)
        if is_new:
            self._on_work()

    async def take(self, sender: ReplicaId, txs: Sequence[bytes]) -> None:
        """Admit a peer's transactions; what cannot be admitted is dropped, the peer keeps it and sends it again."""
        added = 0
        turn = Turn()
        for data in txs:
            if not self._pace.allows(sender, asyncio.get_running_loop().time()):
                _log.debug("gossip.limited", peer=sender)
                break
            try:
                pooled = self._check(data)
                added += pooled.tx_id not in self._final and self.mempool.add(pooled, self._clock.now_ms())
            except LedgerError as error:
                _log.debug("gossip.refused", peer=sender, reason=str(error))
            await turn.share()
        if added:
            self._on_work()

    def items(self) -> list[bytes]:
        """Encode the own transactions that are not final."""
        return gossip(list(self._own.values()))

    def overdue(self) -> list[bytes]:
        """Encode the own transactions that were not final at the last call either: what is younger is on its way."""
        waiting = [data for tx_id, data in self._own.items() if tx_id in self._sent]
        self._sent = frozenset(self._own)
        return gossip(waiting)

    def take_block(self, block: CommittedBlock) -> None:
        """Forget what is final now and tell who waits for it."""
        self.mempool.remove(block.tx_ids)
        for index, (tx_id, receipt) in enumerate(zip(block.tx_ids, block.receipts, strict=True)):
            self._own.pop(tx_id, None)
            self._final[tx_id] = None
            outcome = TxOutcome(tx_id=tx_id, height=block.height, index=index, receipt=receipt)
            awaited = self._awaited.pop(tx_id, None)
            for future in awaited.outcomes if awaited else ():
                if not future.done():
                    future.set_result(outcome)
        while len(self._final) > _FINAL_KEPT:
            self._final.popitem(last=False)

    def expire(self, head_ms: Millis) -> bool:
        """Drop what is over; return whether transactions were dropped and none is left that a block could hold.

        A submitter is told when no block can hold its transaction any more: the newest block is younger than its
        expiry, or no fresh block can be older.
        """
        now = self._clock.now_ms()
        for tx_id in [tx_id for tx_id, a in self._awaited.items() if a.expiry_ms < max(head_ms, now - FRESH_MS)]:
            self._fail(tx_id, ExpiredError(f"transaction {tx_id.hex()}: expected it in a block before its expiry"))
        dropped = self.mempool.expire(now)
        for tx_id in dropped:
            self._own.pop(tx_id, None)
        return bool(dropped) and not self.mempool.has_includable(Millis(max(now, head_ms + 1)))

    def end(self) -> None:
        """Tell everybody who waits that the replica stops."""
        for tx_id in list(self._awaited):
            self._fail(tx_id, UnavailableError("replica: expected it to run, got its end"))

    def _fail(self, tx_id: TxId, error: LedgerError) -> None:
        for future in self._awaited.pop(tx_id).outcomes:
            if not future.done():
                future.set_exception(error)

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        self._transport.broadcast(gossip(unsent))
