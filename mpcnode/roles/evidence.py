"""What a node keeps of its sessions for an audit: hashes and signatures in memory, within a bound in bytes.

From before a restart there is none; of sessions of long ago neither. Who shows nothing is not blamed, and what a
deviant node sent it cannot be proven by it.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from ledger.types import Digest
from mpcnode.mpc import Batch
from mpcnode.query.frames import DATA_BYTES_MAX, Shown, show
from mpcnode.roles.corrections import Corrections
from mpcnode.roles.ports import RoundsChannel
from mpcnode.types import QueryId, SessionId

EVIDENCE_BYTES_MAX = 128 * 1024 * 1024
"""For all sessions together, of which the oldest go first; the newest stays, however large."""

FRAME_BYTES = 640
"""Taken for a frame; or for a chunk's corrections and what it opened, which take less. Measured: 490."""

LEAF_BYTES = 80
"""Taken for each frame of a flush, those of other sessions too: they are kept as long as one of them is."""

SESSION_BYTES = 2_048
"""Taken for a session, beside its frames."""


def keeps_data(batch: Batch) -> bool:
    """Whether the data of frames is kept, too, where the committee makes the correlations."""
    return batch.chunks == 1 and sum(batch.whole.round_bytes) <= DATA_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one session received and opened."""

    query: QueryId
    channel: RoundsChannel
    corrections: Corrections
    opened: list[tuple[Digest, ...]] = field(default_factory=list)
    """Hashes of what was opened in each round, by chunk."""
    data: list[bytes] = field(default_factory=list)
    """Of the frames of a small session whose correlations the committee made: nobody else could say what was right."""

    def size(self) -> int:
        """Bytes that it takes, at most."""
        frames = self.channel.evidence()
        items = len(frames) + len(self.corrections.evidence()) + len(self.opened)
        leaves = sum({id(frame.flush): len(frame.flush.leaves) for frame in frames}.values())
        data = FRAME_BYTES * len(self.data) + sum(map(len, self.data))
        return SESSION_BYTES + FRAME_BYTES * items + LEAF_BYTES * leaves + data


class EvidenceShelf:
    """What sessions received, by session. Owned by the event loop's thread."""

    def __init__(self, bytes_max: int = EVIDENCE_BYTES_MAX) -> None:
        """Take the bound."""
        self._bytes_max = bytes_max
        self._kept: dict[SessionId, Evidence] = {}
        self._sizes: OrderedDict[SessionId, int] = OrderedDict()
        """Of sessions that are over, the oldest first."""
        self._held = 0

    def keep(self, session: SessionId, evidence: Evidence) -> None:
        """Keep what a session that begins will receive."""
        self._kept[session] = evidence

    def settle(self, session: SessionId) -> None:
        """Count what a session that is over received, and make room for it."""
        self._sizes[session] = self._kept[session].size()
        self._held += self._sizes[session]
        while self._held > self._bytes_max and len(self._sizes) > 1:
            oldest, size = self._sizes.popitem(last=False)
            self._held -= size
            del self._kept[oldest]

    def is_running(self, session: SessionId) -> bool:
        """Whether a session still receives frames."""
        return session in self._kept and session not in self._sizes

    def query_of(self, session: SessionId) -> QueryId | None:
        """The query of a session, if something is kept of it."""
        kept = self._kept.get(session)
        return None if kept is None else kept.query

    def shown(self, session: SessionId, first: int) -> Shown:
        """Return what is kept of a session, from a chunk on."""
        kept = self._kept.get(session)
        if kept is None:
            return show(session, first, (), (), ())
        return show(session, first, kept.opened, kept.corrections.evidence(), kept.channel.evidence(), data=kept.data)
