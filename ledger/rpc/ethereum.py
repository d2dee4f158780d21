"""Blocks, transactions, receipts and events as Ethereum's JSON-RPC shows them (ethereum/execution-apis, src/schemas).

Where this chain has no such thing, the value says nothing untrue: no difficulty, no price, no nonce. Hashes and roots
are those of docs/protocol.md 1.2 (SHA-256), so a client cannot compute them as Ethereum's. `timestamp` is in seconds,
as clients expect; contracts see the milliseconds of `milliTimestamp`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sha3 import keccak_256

from ledger.encoding import (
    BLOCK_GAS_MAX,
    TX_GAS_MAX,
    block_hash,
    decode_transaction,
    encode_block,
    transaction_id,
)
from ledger.rpc.hexadecimal import data, quantity
from ledger.rpc.reading import Contracts
from ledger.types import Block, BlockHash, Log, PublicKey, Receipt, Signature, Transaction, TxId

Json = dict[str, object]

_NO_UNCLES = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"
"""Ethereum's hash of an empty list of uncles (EIP-3675)."""

_BLOOM_BYTES = 256
_NO_KEY = PublicKey(bytes(32))
_LEGACY_V = quantity(27)


@dataclass(frozen=True, slots=True)
class ShownBlock:
    """A final block with its receipts, its transactions decoded."""

    block: Block
    receipts: tuple[Receipt, ...]
    hash: BlockHash
    txs: tuple[Transaction, ...]
    ids: tuple[TxId, ...]

    @classmethod
    def of(cls, block: Block, receipts: tuple[Receipt, ...]) -> "ShownBlock":
        """Decode a final block.

        Raises:
            DecodeError: a transaction is none; no final block has such a one.
        """
        txs = tuple(map(decode_transaction, block.txs))
        return cls(block, receipts, block_hash(block.header), txs, tuple(map(transaction_id, txs)))

    def as_block(self, contracts: Contracts, *, is_full: bool) -> Json:
        """Show the block, with its transactions or their ids."""
        header = self.block.header
        proposer = bytes(20) if header.proposer == _NO_KEY else contracts.address_of(header.proposer)
        return {
            "number": quantity(header.height),
            "hash": data(self.hash),
            "parentHash": data(header.previous),
            "timestamp": quantity(header.timestamp_ms // 1000),
            "milliTimestamp": quantity(header.timestamp_ms),
            "miner": data(proposer),
            "stateRoot": data(header.state_root),
            "transactionsRoot": data(header.tx_root),
            "receiptsRoot": data(header.receipts_root),
            "logsBloom": data(bloom(log for receipt in self.receipts for log in receipt.logs)),
            "gasLimit": quantity(BLOCK_GAS_MAX),
            "gasUsed": quantity(sum(receipt.gas for receipt in self.receipts)),
            "baseFeePerGas": quantity(0),
            "size": quantity(len(encode_block(self.block))),
            "extraData": "0x",
            "difficulty": quantity(0),
            "totalDifficulty": quantity(0),
            "mixHash": data(bytes(32)),
            "nonce": data(bytes(8)),
            "sha3Uncles": _NO_UNCLES,
            "uncles": [],
            "transactions": [
                self.as_transaction(index, contracts) if is_full else data(tx_id)
                for index, tx_id in enumerate(self.ids)
            ],
        }

    def as_transaction(self, index: int, contracts: Contracts) -> Json:
        """Show a transaction; `r` and `s` hold its Ed25519 signature, from which nobody can be recovered."""
        tx = self.txs[index]
        target, calldata = contracts.message_of(tx)
        return {
            **self._place(index),
            "hash": data(self.ids[index]),
            "from": data(contracts.address_of(tx.sender)),
            "to": data(target),
            "input": data(calldata),
            "value": quantity(0),
            "nonce": quantity(0),
            "gas": quantity(TX_GAS_MAX),
            "gasPrice": quantity(0),
            "chainId": quantity(contracts.evm_chain_id),
            "type": quantity(0),
            **_signature(tx.signature),
        }

    def as_receipt(self, index: int, contracts: Contracts) -> Json:
        """Show what a transaction did; `reason` says why it failed."""
        receipt, tx = self.receipts[index], self.txs[index]
        return {
            **self._place(index),
            "transactionHash": data(self.ids[index]),
            "from": data(contracts.address_of(tx.sender)),
            "to": data(contracts.message_of(tx)[0]),
            "contractAddress": None,
            "status": quantity(int(receipt.ok)),
            "reason": receipt.reason,
            "gasUsed": quantity(receipt.gas),
            "cumulativeGasUsed": quantity(sum(earlier.gas for earlier in self.receipts[: index + 1])),
            "effectiveGasPrice": quantity(0),
            "type": quantity(0),
            "logs": [self.as_log(index, place) for place in range(len(receipt.logs))],
            "logsBloom": data(bloom(receipt.logs)),
        }

    def as_log(self, index: int, place: int) -> Json:
        """Show an event by its transaction and its place in the receipt."""
        log = self.receipts[index].logs[place]
        return {
            **self._place(index),
            "address": data(log.address),
            "topics": [data(topic) for topic in log.topics],
            "data": data(log.data),
            "transactionHash": data(self.ids[index]),
            "logIndex": quantity(sum(len(earlier.logs) for earlier in self.receipts[:index]) + place),
            "removed": False,
        }

    def _place(self, index: int) -> Json:
        height = quantity(self.block.header.height)
        return {"blockHash": data(self.hash), "blockNumber": height, "transactionIndex": quantity(index)}


def bloom(logs: Iterable[Log]) -> bytes:
    """Ethereum's filter of addresses and topics (Yellow Paper, 4.4.3): three bits of 2048 for each."""
    bits = 0
    for log in logs:
        for item in (log.address, *log.topics):
            hashed = keccak_256(item).digest()
            for at in (0, 2, 4):
                bits |= 1 << (int.from_bytes(hashed[at : at + 2], "big") % (8 * _BLOOM_BYTES))
    return bits.to_bytes(_BLOOM_BYTES, "big")


def matches(log: Log, addresses: Sequence[bytes], topics: Sequence[Sequence[bytes]]) -> bool:
    """Whether an event passes a filter; an empty list at a place admits everything."""
    if (addresses and log.address not in addresses) or len(topics) > len(log.topics):
        return False
    return all(not wanted or topic in wanted for wanted, topic in zip(topics, log.topics, strict=False))


def _signature(signature: Signature) -> Json:
    """R as it is, S as the number that it is (RFC 8032, 5.1.6): little-endian there, big-endian here."""
    return {"v": _LEGACY_V, "r": data(signature[:32]), "s": data(signature[:31:-1])}
