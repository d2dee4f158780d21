"""Frozen values of the ledger: what things are called and how wide they are.

Only names live here; their bytes are `ledger.encoding`'s business, their validity is `ledger.chain`'s.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NewType

Height = NewType("Height", int)
"""Place of a block in the chain; the genesis block is 0."""

View = NewType("View", int)
"""Attempt to decide one height, from 1; every view has one leader."""

Millis = NewType("Millis", int)
"""Milliseconds since the Unix epoch (points in time) or a number of milliseconds (spans)."""

Digest = NewType("Digest", bytes)
"""SHA-256, 32 bytes."""

BlockHash = NewType("BlockHash", bytes)
"""SHA-256 of a header's statement, 32 bytes; all zero where there is no block."""

TxId = NewType("TxId", bytes)
"""Digest of a transaction without any of its signatures, 32 bytes."""

ChainId = NewType("ChainId", bytes)
"""SHA-256 of the consortium document's bytes, 32 bytes; all zero in statements made before a chain exists."""

PublicKey = NewType("PublicKey", bytes)
"""Ed25519 public key, 32 bytes."""

Signature = NewType("Signature", bytes)
"""Ed25519 signature, 64 bytes."""

Address = NewType("Address", bytes)
"""Contract-side name of a key or a contract, 20 bytes."""

ReplicaId = NewType("ReplicaId", int)
"""A daemon as the transport knows it: its member index in the consortium document."""

NO_BLOCK = BlockHash(bytes(32))


class VoteKind(IntEnum):
    """What a vote says of a view."""

    NOTARIZE = 1
    NULLIFY = 2
    FINALIZE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosignature:
    """Somebody's signed statement that travels inside a transaction and is handed to the contract."""

    key: PublicKey
    statement: bytes
    """A whole number of 32-byte words (docs/protocol.md 1.1)."""
    signature: Signature = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A signed call of one contract function."""

    chain: ChainId
    sender: PublicKey
    expiry_ms: Millis
    """Last block time at which it may be included."""
    unique: bytes
    """16 bytes that tell two equal calls apart."""
    method: str
    """`contract.function`."""
    args: bytes = field(repr=False)
    """ABI-encoded arguments."""
    cosigners: tuple[Cosignature, ...] = ()
    signature: Signature = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One contract event."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What executing one transaction did."""

    ok: bool
    gas: int
    reason: str
    """Why it reverted; empty if it did not."""
    logs: tuple[Log, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a block commits to. The view is absent: a block proposed again in a later view keeps its hash."""

    chain: ChainId
    height: Height
    previous: BlockHash
    timestamp_ms: Millis
    """The proposer's clock; later than the parent's."""
    proposer: PublicKey
    """Vote key of the validator that built the block."""
    tx_root: Digest
    receipts_root: Digest
    state_root: Digest
    """Root of the contract state after this block."""
    history_root: Digest
    """Merkle root over the block hashes of heights 0 to height - 1."""
    validators_hash: Digest
    """Of the set that decides this height."""
    next_validators_hash: Digest
    """Of the set that decides the next height."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A header and its transactions, each as the bytes in which it was transmitted."""

    header: Header
    txs: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, order=True)
class Validator:
    """A member that votes. Sets are sorted by key; a validator's index is its place in the set."""

    key: PublicKey
    """Vote key."""
    replica: ReplicaId


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One validator's signed word on a view."""

    kind: VoteKind
    height: Height
    view: View
    block_hash: BlockHash
    """`NO_BLOCK` for NULLIFY."""
    signer: int
    """Index in the validator set of that height."""
    signature: Signature = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A quorum of equal votes; FINALIZE certificates are stored with their block."""

    kind: VoteKind
    height: Height
    view: View
    block_hash: BlockHash
    signers: tuple[int, ...]
    """Indices in the validator set, ascending."""
    signatures: tuple[Signature, ...] = field(repr=False)
    """One for each signer, in the same order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A leader's block for a view, with the certificates that justify it."""

    height: Height
    view: View
    block: Block
    base: View
    """0: a fresh block; p > 0: the block notarized in view p, proposed again."""
    justification: tuple[Certificate, ...] = field(repr=False)
    """NOTARIZE of view `base` (if > 0), then NULLIFY of every view between base and this one."""
    signature: Signature = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalBlock:
    """A block and the certificate that makes it final; the genesis block has none."""

    block: Block
    certificate: Certificate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """A daemon as genesis lists it; its place in the list is its index."""

    name: str
    company: int
    """Index of its company."""
    roles: int
    """Bits: 1 operator, 2 mpc, 4 participant, 8 supervisor."""
    identity: PublicKey
    vote_key: PublicKey | None
    """Set for the company's validator."""
    classes: int = 0
    """Bitmap of the data classes that a participant supplies."""
    anchors: int = 0
    """Bitmap of the MPC members of which this participant wants one in every committee; 0 = any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """What the contract knows of a model."""

    model: Digest
    """Hash of the model document."""
    classes: int
    """Bitmap of the data classes that it needs."""
    minimum: int
    """Companies other than the inquirer's that must contribute."""
    mode: int
    """Audit: 1 before release, 2 after release, 3 off."""
    purposes: tuple[str, ...]
    """Purpose codes under which it may be asked; at most 16 texts of at most 32 ASCII characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InquirerRecord:
    """Somebody who may ask."""

    key: PublicKey
    company: int
    quota_per_day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """The supervisor's public keys of one epoch (X25519)."""

    epoch: int
    audit_key: bytes = field(repr=False)
    archive_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """The consortium document as the ledger needs it."""

    chain: ChainId
    companies: tuple[str, ...]
    members: tuple[MemberRecord, ...]
    models: tuple[ModelRecord, ...]
    inquirers: tuple[InquirerRecord, ...]
    epoch: EpochRecord
    committee_companies_min: int = 3
    """Distinct companies in a committee; 2 only if the consortium says so."""

    def validators(self) -> tuple[Validator, ...]:
        """Return the first validator set, sorted by key."""
        return tuple(
            sorted(
                Validator(member.vote_key, ReplicaId(index))
                for index, member in enumerate(self.members)
                if member.vote_key is not None
            )
        )
