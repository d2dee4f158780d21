"""A participant's contribution as bytes: its row in clear, and what its audit envelope holds (docs/protocol.md 4).

The widths depend on the model and the committee's size alone: a miss looks like a hit. A value takes 8 bytes, or 4 if
the model asks no more of any (`RowShape`).
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

_NARROW = 32
"""Bits of the narrower values."""

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


def encode_contribution(contribution: Contribution, ring: int = 64) -> bytes:
    """Encode a contribution as a row: signed values little-endian, then known and presence bits, packed little-endian.

    Args:
        contribution: what a participant says of one subject.
        ring: width of a value in bits, 32 or 64.

    Raises:
        InputError: it has values although the subject is not known, or one does not have that width.
    """
    present = [value is not None for value in contribution.values]
    if any(present) and not contribution.known:
        raise InputError("contribution: expected no values of an unknown subject, got some")
    shape = RowShape(len(present), ring=ring)
    try:
        values = struct.pack(_format(shape), *(value or 0 for value in contribution.values))
    except struct.error as error:
        raise InputError(f"contribution: expected values of {ring} bits, got a larger one") from error
    bits = sum(bit << place for place, bit in enumerate((contribution.known, *present)))
    return values + bits.to_bytes(shape.size - len(values), "little")


def decode_contribution(row: bytes, shape: RowShape) -> Contribution:
    """Decode a row of one subject.

    Raises:
        InputError: another width, a padding bit, a value not 0 where none is present, or one of an unknown subject.
    """
    if len(row) != shape.size:
        raise InputError(f"row: expected {shape.size} bytes, got {len(row)}", AuditStage.ENVELOPE)
    numbers = struct.unpack_from(_format(shape), row)
    bits = int.from_bytes(row[shape.value_bytes :], "little")
    contribution = Contribution(
        known=bool(bits & 1),
        values=tuple(number if bits >> place & 1 else None for place, number in enumerate(numbers, start=1)),
    )
    if encode_contribution(contribution, shape.ring) != row:
        raise InputError("row: expected 0 where nothing is present, got something")
    return contribution


def _format(shape: RowShape) -> str:
    return f"<{shape.values}{'i' if shape.ring == _NARROW else 'q'}"


def encode_columns(columns: Columns, ring: int) -> bytes:
    """Encode what a participant says of many subjects: each value, then each bit, of all of them (docs/protocol.md 4).

    Of one subject it is `encode_contribution`'s row. A value that does not have the width of the row is refused: cut to
    it, it could be another one within the declared range, and nobody would find it.

    Args:
        columns: values of 64 bits, or of the ring's width.
        ring: width of a value in the row in bits, 32 or 64.

    Raises:
        InputError: a value does not have that width.
    """
    values, end = columns.values, 1 << ring - 1
    if values.size and 8 * values.itemsize > ring and not -end <= values.min() <= values.max() < end:
        raise InputError(
            f"contribution: expected values of {ring} bits, as the model's declared ranges have, got a larger one; "
            "correct the records"
        )
    bits = np.vstack((columns.known[None], columns.present)).view(np.uint8)
    count, subjects = values.shape
    return RowShape(count, subjects, ring).encode(Row(values.view(f"u{values.itemsize}"), bits))


def decode_columns(row: bytes, shape: RowShape) -> Columns:
    """Decode a row of many subjects; values are signed integers of the row's width.

    Raises:
        InputError: another width, a padding bit, a value not 0 where none is present, or one of an unknown subject.
    """
    if len(row) != shape.size:
        raise InputError(f"row: expected {shape.size} bytes, got {len(row)}", AuditStage.ENVELOPE)
    decoded = shape.decode(row)
    columns = Columns(
        known=decoded.bits[0].view(np.bool_),
        present=decoded.bits[1:].view(np.bool_),
        values=decoded.values.view(f"i{decoded.values.itemsize}"),
    )
    is_empty = (columns.values == 0) | columns.present
    padding = row[-1] >> (shape.bit_count - 1) % 8 + 1
    if not is_empty.all() or (columns.present & ~columns.known).any() or padding:
        raise InputError("row: expected 0 where nothing is present, got something")
    return columns


def body_bytes(shape: RowShape) -> int:
    """Bytes of a row in an audit record: of one subject itself, of many the reference to their blob of rows."""
    return shape.size if shape.subjects == 1 else REFERENCE_BYTES


def record_bytes(shape: RowShape, nodes: int) -> int:
    """Bytes of an audit record of a row of all the query's subjects."""
    return _HEAD_BYTES + body_bytes(shape) + _NODE_BYTES * nodes


def encode_audit_record(record: AuditRecord) -> bytes:
    """Encode what an audit envelope holds."""
    if len(record.seeds) != len(record.salts) - 1:
        raise ValueError(f"audit record: expected a seed for all nodes but one, got {len(record.seeds)}")
    writer = Writer().fixed(record.query, 32).uint(record.attempt, 1).uint(record.participant, 1)
    writer.fixed(record.model, 32).fixed(record.request_hash, 32).fixed(record.row, len(record.row))
    for seed, salt in zip((*record.seeds, bytes(32)), record.salts, strict=True):
        writer.fixed(seed, 32).fixed(salt, 32)
    return writer.bytes()


def decode_audit_record(plaintext: bytes, shape: RowShape, nodes: int) -> AuditRecord:
    """Decode what an audit envelope held.

    Args:
        plaintext: of the envelope.
        shape: of the participant's row of all the query's subjects.
        nodes: members of the committee.

    Raises:
        InputError: another width, or a seed for the last node.
    """
    expected = record_bytes(shape, nodes)
    if len(plaintext) != expected:
        raise InputError(f"audit record: expected {expected} bytes, got {len(plaintext)}", AuditStage.ENVELOPE)
    reader = Reader(plaintext, "audit record")
    query, attempt, participant = QueryId(reader.fixed(32)), Attempt(reader.uint(1)), MemberIndex(reader.uint(1))
    model, request_hash = ModelHash(reader.fixed(32)), Digest(reader.fixed(32))
    row = reader.fixed(body_bytes(shape))
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
