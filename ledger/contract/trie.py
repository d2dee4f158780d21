"""Which nodes a node of the state refers to: what must be kept if the node is."""

from collections.abc import Iterator

from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3
from rlp import decode
from rlp.exceptions import RLPException

_NOWHERE = frozenset({BLANK_ROOT_HASH, EMPTY_SHA3})
"""Of an account without storage or code: no node is stored for it."""
_BRANCH_ITEMS = 17
_ACCOUNT_ITEMS = 4
_KEY_BYTES = 32
_LEAF_FLAG = 0x20
"""In the first byte of a path (hex-prefix encoding, Ethereum yellow paper, appendix C)."""


def references(node: bytes) -> tuple[bytes, ...]:
    """Return the keys of the nodes that a node of the account trie or of a storage trie refers to.

    A leaf of the account trie refers to the account's storage and code. Code refers to nothing: it cannot be taken for
    a node, because a node begins with 0xc0 or more, and no program does (LOG needs a stack, the rest are no opcodes).
    """
    try:
        return tuple(_of_item(decode(node)))
    except RLPException:
        return ()


def _of_item(item: object) -> Iterator[bytes]:
    match item:
        case [bytes(path), bytes(value)] if path and path[0] & _LEAF_FLAG:
            yield from _of_leaf(value)
        case [bytes(), child]:
            yield from _of_child(child)
        case [*children, bytes()] if len(children) == _BRANCH_ITEMS - 1:  # keys have one length: branches hold no value
            for child in children:
                yield from _of_child(child)


def _of_child(child: object) -> Iterator[bytes]:
    """A node below: by its key, or in place if it is shorter than one."""
    if isinstance(child, bytes):
        if len(child) == _KEY_BYTES:
            yield child
    else:
        yield from _of_item(child)


def _of_leaf(value: bytes) -> Iterator[bytes]:
    """An account or a word of storage: the former is a list, the latter a string."""
    content = decode(value)
    if isinstance(content, list | tuple) and len(content) == _ACCOUNT_ITEMS:
        yield from (bytes(key) for key in content[2:] if key not in _NOWHERE)
