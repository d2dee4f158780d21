"""A contract's storage: the Merkle Patricia trie (Ethereum Yellow Paper, appendix D) for keys of one width.

py-evm's takes every node that it reads apart again, and hashes the way to the root again for every word that is
written: half of a block's time. Here a block's words are written first and each node is hashed once, and nodes stay
taken apart from block to block. Roots are equal; tests compare them.

Keys have one width, so no key is the beginning of another one, and no branch holds a value.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from eth_hash.auto import keccak

from ledger.errors import StorageError

EMPTY_ROOT = keccak(b"\x80")

_HASH_BYTES = 32
_SHORT_MAX = 55
"""Longest payload whose length fits the first byte of its RLP."""
_NIBBLES = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))
_DIGITS = bytes.maketrans(bytes(range(16)), b"0123456789abcdef")
_NOTHING = b"\x80"
"""RLP of no bytes."""


@dataclass(slots=True, eq=False)
class Branch:
    """Sixteen ways to go on."""

    children: "list[Reference]"
    is_ours: bool = False
    """Made by the trie that holds it, which may change it; all others are shared."""


@dataclass(slots=True, eq=False)
class Short:
    """A stretch of a key with one way to go on (`child`), or its end (`value`)."""

    path: bytes
    """Nibbles, one a byte."""
    child: "Reference"
    value: bytes


Node: TypeAlias = Branch | Short
Reference: TypeAlias = bytes | Node | None
"""A node by its keccak256; itself while it has none, or if its RLP is shorter than one; or none."""


@dataclass(slots=True)
class Nodes:
    """Nodes taken apart, by their keccak256; the oldest are forgotten."""

    size_max: int = 8_192
    _nodes: OrderedDict[bytes, Node] = field(default_factory=OrderedDict)

    def get(self, key: bytes) -> Node | None:
        """Return a node if it is here."""
        return self._nodes.get(key)

    def put(self, key: bytes, node: Node) -> None:
        """Keep a node that nobody changes any more."""
        self._nodes[key] = node
        if len(self._nodes) > self.size_max:
            self._nodes.popitem(last=False)


class Trie:
    """One trie, read and written in memory until `commit`."""

    def __init__(self, read_node: Callable[[bytes], bytes | None], nodes: Nodes, root: bytes) -> None:
        """Take the root; nodes are read when they are needed, from `nodes` first."""
        self._read_node = read_node
        self._nodes = nodes
        self._root: Reference = None if root == EMPTY_ROOT else root

    def get(self, key: bytes) -> bytes:
        """Return the value of a key; empty if it has none.

        Raises:
            StorageError: a node is missing.
        """
        path, at = _nibbles(key), 0
        node = self._node(self._root)
        while node is not None:
            if isinstance(node, Branch):
                node = self._node(node.children[path[at]])
                at += 1
            elif not path.startswith(node.path, at):
                break
            elif node.child is None:
                return node.value
            else:
                at += len(node.path)
                node = self._node(node.child)
        return b""

    def set(self, key: bytes, value: bytes) -> None:
        """Give a key a value; an empty one removes the key.

        Raises:
            StorageError: a node is missing.
        """
        path, root = _nibbles(key), self._node(self._root)
        self._root = self._put(root, path, value) if value else self._remove(root, path)

    def commit(self) -> tuple[bytes, dict[bytes, bytes]]:
        """Return the root and all nodes that are new, by their keccak256."""
        new: dict[bytes, bytes] = {}
        if self._root is None:
            return EMPTY_ROOT, new
        if not isinstance(self._root, bytes):
            encoded, root = self._encode(self._root, new), self._root
            self._root = self._keep(root, encoded, new)  # a root has a hash however short it is
        return self._root, new

    def _node(self, reference: Reference) -> Node | None:
        if not isinstance(reference, bytes):
            return reference
        node = self._nodes.get(reference)
        if node is None:
            data = self._read_node(reference)
            if data is None:
                raise StorageError(f"expected every node of the state, got none with keccak256 {reference.hex()}")
            node = _decode(data)
            self._nodes.put(reference, node)
        return node

    def _put(self, node: Node | None, path: bytes, value: bytes) -> Node:
        if node is None:
            return Short(path, None, value)
        if isinstance(node, Branch):
            ours, first = _ours(node), path[0]
            ours.children[first] = self._put(self._node(ours.children[first]), path[1:], value)
            return ours
        same = _common(node.path, path)
        if same == len(node.path):
            if node.child is None:
                return Short(path, None, value)
            return Short(node.path, self._put(self._node(node.child), path[same:], value), b"")
        branch = Branch([None] * 16, is_ours=True)
        rest = node.path[same + 1 :]
        branch.children[node.path[same]] = Short(rest, node.child, node.value) if rest or node.value else node.child
        branch.children[path[same]] = Short(path[same + 1 :], None, value)
        return Short(path[:same], branch, b"") if same else branch

    def _remove(self, node: Node | None, path: bytes) -> Node | None:
        """Return what is left of a node; itself if it does not hold the key."""
        if isinstance(node, Branch):
            child = self._node(node.children[path[0]])
            left = self._remove(child, path[1:])
            if left is child:
                return node
            ours = _ours(node)
            ours.children[path[0]] = left
            return self._without_detour(ours)
        if node is None or not path.startswith(node.path):
            return node
        if node.child is None:
            return None
        child = self._node(node.child)
        left = self._remove(child, path[len(node.path) :])
        return node if left is child else _joined(node.path, left)

    def _without_detour(self, branch: Branch) -> Node:
        """Return a branch, or what stands for it if it has one way left."""
        ways = [index for index, child in enumerate(branch.children) if child is not None]
        if len(ways) > 1:
            return branch
        return _joined(bytes(ways), self._node(branch.children[ways[0]]))

    def _encode(self, node: Node, new: dict[bytes, bytes]) -> bytes:
        """Return a node's RLP; nodes below it that have none yet get their hashes."""
        if isinstance(node, Branch):
            written = [self._refer(child, new) for child in node.children]
            if node.is_ours:
                node.children, node.is_ours = [reference for reference, _ in written], False
            payload = b"".join(data for _, data in written) + _NOTHING
        elif node.child is None:
            payload = _string(_packed(node.path, is_end=True)) + _string(node.value)
        else:
            node.child, data = self._refer(node.child, new)
            payload = _string(_packed(node.path, is_end=False)) + data
        return _list(payload)

    def _refer(self, reference: Reference, new: dict[bytes, bytes]) -> tuple[Reference, bytes]:
        """Return a reference as it is kept and as it is written."""
        if reference is None:
            return None, _NOTHING
        if not isinstance(reference, bytes):
            encoded = self._encode(reference, new)
            if len(encoded) < _HASH_BYTES:
                return reference, encoded
            reference = self._keep(reference, encoded, new)
        return reference, b"\xa0" + reference

    def _keep(self, node: Node, encoded: bytes, new: dict[bytes, bytes]) -> bytes:
        key = keccak(encoded)
        new[key] = encoded
        self._nodes.put(key, node)
        return key


def _ours(branch: Branch) -> Branch:
    return branch if branch.is_ours else Branch(list(branch.children), is_ours=True)


def _joined(path: bytes, node: Node | None) -> Node:
    """Return a stretch before a node, as one with the node's own if it begins with one."""
    if isinstance(node, Short):
        return Short(path + node.path, node.child, node.value)
    return Short(path, node, b"")


def _common(first: bytes, second: bytes) -> int:
    """Return how many nibbles are equal."""
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return min(len(first), len(second))


def _nibbles(data: bytes) -> bytes:
    return data.hex().encode().translate(_NIBBLES)


def _packed(path: bytes, *, is_end: bool) -> bytes:
    """Return nibbles in bytes, with their parity and whether the key ends here in front (appendix C)."""
    flag = 2 * is_end + len(path) % 2
    head = bytes([flag]) if len(path) % 2 else bytes([flag, 0])
    return bytes.fromhex((head + path).translate(_DIGITS).decode())


def _string(data: bytes) -> bytes:
    """RLP of at most 55 bytes: paths and values are shorter."""
    return data if len(data) == 1 and data[0] < 0x80 else bytes([0x80 + len(data)]) + data


def _list(payload: bytes) -> bytes:
    size = len(payload)
    if size <= _SHORT_MAX:
        return bytes([0xC0 + size]) + payload
    width = (size.bit_length() + 7) // 8
    return bytes([0xF7 + width]) + size.to_bytes(width, "big") + payload


def _decode(data: bytes) -> Node:
    """Take a node apart; it is one, for its hash was checked when it was read."""
    at = 1 if data[0] <= 0xC0 + _SHORT_MAX else data[0] - 0xF6
    items: list[bytes | Node] = []
    while at < len(data):
        size = data[at]
        if size < 0x80:
            items.append(data[at : at + 1])
            at += 1
        elif size <= 0x80 + _SHORT_MAX:
            items.append(data[at + 1 : at + size - 0x7F])
            at += size - 0x7F
        else:
            items.append(_decode(data[at : at + size - 0xBF]))
            at += size - 0xBF
    if len(items) > 2:
        return Branch([item or None for item in items[:16]])
    packed, last = items
    if not isinstance(packed, bytes):
        raise StorageError("expected the path of a state node, got a list")
    nibbles = _nibbles(packed)
    path = nibbles[1 if nibbles[0] % 2 else 2 :]
    if nibbles[0] < 2:
        return Short(path, last, b"")
    if not isinstance(last, bytes):
        raise StorageError("expected the value of a state node, got a list")
    return Short(path, None, last)
