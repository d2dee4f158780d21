"""Rows that come in pieces of any size are cut into chunks of exact ones."""

import pytest

from mpcnode.errors import ShareError
from mpcnode.roles.rows import recut

BODY = bytes(range(100))


@pytest.mark.parametrize("piece", [1, 7, 30, 99, 100])
@pytest.mark.parametrize("sizes", [(100,), (30, 30, 30, 10), (1, 99), (50, 0, 50)])
def test_pieces_are_cut_anew(piece, sizes):
    pieces = [BODY[at : at + piece] for at in range(0, 100, piece)]
    found = list(recut(pieces, sizes))
    assert [len(cut) for cut in found] == list(sizes)
    assert b"".join(found) == BODY


@pytest.mark.parametrize("piece", [7, 50, 100])
@pytest.mark.parametrize(
    ("sizes", "message"),
    [((50, 51), "expected 51 bytes for a chunk, got 50"), ((50, 49), "expected the end"), ((50,), "expected the end")],
)
def test_more_bytes_or_fewer_are_refused(piece, sizes, message):
    pieces = [BODY[at : at + piece] for at in range(0, 100, piece)]
    with pytest.raises(ShareError, match=message):
        list(recut(pieces, sizes))
