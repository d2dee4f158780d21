"""What a replica needs of the world: a store, an executor of the contract, a transport, a clock.

`Store` and `Executor` are synchronous and belong to one thread, the replica's worker; `Transport` and `Clock` belong to
the event loop.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ledger.consensus.messages import Record
from ledger.types import (
    Address,
    BlockHash,
    Digest,
    FinalBlock,
    Genesis,
    Header,
    Height,
    Log,
    Millis,
    PublicKey,
    Receipt,
    ReplicaId,
    Transaction,
    TxId,
    Validator,
    Vote,
)

STATES_KEPT = 1_000
"""Newest blocks whose states a compaction keeps; older ones can be computed again from the blocks."""

Children = Callable[[bytes], Iterable[bytes]]
"""The keys of the nodes that a node of the state refers to."""


class Execution(Protocol):
    """What executing a block's transactions does."""

    @property
    def state_root(self) -> Digest:
        """Root of the state after them."""

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """One for each transaction that fitted the block, in order."""

    @property
    def nodes(self) -> Mapping[bytes, bytes]:
        """New nodes of the state, by their keccak256."""

    @property
    def validators(self) -> tuple[Validator, ...]:
        """Set that decides the next height, sorted by key."""


class Executor(Protocol):
    """Executes transactions of the contract; equal arguments give equal results at every replica."""

    def genesis(self, genesis: Genesis) -> Execution:
        """Set the first state up."""

    def execute(
        self, parent_root: Digest, height: Height, timestamp_ms: Millis, txs: Sequence[Transaction]
    ) -> Execution:
        """Execute transactions on the state with root `parent_root`, as many as fit one block; nothing is kept."""

    def view(
        self, root: Digest, height: Height, timestamp_ms: Millis, method: str, *args: object
    ) -> tuple[object, ...]:
        """Call a read function on a state.

        Raises:
            InvalidError: there is no such function, or it does not take these arguments.
        """

    def call(self, root: Digest, height: Height, timestamp_ms: Millis, tx: Transaction) -> Receipt:
        """What a transaction would do in a block on this state; nothing is kept."""

    def children(self, node: bytes) -> Iterable[bytes]:
        """Keys of the nodes that a node of the state refers to; what `Execution.nodes` leaves out was there before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A final block with all that a store keeps of it."""

    final: FinalBlock
    tx_ids: tuple[TxId, ...]
    """One for each transaction, in order."""
    receipts: tuple[Receipt, ...]
    nodes: Mapping[bytes, bytes] = field(repr=False)
    """Nodes of the state that this block added, by their keccak256."""
    validators: tuple[Validator, ...]
    """Set that decides the next height."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction is."""

    height: Height
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLog:
    """A contract event and where it is."""

    height: Height
    tx_index: int
    log_index: int
    """Its place in the receipt."""
    log: Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivocation:
    """Two signed votes that no honest validator casts both: proof against the key for anybody who knows the chain."""

    key: PublicKey
    """Vote key that signed both."""
    first: Vote
    second: Vote


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """How far the removal of old state is."""

    kept: int
    """Nodes that were marked so far; blocks that were committed meanwhile are not counted."""
    removed: int
    states_from: Height
    """Height from which on states are kept."""
    done: bool


class BlockStore(Protocol):
    """Final blocks, their receipts and the contract's state; append-only.

    Every method raises `StorageError` if the disk fails or holds something that was not written; after that the store
    answers nothing but `StorageError`, and the daemon stops.
    """

    def height(self) -> Height | None:
        """Height of the newest block; None before the genesis block."""

    def header(self, height: Height) -> Header | None:
        """Header of a block."""

    def final(self, height: Height) -> FinalBlock | None:
        """Block and certificate."""

    def find_block(self, block: BlockHash) -> Height | None:
        """Height of the block with this hash; None if there is none."""

    def receipts(self, height: Height) -> tuple[Receipt, ...]:
        """Receipts of a block; empty if there is none."""

    def validators(self, height: Height) -> tuple[Validator, ...]:
        """Set that decides the height after this block; empty if there is none."""

    def locate(self, tx_id: TxId) -> Place | None:
        """Where a transaction is; None if no block holds it."""

    def find_logs(
        self, first: Height, last: Height, address: Address | None = None, topic: bytes | None = None
    ) -> tuple[FoundLog, ...]:
        """Events of blocks `first` to `last`, in order; of one contract and with one first topic, if given."""

    def read_node(self, key: bytes) -> bytes | None:
        """A node of the state by its keccak256."""

    def commit(self, decision: Decision) -> None:
        """Make a block durable with everything of it, and forget the records of its height, in one flush."""


class StateStore(Protocol):
    """Which states are there, beside those of the newest blocks."""

    def states_from(self) -> Height:
        """Lowest height from which on every block's state is there; below it nodes may be missing."""

    def compact(self, children: Children, states: int) -> Compaction:
        """Go on for a moment with removing what the states of the newest `states` blocks do not reach.

        The first call, and the first after one was done, begins a new compaction. Blocks may be committed between two
        calls. One that is never finished leaves a store as whole as before.

        Raises:
            StorageError: a node of a state that is kept is missing.
        """

    def check_nodes(self, after: bytes) -> bytes | None:
        """Check some nodes of the state against their keys: those after a key, in the order of keys.

        Returns:
            The last key that was checked; None if there was none.
        """

    def wants_compaction(self, states: int) -> bool:
        """Whether one is under way, or so much was written since the last that the next would pay."""


class VoteLog(Protocol):
    """What consensus must not forget while a height is undecided; own votes are kept for ever."""

    def append(self, records: Sequence[Record]) -> None:
        """Make records durable, in one flush, before returning.

        Raises:
            StorageError: the disk failed, or a vote contradicts one that was made before.
        """

    def records(self, height: Height) -> tuple[Record, ...]:
        """All records of a height: own votes, then the others as they were appended."""

    def newest_vote(self) -> Vote | None:
        """The own vote of the highest height and view."""

    def has_never_voted(self) -> bool:
        """Whether this replica is known to have sent no vote in its life: its marker is still there."""

    def rejoin(self, whole_from: Height, grounds: bytes) -> None:
        """Keep for ever that own votes from a height on are all in this log; durable when it returns.

        Args:
            whole_from: above every own vote in the log and every height kept so before.
            grounds: the companies' signed statement.

        Raises:
            StorageError: it is not above them, or the disk failed.
        """

    def whole_from(self) -> Height:
        """The highest height that `rejoin` kept; 0 if none."""


class EvidenceLog(Protocol):
    """What was proven against validators; for people, consensus never reads it."""

    def accuse(self, proof: Equivocation) -> bool:
        """Keep a proof, durably when this returns; False if it is held, or enough of its key are.

        One is kept for each key, height, view and pair of kinds, and a limited number for each key.
        """

    def evidence(self) -> tuple[Equivocation, ...]:
        """Every proof, by height, view and key."""


class Store(BlockStore, StateStore, VoteLog, EvidenceLog, Protocol):
    """All in one place, so that nothing can be restored without the rest."""

    def maintain(self) -> None:
        """Do what can be done when nothing else is to do; nothing depends on it."""

    def close(self) -> None:
        """Give everything back."""


class Transport(Protocol):
    """Sends items to peers; an item may be lost, but what arrives is whole and comes from whom it says."""

    def send(self, to: ReplicaId, items: Sequence[bytes]) -> None:
        """Queue items for a peer; they are dropped if it is not connected or its queue is full."""

    def broadcast(self, items: Sequence[bytes]) -> None:
        """Queue items for every connected peer."""

    def peers(self) -> frozenset[ReplicaId]:
        """Peers that are connected now."""


class Inbox(Protocol):
    """Takes what a transport receives."""

    async def receive(self, sender: ReplicaId, items: Sequence[bytes]) -> None:
        """Take items of a peer; waits while there is too much of it.

        Raises:
            DecodeError: an item is none; the peer is at fault.
        """

    def connected(self, peer: ReplicaId) -> None:
        """Learn that items can be sent to a peer now."""

    def disconnected(self, peer: ReplicaId) -> None:
        """Learn that they cannot be sent to it any more."""


class Clock(Protocol):
    """Tells the time."""

    def now_ms(self) -> Millis:
        """Milliseconds since the Unix epoch."""
