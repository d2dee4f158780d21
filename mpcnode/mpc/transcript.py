"""The transcript of a session: a hash chain over what was opened in each round (docs/protocol.md 3.1).

It covers values, not messages, in the program's order; so it is the same for every honest node and for a replay,
however frames were cut or delayed.
"""

from ledger.encoding import digest
from ledger.types import Digest
from mpcnode.types import SessionId

_DOMAIN = "mpcnode/round/1"


class Transcript:
    """t_0 = session; t_r = digest(domain, t_(r-1), r as u32, the opened bytes of round r). Rounds count from 1."""

    def __init__(self, session: SessionId) -> None:
        self._chain = Digest(session)
        self._round = 0

    def add(self, opened: bytes) -> None:
        """Add the next round: its openings' encodings, joined."""
        self._round += 1
        self._chain = digest(_DOMAIN, self._chain, self._round.to_bytes(4, "big"), opened)

    @property
    def hash(self) -> Digest:
        """The chain's last link, 32 bytes."""
        return self._chain
