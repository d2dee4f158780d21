"""The transcript of a session: a hash chain over its chunks, each a chain over its rounds (docs/protocol.md 3.1).

It covers values, not messages, in the program's order; so it is the same for every honest node and for a replay,
however frames were delayed and chunks ran side by side. Opened bytes enter as their hash: who shows the hashes of all
rounds shows what led to a transcript, in 32 bytes for a round.
"""

import hashlib
from collections.abc import Iterable, Sequence

from ledger.encoding import digest
from ledger.types import Digest
from mpcnode.mpc.prg import CHUNK_BYTES
from mpcnode.types import SessionId

_CHUNK_DOMAIN = "mpcnode/chunk/1"
_ROUND_DOMAIN = "mpcnode/round/1"
_SESSION_DOMAIN = "mpcnode/transcript/1"


class ChunkTranscript:
    """t_0 = digest(chunk domain, session, chunk); t_r = digest(round domain, t_(r-1), r, o_r).

    o_r is SHA-256 of the opened bytes of round r.

    Chunks count from 0, rounds from 1, both as u32.
    """

    def __init__(self, session: SessionId, chunk: int) -> None:
        self._chain = digest(_CHUNK_DOMAIN, session, chunk.to_bytes(CHUNK_BYTES, "big"))
        self._rounds: list[Digest] = []

    def add(self, opened: bytes) -> None:
        """Add the next round: its openings' encodings, joined."""
        self.add_hash(Digest(hashlib.sha256(opened).digest()))

    def add_hash(self, opened: Digest) -> None:
        """Add the next round by its hash."""
        self._rounds.append(opened)
        self._chain = digest(_ROUND_DOMAIN, self._chain, len(self._rounds).to_bytes(4, "big"), opened)

    @property
    def rounds(self) -> tuple[Digest, ...]:
        """Hashes of what was opened, from round 1 on."""
        return tuple(self._rounds)

    @property
    def hash(self) -> Digest:
        """The chain's last link, 32 bytes."""
        return self._chain


class Transcript:
    """T_0 = session; T_(c+1) = digest(domain, T_c, c as u32, the hash of chunk c)."""

    def __init__(self, session: SessionId) -> None:
        self._chain = Digest(session)
        self._chunks = 0

    def add(self, chunk_hash: Digest) -> None:
        """Add the next chunk."""
        self._chain = digest(_SESSION_DOMAIN, self._chain, self._chunks.to_bytes(CHUNK_BYTES, "big"), chunk_hash)
        self._chunks += 1

    @property
    def hash(self) -> Digest:
        """The chain's last link, 32 bytes."""
        return self._chain


def chunk_hash(session: SessionId, chunk: int, rounds: Sequence[Digest]) -> Digest:
    """The hash of a chunk in which rounds of these hashes were opened."""
    transcript = ChunkTranscript(session, chunk)
    for opened in rounds:
        transcript.add_hash(opened)
    return transcript.hash


def session_hash(session: SessionId, chunks: Iterable[Digest]) -> Digest:
    """The transcript of a session whose chunks have these hashes."""
    transcript = Transcript(session)
    for chunk in chunks:
        transcript.add(chunk)
    return transcript.hash
