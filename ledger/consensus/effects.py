"""Everything that the consensus core asks of its shell, to be carried out in order.

The law of durability (H5): a `Persist` is on disk before any later `Broadcast` or `Send` leaves. Within one step all
`Persist` come first, so the shell needs one flush for each step that has any, and none if nothing is sent after them.
"""

from dataclasses import dataclass
from typing import TypeAlias

from ledger.consensus.messages import Message, Record
from ledger.types import Block, BlockHash, Certificate, Height, Millis, ReplicaId, View, Vote


@dataclass(frozen=True, slots=True)
class Persist:
    """Keep a record of the current height until that height is committed; own votes are kept for ever."""

    record: Record


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to every other replica, observers included."""

    message: Message


@dataclass(frozen=True, slots=True)
class Send:
    """Send to one replica."""

    to: ReplicaId
    message: Message


@dataclass(frozen=True, slots=True)
class SendDecided:
    """Send `Decided` of this height to a replica that is behind, and of as many following ones as a batch holds."""

    to: ReplicaId
    height: Height


@dataclass(frozen=True, slots=True)
class SendRecorded:
    """Send `BlockMessage` of a block that is in a durable proposal of this height, and no longer in memory."""

    to: ReplicaId
    height: Height
    block_hash: BlockHash


@dataclass(frozen=True, slots=True)
class BuildBlock:
    """Build and execute a block from the mempool, oldest transactions first; answer with `BlockBuilt`."""

    height: Height
    view: View


@dataclass(frozen=True, slots=True)
class ValidateBlock:
    """Execute a block on the newest one and compare every root; answer with `BlockValidated`."""

    block: Block
    fresh: bool
    """Whether its timestamp must be close to the clock as well: not for a block that was notarized before."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Make a block final: block, certificate and results in one durable transaction; answer with `Committed`.

    The block may be one that this replica was never asked to validate.
    """

    block: Block
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Feed `TimerFired` at this time; it replaces the timer before it."""

    at: Millis


@dataclass(frozen=True, slots=True)
class Evidence:
    """Keep two signed votes that no honest validator casts both."""

    first: Vote
    second: Vote


Effect: TypeAlias = (
    Persist | Broadcast | Send | SendDecided | SendRecorded | BuildBlock | ValidateBlock | Commit | SetTimer | Evidence
)


class Outbox:
    """Collects the effects of one step."""

    def __init__(self) -> None:
        self._records: list[Effect] = []
        self._others: list[Effect] = []

    def put(self, effect: Effect) -> None:
        """Add an effect."""
        (self._records if isinstance(effect, Persist) else self._others).append(effect)

    def take(self) -> list[Effect]:
        """Return the effects, records first, and forget them (H5)."""
        taken = self._records + self._others
        self._records, self._others = [], []
        return taken
