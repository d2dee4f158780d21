"""Everything of a replica that touches disk or contract: runs in one worker thread, so the event loop stays free."""

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import structlog

from ledger.chain import (
    BLOCK_OVERHEAD_BYTES,
    TX_OVERHEAD_BYTES,
    Head,
    Verify,
    build_header,
    check_body,
    check_execution,
    check_header,
    check_transaction,
)
from ledger.consensus import BlockMessage, Decided, Evidence, Record, encode_message
from ledger.consensus.inbox import DECIDED_KEPT_MAX
from ledger.encoding import BATCH_BYTES_MAX, BLOCK_BYTES_MAX, block_hash, decode_transaction, transaction_id
from ledger.errors import InvalidError, StorageError, UnavailableError
from ledger.ports import STATES_KEPT, Compaction, Decision, Equivocation, Execution, Executor, FoundLog, Place, Store
from ledger.replica.mempool import Pooled
from ledger.replica.opening import open_chain
from ledger.replica.outcomes import CommittedBlock, TxOutcome
from ledger.replica.proving import write_receipt
from ledger.replica.scrubbing import scrub
from ledger.types import (
    Address,
    Block,
    BlockHash,
    Certificate,
    FinalBlock,
    Genesis,
    Height,
    Millis,
    Proposal,
    PublicKey,
    Receipt,
    Transaction,
    TxId,
    Vote,
)

FRESH_MS = 10_000
"""How far a fresh block's time may lie from the local clock."""

SCRUB_S = 0.004
"""How long a moment of scrubbing takes, and consensus may have to wait for it."""

_EXECUTIONS_KEPT = 4

_log = structlog.get_logger("ledger.replica")


@dataclass(frozen=True, slots=True)
class _Executed:
    block: Block
    txs: tuple[Transaction, ...]
    execution: Execution


class CheckedTransactions:
    """The newest transactions that passed every stateless check, by their bytes: none is verified twice.

    Some 3,000 of them; taken apart, each takes up two and a half times its bytes. Used by the event loop and by the
    worker.
    """

    def __init__(self, bytes_max: int = 4 * 1024 * 1024) -> None:
        self._checked: OrderedDict[bytes, Pooled] = OrderedDict()
        self._size = 0
        self._bytes_max = bytes_max
        self._lock = threading.Lock()

    def get(self, data: bytes) -> Pooled | None:
        """Return a transaction if it was checked."""
        with self._lock:
            return self._checked.get(data)

    def put(self, pooled: Pooled) -> None:
        """Remember a checked transaction, in place of the oldest."""
        with self._lock:
            if pooled.data not in self._checked:
                self._checked[pooled.data] = pooled
                self._size += len(pooled.data)
            while self._size > self._bytes_max:
                oldest, _ = self._checked.popitem(last=False)
                self._size -= len(oldest)


class Engine:
    """The chain of one replica; all of it but `check` belongs to the worker thread."""

    def __init__(self, *, store: Store, executor: Executor, genesis: Genesis, verify: Verify) -> None:
        """Check the store and take its head (`ledger.replica.opening`).

        Raises:
            StorageError: the store is damaged or another chain's.
        """
        self._store = store
        self._executor = executor
        self._genesis = genesis
        self._verify = verify
        self._checked = CheckedTransactions()
        self._executed: dict[BlockHash, _Executed] = {}
        self._scrub: Iterator[None] | None = None
        self.head: Head = open_chain(store, executor, genesis, verify)

    def check(self, data: bytes) -> Pooled:
        """Check a transaction as far as no state is needed; may be called by the event loop as well.

        Raises:
            InvalidError: it is not valid.
        """
        known = self._checked.get(data)
        if known is None:
            tx = check_transaction(data, self._genesis.chain, self._verify)
            known = Pooled(tx_id=transaction_id(tx), tx=tx, data=data)
            self._checked.put(known)
        return known

    def persist(self, records: Sequence[Record]) -> None:
        """Make consensus records durable in one flush."""
        self._store.append(records)

    def records(self, height: Height) -> tuple[Record, ...]:
        """Return what consensus kept of a height."""
        return self._store.records(height)

    def newest_vote(self) -> Vote | None:
        """Return the newest own vote."""
        return self._store.newest_vote()

    def has_never_voted(self) -> bool:
        """Whether this replica is new to the world."""
        return self._store.has_never_voted()

    def whole_from(self) -> Height:
        """Return the height from which on the log is whole by the companies' word; 0 if they said nothing."""
        return self._store.whole_from()

    def knows_vote(self, vote: Vote) -> bool:
        """Whether an own vote is in the log."""
        return vote in self._store.records(vote.height)

    def accuse(self, evidence: Evidence) -> None:
        """Keep two votes of one validator that contradict each other; their signatures were verified."""
        first, second = evidence.first, evidence.second
        validators = self._store.validators(Height(first.height - 1))
        proof = Equivocation(key=validators[first.signer].key, first=first, second=second)
        if self._store.accuse(proof):
            kinds = f"{first.kind.name} and {second.kind.name}"
            _log.error("consensus.equivocation", key=proof.key.hex(), height=first.height, view=first.view, votes=kinds)

    def evidence(self) -> tuple[Equivocation, ...]:
        """Return what was ever proven against validators."""
        return self._store.evidence()

    def build(
        self, candidates: Sequence[Pooled], proposer: PublicKey, now: Millis
    ) -> tuple[Block | None, tuple[TxId, ...]]:
        """Build and execute a block on the head, in the order given; return it and what is final already."""
        head, parent = self.head, self.head.header
        final = tuple(pooled.tx_id for pooled in candidates if self._store.locate(pooled.tx_id) is not None)
        chosen = _fitting([pooled for pooled in candidates if pooled.tx_id not in set(final)])
        if not chosen:
            return None, final
        timestamp = Millis(max(now, parent.timestamp_ms + 1))
        height = Height(parent.height + 1)
        txs = tuple(pooled.tx for pooled in chosen)
        execution = self._executor.execute(parent.state_root, height, timestamp, txs)
        count = len(execution.receipts)
        data = tuple(pooled.data for pooled in chosen[:count])
        header = build_header(
            head,
            timestamp_ms=timestamp,
            proposer=proposer,
            txs=data,
            state_root=execution.state_root,
            receipts=execution.receipts,
            validators=execution.validators,
        )
        block = Block(header=header, txs=data)
        self._keep(_Executed(block, txs[:count], execution))
        return block, final

    def validate(self, block: Block, *, fresh: bool, now: Millis) -> bool:
        """Execute a block on the head and compare every root; a fresh one must be close to the clock as well."""
        header = block.header
        if fresh and abs(header.timestamp_ms - now) > FRESH_MS:
            _log.warning("block.refused", height=header.height, reason=f"{header.timestamp_ms - now} ms off the clock")
            return False
        try:
            check_header(header, self.head)
            self._execute(block)
        except InvalidError as error:
            _log.warning("block.refused", height=header.height, reason=str(error))
            return False
        return True

    def commit(self, block: Block, certificate: Certificate) -> CommittedBlock:
        """Make a block durable with everything that follows from it; consensus has verified its certificate.

        Raises:
            StorageError: the disk failed; or the block does not hold here though a quorum says so, which means that
                this replica's state or program differs from theirs.
        """
        final = FinalBlock(block=block, certificate=certificate)
        height = block.header.height
        try:
            check_header(block.header, self.head)
            executed = self._execute(block)
        except InvalidError as error:
            raise StorageError(f"height {height}: expected the block of a quorum to hold, got {error}") from error
        tx_ids = tuple(transaction_id(tx) for tx in executed.txs)
        execution = executed.execution
        decision = Decision(
            final=final,
            tx_ids=tx_ids,
            receipts=tuple(execution.receipts),
            nodes=execution.nodes,
            validators=tuple(execution.validators),
        )
        self._store.commit(decision)
        self.head = self.head.follow(block.header, decision.validators)
        self._executed.clear()
        return CommittedBlock(
            header=block.header,
            block_hash=self.head.block_hash,
            tx_ids=tx_ids,
            txs=executed.txs,
            receipts=decision.receipts,
            validators=decision.validators,
        )

    def decided_from(self, height: Height) -> list[bytes]:
        """Encode final blocks from a height on as messages: as many as one batch holds and the receiver keeps."""
        items: list[bytes] = []
        size = 0
        for number in range(height, min(self.head.header.height, height + DECIDED_KEPT_MAX) + 1):
            final = self._store.final(Height(number))
            if final is None or final.certificate is None:
                break
            item = encode_message(Decided(block=final.block, certificate=final.certificate))
            size += len(item)
            if items and size > BATCH_BYTES_MAX:
                break
            items.append(item)
        return items

    def recorded_block(self, height: Height, wanted: BlockHash) -> list[bytes]:
        """Encode a block of a durable proposal as a message; none once its height is decided."""
        proposed = (record.block for record in self._store.records(height) if isinstance(record, Proposal))
        found = (block for block in proposed if block_hash(block.header) == wanted)
        return [encode_message(BlockMessage(block=block)) for block in itertools.islice(found, 1)]

    def committed(self, height: Height) -> CommittedBlock:
        """Return a final block from the store.

        Raises:
            UnavailableError: there is none yet.
        """
        final = self._store.final(height)
        if final is None:
            raise UnavailableError(f"block: expected a height of at most {self.head.header.height}, got {height}")
        txs = tuple(decode_transaction(data) for data in final.block.txs)  # their root was checked: they are final
        return CommittedBlock(
            header=final.block.header,
            block_hash=block_hash(final.block.header),
            tx_ids=tuple(map(transaction_id, txs)),
            txs=txs,
            receipts=self._store.receipts(height),
            validators=self._store.validators(height),
        )

    def outcome(self, tx_id: TxId) -> TxOutcome | None:
        """Return what became of a transaction; None while it is in no block."""
        place = self._store.locate(tx_id)
        if place is None:
            return None
        return TxOutcome(
            tx_id=tx_id,
            height=place.height,
            index=place.index,
            receipt=self._store.receipts(place.height)[place.index],
        )

    def receipt(self, places: Sequence[Place]) -> bytes:
        """Write the receipt file of some transactions.

        Raises:
            UnavailableError: there is no such transaction.
        """
        return write_receipt(self._store, places, self.head.handovers)

    def find_logs(self, first: Height, last: Height, address: Address, topic: bytes) -> tuple[FoundLog, ...]:
        """Return one contract's events of one kind in some blocks, in order."""
        return self._store.find_logs(first, last, address, topic)

    def newest_vote_of(self, key: PublicKey) -> Vote | None:
        """Return the newest vote of a validator among the certificates of the last blocks."""
        top = self.head.header.height
        for number in range(top, max(0, top - DECIDED_KEPT_MAX), -1):
            final = self._store.final(Height(number))
            certificate = final.certificate if final else None
            keys = [validator.key for validator in self._store.validators(Height(number - 1))]
            if certificate is None or key not in keys or keys.index(key) not in certificate.signers:
                continue
            signer = keys.index(key)
            return Vote(
                kind=certificate.kind,
                height=certificate.height,
                view=certificate.view,
                block_hash=certificate.block_hash,
                signer=signer,
                signature=certificate.signatures[certificate.signers.index(signer)],
            )
        return None

    def view(self, now: Millis, method: str, args: tuple[object, ...]) -> tuple[object, ...]:
        """Call a read function on the head's state, as the next block would."""
        header = self.head.header
        return self._executor.view(
            header.state_root, Height(header.height + 1), Millis(max(now, header.timestamp_ms + 1)), method, *args
        )

    def try_call(self, now: Millis, tx: Transaction) -> Receipt:
        """Execute a transaction on the head's state and keep nothing."""
        header = self.head.header
        return self._executor.call(
            header.state_root, Height(header.height + 1), Millis(max(now, header.timestamp_ms + 1)), tx
        )

    def wants_compaction(self) -> bool:
        """Whether there is enough old state to remove, or its removal is under way."""
        return self._store.wants_compaction(STATES_KEPT)

    def compact(self) -> Compaction:
        """Go on for a moment with removing old state."""
        so_far = self._store.compact(self._executor.children, STATES_KEPT)
        if so_far.done:
            _log.info("state.compacted", **asdict(so_far))
        return so_far

    def scrub(self) -> bool:
        """Go on for a moment with looking at everything that is stored; return whether all of it was (`scrubbing`)."""
        if self._scrub is None:
            self._scrub = scrub(self._store, self._genesis, self._verify)
        began = time.perf_counter()
        for _ in self._scrub:
            if time.perf_counter() - began >= SCRUB_S:
                return False
        self._scrub = None
        _log.info("store.scrubbed", height=self.head.header.height)
        return True

    def maintain(self) -> None:
        """Let the store do what can wait."""
        self._store.maintain()

    def close(self) -> None:
        """Give the store back."""
        self._store.close()

    def _execute(self, block: Block) -> _Executed:
        """Check and execute a block on the head, at most once."""
        known = self._executed.get(block_hash(block.header))
        if known is not None and known.block == block:
            return known
        txs = check_body(block, lambda data: self.check(data).tx, lambda tx_id: self._store.locate(tx_id) is not None)
        header, parent = block.header, self.head.header
        execution = self._executor.execute(parent.state_root, header.height, header.timestamp_ms, txs)
        check_execution(block, execution.state_root, execution.receipts, execution.validators)
        executed = _Executed(block, txs, execution)
        self._keep(executed)
        return executed

    def _keep(self, executed: _Executed) -> None:
        self._executed[block_hash(executed.block.header)] = executed
        if len(self._executed) > _EXECUTIONS_KEPT:
            self._executed.pop(next(iter(self._executed)))


def _fitting(candidates: Sequence[Pooled]) -> list[Pooled]:
    """Take transactions in order until one does not fit the block's size."""
    size = BLOCK_OVERHEAD_BYTES
    chosen: list[Pooled] = []
    for pooled in candidates:
        size += TX_OVERHEAD_BYTES + len(pooled.data)
        if size > BLOCK_BYTES_MAX:
            break
        chosen.append(pooled)
    return chosen
