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


def reference_proof(first: int, leaves: list[bytes], known: bool = True) -> list[bytes]:
    """RFC 9162 2.1.4.1, word for word: PROOF and SUBPROOF."""
    if first == len(leaves):
        return [] if known else [reference(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if first <= split:
        return [*reference_proof(first, leaves[:split], known), reference(leaves[split:])]
    return [*reference_proof(first - split, leaves[split:], False), reference(leaves[:split])]


ROOTS = [merkle.root(leaves_of(count)) for count in range(66)]


@pytest.mark.parametrize("second", range(1, 66))
def test_every_smaller_tree_is_proved_a_prefix(second):
    leaves = leaves_of(second)
    for first in range(second + 1):
        steps = merkle.consistency_path(leaves, first)
        assert list(steps) == (reference_proof(first, leaves) if first else [])
        merkle.verify_consistency(first, second, ROOTS[first], ROOTS[second], steps)


def test_a_consistency_path_proves_these_two_trees_and_no_others():
    for second in range(1, 20):
        for first in range(second):
            steps = merkle.consistency_path(leaves_of(second), first)
            for other_first in range(20):
                for other_second in range(20):
                    if (other_first, other_second) == (first, second):
                        continue
                    if other_first == other_second or (not steps and other_first == 0 < other_second):
                        continue  # needs no step
                    with pytest.raises(InvalidProofError):
                        merkle.verify_consistency(
                            other_first, other_second, ROOTS[other_first], ROOTS[other_second], steps
                        )


def test_known_consistency_paths():
    # RFC 9162 2.1.5: the tree of seven leaves and its paths from three, four and six
    leaves = leaves_of(7)
    a, b, c, d, e, f, j = map(merkle.leaf_hash, leaves)
    g, h, i = merkle.node_hash(a, b), merkle.node_hash(c, d), merkle.node_hash(e, f)
    k, last = merkle.node_hash(g, h), merkle.node_hash(i, j)
    assert merkle.consistency_path(leaves, 3) == (c, d, g, last)
    assert merkle.consistency_path(leaves, 4) == (last,)
    assert merkle.consistency_path(leaves, 6) == (i, j, k)
    assert merkle.node_hash(k, last) == ROOTS[7]


@pytest.mark.parametrize(
    ("first", "second", "steps"),
    [
        (1, 1, []),
        (
            1,
            8,
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            [
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ],
)
def test_known_consistency_paths_of_certificate_transparency(first, second, steps):
    inputs = [b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43", bytes(range(0x50, 0x58))]
    inputs.append(bytes(range(0x60, 0x70)))
    assert merkle.root(inputs).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    assert [step.hex() for step in merkle.consistency_path(inputs[:second], first)] == steps


@given(st.integers(2, 60), st.data())
def test_a_changed_consistency_path_never_verifies(second, data):
    first = data.draw(st.integers(1, second - 1))
    leaves = leaves_of(second)
    steps: list[bytes] = list(merkle.consistency_path(leaves, first))
    older, newer = ROOTS[first], ROOTS[second]
    wrong: list[tuple[bytes, bytes, list[bytes]]] = [
        (older, newer, [*steps, bytes(32)]),
        (older, newer, [bytes(32), *steps]),
        (older, newer, steps[:-1]),
        (older, newer, steps[1:]),
        (newer, older, steps),
        (ROOTS[first - 1], newer, steps),
        (older, ROOTS[second - 1], steps),
    ]
    at = data.draw(st.integers(0, len(steps) - 1))
    changed = bytes([steps[at][0] ^ 1]) + steps[at][1:]
    wrong += [(older, newer, [*steps[:at], changed, *steps[at + 1 :]]), (older, newer, [*steps[:at], b"", *steps[at:]])]
    if steps[::-1] != steps:
        wrong.append((older, newer, steps[::-1]))
    for bad_older, bad_newer, bad_steps in wrong:
        with pytest.raises(InvalidProofError):
            merkle.verify_consistency(first, second, bad_older, bad_newer, bad_steps)


@given(st.integers(1, 40), st.data())
def test_a_rewritten_history_is_not_consistent(second, data):
    first = data.draw(st.integers(1, second))
    rewritten = leaves_of(second)
    rewritten[data.draw(st.integers(0, first - 1))] = b"another"
    steps = merkle.consistency_path(rewritten, first)
    with pytest.raises(InvalidProofError):
        merkle.verify_consistency(first, second, ROOTS[first], merkle.root(rewritten), steps)


NO_PROOFS: list[tuple[int, int, bytes, bytes, list[bytes]]] = [
    (-1, 4, ROOTS[0], ROOTS[4], []),
    (5, 4, ROOTS[5], ROOTS[4], []),
    (1, 1 << 65, ROOTS[1], ROOTS[2], []),
    (0, 4, ROOTS[1], ROOTS[4], []),
    (0, 4, ROOTS[0], ROOTS[4], [bytes(32)]),
    (4, 4, ROOTS[3], ROOTS[4], []),
    (4, 4, ROOTS[4], ROOTS[4], [bytes(32)]),
    (2, 4, ROOTS[2], ROOTS[4], []),
    (3, 4, ROOTS[3], ROOTS[4], []),
    (2, 4, ROOTS[2], ROOTS[4], [b"short"]),
]


@pytest.mark.parametrize("number", range(len(NO_PROOFS)))
def test_what_is_no_proof_of_consistency(number):
    with pytest.raises(InvalidProofError):
        merkle.verify_consistency(*NO_PROOFS[number])


@pytest.mark.parametrize("first", [-1, 3])
def test_consistency_with_leaves_that_are_not_there(first):
    with pytest.raises(IndexError):
        merkle.consistency_path([b"a", b"b"], first)


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
