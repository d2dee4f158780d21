"""Evidence of what was sent in a session, as those who sent it signed it (docs/protocol.md 7), and what was opened.

A node keeps what stands for the frames and the corrections that it received, not their data; on a mismatch the auditor
asks for it. A signed flush shows to anybody that its sender sent a frame of this hash in it, and a signed statement
what the dealer dealt, so nobody can put words into another's mouth.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger import merkle
from ledger.encoding import Reader, Writer
from ledger.errors import InvalidProofError
from ledger.types import ChainId, Digest, PublicKey, Signature
from mpcnode.errors import WrongSignatureError
from mpcnode.mpc.transcript import chunk_hash
from mpcnode.query.statements import (
    CorrectionsStatement,
    FlushStatement,
    encode_corrections_statement,
    encode_flush_statement,
    frame_digest,
)
from mpcnode.sealing.keys import check_signature
from mpcnode.types import MemberIndex, SessionId

SHOWN_CHUNKS = 32
"""Chunks whose evidence one message shows."""

CHUNKS_MAX = 65_536
"""Chunks of a session whose hashes one message can show."""

ROUNDS_MAX = 256
"""Rounds of a program."""

FRAMES_MAX = 16_384
"""Frames in one such message; seven others and seven rounds make 1,568."""

DATA_BYTES_MAX = 32 * 1024
"""Of one frame whose data is shown: of sessions that are not larger in all their rounds."""

_PATH_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedFrame:
    """What stands for one frame, and what shows that its sender sent it."""

    sender: MemberIndex
    chunk: int
    round: int
    data_hash: Digest
    """SHA-256."""
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
class SignedCorrections:
    """What stands for one chunk's corrections, and the dealer's signature."""

    chunk: int
    data_hash: Digest
    """SHA-256."""
    signature: Signature = field(repr=False)


@dataclass(frozen=True, slots=True)
class Flush:
    """A flush as it arrived, without its frames."""

    number: int
    leaves: tuple[Digest, ...] = field(repr=False)
    """Digests of its frames."""
    signature: Signature = field(repr=False)


@dataclass(frozen=True, slots=True)
class ArrivedFrame:
    """What a session keeps of a frame that it took."""

    flush: Flush = field(repr=False)
    """Shared by its frames."""
    place: int
    """In the flush."""
    sender: MemberIndex
    chunk: int
    round: int
    data_hash: Digest

    def signed(self) -> SignedFrame:
        """Return it with what shows that it was sent."""
        leaves = self.flush.leaves
        return SignedFrame(
            sender=self.sender,
            chunk=self.chunk,
            round=self.round,
            data_hash=self.data_hash,
            flush=self.flush.number,
            place=self.place,
            size=len(leaves),
            root=merkle.root(leaves),
            path=merkle.path(leaves, self.place),
            signature=self.flush.signature,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a node shows of a session: `SHOWN_CHUNKS` chunks from one on, or fewer at the end."""

    session: SessionId
    first: int
    """The first of these chunks."""
    chunk_hashes: tuple[Digest, ...] = ()
    """Of all chunks that have ended, in order: they lead to the transcript."""
    opened: tuple[tuple[Digest, ...], ...] = ()
    """Hashes of what was opened in each round of these chunks: they lead to the chunks' hashes."""
    corrections: tuple[SignedCorrections, ...] = ()
    """Of the last node in rank order; the others received none."""
    frames: tuple[SignedFrame, ...] = ()
    data: tuple[bytes, ...] = field(default=(), repr=False)
    """Of these frames, where it was kept, in no order; their hashes say whose."""


def check_frame(
    frame: SignedFrame, chain: ChainId, session: SessionId, receiver: MemberIndex, identity: PublicKey
) -> None:
    """Check that a frame's sender sent it to this receiver in this session.

    Raises:
        WrongSignatureError: nothing shows that it did.
    """
    leaf = frame_digest(session, frame.chunk, frame.round, frame.data_hash)
    try:
        merkle.verify_path(leaf, frame.place, frame.size, frame.path, frame.root)
    except InvalidProofError as error:
        raise WrongSignatureError(f"flush of member {frame.sender}: {error}") from error
    flush = FlushStatement(
        chain=chain, sender=frame.sender, receiver=receiver, number=frame.flush, frames_root=frame.root
    )
    check_signature(identity, encode_flush_statement(flush), frame.signature, f"flush of member {frame.sender}")


def check_corrections(
    corrections: SignedCorrections, chain: ChainId, session: SessionId, dealer: MemberIndex, identity: PublicKey
) -> None:
    """Check that a dealer dealt these corrections to this session and chunk.

    Raises:
        WrongSignatureError: nothing shows that it did.
    """
    stated = CorrectionsStatement(
        chain=chain, session=session, chunk=corrections.chunk, corrections_hash=corrections.data_hash
    )
    what = f"corrections of member {dealer}, chunk {corrections.chunk}"
    check_signature(identity, encode_corrections_statement(stated), corrections.signature, what)


def encode_shown(shown: Shown) -> bytes:
    """Encode what a node shows of a session."""
    writer = Writer().fixed(shown.session, 32).uint(shown.first, 4)
    _write_hashes(writer, shown.chunk_hashes)
    writer.uint(len(shown.opened), 4)
    for rounds in shown.opened:
        _write_hashes(writer, rounds)
    writer.uint(len(shown.corrections), 4)
    for dealt in shown.corrections:
        writer.uint(dealt.chunk, 4).fixed(dealt.data_hash, 32).fixed(dealt.signature, 64)
    writer.uint(len(shown.frames), 4)
    for frame in shown.frames:
        writer.uint(frame.sender, 1).uint(frame.chunk, 4).uint(frame.round, 4).fixed(frame.data_hash, 32)
        writer.uint(frame.flush, 8).uint(frame.place, 4).uint(frame.size, 4).fixed(frame.root, 32)
        writer.uint(len(frame.path), 4)
        for step in frame.path:
            writer.fixed(step, 32)
        writer.fixed(frame.signature, 64)
    writer.uint(len(shown.data), 4)
    for data in shown.data:
        writer.blob(data)
    return writer.bytes()


def decode_shown(data: bytes) -> Shown:
    """Decode what a node shows of a session.

    Raises:
        DecodeError: it is not that.
    """
    reader = Reader(data, "frames")
    shown = Shown(
        session=SessionId(reader.fixed(32)),
        first=reader.uint(4),
        chunk_hashes=_read_hashes(reader, CHUNKS_MAX),
        opened=reader.items(SHOWN_CHUNKS, lambda: _read_hashes(reader, ROUNDS_MAX)),
        corrections=reader.items(SHOWN_CHUNKS, lambda: _read_corrections(reader)),
        frames=reader.items(FRAMES_MAX, lambda: _read_frame(reader)),
        data=reader.items(FRAMES_MAX, lambda: reader.blob(DATA_BYTES_MAX)),
    )
    reader.end()
    return shown


def show(
    session: SessionId,
    first: int,
    opened: Sequence[Sequence[Digest]],
    corrections: Sequence[SignedCorrections],
    frames: Sequence[ArrivedFrame],
    *,
    data: Sequence[bytes] = (),
) -> Shown:
    """Return what is shown of a session from a chunk on, of all that was kept of it."""
    chunks = range(first, first + SHOWN_CHUNKS)
    return Shown(
        session=session,
        first=first,
        chunk_hashes=tuple(chunk_hash(session, chunk, rounds) for chunk, rounds in enumerate(opened)),
        opened=tuple(tuple(rounds) for rounds in opened[first : first + SHOWN_CHUNKS]),
        corrections=tuple(dealt for dealt in corrections if dealt.chunk in chunks),
        frames=tuple(frame.signed() for frame in frames if frame.chunk in chunks),
        data=tuple(data) if first == 0 else (),
    )


def _write_hashes(writer: Writer, hashes: Sequence[Digest]) -> None:
    writer.uint(len(hashes), 4)
    for hashed in hashes:
        writer.fixed(hashed, 32)


def _read_hashes(reader: Reader, most: int) -> tuple[Digest, ...]:
    return reader.items(most, lambda: Digest(reader.fixed(32)))


def _read_corrections(reader: Reader) -> SignedCorrections:
    return SignedCorrections(reader.uint(4), Digest(reader.fixed(32)), Signature(reader.fixed(64)))


def _read_frame(reader: Reader) -> SignedFrame:
    return SignedFrame(
        sender=MemberIndex(reader.uint(1)),
        chunk=reader.uint(4),
        round=reader.uint(4),
        data_hash=Digest(reader.fixed(32)),
        flush=reader.uint(8),
        place=reader.uint(4),
        size=reader.uint(4),
        root=Digest(reader.fixed(32)),
        path=reader.items(_PATH_MAX, lambda: reader.fixed(32)),
        signature=Signature(reader.fixed(64)),
    )
