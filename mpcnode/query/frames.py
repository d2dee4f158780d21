"""Evidence of what was sent in a session: frames as their senders signed them (docs/protocol.md 7).

A node keeps what it received; on a mismatch the auditor asks for it. A signed flush shows to anybody that its sender
sent a frame in it, so no other node can put words into its mouth.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger import merkle
from ledger.encoding import Reader, Writer
from ledger.errors import InvalidProofError
from ledger.types import ChainId, Digest, PublicKey, Signature
from mpcnode.errors import WrongSignatureError
from mpcnode.query.statements import FlushStatement, encode_flush_statement, frame_digest
from mpcnode.sealing.keys import check_signature
from mpcnode.types import COMMITTEE_MAX, MemberIndex, SessionId

FRAME_BYTES_MAX = 4 * 1024 * 1024
FRAMES_MAX = 128 * COMMITTEE_MAX
"""Frames of one session that one node can show."""

_PATH_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedFrame:
    """One frame, and what shows that its sender sent it."""

    sender: MemberIndex
    round: int
    data: bytes = field(repr=False)
    flush: int
    """Number of its flush."""
    place: int
    """In its flush."""
    size: int
    """Frames of its flush."""
    root: Digest
    """Of its flush."""
    path: tuple[bytes, ...] = field(repr=False)
    signature: Signature = field(repr=False)
    """Of the flush."""


@dataclass(frozen=True, slots=True)
class Flush:
    """A flush as it arrived, without its frames."""

    number: int
    leaves: tuple[Digest, ...] = field(repr=False)
    """Digests of its frames."""
    signature: Signature = field(repr=False)

    def frame(self, sender: MemberIndex, place: int, number: int, data: bytes) -> SignedFrame:
        """Return one of its frames with what shows that it was sent."""
        return SignedFrame(
            sender=sender,
            round=number,
            data=data,
            flush=self.number,
            place=place,
            size=len(self.leaves),
            root=merkle.root(self.leaves),
            path=merkle.path(self.leaves, place),
            signature=self.signature,
        )


def check_frame(
    frame: SignedFrame, chain: ChainId, session: SessionId, receiver: MemberIndex, identity: PublicKey
) -> None:
    """Check that a frame's sender sent it to this receiver in this session.

    Raises:
        WrongSignatureError: nothing shows that it did.
    """
    leaf = frame_digest(session, frame.round, frame.data)
    try:
        merkle.verify_path(leaf, frame.place, frame.size, frame.path, frame.root)
    except InvalidProofError as error:
        raise WrongSignatureError(f"flush of member {frame.sender}: {error}") from error
    flush = FlushStatement(
        chain=chain, sender=frame.sender, receiver=receiver, number=frame.flush, frames_root=frame.root
    )
    check_signature(identity, encode_flush_statement(flush), frame.signature, f"flush of member {frame.sender}")


def encode_frames(session: SessionId, frames: Sequence[SignedFrame]) -> bytes:
    """Encode what a node shows of a session."""
    writer = Writer().fixed(session, 32).uint(len(frames), 4)
    for frame in frames:
        writer.uint(frame.sender, 1).uint(frame.round, 4).blob(frame.data)
        writer.uint(frame.flush, 8).uint(frame.place, 4).uint(frame.size, 4).fixed(frame.root, 32)
        writer.uint(len(frame.path), 4)
        for step in frame.path:
            writer.fixed(step, 32)
        writer.fixed(frame.signature, 64)
    return writer.bytes()


def decode_frames(data: bytes) -> tuple[SessionId, tuple[SignedFrame, ...]]:
    """Decode what a node shows of a session.

    Raises:
        DecodeError: it is not that.
    """
    reader = Reader(data, "frames")
    session = SessionId(reader.fixed(32))
    frames = reader.items(FRAMES_MAX, lambda: _read(reader))
    reader.end()
    return session, frames


def _read(reader: Reader) -> SignedFrame:
    return SignedFrame(
        sender=MemberIndex(reader.uint(1)),
        round=reader.uint(4),
        data=reader.blob(FRAME_BYTES_MAX),
        flush=reader.uint(8),
        place=reader.uint(4),
        size=reader.uint(4),
        root=Digest(reader.fixed(32)),
        path=reader.items(_PATH_MAX, lambda: reader.fixed(32)),
        signature=Signature(reader.fixed(64)),
    )
