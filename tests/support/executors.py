"""A contract so small that a test knows by heart what it does: it counts, logs and chains its states."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from Crypto.Hash import keccak

from ledger.chain import genesis_head
from ledger.encoding import transaction_id
from ledger.errors import StorageError
from ledger.ports import Decision
from ledger.types import (
    Address,
    Block,
    Digest,
    FinalBlock,
    Genesis,
    Height,
    Log,
    Millis,
    PublicKey,
    Receipt,
    ReplicaId,
    Transaction,
    Validator,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestExecution:
    state_root: Digest
    receipts: tuple[Receipt, ...]
    nodes: Mapping[bytes, bytes]
    validators: tuple[Validator, ...]


class CountingExecutor:
    """`test.put` adds one to a counter and logs its arguments; any other method reverts."""

    def __init__(self, validators: tuple[Validator, ...], read_node: Callable[[bytes], bytes | None]) -> None:
        self.validators = validators
        self.read_node = read_node
        self.executed = 0

    def genesis(self, genesis: Genesis) -> TestExecution:
        return self._state(genesis.chain + (0).to_bytes(8, "big"), ())

    def execute(
        self, parent_root: Digest, height: Height, timestamp_ms: Millis, txs: Sequence[Transaction]
    ) -> TestExecution:
        self.executed += 1
        count = self._count(parent_root)
        receipts = []
        for tx in txs:
            if tx.method != "test.put":
                receipts.append(Receipt(ok=False, gas=500, reason="NO_SUCH_METHOD"))
                continue
            count += 1
            log = Log(address=Address(bytes(18) + b"\x01\x01"), topics=(transaction_id(tx),), data=tx.args)
            receipts.append(Receipt(ok=True, gas=1_000, reason="", logs=(log,)))
        return self._state(parent_root + count.to_bytes(8, "big"), tuple(receipts))

    def view(
        self, root: Digest, height: Height, timestamp_ms: Millis, method: str, *args: object
    ) -> tuple[object, ...]:
        assert method == "test.count"
        return (self._count(root),)

    def call(self, root: Digest, height: Height, timestamp_ms: Millis, tx: Transaction) -> Receipt:
        return self.execute(root, height, timestamp_ms, [tx]).receipts[0]

    def children(self, node: bytes) -> tuple[bytes, ...]:
        return ()

    def _count(self, root: Digest) -> int:
        node = self.read_node(root)
        if node is None:
            raise StorageError(f"expected the state {root.hex()}, got none")
        return int.from_bytes(node[-8:], "big")

    def _state(self, node: bytes, receipts: tuple[Receipt, ...]) -> TestExecution:
        key = keccak.new(digest_bits=256, data=node).digest()
        return TestExecution(state_root=Digest(key), receipts=receipts, nodes={key: node}, validators=self.validators)


class ChangingExecutor(CountingExecutor):
    """`test.validators` replaces the set that decides from the next height on; it is part of the state."""

    def genesis(self, genesis: Genesis) -> TestExecution:
        return self._with_set(genesis.chain, self.validators, 0, ())

    def execute(
        self, parent_root: Digest, height: Height, timestamp_ms: Millis, txs: Sequence[Transaction]
    ) -> TestExecution:
        counted = super().execute(parent_root, height, timestamp_ms, txs)
        validators, receipts = decode_set(self.read_node(parent_root) or b""), list(counted.receipts)
        for index, tx in enumerate(txs):
            if tx.method == "test.validators":
                validators = decode_set(bytes(32) + tx.args + bytes(8))
                receipts[index] = Receipt(ok=True, gas=1_000, reason="")
        (node,) = counted.nodes.values()
        return self._with_set(parent_root, validators, int.from_bytes(node[-8:], "big"), tuple(receipts))

    def _with_set(
        self, parent: bytes, validators: tuple[Validator, ...], count: int, receipts: tuple[Receipt, ...]
    ) -> TestExecution:
        state = self._state(parent + encode_set(validators) + count.to_bytes(8, "big"), receipts)
        return replace(state, validators=validators)


def encode_set(validators: Sequence[Validator]) -> bytes:
    """Arguments of `test.validators`."""
    return b"".join(each.key + each.replica.to_bytes(8, "big") for each in validators)


def decode_set(node: bytes) -> tuple[Validator, ...]:
    rows = range(32, len(node) - 8, 40)
    found = (
        Validator(PublicKey(node[at : at + 32]), ReplicaId(int.from_bytes(node[at + 32 : at + 40], "big")))
        for at in rows
    )
    return tuple(sorted(found))


def genesis_decision(genesis: Genesis, executor: CountingExecutor) -> Decision:
    execution = executor.genesis(genesis)
    head = genesis_head(genesis.chain, execution.state_root, genesis.validators())
    return Decision(
        final=FinalBlock(block=Block(header=head.header, txs=()), certificate=None),
        tx_ids=(),
        receipts=(),
        nodes=execution.nodes,
        validators=execution.validators,
    )
