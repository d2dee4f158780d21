"""Commitments and digests that bind a session to what was agreed before it (docs/protocol.md 3.1).

Every field has its length in the hash, so no two tuples share their bytes.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ledger import merkle
from ledger.encoding import Reader, Writer, digest
from ledger.types import ChainId, Digest, Height
from mpcnode.errors import SealedBoxError
from mpcnode.types import Attempt, Commitment, CorrelationSource, MemberIndex, ModelHash, QueryId, SessionId

SALT_BYTES = 32
SEED_BYTES = 32
_OUTPUT_HEAD_BYTES = 32 + 32 + 1 + SALT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareLabel:
    """Which share: of whom, for whom, in which attempt."""

    chain: ChainId
    query: QueryId
    attempt: Attempt
    participant: MemberIndex
    node: MemberIndex


def share_commitment(label: ShareLabel, sent: bytes, salt: bytes) -> Commitment:
    """C_j: a participant's commitment to the bytes that it sends to one node.

    Args:
        label: which share.
        sent: a 32-byte seed, or the correction for the last node in rank order.
        salt: 32 random bytes.
    """
    writer = Writer().blob(b"mpcnode/share/1").blob(label.chain).blob(label.query)
    for number in (label.attempt, label.participant, label.node):
        writer.blob(number.to_bytes(1, "big"))
    writer.blob(sent).blob(_salt(salt))
    return Commitment(hashlib.blake2b(writer.bytes(), digest_size=32).digest())


def opens_share(label: ShareLabel, sent: bytes, salt: bytes, commitment: bytes) -> bool:
    """Whether bytes and salt open a commitment on the ledger."""
    return len(salt) == SALT_BYTES and hmac.compare_digest(share_commitment(label, sent, salt), commitment)


def commitments_root(commitments: Mapping[MemberIndex, Sequence[bytes]]) -> Digest:
    """C root: over all C_j ordered by participant index, then committee rank.

    Args:
        commitments: for each participant that committed, its C_j in rank order.
    """
    return merkle.root([item for participant in sorted(commitments) for item in commitments[participant]])


def session_id(
    *,
    chain: ChainId,
    query: QueryId,
    attempt: Attempt,
    model: ModelHash,
    committee: Sequence[MemberIndex],
    inputs_root: Digest,
    height: Height,
) -> SessionId:
    """Name of one run of the computation; everybody who follows the ledger derives the same.

    Args:
        chain: the consortium's.
        query: the query.
        attempt: its attempt.
        model: its model.
        committee: member indices in rank order.
        inputs_root: `commitments_root` of the attempt.
        height: of the block that made the query COMPUTING.
    """
    return SessionId(
        digest(
            "mpcnode/session/1",
            chain,
            query,
            attempt.to_bytes(1, "big"),
            model,
            bytes(committee),
            inputs_root,
            height.to_bytes(8, "big"),
        )
    )


def seed_hash(session: SessionId, node: MemberIndex, seed: bytes, salt: bytes) -> Digest:
    """H_i: what the dealer publishes of the seed that it deals to one node."""
    return digest("mpcnode/seed/1", session, node.to_bytes(1, "big"), seed, _salt(salt))


def seeds_hash(hashes: Sequence[bytes]) -> Digest:
    """Digest of the seed hashes in rank order."""
    return digest("mpcnode/seeds/1", *hashes)


def joint_hash(chain: ChainId, session: SessionId, source: CorrelationSource) -> Digest:
    """What stands for a deal's hash where nobody deals: that the committee made the correlations, and how."""
    return digest("mpcnode/joint/1", chain, session, source.encode("ascii"))


def drawn_hash(chain: ChainId, session: SessionId, source: CorrelationSource, item: bytes) -> Digest:
    """What an accept names instead, where the session uses an item that the committee made in advance."""
    return digest("mpcnode/drawn/1", chain, session, source.encode("ascii"), item)


def corrections_hash(corrections: bytes) -> Digest:
    """SHA-256 of the corrections' bytes."""
    return Digest(hashlib.sha256(corrections).digest())


def statement_hash(stated: bytes) -> Digest:
    """SHA-256 of a statement: the deal hash and the request hash."""
    return Digest(hashlib.sha256(stated).digest())


def consent_hash(salt: bytes, reference: bytes) -> Digest:
    """What a request says of the subject's consent; salt and reference stay with the inquirer."""
    return digest("mpcnode/consent/1", _salt(salt), reference)


def output_commitment(session: SessionId, node: MemberIndex, share: bytes, salt: bytes) -> Commitment:
    """A node's commitment to its output share."""
    return Commitment(digest("mpcnode/output/1", session, node.to_bytes(1, "big"), share, _salt(salt)))


def masked_hash(session: SessionId, output: bytes, salt: bytes) -> Digest:
    """What the auditor signs of the masked output: whoever has output and salt can make it again."""
    return digest("mpcnode/masked/1", session, output, _salt(salt))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputShare:
    """What one node seals to the inquirer and to the supervisor."""

    query: QueryId
    session: SessionId
    node: MemberIndex
    salt: bytes = field(repr=False)
    share: bytes = field(repr=False)
    """Of a width that the model fixes."""


def encode_output(output: OutputShare) -> bytes:
    """Plaintext of an output box: query id 32 · session 32 · node u8 · salt 32 · share."""
    writer = Writer().fixed(output.query, 32).fixed(output.session, 32).uint(output.node, 1)
    return writer.fixed(_salt(output.salt), SALT_BYTES).fixed(output.share, len(output.share)).bytes()


def decode_output(plaintext: bytes, share_bytes: int) -> OutputShare:
    """Read the plaintext of an output box.

    Raises:
        SealedBoxError: it has not the width that the model fixes.
    """
    if len(plaintext) != _OUTPUT_HEAD_BYTES + share_bytes:
        raise SealedBoxError(f"output box: expected {_OUTPUT_HEAD_BYTES + share_bytes} bytes, got {len(plaintext)}")
    reader = Reader(plaintext, "output box")
    return OutputShare(
        query=QueryId(reader.fixed(32)),
        session=SessionId(reader.fixed(32)),
        node=MemberIndex(reader.uint(1)),
        salt=reader.fixed(SALT_BYTES),
        share=reader.fixed(share_bytes),
    )


def opens_output(
    output: OutputShare, *, query: QueryId, session: SessionId, node: MemberIndex, commitment: bytes
) -> bool:
    """Whether an opened output box is the node's of this session and opens its commitment on the ledger."""
    if (output.query, output.session, output.node) != (query, session, node):
        return False
    return hmac.compare_digest(output_commitment(session, node, output.share, output.salt), commitment)


def _salt(salt: bytes) -> bytes:
    if len(salt) != SALT_BYTES:
        raise ValueError(f"salt: expected {SALT_BYTES} bytes, got {len(salt)}")
    return salt
