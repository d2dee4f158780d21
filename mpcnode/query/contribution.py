"""A participant's contribution as bytes: its row in clear, and what its audit envelope holds (docs/protocol.md 4).

The widths depend on the model and the committee's size alone: a miss looks like a hit.
"""

import struct
from dataclasses import dataclass, field

import numpy as np

from ledger.encoding import Reader, Writer
from ledger.types import Digest
from mpcnode.errors import InputError
from mpcnode.mpc.sharing import Row, RowShape
from mpcnode.scorecard import Columns, Contribution
from mpcnode.sealing.blobs import REFERENCE_BYTES
from mpcnode.types import Attempt, AuditStage, MemberIndex, ModelHash, QueryId

_HEAD_BYTES = 32 + 1 + 1 + 32 + 32
_NODE_BYTES = 32 + 32


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """Everything that a contribution was made from."""

    query: QueryId
    attempt: Attempt
    participant: MemberIndex
    model: ModelHash
    request_hash: Digest
    row: bytes = field(repr=False)
    """In clear; about many subjects the reference to the blob of what the last node is sent."""
    seeds: tuple[bytes, ...] = field(repr=False)
    """32 bytes for each node but the last in rank order."""
    salts: tuple[bytes, ...] = field(repr=False)
    """32 bytes for each node in rank order."""


def row_bytes(values: int) -> int:
    """Bytes of a row with so many values."""
    return 8 * values + (values + 1 + 7) // 8


def encode_contribution(contribution: Contribution) -> bytes:
    """Encode a contribution as a row: int64 values little-endian, then known and presence bits, packed little-endian.

    Raises:
        InputError: it has values although the subject is not known, or one is no int64.
    """
    present = [value is not None for value in contribution.values]
    if any(present) and not contribution.known:
        raise InputError("contribution: expected no values of an unknown subject, got some")
    try:
        values = struct.pack(f"<{len(present)}q", *(value or 0 for value in contribution.values))
    except struct.error as error:
        raise InputError("contribution: expected values of 64 bits, got a larger one") from error
    bits = sum(bit << place for place, bit in enumerate((contribution.known, *present)))
    return values + bits.to_bytes(row_bytes(len(present)) - len(values), "little")


def decode_contribution(row: bytes, values: int) -> Contribution:
    """Decode a row of so many values.

    Raises:
        InputError: another width, a padding bit, a value not 0 where none is present, or one of an unknown subject.
    """
    if len(row) != row_bytes(values):
        raise InputError(f"row: expected {row_bytes(values)} bytes, got {len(row)}", AuditStage.ENVELOPE)
    numbers = struct.unpack_from(f"<{values}q", row)
    bits = int.from_bytes(row[8 * values :], "little")
    contribution = Contribution(
        known=bool(bits & 1),
        values=tuple(number if bits >> place & 1 else None for place, number in enumerate(numbers, start=1)),
    )
    if encode_contribution(contribution) != row:
        raise InputError("row: expected 0 where nothing is present, got something")
    return contribution


def encode_columns(columns: Columns) -> bytes:
    """Encode what a participant says of many subjects: each value, then each bit, of all of them (docs/protocol.md 4).

    Of one subject it is `encode_contribution`'s row.
    """
    bits = np.vstack((columns.known[None], columns.present)).astype(np.uint8)
    values = columns.values.astype(np.int64, copy=False).view(np.uint64)
    return RowShape(*columns.values.shape).encode(Row(values, bits))


def decode_columns(row: bytes, shape: RowShape) -> Columns:
    """Decode a row of many subjects.

    Raises:
        InputError: another width, a padding bit, a value not 0 where none is present, or one of an unknown subject.
    """
    if len(row) != shape.size:
        raise InputError(f"row: expected {shape.size} bytes, got {len(row)}", AuditStage.ENVELOPE)
    decoded = shape.decode(row)
    columns = Columns(
        known=decoded.bits[0].astype(np.bool_),
        present=decoded.bits[1:].astype(np.bool_),
        values=decoded.values.view(np.int64),
    )
    is_empty = (columns.values == 0) | columns.present
    padding = row[-1] >> (shape.bit_count - 1) % 8 + 1
    if not is_empty.all() or (columns.present & ~columns.known).any() or padding:
        raise InputError("row: expected 0 where nothing is present, got something")
    return columns


def body_bytes(values: int, subjects: int) -> int:
    """Bytes of a row in an audit record: of one subject itself, of many the reference to their blob of rows."""
    return row_bytes(values) if subjects == 1 else REFERENCE_BYTES


def record_bytes(values: int, nodes: int, subjects: int = 1) -> int:
    """Bytes of an audit record."""
    return _HEAD_BYTES + body_bytes(values, subjects) + _NODE_BYTES * nodes


def encode_audit_record(record: AuditRecord) -> bytes:
    """Encode what an audit envelope holds."""
    if len(record.seeds) != len(record.salts) - 1:
        raise ValueError(f"audit record: expected a seed for all nodes but one, got {len(record.seeds)}")
    writer = Writer().fixed(record.query, 32).uint(record.attempt, 1).uint(record.participant, 1)
    writer.fixed(record.model, 32).fixed(record.request_hash, 32).fixed(record.row, len(record.row))
    for seed, salt in zip((*record.seeds, bytes(32)), record.salts, strict=True):
        writer.fixed(seed, 32).fixed(salt, 32)
    return writer.bytes()


def decode_audit_record(plaintext: bytes, values: int, nodes: int, subjects: int = 1) -> AuditRecord:
    """Decode what an audit envelope held.

    Args:
        plaintext: of the envelope.
        values: attributes of the participant's row.
        nodes: members of the committee.
        subjects: of the query.

    Raises:
        InputError: another width, or a seed for the last node.
    """
    expected = record_bytes(values, nodes, subjects)
    if len(plaintext) != expected:
        raise InputError(f"audit record: expected {expected} bytes, got {len(plaintext)}", AuditStage.ENVELOPE)
    reader = Reader(plaintext, "audit record")
    query, attempt, participant = QueryId(reader.fixed(32)), Attempt(reader.uint(1)), MemberIndex(reader.uint(1))
    model, request_hash = ModelHash(reader.fixed(32)), Digest(reader.fixed(32))
    row = reader.fixed(body_bytes(values, subjects))
    pairs = [(reader.fixed(32), reader.fixed(32)) for _ in range(nodes)]
    if any(pairs[-1][0]):
        raise InputError("audit record: expected no seed for the last node, got one", AuditStage.ENVELOPE)
    return AuditRecord(
        query=query,
        attempt=attempt,
        participant=participant,
        model=model,
        request_hash=request_hash,
        row=row,
        seeds=tuple(seed for seed, _ in pairs[:-1]),
        salts=tuple(salt for _, salt in pairs),
    )
