"""Bitmaps are sets of members."""

import pytest

from mpcnode.types import MEMBERS_MAX, Role, bitmap, members_of


def test_roles_are_the_contracts_bits():
    assert [int(role) for role in Role] == [1, 2, 4, 8]


def test_bitmap_and_members_are_inverse():
    assert bitmap([5, 0, 127, 5]) == 1 << 127 | 0b100001
    assert list(members_of(1 << 127 | 0b100001)) == [0, 5, 127]
    assert list(members_of(0)) == []


@pytest.mark.parametrize("index", [-1, MEMBERS_MAX])
def test_bitmap_refuses_an_index_outside_the_consortium(index):
    with pytest.raises(ValueError, match=f"got {index}"):
        bitmap([index])
