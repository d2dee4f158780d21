"""A consortium on the real contracts whose blocks are in a store, as a replica's are."""

from dataclasses import dataclass, field

from ledger.chain import Head, genesis_head
from ledger.contract import ContractHost
from ledger.encoding import encode_transaction, transaction_id
from ledger.ports import Decision
from ledger.rpc.jsonrpc import JsonRpc
from ledger.store import MemoryStore
from ledger.types import Block, FinalBlock, Height, Millis, Receipt, Transaction, TxId
from tests.support.chains import block_on
from tests.support.contracts import World, query_id, standard

BLOCK_MS = 1_500
QUERY = query_id(1)


@dataclass(kw_only=True)
class StoredWorld(World):
    """Every `run` is a block of one transaction, `BLOCK_MS` after the one before; nobody signs anything."""

    store: MemoryStore = field(default_factory=MemoryStore)
    head: Head = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.head = genesis_head(self.genesis.chain, self.root, self.genesis.validators())
        self._commit(Block(header=self.head.header, txs=()), (), (), dict(self.nodes))
        self.host = ContractHost(self.genesis.chain, self.store.read_node)

    def run(self, tx: Transaction) -> Receipt:
        return self.run_all(tx)[0]

    def run_all(self, *txs: Transaction) -> tuple[Receipt, ...]:
        """A block of some transactions."""
        self.height += 1
        self.now += BLOCK_MS
        done = self.host.execute(self.root, Height(self.height), Millis(self.now), txs)
        data = [encode_transaction(tx) for tx in txs]
        block = block_on(self.head, data, done.receipts, state_root=done.state_root, timestamp_ms=self.now)
        self._commit(block, tuple(map(transaction_id, txs)), done.receipts, dict(done.nodes))
        self.head = self.head.follow(block.header, self.genesis.validators())
        self.root = done.state_root
        return done.receipts

    def endpoint(self, **options) -> JsonRpc:
        return JsonRpc(self.store, self.host, client="ledger/test", **options)

    def _commit(
        self, block: Block, tx_ids: tuple[TxId, ...], receipts: tuple[Receipt, ...], nodes: dict[bytes, bytes]
    ) -> None:
        self.store.commit(
            Decision(
                final=FinalBlock(block=block, certificate=None),
                tx_ids=tx_ids,
                receipts=receipts,
                nodes=nodes,
                validators=self.genesis.validators(),
            )
        )


def stored_world() -> StoredWorld:
    """Blocks: 0 genesis, 1 a registration, 2 two contributions and a stranger's that reverts, 3 an unknown method."""
    world = StoredWorld(genesis=standard())
    world.register(QUERY)
    world.run_all(*(world.commit_tx(QUERY, sender) for sender in (6, 7, 9)))
    world.run(world.tx(0, "queries.no_such_method", b""))
    return world
