"""Contributions as rows: the numbers that a participant shares, and that an auditor finds in its envelope.

An error never holds a value.
"""

from collections.abc import Sequence

import numpy as np

from mpcnode.errors import InputError, MalformedMessageError, RecordsError, ShareError
from mpcnode.mpc import Row, RowShape
from mpcnode.scorecard.clear import Columns
from mpcnode.scorecard.model import Attribute, Model
from mpcnode.scorecard.panel import Contribution


def encode_contribution(model: Model, row: Sequence[int], contribution: Contribution) -> bytes:
    """Encode what a participant says of one subject.

    Args:
        model: the model.
        row: the participant's attributes, `Model.row_layout`.
        contribution: what it says.

    Raises:
        RecordsError: a value is outside its declared range, or there is one for a subject that is not known; the
            participant must not contribute this.
    """
    if len(contribution.values) != len(row):
        raise RecordsError(f"contribution: expected {len(row)} values, got {len(contribution.values)}")
    for index, value in zip(row, contribution.values, strict=True):
        fault = _fault(model.attributes[index], known=contribution.known, value=value)
        if fault:
            raise RecordsError(fault)
    values = [value or 0 for value in contribution.values]
    bits = [contribution.known, *(value is not None for value in contribution.values)]
    return RowShape(len(row)).encode(
        Row(np.array(values, np.int64).view(np.uint64).reshape(-1, 1), np.array(bits, np.uint8).reshape(-1, 1))
    )


def decode_contribution(model: Model, row: Sequence[int], data: bytes) -> Contribution:
    """Decode and check a row: the auditor's test that a participant kept to the rules.

    Raises:
        InputError: another length, a value outside its declared range, or one where none is known; names the
            attribute, never the value.
    """
    try:
        decoded = RowShape(len(row)).decode_clear(data)
    except (ShareError, MalformedMessageError) as error:
        raise InputError(str(error)) from error
    known, *presence = (bool(bit) for bit in decoded.bits[:, 0])
    numbers = [int(number) for number in decoded.values.view(np.int64)[:, 0]]
    values = tuple(number if there else None for number, there in zip(numbers, presence, strict=True))
    for index, number, value in zip(row, numbers, values, strict=True):
        attribute = model.attributes[index]
        fault = _fault(attribute, known=known, value=value)
        if value is None and number != 0:
            fault = f"attribute {attribute.name}: expected 0 for a missing value, got another number"
        if fault:
            raise InputError(fault)
    return Contribution(known=known, values=values)


def encode_columns(columns: Columns) -> bytes:
    """Encode what a participant says of N subjects; ranges are its own business."""
    values = np.where(columns.present, columns.values, 0)
    bits = np.concatenate([columns.known[None], columns.present]).astype(np.uint8)
    return RowShape(*values.shape).encode(Row(values.view(np.uint64), bits))


def _fault(attribute: Attribute, *, known: bool, value: int | None) -> str | None:
    if value is None:
        return None
    if not known:
        return f"attribute {attribute.name}: expected no value of a subject that is not known, got one"
    if not attribute.minimum <= value <= attribute.maximum:
        return f"attribute {attribute.name}: expected a value in its declared range, got one outside"
    return None
