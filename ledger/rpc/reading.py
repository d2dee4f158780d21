"""What the JSON-RPC endpoint reads: a replica's blocks, and the contracts as an Ethereum machine shows them.

A replica's store is a `ChainReader`, its contract host is `Contracts`. Both belong to the replica's worker thread, so
requests are answered there.
"""

from typing import Protocol

from ledger.ports import FoundLog, Place
from ledger.types import (
    Address,
    BlockHash,
    FinalBlock,
    Header,
    Height,
    PublicKey,
    Receipt,
    Transaction,
    TxId,
)


class ChainReader(Protocol):
    """Final blocks and what they did; the part of `ledger.ports.BlockStore` that is read."""

    def height(self) -> Height | None:
        """Height of the newest block; None before the genesis block."""

    def header(self, height: Height) -> Header | None:
        """Header of a block."""

    def final(self, height: Height) -> FinalBlock | None:
        """Block and certificate."""

    def find_block(self, block: BlockHash) -> Height | None:
        """Height of the block with this hash."""

    def receipts(self, height: Height) -> tuple[Receipt, ...]:
        """Receipts of a block."""

    def locate(self, tx_id: TxId) -> Place | None:
        """Where a transaction is."""

    def find_logs(
        self, first: Height, last: Height, address: Address | None = None, topic: bytes | None = None
    ) -> tuple[FoundLog, ...]:
        """Events of blocks `first` to `last`, in order."""

    def states_from(self) -> Height:
        """Lowest height from which on every block's state is there."""


class Answer(Protocol):
    """What a call gave."""

    @property
    def ok(self) -> bool:
        """Whether it ended well."""

    @property
    def output(self) -> bytes:
        """What it returned, or the data of its revert."""

    @property
    def reason(self) -> str:
        """Why it failed."""

    @property
    def gas(self) -> int:
        """What it used."""


class Contracts(Protocol):
    """Contracts that never change, on any state."""

    @property
    def evm_chain_id(self) -> int:
        """What CHAINID answers."""

    def code(self, header: Header, address: Address) -> bytes:
        """Code at an address after a block; empty where no contract is."""

    def address_of(self, key: PublicKey) -> Address:
        """Name of a key inside the contracts."""

    def message_of(self, tx: Transaction) -> tuple[Address, bytes]:
        """Contract that a transaction calls, and its calldata."""

    def static_call(self, header: Header, sender: Address, target: Address, data: bytes, gas: int) -> Answer:
        """Call a contract on the state after a block with so much gas; nothing is kept."""
