"""Blobs: bodies too large for a message or a transaction, sealed in chunks and named by their contents.

A blob's id is a digest of its length and the Merkle root over its sealed chunks (docs/protocol.md section 9), so who
holds it checks every chunk by itself, and cannot read any. What a party signs or commits to instead of the body is its
*reference*, id and key together: a ciphertext could be made to open differently under two keys, a reference cannot.
"""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field

import nacl.bindings
import nacl.exceptions

from ledger import merkle
from ledger.encoding import Reader, Writer, digest
from ledger.types import Digest
from mpcnode.errors import MalformedMessageError, SealedBoxError
from mpcnode.types import BlobId

CHUNK_BYTES = 1 << 20
"""Plaintext of every chunk but the last, which has 1 byte at least."""

BLOB_BYTES_MAX = 1 << 30
"""Plaintext of a blob."""

CHUNKS_MAX = BLOB_BYTES_MAX // CHUNK_BYTES

CHUNK_OVERHEAD = 16
"""Poly1305's authenticator, before each chunk."""

SEALED_CHUNK_BYTES = CHUNK_BYTES + CHUNK_OVERHEAD

KEY_BYTES = 32

REFERENCE_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a blob consists of; 8 bytes and 32 for each chunk."""

    length: int
    """Bytes of plaintext."""
    chunks: tuple[Digest, ...] = field(repr=False)
    """SHA-256 of each sealed chunk."""

    @property
    def blob(self) -> BlobId:
        """The blob's id."""
        return BlobId(digest("mpcnode/blob/1", self.length.to_bytes(8, "big"), merkle.root(self.chunks)))

    @property
    def sealed_bytes(self) -> int:
        """Bytes of all sealed chunks."""
        return self.length + CHUNK_OVERHEAD * len(self.chunks)

    def chunk_bytes(self, number: int) -> int:
        """Bytes of one sealed chunk, counted from 0."""
        return min(CHUNK_BYTES, self.length - number * CHUNK_BYTES) + CHUNK_OVERHEAD

    def check_chunk(self, number: int, sealed: bytes) -> None:
        """Check that these bytes are a chunk of the blob.

        Raises:
            MalformedMessageError: there is no such chunk, or it has other bytes.
        """
        if not 0 <= number < len(self.chunks):
            raise MalformedMessageError(f"blob: expected a chunk below {len(self.chunks)}, got {number}")
        if not hmac.compare_digest(hashlib.sha256(sealed).digest(), self.chunks[number]):
            raise MalformedMessageError(f"blob {self.blob.hex()}: expected chunk {number} of it, got other bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobReference:
    """What stands for a body: whoever has it can check and open the blob; 64 bytes."""

    blob: BlobId
    key: bytes = field(repr=False)
    """32 random bytes, drawn for this blob alone."""


def chunk_count(length: int) -> int:
    """Chunks of a blob of so many bytes.

    Raises:
        MalformedMessageError: no blob has so many.
    """
    if not 1 <= length <= BLOB_BYTES_MAX:
        raise MalformedMessageError(f"blob: expected 1 to {BLOB_BYTES_MAX} bytes, got {length}")
    return -(-length // CHUNK_BYTES)


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode a manifest: length u64 · list of 32."""
    writer = Writer().uint(manifest.length, 8).uint(len(manifest.chunks), 4)
    for chunk in manifest.chunks:
        writer.fixed(chunk, 32)
    return writer.bytes()


def take_manifest(reader: Reader) -> Manifest:
    """Read a manifest that stands in a larger encoding.

    Raises:
        DecodeError: not the encoding of one.
        MalformedMessageError: it has not the chunks of its length.
    """
    length = reader.uint(8)
    count = chunk_count(length)
    chunks = reader.items(CHUNKS_MAX, lambda: Digest(reader.fixed(32)))
    if len(chunks) != count:
        raise MalformedMessageError(f"blob: expected {count} chunks of {length} bytes, got {len(chunks)}")
    return Manifest(length=length, chunks=chunks)


def encode_reference(reference: BlobReference) -> bytes:
    """Encode a reference: id 32 · key 32."""
    return Writer().fixed(reference.blob, 32).fixed(reference.key, KEY_BYTES).bytes()


def decode_reference(data: bytes) -> BlobReference:
    """Decode a reference.

    Raises:
        SealedBoxError: another width.
    """
    if len(data) != REFERENCE_BYTES:
        raise SealedBoxError(f"reference of a blob: expected {REFERENCE_BYTES} bytes, got {len(data)}")
    return BlobReference(blob=BlobId(data[:32]), key=data[32:])


def derive_blob_key(secret: bytes, *context: bytes) -> bytes:
    """Return the key of a blob whose readers share a secret of 32 bytes already.

    Args:
        secret: known to the readers alone.
        context: what the blob is for; no two blobs under one secret have the same.
    """
    named = digest("mpcnode/blob-key/1", *context)
    return hashlib.blake2b(named, digest_size=KEY_BYTES, key=secret, person=b"mpcnode-blob").digest()


def seal_chunk(key: bytes, number: int, plaintext: bytes) -> bytes:
    """Seal one chunk: its number is the nonce, so a chunk opens at its own place only."""
    return nacl.bindings.crypto_secretbox(plaintext, _nonce(number), key)


def open_chunk(key: bytes, number: int, sealed: bytes) -> bytes:
    """Open one chunk.

    Raises:
        SealedBoxError: it was sealed under another key or for another place, or was changed.
    """
    try:
        return nacl.bindings.crypto_secretbox_open(sealed, _nonce(number), key)
    except nacl.exceptions.CryptoError as error:
        raise SealedBoxError(f"blob: expected chunk {number} to open under its key, got other bytes") from error


class BlobSealer:
    """Seals a body that arrives in pieces: feed it, then finish it. A key seals one body, once."""

    def __init__(self, key: bytes) -> None:
        """Take the blob's key."""
        self._key = key
        self._rest = bytearray()
        self._length = 0
        self._chunks: list[Digest] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take the next piece; yield the chunks that are full now, sealed.

        Raises:
            MalformedMessageError: the body is too long for a blob.
        """
        self._length += len(piece)
        chunk_count(max(1, self._length))
        self._rest += piece
        while len(self._rest) >= CHUNK_BYTES:
            yield self._seal(CHUNK_BYTES)

    def finish(self) -> tuple[bytes | None, Manifest]:
        """Return the last sealed chunk, if one is left, and what the blob consists of.

        Raises:
            MalformedMessageError: the body is empty.
        """
        chunk_count(self._length)
        last = self._seal(len(self._rest)) if self._rest else None
        return last, Manifest(length=self._length, chunks=tuple(self._chunks))

    def _seal(self, size: int) -> bytes:
        sealed = seal_chunk(self._key, len(self._chunks), bytes(self._rest[:size]))
        del self._rest[:size]
        self._chunks.append(Digest(hashlib.sha256(sealed).digest()))
        return sealed


def _nonce(number: int) -> bytes:
    return number.to_bytes(24, "big")
