"""What a replica tells its users."""

from dataclasses import dataclass, field

from ledger.types import BlockHash, Header, Height, Receipt, Transaction, TxId, Validator, View


@dataclass(frozen=True, slots=True, kw_only=True)
class TxOutcome:
    """A transaction that is final."""

    tx_id: TxId
    height: Height
    index: int
    """Its place in the block."""
    receipt: Receipt
    """What it did; it may have reverted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedBlock:
    """A final block with what it did."""

    header: Header
    block_hash: BlockHash
    tx_ids: tuple[TxId, ...]
    txs: tuple[Transaction, ...] = field(repr=False)
    receipts: tuple[Receipt, ...] = field(repr=False)
    validators: tuple[Validator, ...] = field(repr=False)
    """Set that decides the next height."""

    @property
    def height(self) -> Height:
        """Place in the chain."""
        return self.header.height


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStatus:
    """Where a replica is."""

    height: Height
    """Of its newest block."""
    block_hash: BlockHash
    view: View
    """View of the height that it is deciding."""
    peers: int
    """Peers that are connected."""
    mempool: int
    """Transactions that wait."""
    ready: bool
    """Whether it follows: as far as a quorum of its peers, and sure of its own votes."""
    may_vote: bool
    """Whether it votes at this height: its key is in the set, and its log allows it."""
