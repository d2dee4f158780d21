"""One chain for a whole in-process consortium: the real contracts, real blocks and certificates, no consensus.

Transactions that arrive within a block's time make one block. Every daemon sees blocks through a replica of its own,
which may lag.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from copy import deepcopy
from functools import lru_cache

from ledger.chain import quorum
from ledger.contract import ContractHost
from ledger.encoding import vote_statement
from ledger.errors import ExpiredError, UnavailableError
from ledger.ports import Place
from ledger.replica.engine import FRESH_MS, Engine
from ledger.replica.mempool import Pooled
from ledger.replica.outcomes import CommittedBlock, TxOutcome
from ledger.store import MemoryStore
from ledger.types import Block, Certificate, Genesis, Height, Millis, Receipt, Transaction, TxId, View, VoteKind
from mpcnode.sealing.keys import verify
from tests.support.consortium import START, Setting, vote_key


class LoopClock:
    """The time of the running loop, for one daemon; `offset_ms` makes it wrong."""

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms

    def now_ms(self) -> Millis:
        return Millis(START + int(asyncio.get_running_loop().time() * 1000) + self.offset_ms)


@lru_cache
def _genesis_store(setting: Setting) -> MemoryStore:
    """A store with the genesis block only; loading a consortium into the contracts takes longer than a query."""
    genesis, store = setting.consortium().genesis(), MemoryStore()
    Engine(store=store, executor=ContractHost(genesis.chain, store.read_node), genesis=genesis, verify=verify)
    return store


class FakeChain:
    """The chain, and what waits to be in it."""

    def __init__(self, setting: Setting, clock: LoopClock, block_ms: int = 40) -> None:
        self.genesis: Genesis = setting.consortium().genesis()
        self.clock = clock
        self.block_ms = block_ms
        self.drop: Callable[[int, str], bool] = lambda _sender, _method: False
        """Whether a transaction of this member and method gets lost."""
        self.halted = False
        self.submitted: list[tuple[int, str]] = []
        store = deepcopy(_genesis_store(setting))
        self.engine = Engine(
            store=store,
            executor=ContractHost(self.genesis.chain, store.read_node),
            genesis=self.genesis,
            verify=verify,
        )
        self.blocks: list[CommittedBlock] = [self.engine.committed(Height(0))]
        self.replicas: list[FakeReplica] = []
        self._pool: dict[TxId, Pooled] = {}
        self._is_building = False
        self._members = {m.identity: index for index, m in enumerate(self.genesis.members)}

    def methods(self) -> list[tuple[str, str]]:
        """Every final transaction so far: method, and why it reverted."""
        return [
            (tx.method.removeprefix("queries."), receipt.reason)
            for block in self.blocks
            for tx, receipt in zip(block.txs, block.receipts, strict=True)
        ]

    def take(self, data: bytes) -> Pooled:
        pooled = self.engine.check(data)
        sender, method = self._members[pooled.tx.sender], pooled.tx.method.removeprefix("queries.")
        self.submitted.append((sender, method))
        if not self.drop(sender, method):
            self._pool[pooled.tx_id] = pooled
            self._schedule()
        return pooled

    def resume(self) -> None:
        self.halted = False
        self._schedule()

    def _schedule(self) -> None:
        if self._pool and not self._is_building and not self.halted:
            self._is_building = True
            asyncio.get_running_loop().call_later(self.block_ms / 1000, self._build)

    def _build(self) -> None:
        self._is_building = False
        now = self.clock.now_ms()
        ready = [pooled for pooled in self._pool.values() if pooled.tx.expiry_ms >= now]
        self._pool.clear()
        block, _ = self.engine.build(ready, self.engine.head.validators[0].key, now)
        if block is not None:
            done = self.engine.commit(block, self._certificate(block))
            self.blocks.append(done)
            left = ready[len(done.tx_ids) :]
            self._pool |= {pooled.tx_id: pooled for pooled in left}
            for replica in self.replicas:
                replica.announce(done.height)
        self._schedule()

    def _certificate(self, block: Block) -> Certificate:
        head = self.engine.head
        after = head.follow(block.header, head.validators)
        signers = tuple(range(quorum(len(head.validators))))
        stated = vote_statement(self.genesis.chain, VoteKind.FINALIZE, block.header.height, View(1), after.block_hash)
        return Certificate(
            kind=VoteKind.FINALIZE,
            height=block.header.height,
            view=View(1),
            block_hash=after.block_hash,
            signers=signers,
            signatures=tuple(vote_key(head.validators[signer].replica).sign(stated) for signer in signers),
        )


class FakeReplica:
    """What a daemon sees of the chain: `ledger.replica.Replica` as `LedgerLink` uses it."""

    def __init__(self, chain: FakeChain, lag_ms: int = 0) -> None:
        self.chain = chain
        self.lag_ms = lag_ms
        self.height = len(chain.blocks) - 1
        self.stopped = False
        self._news = asyncio.Event()
        self._awaited: dict[TxId, asyncio.Future[TxOutcome]] = {}
        chain.replicas.append(self)

    @property
    def awaited(self) -> int:
        """Submitters that wait."""
        return len(self._awaited)

    def announce(self, height: int) -> None:
        asyncio.get_running_loop().call_later(self.lag_ms / 1000, self._see, height)

    def _see(self, height: int) -> None:
        if self.stopped:
            return
        for seen in range(self.height + 1, height + 1):
            self.height = seen
            block = self.chain.blocks[seen]
            for index, tx_id in enumerate(block.tx_ids):
                waiter = self._awaited.pop(tx_id, None)
                if waiter is not None and not waiter.done():
                    outcome = TxOutcome(tx_id=tx_id, height=block.height, index=index, receipt=block.receipts[index])
                    waiter.set_result(outcome)
        self._news.set()
        self._news = asyncio.Event()

    def stop(self) -> None:
        self.stopped = True
        self.chain.replicas.remove(self)

    async def submit(self, data: bytes) -> TxOutcome:
        loop = asyncio.get_running_loop()
        if self.stopped:
            await loop.create_future()  # a daemon that died submits nothing, however long its last tasks live
        pooled = self.chain.take(data)
        waiter: asyncio.Future[TxOutcome] = loop.create_future()
        self._awaited[pooled.tx_id] = waiter
        life_ms = max(0, pooled.tx.expiry_ms + FRESH_MS - self.chain.clock.now_ms())
        try:
            async with asyncio.timeout(life_ms / 1000):
                return await waiter
        except TimeoutError:
            raise ExpiredError(f"transaction {pooled.tx_id.hex()}: expected it in a block before its expiry") from None
        finally:
            self._awaited.pop(pooled.tx_id, None)

    async def subscribe(self, from_height: Height) -> AsyncIterator[CommittedBlock]:
        height = int(from_height)
        while True:
            if height > self.height:
                await self._news.wait()
            else:
                yield self.chain.blocks[height]
                height += 1

    async def head(self) -> CommittedBlock:
        return self.chain.blocks[self.height]

    async def view(self, method: str, *args: object) -> tuple[object, ...]:
        return self.chain.engine.view(self.chain.clock.now_ms(), method, args)

    async def try_call(self, tx: Transaction) -> Receipt:
        return self.chain.engine.try_call(self.chain.clock.now_ms(), tx)

    async def receipt(self, places: Sequence[Place]) -> bytes:
        if any(place.height > self.height for place in places):
            raise UnavailableError("receipt: expected a transaction, got none yet")
        return self.chain.engine.receipt(places)
