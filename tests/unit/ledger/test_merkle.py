"""The tree against an independent recursive definition, and every way a path can be wrong."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle
from ledger.errors import InvalidProofError


def reference(leaves: list[bytes]) -> bytes:
    """RFC 9162 2.1.1, word for word: split at the largest power of two smaller than n."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\1" + reference(leaves[:split]) + reference(leaves[split:])).digest()


def leaves_of(count: int) -> list[bytes]:
    return [f"leaf {number}".encode() for number in range(count)]


def test_known_roots_of_certificate_transparency():
    # the reference vectors of RFC 6962 / 9162 implementations
    inputs = [b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43", bytes(range(0x50, 0x58))]
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.root(inputs[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.root(inputs[:2]).hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    assert merkle.root(inputs[:3]).hex() == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
    assert merkle.root(inputs[:7]).hex() == "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"


@pytest.mark.parametrize("count", [*range(34), 63, 64, 65, 100])
def test_root_path_and_frontier_agree(count):
    leaves = leaves_of(count)
    expected = reference(leaves)
    assert merkle.root(leaves) == expected
    frontier = merkle.Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf)
    assert (frontier.size, frontier.root()) == (count, expected)
    for index, leaf in enumerate(leaves):
        merkle.verify_path(leaf, index, count, merkle.path(leaves, index), expected)


@given(st.integers(1, 40), st.data())
def test_a_changed_path_never_verifies(count, data):
    leaves = leaves_of(count)
    index = data.draw(st.integers(0, count - 1))
    steps, root = list(merkle.path(leaves, index)), merkle.root(leaves)
    other = data.draw(st.integers(0, count))
    if other != index:
        with pytest.raises(InvalidProofError):
            merkle.verify_path(leaves[index], other, count, steps, root)
    with pytest.raises(InvalidProofError):
        merkle.verify_path(leaves[index] + b"x", index, count, steps, root)
    with pytest.raises(InvalidProofError):
        merkle.verify_path(leaves[index], index, count, [*steps, bytes(32)], root)
    if steps:
        with pytest.raises(InvalidProofError):
            merkle.verify_path(leaves[index], index, count, steps[:-1], root)
        at = data.draw(st.integers(0, len(steps) - 1))
        steps[at] = bytes([steps[at][0] ^ 1]) + steps[at][1:]
        with pytest.raises(InvalidProofError):
            merkle.verify_path(leaves[index], index, count, steps, root)


def test_a_node_is_not_a_leaf():
    leaves = leaves_of(4)
    inner = merkle.node_hash(merkle.leaf_hash(leaves[0]), merkle.leaf_hash(leaves[1]))
    upper = merkle.node_hash(merkle.leaf_hash(leaves[2]), merkle.leaf_hash(leaves[3]))
    with pytest.raises(InvalidProofError):
        merkle.verify_path(inner, 0, 2, [upper], merkle.root(leaves))


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0), (0, 1 << 65)])
def test_an_index_outside_the_tree_is_refused(index, size):
    with pytest.raises(InvalidProofError):
        merkle.verify_path(b"leaf", index, size, [], bytes(32))


def test_a_short_step_is_refused():
    with pytest.raises(InvalidProofError):
        merkle.verify_path(b"leaf", 0, 2, [b"short"], bytes(32))


def test_path_of_a_missing_leaf():
    with pytest.raises(IndexError):
        merkle.path([b"leaf"], 1)
