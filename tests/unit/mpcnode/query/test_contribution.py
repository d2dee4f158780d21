"""A row has one encoding, an audit record one width; a miss looks like a hit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpcnode.errors import InputError
from mpcnode.mpc.sharing import Row, RowShape
from mpcnode.query.contribution import (
    AuditRecord,
    decode_audit_record,
    decode_columns,
    decode_contribution,
    encode_audit_record,
    encode_columns,
    encode_contribution,
    record_bytes,
    row_bytes,
)
from mpcnode.scorecard import Columns, Contribution
from mpcnode.types import Attempt, AuditStage, MemberIndex
from scripts.vector_query import MODEL, QUERY
from tests.support.queries import some_digest

INT64 = st.integers(-(2**63), 2**63 - 1)
contributions = st.lists(st.none() | INT64, max_size=20).map(
    lambda values: Contribution(known=True, values=tuple(values))
) | st.integers(0, 20).map(lambda count: Contribution(known=False, values=(None,) * count))


@given(contributions)
def test_a_contribution_survives_its_row(contribution):
    row = encode_contribution(contribution)
    assert len(row) == row_bytes(len(contribution.values)) == RowShape(len(contribution.values)).size
    assert decode_contribution(row, len(contribution.values)) == contribution


@given(contributions)
def test_a_row_is_the_one_that_is_shared(contribution):
    count = len(contribution.values)
    values = np.array([value or 0 for value in contribution.values], np.int64).view(np.uint64).reshape(count, 1)
    bits = [contribution.known, *(value is not None for value in contribution.values)]
    row = Row(values, np.array(bits, np.uint8).reshape(count + 1, 1))
    assert RowShape(count).encode(row) == encode_contribution(contribution)


@given(st.integers(0, 9), st.data())
def test_any_bytes_are_a_row_or_an_input_error(values, data):
    row = data.draw(st.binary(min_size=row_bytes(values), max_size=row_bytes(values)))
    try:
        assert encode_contribution(decode_contribution(row, values)) == row
    except InputError:
        return


@pytest.mark.parametrize(
    "row",
    [
        b"\x01" + bytes(7) + b"\x01",
        b"\x01" + bytes(7) + b"\x02",
        bytes(8) + b"\x02",
        bytes(8) + b"\x04",
        bytes(8) + b"\x80",
        bytes(8),
        bytes(10),
    ],
)
def test_a_row_that_says_something_where_nothing_is_is_refused(row):
    with pytest.raises(InputError):
        decode_contribution(row, 1)


def test_a_contribution_that_is_none_is_refused():
    with pytest.raises(InputError, match="unknown subject"):
        encode_contribution(Contribution(known=False, values=(5,)))
    with pytest.raises(InputError, match="64 bits"):
        encode_contribution(Contribution(known=True, values=(2**63,)))


def a_record(nodes=3):
    return AuditRecord(
        query=QUERY,
        attempt=Attempt(2),
        participant=MemberIndex(4),
        model=MODEL,
        request_hash=some_digest("request"),
        row=encode_contribution(Contribution(known=True, values=(1, None))),
        seeds=tuple(some_digest(f"seed {node}") for node in range(nodes - 1)),
        salts=tuple(some_digest(f"salt {node}") for node in range(nodes)),
    )


@pytest.mark.parametrize("nodes", [2, 3, 8])
def test_a_record_survives_its_bytes(nodes):
    data = encode_audit_record(a_record(nodes))
    assert len(data) == record_bytes(2, nodes) == 98 + 17 + 64 * nodes
    assert decode_audit_record(data, 2, nodes) == a_record(nodes)


def test_a_record_of_another_width_or_with_a_seed_too_many_is_refused():
    data = encode_audit_record(a_record())
    for wrong in (data[:-1], data + b"\0", b"", data[:-64] + b"\1" + data[-63:]):
        with pytest.raises(InputError) as caught:
            decode_audit_record(wrong, 2, 3)
        assert caught.value.stage is AuditStage.ENVELOPE


def test_a_record_has_a_seed_for_all_nodes_but_one():
    with pytest.raises(ValueError, match="got 1"):
        encode_audit_record(
            AuditRecord(
                **{n: getattr(a_record(), n) for n in AuditRecord.__slots__ if n != "seeds"}, seeds=(bytes(32),)
            )
        )


def test_a_record_does_not_print_what_it_holds():
    assert repr(a_record().row) not in repr(a_record())
    assert repr(a_record().seeds[0]) not in repr(a_record())


@given(contributions)
def test_of_one_subject_columns_are_the_row(contribution):
    row, shape = encode_contribution(contribution), RowShape(len(contribution.values))
    columns = decode_columns(row, shape)
    assert encode_columns(columns) == row
    cells = zip(columns.values[:, 0].tolist(), columns.present[:, 0].tolist(), strict=True)
    assert tuple(value if present else None for value, present in cells) == contribution.values
    assert columns.known.tolist() == [contribution.known]


@given(st.integers(0, 5), st.integers(1, 40), st.data())
def test_columns_of_many_come_back_and_nothing_else_does(values, subjects, data):
    known = np.array(data.draw(st.lists(st.booleans(), min_size=subjects, max_size=subjects)))
    present = np.array(
        [data.draw(st.lists(st.booleans(), min_size=subjects, max_size=subjects)) for _ in range(values)]
    )
    present = present.reshape(values, subjects).astype(bool) & known
    numbers = np.where(present, np.arange(values * subjects).reshape(values, subjects) + 1, 0)
    shape = RowShape(values, subjects)
    row = encode_columns(Columns(known=known, present=present, values=numbers))
    assert len(row) == shape.size
    found = decode_columns(row, shape)
    assert (found.known == known).all()
    assert (found.present == present).all()
    assert (found.values == numbers).all()
    for wrong in (row + b"\0", row[:-1]):
        with pytest.raises(InputError):
            decode_columns(wrong, shape)
    if not known.all() and values:
        subject = int(np.argmin(known))
        for place in (subject, values * subjects + subject):  # a value, and the presence of the first value
            changed = bytearray(row)
            if place < values * subjects:
                changed[8 * subject] ^= 1
            else:
                bit = subjects + subject
                changed[shape.value_bytes + bit // 8] ^= 1 << bit % 8
            with pytest.raises(InputError):
                decode_columns(bytes(changed), shape)


def test_a_record_of_many_holds_a_reference_whatever_the_row():
    assert record_bytes(3, 3, 1000) == record_bytes(50, 3, 2) == record_bytes(3, 3) - row_bytes(3) + 64
