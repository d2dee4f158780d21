import hashlib

import numpy as np
import pytest

from mpcnode.errors import ShareError
from mpcnode.mpc import Row, RowContext, RowShape, expand_share, join_output, join_row, keystream, split_row
from mpcnode.types import Attempt, MemberIndex, QueryId
from tests.support.joint import seed

CONTEXT = RowContext(query=QueryId(b"q" * 32), attempt=Attempt(2), participant=MemberIndex(7))
NODES = [MemberIndex(i) for i in (4, 1, 9, 0, 77)]


def row_of(shape: RowShape) -> bytes:
    rng = np.random.default_rng(shape.values)
    values = rng.integers(0, 1 << 64, (shape.values, shape.subjects), dtype=np.uint64)
    return shape.encode(Row(values, rng.integers(0, 2, (shape.values + 1, shape.subjects)).astype(np.uint8)))


def test_bytes_of_a_row_are_those_of_the_protocol() -> None:
    row = Row(np.array([[5], [-2]], np.int64).view(np.uint64), np.array([[1], [0], [1]], np.uint8))
    data = RowShape(2).encode(row)
    assert data == (5).to_bytes(8, "little") + (-2).to_bytes(8, "little", signed=True) + bytes([0b101])
    decoded = RowShape(2).decode(data)
    assert (decoded.values == row.values).all()
    assert (decoded.bits == row.bits).all()


def test_values_of_4_bytes_are_signed_residues() -> None:
    shape = RowShape(2, ring=32)
    row = Row(np.array([[-(2**31)], [-2]], np.int64).view(np.uint64), np.array([[1], [1], [1]], np.uint8))
    data = shape.encode(row)
    assert data == b"".join(v.to_bytes(4, "little", signed=True) for v in (-(2**31), -2)) + bytes([0b111])
    decoded = shape.decode(data).values
    assert decoded.dtype == shape.zero().values.dtype == np.uint32
    assert decoded.view(np.int32)[:, 0].tolist() == [-(2**31), -2]


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize(
    "shape",
    [
        RowShape(1),
        RowShape(7),
        RowShape(8),
        RowShape(3, 21),
        RowShape(1, ring=32),
        RowShape(3, 21, ring=32),
        RowShape(0, 30, ring=32),
    ],
)
def test_shares_make_the_row(shape: RowShape, parties: int) -> None:
    row, nodes = row_of(shape), NODES[:parties]
    sent = split_row(row, shape, CONTEXT, nodes, [seed(str(i)) for i in range(parties - 1)])
    assert [len(part) for part in sent] == [32] * (parties - 1) + [shape.size]
    shares = [
        expand_share(part, shape, CONTEXT, node, is_last=i == parties - 1)
        for i, (part, node) in enumerate(zip(sent, nodes, strict=True))
    ]
    assert join_row(shares, shape) == row
    assert join_row(shares[1:], shape) != row


def test_share_of_a_seed_is_the_protocols_stream() -> None:
    key = hashlib.blake2b(
        b"q" * 32 + bytes([2, 7, 4, 0, 0, 0, 0]), digest_size=32, key=b"x" * 32, person=b"mpc-input"
    ).digest()
    share = expand_share(b"x" * 32, RowShape(3), CONTEXT, MemberIndex(4), is_last=False)
    assert share == keystream(key, RowShape(3).size).tobytes()


def test_values_are_added_and_bits_are_not() -> None:
    row = Row(np.array([[1]], np.uint64), np.array([[1], [1]], np.uint8))
    joined = RowShape(1).decode(join_row([RowShape(1).encode(row)] * 2, RowShape(1)))
    assert joined.values[0, 0] == 2
    assert not joined.bits.any()


@pytest.mark.parametrize(("ring", "top"), [(32, 2**32 - 1), (64, 2**64 - 1)])
def test_values_wrap_at_the_width_of_the_ring_and_not_into_their_neighbour(ring: int, top: int) -> None:
    shape = RowShape(2, ring=ring)
    rows = [
        shape.encode(Row(np.array([[first], [second]], np.uint64), np.zeros((3, 1), np.uint8)))
        for first, second in ((top, 7), (3, top))
    ]
    assert shape.decode(join_row(rows, shape)).values[:, 0].tolist() == [2, 6]


def test_wrong_lengths_are_refused() -> None:
    shape = RowShape(2)
    with pytest.raises(ShareError, match="a seed for all of 3 nodes but one, got 1"):
        split_row(row_of(shape), shape, CONTEXT, NODES[:3], [bytes(32)])
    with pytest.raises(ShareError, match="row: expected 17 bytes, got 16"):
        split_row(bytes(16), shape, CONTEXT, NODES[:3], [bytes(32)] * 2)
    with pytest.raises(ShareError, match="seed of 32 bytes, got 17"):
        expand_share(bytes(17), shape, CONTEXT, NODES[0], is_last=False)
    with pytest.raises(ShareError, match="correction of 17 bytes, got 32"):
        expand_share(bytes(32), shape, CONTEXT, NODES[2], is_last=True)
    with pytest.raises(ShareError, match="row: expected 17 bytes, got 18"):
        shape.decode(bytes(18))
    with pytest.raises(ShareError, match=r"shares of one length, got \[1, 2\]"):
        join_output([b"a", b"bb"])
    with pytest.raises(ShareError, match=r"shares of one length, got \[\]"):
        join_output([])


def test_rows_do_not_print() -> None:
    assert "5" not in repr(Row(np.array([[5]], np.uint64), np.array([[1], [1]], np.uint8)))
