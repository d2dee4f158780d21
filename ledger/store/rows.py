"""Bytes of what the stores keep beside blocks, and the checks that what is read was written."""

import functools
import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from sha3 import keccak_256

from ledger import merkle
from ledger.encoding import (
    TX_BYTES_MAX,
    VALIDATORS_MAX,
    Reader,
    Writer,
    decode_block,
    decode_certificate,
    decode_header,
    decode_receipt,
    encode_block,
    encode_receipt,
)
from ledger.errors import DecodeError, StorageError
from ledger.types import Block, Certificate, FinalBlock, Header, Height, PublicKey, Receipt, ReplicaId, Validator

_HEADER_BYTES = 12 * 32
_RECEIPTS_MAX = 4096
_SETS_CACHED = 16
"""Sets of validators that are decoded once: thousands of blocks in a row have the same."""
_RECEIPT_BYTES_MAX = 128 * TX_BYTES_MAX


def blob(value: object) -> bytes:
    """Take a column as bytes: damage can change a value's type as well.

    Raises:
        StorageError: it is something else.
    """
    if not isinstance(value, bytes):
        raise StorageError(f"store: expected bytes in a column, got {type(value).__name__}")
    return value


def integer(value: object) -> int:
    """Take a column as an integer.

    Raises:
        StorageError: it is something else, or negative.
    """
    if not isinstance(value, int) or value < 0:
        raise StorageError(f"store: expected a whole number in a column, got {value!r}")
    return value


def keccak256(data: bytes) -> bytes:
    """Key of a state node."""
    return bytes(keccak_256(data).digest())


def encode_body(block: Block) -> bytes:
    """Encode a block's transactions: what follows its header."""
    return encode_block(block)[_HEADER_BYTES:]


def encode_receipts(receipts: Sequence[Receipt]) -> bytes:
    """Encode the receipts of a block."""
    writer = Writer().uint(len(receipts), 4)
    for receipt in receipts:
        writer.blob(encode_receipt(receipt))
    return writer.bytes()


def encode_validators(validators: Sequence[Validator]) -> bytes:
    """Encode a validator set."""
    writer = Writer().uint(len(validators), 4)
    for validator in validators:
        writer.fixed(validator.key, 32).uint(validator.replica, 2)
    return writer.bytes()


def read_validators(data: bytes, height: Height) -> tuple[Validator, ...]:
    """Decode the set that was stored with a block.

    Raises:
        StorageError: it is damaged.
    """
    try:
        return _decode_validators(data)
    except DecodeError as error:
        raise StorageError(f"height {height}: {error}") from error


@functools.lru_cache(maxsize=_SETS_CACHED)
def _decode_validators(data: bytes) -> tuple[Validator, ...]:
    reader = Reader(data, "validators")
    found = reader.items(VALIDATORS_MAX, lambda: Validator(PublicKey(reader.fixed(32)), ReplicaId(reader.uint(2))))
    reader.end()
    return found


def read_header(data: bytes, stored_hash: bytes, height: Height) -> Header:
    """Decode a header and check it against the hash stored beside it.

    Raises:
        StorageError: it is damaged.
    """
    found = hashlib.sha256(data).digest()
    if found != stored_hash:
        raise StorageError(f"height {height}: expected a header with hash {stored_hash.hex()}, got {found.hex()}")
    try:
        header = decode_header(data)
    except DecodeError as error:
        raise StorageError(f"height {height}: {error}") from error
    if header.height != height:
        raise StorageError(f"height {height}: expected its header, got that of {header.height}")
    return header


def read_final(header: Header, encoded: bytes, body: bytes, certificate: bytes | None) -> FinalBlock:
    """Decode a block with its certificate and check the transactions against the header.

    Raises:
        StorageError: it is damaged.
    """
    height = header.height
    try:
        block = decode_block(encoded + body)
        decoded: Certificate | None = None if certificate is None else decode_certificate(certificate)
    except DecodeError as error:
        raise StorageError(f"height {height}: {error}") from error
    found = merkle.root(block.txs)
    if found != header.tx_root:
        raise StorageError(
            f"height {height}: expected transactions with root {header.tx_root.hex()}, got {found.hex()}"
        )
    if (decoded is None) != (height == 0):
        raise StorageError(f"height {height}: expected a certificate above genesis only, got {decoded!r}")
    return FinalBlock(block=block, certificate=decoded)


def read_receipts(data: bytes, header: Header) -> tuple[Receipt, ...]:
    """Decode the receipts of a block and check them against its header.

    Raises:
        StorageError: they are damaged.
    """
    try:
        reader = Reader(data, "receipts")
        encoded = reader.items(_RECEIPTS_MAX, lambda: reader.blob(_RECEIPT_BYTES_MAX))
        reader.end()
        receipts = tuple(decode_receipt(item) for item in encoded)
    except DecodeError as error:
        raise StorageError(f"height {header.height}: {error}") from error
    found = merkle.root(encoded)
    if found != header.receipts_root:
        raise StorageError(
            f"height {header.height}: expected receipts with root {header.receipts_root.hex()}, got {found.hex()}"
        )
    return receipts


def check_node(key: bytes, value: bytes) -> None:
    """Check that a state node is the one with this key.

    Raises:
        StorageError: it is not.
    """
    found = keccak256(value)
    if found != key:
        raise StorageError(f"state: expected a node with keccak256 {key.hex()}, got {found.hex()}")


class NodeCache:
    """The state nodes used last; what is in here was checked."""

    def __init__(self, size_max: int = 16_384) -> None:
        self._nodes: OrderedDict[bytes, bytes] = OrderedDict()
        self._size_max = size_max

    def get(self, key: bytes) -> bytes | None:
        """Return a node if it is here."""
        value = self._nodes.get(key)
        if value is not None:
            self._nodes.move_to_end(key)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Keep a node, in place of the one not used for the longest time."""
        self._nodes[key] = value
        if len(self._nodes) > self._size_max:
            self._nodes.popitem(last=False)
