"""Everything that can happen to the consensus core.

The shell feeds events one at a time, in the order in which they happened.
"""

from dataclasses import dataclass
from typing import TypeAlias

from ledger.consensus.messages import Message
from ledger.types import Block, BlockHash, Height, ReplicaId, Validator, View


@dataclass(frozen=True, slots=True)
class Started:
    """The replica runs; the first event, once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived:
    """A peer, known by its channel, sent a message; it need not be true."""

    sender: ReplicaId
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerReached:
    """The way to a peer opened, or broke. It need not be true of the peer: only waiting depends on it."""

    peer: ReplicaId
    reached: bool


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time of the last `SetTimer` has come; an early or superfluous one does no harm."""


@dataclass(frozen=True, slots=True)
class WorkArrived:
    """A transaction joined the mempool that a block may include now. Every new one may be announced."""


@dataclass(frozen=True, slots=True)
class WorkGone:
    """The mempool holds nothing includable any more, without a block: it expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockBuilt:
    """Answers `BuildBlock`."""

    height: Height
    view: View
    block: Block | None
    """None: there was nothing to include."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockValidated:
    """Answers `ValidateBlock`."""

    height: Height
    block_hash: BlockHash
    fresh: bool
    """As it was asked."""
    valid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """Answers `Commit`: the block, its certificate and its results are durable.

    The next height begins without work; if the mempool still holds something includable, `WorkArrived` follows.
    """

    height: Height
    block_hash: BlockHash
    validators: tuple[Validator, ...]
    """Set that decides the next height, sorted by key."""


Event: TypeAlias = (
    Started
    | MessageReceived
    | PeerReached
    | TimerFired
    | WorkArrived
    | WorkGone
    | BlockBuilt
    | BlockValidated
    | Committed
)
