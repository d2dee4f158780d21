"""Frozen values of the node: what members, queries and sessions are called and which numbers the contract uses.

Only names live here. Their bytes are the business of `mpcnode.sealing` and `mpcnode.query`, their rules that of the
rooms above. Keys, signatures, digests and points in time are the ledger's (`ledger.types`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import NewType

from ledger.types import PublicKey

MemberIndex = NewType("MemberIndex", int)
"""A daemon: its place in the consortium document, 0 to 127; append-only, never reused."""

CompanyIndex = NewType("CompanyIndex", int)
"""A legal member of the consortium: its place in the consortium document."""

ClassIndex = NewType("ClassIndex", int)
"""A data class: its place in the consortium document."""

QueryId = NewType("QueryId", bytes)
"""32 random bytes, drawn by the client; also the idempotency key."""

ModelHash = NewType("ModelHash", bytes)
"""SHA-256 over the encoding of a validated model document, 32 bytes."""

SessionId = NewType("SessionId", bytes)
"""One run of the computation, for one attempt of one query; 32 bytes."""

Attempt = NewType("Attempt", int)
"""1, 2 or 3."""

Rank = NewType("Rank", int)
"""Place in a query's committee; 0 is the operating node, the last receives corrections."""

Epoch = NewType("Epoch", int)
"""Period of the supervisor's and the subject keys."""

Bitmap = NewType("Bitmap", int)
"""Set of members: bit i stands for member i."""

SealingKey = NewType("SealingKey", bytes)
"""X25519 public key, 32 bytes: boxes are sealed to it."""

Commitment = NewType("Commitment", bytes)
"""Hiding, binding hash of bytes and a 32-byte salt; 32 bytes."""

Pseudonym = NewType("Pseudonym", bytes)
"""Keyed pseudonym of a subject, 32 bytes; whoever has it can recognise the subject in a book."""

BlobId = NewType("BlobId", bytes)
"""What a blob is found by: a digest of its length and its sealed chunks, 32 bytes."""

NO_MEMBERS = Bitmap(0)

MEMBERS_MAX = 128
"""Members of a consortium; the width of a bitmap."""

COMMITTEE_MAX = 8
"""MPC nodes of one query."""

ATTEMPTS_MAX = 3
"""Attempts of one query: each failure may leak a bit to whoever caused it."""

QUERY_WINDOW_MS_MAX = 3_600_000
"""From registration to deadline at most, ms."""


SUBJECTS_MAX = 1_000_000
"""Subjects of one query."""


class Role(IntFlag):
    """What a daemon may be; the numbers are the contract's."""

    OPERATOR = 1
    MPC = 2
    PARTICIPANT = 4
    SUPERVISOR = 8


class QueryState(IntEnum):
    """Where a query stands (docs/protocol.md 6.4)."""

    REGISTERED = 1
    COMPUTING = 2
    ANSWERED = 3
    RELEASED = 4
    REFUSED = 5
    ABORTED = 6
    EXPIRED = 7


class AuditMode(IntEnum):
    """Whether the answer waits for the supervisor's verdict."""

    BEFORE_RELEASE = 1
    AFTER_RELEASE = 2
    OFF = 3


class Verdict(IntEnum):
    """What the supervisor attests of a result."""

    MATCH = 1
    MISMATCH = 2
    INCOMPLETE = 3


class AuditStage(IntEnum):
    """Where an audit found what it found; the numbers stand in an attestation."""

    NONE = 0
    SUBJECT = 1
    """The supervisor copy does not open S."""
    ENVELOPE = 2
    """An audit envelope does not open, is wrapped wrongly or has another layout."""
    COMMITMENT = 3
    """What an envelope holds does not open the commitments."""
    INPUT = 4
    """A value breaks the rules of the model."""
    SESSION = 5
    """The committee ran another session or used another deal."""
    TRANSCRIPT = 6
    """The replay gives other messages."""
    OUTPUT = 7
    """An output box does not open its commitment, or the answer is not that of the clear evaluation."""


NOBODY = 255
"""Stands in an attestation where no member is named."""


class RefusalCode(IntEnum):
    """Why a participant contributes nothing; the ledger learns no more than this."""

    POLICY = 1
    UNAVAILABLE = 2


class FailReason(IntEnum):
    """Why an attempt failed."""

    TIMEOUT = 1
    BAD_SHARE = 2
    ABORT = 3
    INPUT_REJECTED = 4
    TRANSCRIPTS_DIFFER = 5


class EndReason(IntEnum):
    """Why a query ended."""

    NONE = 0
    INSUFFICIENT_CONTRIBUTORS = 1
    ATTEMPTS_EXHAUSTED = 2
    NO_COMMITTEE = 3
    NO_TIME_LEFT = 4
    MISMATCH = 5
    DEADLINE = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A daemon as everybody knows it."""

    index: MemberIndex
    name: str
    company: CompanyIndex
    roles: Role
    identity: PublicKey
    """Ed25519: transactions, messages, co-signatures."""
    sealing: SealingKey
    """X25519: boxes sealed to this member."""
    vote_key: PublicKey | None = None
    """Ed25519; set for the company's one validator."""
    classes: int = 0
    """Bitmap of the data classes that a participant supplies."""
    anchors: Bitmap = NO_MEMBERS
    """MPC members of which this participant wants one in every committee; 0 = any."""
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochKeys:
    """The supervisor's public keys of one epoch."""

    epoch: Epoch
    audit: SealingKey
    """Its secret is online, and destroyed after the audit window."""
    archive: SealingKey
    """Its secret is offline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What opens a commitment."""

    content: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    """32 bytes."""


def bitmap(members: Iterable[int]) -> Bitmap:
    """Return the set of these members.

    Raises:
        ValueError: an index is not in 0 to 127; a programming error.
    """
    bits = 0
    for member in members:
        if not 0 <= member < MEMBERS_MAX:
            raise ValueError(f"expected a member index below {MEMBERS_MAX}, got {member}")
        bits |= 1 << member
    return Bitmap(bits)


def members_of(bits: int) -> Iterator[MemberIndex]:
    """Yield the members of a set, ascending."""
    while bits:
        lowest = bits & -bits
        yield MemberIndex(lowest.bit_length() - 1)
        bits ^= lowest
