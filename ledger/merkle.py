"""The Merkle tree of RFC 9162 section 2.1 over SHA-256.

A leaf is hashed with prefix 0x00 and a node with 0x01, so no leaf can pass for a node; the empty tree is SHA-256 of
nothing. `Frontier` grows a tree leaf by leaf and holds only the roots of its complete subtrees.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from ledger.errors import InvalidProofError
from ledger.types import Digest

EMPTY_ROOT = Digest(hashlib.sha256(b"").digest())
"""Root of the tree without leaves."""

PATH_MAX = 64
"""Steps of the longest path that is accepted."""


def leaf_hash(leaf: bytes) -> Digest:
    """Hash of one leaf."""
    return Digest(hashlib.sha256(b"\x00" + leaf).digest())


def node_hash(left: bytes, right: bytes) -> Digest:
    """Hash of an inner node."""
    return Digest(hashlib.sha256(b"\x01" + left + right).digest())


def root(leaves: Sequence[bytes]) -> Digest:
    """Merkle tree hash of the leaves, in order."""
    return _fold([leaf_hash(leaf) for leaf in leaves]) if leaves else EMPTY_ROOT


def path(leaves: Sequence[bytes], index: int) -> tuple[Digest, ...]:
    """Inclusion path of the leaf at `index`: the siblings from the leaf up.

    Raises:
        IndexError: there is no such leaf; a programming error.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"expected an index below {len(leaves)}, got {index}")
    level = [leaf_hash(leaf) for leaf in leaves]
    steps: list[Digest] = []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            steps.append(level[sibling])
        level = _parents(level)
        index >>= 1
    return tuple(steps)


def verify_path(leaf: bytes, index: int, size: int, steps: Sequence[bytes], expected: bytes) -> None:
    """Check that `leaf` is at `index` in the tree of `size` leaves with root `expected` (RFC 9162 section 2.1.3.2).

    Raises:
        InvalidProofError: it is not, or the path has the wrong length.
    """
    if not 0 <= index < size or size >> PATH_MAX:
        raise InvalidProofError(f"path: expected an index below the tree size {size}, got {index}")
    current, last = leaf_hash(leaf), size - 1
    rest = iter(steps)
    while last:
        if index & 1 or index < last:
            step = next(rest, None)
            if step is None or len(step) != 32:
                raise InvalidProofError(f"path: expected another step of 32 bytes, got {step!r}")
            current = node_hash(step, current) if index & 1 else node_hash(current, step)
        index >>= 1
        last >>= 1
    if next(rest, None) is not None:
        raise InvalidProofError(f"path: expected fewer steps for {size} leaves, got {len(steps)}")
    if current != expected:
        raise InvalidProofError(f"path: expected the root {expected.hex()}, got {current.hex()}")


def consistency_path(leaves: Sequence[bytes], first: int) -> tuple[Digest, ...]:
    """Proof that the tree of the first `first` leaves is a prefix of the tree of all (RFC 9162 section 2.1.4.1).

    Empty if there is nothing to prove: no leaf, or all of them.

    Raises:
        IndexError: there are not so many leaves; a programming error.
    """
    if not 0 <= first <= len(leaves):
        raise IndexError(f"expected at most {len(leaves)} leaves, got {first}")
    return tuple(_subproof([leaf_hash(leaf) for leaf in leaves], first, known=True)) if first else ()


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, steps: Sequence[bytes]) -> None:
    """Check that a tree of `first` leaves is a prefix of one of `second` leaves (RFC 9162 section 2.1.4.2).

    Raises:
        InvalidProofError: it is not, or the path has the wrong length.
    """
    if not 0 <= first <= second or second >> PATH_MAX or any(len(step) != 32 for step in steps):
        raise InvalidProofError(
            f"consistency: expected 32-byte steps from a tree to a larger one, got {first}, {second}"
        )
    if first in {0, second}:
        expected = EMPTY_ROOT if first < second else second_root
        if steps or first_root != expected:
            raise InvalidProofError(f"consistency: expected the root {expected.hex()} and no steps, got another")
        return
    older, newer, rest = _start(first, first_root, steps)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    for step in rest:
        if not sn:
            raise InvalidProofError(f"consistency: expected fewer steps for {second} leaves, got {len(steps)}")
        if fn & 1 or fn == sn:
            older, newer = node_hash(step, older), node_hash(step, newer)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            newer = node_hash(newer, step)
        fn, sn = fn >> 1, sn >> 1
    if sn or older != first_root or newer != second_root:
        raise InvalidProofError(f"consistency: expected a path between the roots of {first} and {second} leaves")


def _start(first: int, first_root: bytes, steps: Sequence[bytes]) -> tuple[bytes, bytes, Sequence[bytes]]:
    """Return the node that both trees begin with, twice, and the steps that are left."""
    if first & (first - 1) == 0:  # a complete tree is a node of the larger one
        return first_root, first_root, steps
    if not steps:
        raise InvalidProofError("consistency: expected a path, got no step")
    return steps[0], steps[0], steps[1:]


def _subproof(level: list[Digest], first: int, *, known: bool) -> list[Digest]:
    """RFC 9162's SUBPROOF over leaf hashes; `known`: the verifier has the root of the first leaves itself."""
    size = len(level)
    if first == size:
        return [] if known else [_fold(level)]
    left = 1 << (size - 1).bit_length() - 1
    if first <= left:
        return [*_subproof(level[:left], first, known=known), _fold(level[left:])]
    return [*_subproof(level[left:], first - left, known=False), _fold(level[:left])]


def _fold(level: list[Digest]) -> Digest:
    """Root over the hashes of leaves, at least one."""
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def _parents(level: list[Digest]) -> list[Digest]:
    paired = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
    return paired + level[-1:] if len(level) % 2 else paired


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree that only grows; a value, so a candidate block can be tried without touching the chain's own."""

    size: int = 0
    """Leaves so far."""
    peaks: tuple[Digest, ...] = ()
    """Roots of the complete subtrees, largest first: one for each set bit of `size`."""

    def append(self, leaf: bytes) -> Self:
        """Return the tree with one more leaf."""
        current, peaks, size = leaf_hash(leaf), list(self.peaks), self.size
        while size & 1:
            current = node_hash(peaks.pop(), current)
            size >>= 1
        return type(self)(self.size + 1, (*peaks, current))

    def root(self) -> Digest:
        """Merkle tree hash of all leaves so far."""
        if not self.peaks:
            return EMPTY_ROOT
        current = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            current = node_hash(peak, current)
        return current
