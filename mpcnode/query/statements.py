"""What members sign about a query: shares, deal, corrections, accept, flush, end, release (docs/protocol.md 1.1).

A statement is built from a frozen value and read back into an equal one; what a word cannot mean is refused with the
word's name.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from ledger import merkle
from ledger.encoding import digest, read_uint, split_words, statement
from ledger.errors import DecodeError
from ledger.types import ChainId, Digest
from mpcnode.types import ATTEMPTS_MAX, MEMBERS_MAX, Attempt, Commitment, MemberIndex, QueryId, SessionId

SHARES = "mpcnode/shares/1"
DEAL = "mpcnode/deal/1"
CORRECTIONS = "mpcnode/corrections/1"
ACCEPT = "mpcnode/accept/1"
FLUSH = "mpcnode/flush/1"
END = "mpcnode/end/1"
RELEASE = "mpcnode/release/1"

SHARES_WORDS = 7
DEAL_WORDS = 6
CORRECTIONS_WORDS = 5
ACCEPT_WORDS = 4
FLUSH_WORDS = 6
END_WORDS = 10
RELEASE_WORDS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesStatement:
    """A participant's word on the share that it sends to one node."""

    chain: ChainId
    query: QueryId
    attempt: Attempt
    participant: MemberIndex
    node: MemberIndex
    commitment: Commitment


@dataclass(frozen=True, slots=True, kw_only=True)
class DealStatement:
    """The dealer's record of a session's correlations; SHA-256 of it is the deal hash."""

    chain: ChainId
    session: SessionId
    seeds_hash: Digest
    chunks: int
    """How many the session has; each one's corrections have a statement of their own."""
    correcting: MemberIndex
    """The last in rank order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionsStatement:
    """The dealer's word on the corrections of one chunk, made when the chunk is dealt."""

    chain: ChainId
    session: SessionId
    chunk: int
    """From 0."""
    corrections_hash: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptStatement:
    """A node's word that its shares and its deal are good."""

    chain: ChainId
    session: SessionId
    deal_hash: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushStatement:
    """A node's word on the frames that left together for one other."""

    chain: ChainId
    sender: MemberIndex
    receiver: MemberIndex
    number: int
    """From 1, in this direction."""
    frames_root: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class EndStatement:
    """A node's word on how a session ended."""

    chain: ChainId
    query: QueryId
    attempt: Attempt
    session: SessionId
    deal_hash: Digest
    transcript_hash: Digest
    output_commitment: Commitment
    inquirer_box_hash: Digest
    supervisor_box_hash: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStatement:
    """The auditor's word on what the output shares of a session must make before the mask is taken off."""

    chain: ChainId
    query: QueryId
    attempt: Attempt
    session: SessionId
    transcript_hash: Digest
    masked_hash: Digest
    """Salted hash of the masked output."""


def encode_shares_statement(shares: SharesStatement) -> bytes:
    """Encode what a participant signs for each share."""
    return statement(
        SHARES, shares.chain, shares.query, shares.attempt, shares.participant, shares.node, shares.commitment
    )


def decode_shares_statement(data: bytes) -> SharesStatement:
    """Decode what a participant signs for each share.

    Raises:
        DecodeError: not that statement.
    """
    words = split_words(data, SHARES, SHARES_WORDS)
    return SharesStatement(
        chain=ChainId(words[0]),
        query=QueryId(words[1]),
        attempt=read_attempt(words[2]),
        participant=read_member(words[3], "participant"),
        node=read_member(words[4], "node"),
        commitment=Commitment(words[5]),
    )


def encode_deal_statement(deal: DealStatement) -> bytes:
    """Encode the deal record."""
    return statement(DEAL, deal.chain, deal.session, deal.seeds_hash, deal.chunks, deal.correcting)


def decode_deal_statement(data: bytes) -> DealStatement:
    """Decode the deal record.

    Raises:
        DecodeError: not that statement.
    """
    words = split_words(data, DEAL, DEAL_WORDS)
    return DealStatement(
        chain=ChainId(words[0]),
        session=SessionId(words[1]),
        seeds_hash=Digest(words[2]),
        chunks=read_uint(words[3], 32),
        correcting=read_member(words[4], "correcting node"),
    )


def encode_corrections_statement(corrections: CorrectionsStatement) -> bytes:
    """Encode what the dealer signs for each chunk's corrections."""
    return statement(
        CORRECTIONS, corrections.chain, corrections.session, corrections.chunk, corrections.corrections_hash
    )


def decode_corrections_statement(data: bytes) -> CorrectionsStatement:
    """Decode what the dealer signs for each chunk's corrections.

    Raises:
        DecodeError: not that statement.
    """
    words = split_words(data, CORRECTIONS, CORRECTIONS_WORDS)
    return CorrectionsStatement(
        chain=ChainId(words[0]),
        session=SessionId(words[1]),
        chunk=read_uint(words[2], 32),
        corrections_hash=Digest(words[3]),
    )


def encode_accept_statement(accept: AcceptStatement) -> bytes:
    """Encode what a node signs before the first round."""
    return statement(ACCEPT, accept.chain, accept.session, accept.deal_hash)


def decode_accept_statement(data: bytes) -> AcceptStatement:
    """Decode what a node signs before the first round.

    Raises:
        DecodeError: not that statement.
    """
    words = split_words(data, ACCEPT, ACCEPT_WORDS)
    return AcceptStatement(chain=ChainId(words[0]), session=SessionId(words[1]), deal_hash=Digest(words[2]))


def encode_flush_statement(flush: FlushStatement) -> bytes:
    """Encode what a node signs for frames that leave together."""
    return statement(FLUSH, flush.chain, flush.sender, flush.receiver, flush.number, flush.frames_root)


def decode_flush_statement(data: bytes) -> FlushStatement:
    """Decode what a node signs for frames that leave together.

    Raises:
        DecodeError: not that statement.
    """
    words = split_words(data, FLUSH, FLUSH_WORDS)
    return FlushStatement(
        chain=ChainId(words[0]),
        sender=read_member(words[1], "sender"),
        receiver=read_member(words[2], "receiver"),
        number=read_uint(words[3], 64),
        frames_root=Digest(words[4]),
    )


def data_hash(data: bytes) -> Digest:
    """SHA-256 of a frame's data: what evidence keeps of it."""
    return Digest(hashlib.sha256(data).digest())


def frame_digest(session: SessionId, chunk: int, number: int, hashed: Digest) -> Digest:
    """What stands for a frame in its flush: a hash of session, chunk, round and its data's hash."""
    return digest("mpcnode/frame/1", session, chunk.to_bytes(4, "big"), number.to_bytes(4, "big"), hashed)


def frames_root(frames: Iterable[tuple[SessionId, int, int, bytes]]) -> Digest:
    """Root over the frames of one flush: session, chunk, round and data of each, in order."""
    return merkle.root(
        [frame_digest(session, chunk, number, data_hash(data)) for session, chunk, number, data in frames]
    )


def encode_end_statement(end: EndStatement) -> bytes:
    """Encode what a node signs at the end of a session."""
    return statement(
        END,
        end.chain,
        end.query,
        end.attempt,
        end.session,
        end.deal_hash,
        end.transcript_hash,
        end.output_commitment,
        end.inquirer_box_hash,
        end.supervisor_box_hash,
    )


def decode_end_statement(data: bytes) -> EndStatement:
    """Decode what a node signs at the end of a session.

    Raises:
        DecodeError: not that statement.
    """
    words = split_words(data, END, END_WORDS)
    return EndStatement(
        chain=ChainId(words[0]),
        query=QueryId(words[1]),
        attempt=read_attempt(words[2]),
        session=SessionId(words[3]),
        deal_hash=Digest(words[4]),
        transcript_hash=Digest(words[5]),
        output_commitment=Commitment(words[6]),
        inquirer_box_hash=Digest(words[7]),
        supervisor_box_hash=Digest(words[8]),
    )


def encode_release_statement(release: ReleaseStatement) -> bytes:
    """Encode what the auditor signs when it releases a mask."""
    return statement(
        RELEASE,
        release.chain,
        release.query,
        release.attempt,
        release.session,
        release.transcript_hash,
        release.masked_hash,
    )


def decode_release_statement(data: bytes) -> ReleaseStatement:
    """Decode what the auditor signs when it releases a mask.

    Raises:
        DecodeError: not that statement.
    """
    words = split_words(data, RELEASE, RELEASE_WORDS)
    return ReleaseStatement(
        chain=ChainId(words[0]),
        query=QueryId(words[1]),
        attempt=read_attempt(words[2]),
        session=SessionId(words[3]),
        transcript_hash=Digest(words[4]),
        masked_hash=Digest(words[5]),
    )


def read_attempt(value: bytes) -> Attempt:
    """Read a word as an attempt.

    Raises:
        DecodeError: it is none.
    """
    number = int.from_bytes(value, "big")
    if not 1 <= number <= ATTEMPTS_MAX:
        raise DecodeError(f"attempt: expected 1 to {ATTEMPTS_MAX}, got {number}")
    return Attempt(number)


def read_member(value: bytes, what: str) -> MemberIndex:
    """Read a word as a member index.

    Raises:
        DecodeError: it is none.
    """
    number = int.from_bytes(value, "big")
    if number >= MEMBERS_MAX:
        raise DecodeError(f"{what}: expected a member index below {MEMBERS_MAX}, got {number}")
    return MemberIndex(number)
