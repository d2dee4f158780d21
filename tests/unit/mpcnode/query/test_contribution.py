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
)
from mpcnode.scorecard import Columns, Contribution
from mpcnode.types import Attempt, AuditStage, MemberIndex
from scripts.vector_query import MODEL, QUERY
from tests.support.queries import some_digest

rings = st.sampled_from([32, 64])


def numbers_of(ring):
    """Any that a row of this width holds, those at its ends among them."""
    least, most = -(1 << ring - 1), (1 << ring - 1) - 1
    return st.sampled_from([least, least + 1, -1, 0, 1, most - 1, most]) | st.integers(least, most)


@st.composite
def contributions(draw):
    """A contribution, and the shape of its row."""
    ring, count = draw(rings), draw(st.integers(0, 20))
    if draw(st.booleans()):
        values = draw(st.lists(st.none() | numbers_of(ring), min_size=count, max_size=count))
        return Contribution(known=True, values=tuple(values)), RowShape(count, ring=ring)
    return Contribution(known=False, values=(None,) * count), RowShape(count, ring=ring)


@given(contributions())
def test_a_contribution_survives_its_row(case):
    contribution, shape = case
    row = encode_contribution(contribution, shape.ring)
    assert len(row) == shape.size == shape.ring // 8 * shape.values + (shape.values + 8) // 8
    assert decode_contribution(row, shape) == contribution


@given(contributions())
def test_a_row_is_the_one_that_is_shared(case):
    contribution, shape = case
    count = shape.values
    values = np.array([value or 0 for value in contribution.values], np.int64).view(np.uint64).reshape(count, 1)
    bits = [contribution.known, *(value is not None for value in contribution.values)]
    row = Row(values, np.array(bits, np.uint8).reshape(count + 1, 1))
    assert shape.encode(row) == encode_contribution(contribution, shape.ring)


@given(st.integers(0, 9), rings, st.data())
def test_any_bytes_are_a_row_or_an_input_error(values, ring, data):
    shape = RowShape(values, ring=ring)
    row = data.draw(st.binary(min_size=shape.size, max_size=shape.size))
    try:
        assert encode_contribution(decode_contribution(row, shape), ring) == row
    except InputError:
        return


def test_a_row_of_4_bytes_has_twos_complement_and_every_number_comes_back():
    row = encode_contribution(Contribution(known=True, values=(-1, 2**31 - 1, -(2**31))), 32)
    assert row == b"\xff" * 4 + b"\xff\xff\xff\x7f" + b"\0\0\0\x80" + b"\x0f"
    columns = decode_columns(row, RowShape(3, ring=32))
    assert columns.values[:, 0].tolist() == [-1, 2**31 - 1, -(2**31)]


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
        decode_contribution(row, RowShape(1))


def test_a_contribution_that_is_none_is_refused():
    with pytest.raises(InputError, match="unknown subject"):
        encode_contribution(Contribution(known=False, values=(5,)))
    with pytest.raises(InputError, match="64 bits"):
        encode_contribution(Contribution(known=True, values=(2**63,)))
    with pytest.raises(InputError, match="32 bits"):
        encode_contribution(Contribution(known=True, values=(2**31,)), 32)


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2**32 + 5, 2**62, -(2**63)])
def test_a_value_is_never_cut_to_the_width_of_the_row(value):
    """As another number it would pass the audit."""
    values = np.array([[1, value, 3]], np.int64)
    columns = Columns(known=np.ones(3, np.bool_), present=np.ones((1, 3), np.bool_), values=values)
    with pytest.raises(InputError, match="expected values of 32 bits") as caught:
        encode_columns(columns, 32)
    assert str(value) not in str(caught.value)
    assert decode_columns(encode_columns(columns, 64), RowShape(1, 3)).values.tolist() == values.tolist()


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
    assert len(data) == record_bytes(RowShape(2), nodes) == 98 + 17 + 64 * nodes
    assert decode_audit_record(data, RowShape(2), nodes) == a_record(nodes)


def test_a_record_of_another_width_or_with_a_seed_too_many_is_refused():
    data = encode_audit_record(a_record())
    for wrong in (data[:-1], data + b"\0", b"", data[:-64] + b"\1" + data[-63:]):
        with pytest.raises(InputError) as caught:
            decode_audit_record(wrong, RowShape(2), 3)
        assert caught.value.stage is AuditStage.ENVELOPE
    with pytest.raises(InputError, match=f"expected {len(data) - 8} bytes, got {len(data)}"):
        decode_audit_record(data, RowShape(2, ring=32), 3)


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


@given(contributions())
def test_of_one_subject_columns_are_the_row(case):
    contribution, shape = case
    row = encode_contribution(contribution, shape.ring)
    columns = decode_columns(row, shape)
    assert encode_columns(columns, shape.ring) == row
    cells = zip(columns.values[:, 0].tolist(), columns.present[:, 0].tolist(), strict=True)
    assert tuple(value if present else None for value, present in cells) == contribution.values
    assert columns.known.tolist() == [contribution.known]


@given(st.integers(0, 5), st.integers(1, 40), rings, st.data())
def test_columns_of_many_come_back_and_nothing_else_does(values, subjects, ring, data):
    known = np.array(data.draw(st.lists(st.booleans(), min_size=subjects, max_size=subjects)))
    present = np.array(
        [data.draw(st.lists(st.booleans(), min_size=subjects, max_size=subjects)) for _ in range(values)]
    )
    present = present.reshape(values, subjects).astype(bool) & known
    numbers = np.where(present, np.arange(values * subjects).reshape(values, subjects) - 70, 0)
    shape = RowShape(values, subjects, ring)
    row = encode_columns(Columns(known=known, present=present, values=numbers), ring)
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
                changed[ring // 8 * subject] ^= 1
            else:
                bit = subjects + subject
                changed[shape.value_bytes + bit // 8] ^= 1 << bit % 8
            with pytest.raises(InputError):
                decode_columns(bytes(changed), shape)


def test_a_record_of_many_holds_a_reference_whatever_the_row():
    one = RowShape(3)
    of_many = {record_bytes(RowShape(values, 2, ring), 3) for values in (3, 50) for ring in (32, 64)}
    assert of_many == {record_bytes(one, 3) - one.size + 64}
