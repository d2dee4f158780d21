"""How a query names its subject to those who may know: pseudonyms, the binding S, tokens, the supervisor's copy.

Scheme `keyed` (docs/protocol.md section 3). Whoever holds the subject key K_subj can enumerate identifiers; the
operator and the MPC nodes do not hold it. Identifiers never appear in an error's message.
"""

import hashlib
import hmac
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ledger import merkle
from ledger.encoding import Reader, Writer
from ledger.types import ChainId, Digest, PublicKey
from mpcnode.errors import MalformedIdError, SealedBoxError
from mpcnode.sealing.blobs import BlobReference, decode_reference, derive_blob_key, encode_reference
from mpcnode.sealing.boxes import BOX_OVERHEAD, open_box, seal
from mpcnode.sealing.envelopes import ENVELOPE_OVERHEAD, seal_envelope
from mpcnode.sealing.keys import OpeningKey
from mpcnode.types import Epoch, EpochKeys, Pseudonym, QueryId, SealingKey

SCHEME = "keyed"

IDENTIFIER_BYTES_MAX = 64
NONCE_BYTES = 32
SUBJECT_KEY_BYTES = 32

PSEUDONYM_BYTES = 32

SUBJECTS_BLOCK = 4096
"""Subjects whose pseudonyms are one leaf of the tree that S binds."""

_HMAC_BLOCK_BYTES = 64
_INNER_PAD, _OUTER_PAD = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
"""RFC 2104, section 2: what a byte of the key's block becomes."""

_BLOCK_BYTES = SUBJECTS_BLOCK * PSEUDONYM_BYTES
_TOKEN_PADDING = 16
_TOKEN_PLAIN_BYTES = 32 + 32 + 8 + 32 + 32 + _TOKEN_PADDING
_COPY_PLAIN_BYTES = IDENTIFIER_BYTES_MAX + NONCE_BYTES

TOKEN_BYTES = _TOKEN_PLAIN_BYTES + BOX_OVERHEAD
"""A sealed token: 200."""

COPY_BYTES = _COPY_PLAIN_BYTES + ENVELOPE_OVERHEAD
"""A supervisor copy: 312."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectToken:
    """What one panel member learns of the subject."""

    query: QueryId
    inquirer: PublicKey
    epoch: Epoch
    pseudonym: Pseudonym = field(repr=False)
    """Of many subjects `pseudonyms_root`."""
    nonce: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectCopy:
    """What the supervisor learns of the subject."""

    identifier: bytes = field(repr=False)
    """Normalised."""
    nonce: bytes = field(repr=False)


def normalise(identifier: str) -> bytes:
    """Return the one form of an identifier that everybody hashes: UTF-8 of NFC(id).strip().upper(), 1 to 64 bytes.

    Raises:
        MalformedIdError: it is empty, too long, or has control or unpaired surrogate characters.
    """
    text = unicodedata.normalize("NFC", identifier).strip().upper()
    is_plain = text.isascii() and text.isprintable()
    if not is_plain and any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise MalformedIdError("identifier: expected no control or surrogate characters, got some")
    encoded = text.encode("utf-8")
    if not 1 <= len(encoded) <= IDENTIFIER_BYTES_MAX:
        raise MalformedIdError(f"identifier: expected 1 to {IDENTIFIER_BYTES_MAX} bytes, got {len(encoded)}")
    return encoded


def make_pseudonym(subject_key: bytes, identifier: bytes) -> Pseudonym:
    """HMAC-SHA-256 of a normalised identifier under the epoch's subject key."""
    _check_key(subject_key)
    message = len(identifier).to_bytes(4, "big") + identifier
    return Pseudonym(hmac.digest(subject_key, message, "sha256"))


def make_pseudonyms(subject_key: bytes, identifiers: Iterable[bytes]) -> bytes:
    """Pseudonyms of many normalised identifiers, joined in their order.

    HMAC as RFC 2104 defines it, the two blocks of the key hashed once for all: 0.5 µs each, where a call of HMAC for
    each takes 1.3 µs and SHA-256 over columns in numpy more than either.
    """
    _check_key(subject_key)
    block = subject_key.ljust(_HMAC_BLOCK_BYTES, b"\0")
    inner = hashlib.sha256(block.translate(_INNER_PAD))
    outer = hashlib.sha256(block.translate(_OUTER_PAD))
    digests = []
    for identifier in identifiers:
        message, keyed = inner.copy(), outer.copy()
        message.update(len(identifier).to_bytes(4, "big") + identifier)
        keyed.update(message.digest())
        digests.append(keyed.digest())
    return b"".join(digests)


def _check_key(subject_key: bytes) -> None:
    if len(subject_key) != SUBJECT_KEY_BYTES:
        raise ValueError(f"subject key: expected {SUBJECT_KEY_BYTES} bytes, got {len(subject_key)}")


def pseudonyms_root(pseudonyms: Iterable[bytes]) -> Pseudonym:
    """What S binds of many subjects: the Merkle root over their pseudonyms, joined by `SUBJECTS_BLOCK`.

    Args:
        pseudonyms: all of them, joined in their order, in pieces of any size.
    """
    tree, waiting = merkle.Frontier(), bytearray()
    for piece in pseudonyms:
        waiting += piece
        while len(waiting) >= _BLOCK_BYTES:
            tree = tree.append(bytes(waiting[:_BLOCK_BYTES]))
            del waiting[:_BLOCK_BYTES]
    return Pseudonym((tree.append(bytes(waiting)) if waiting else tree).root())


def pad_identifiers(identifiers: Iterable[bytes]) -> bytes:
    """Normalised identifiers as they stand in the supervisor's blob: each padded with zeros to 64 bytes."""
    return b"".join(identifier.ljust(IDENTIFIER_BYTES_MAX, b"\0") for identifier in identifiers)


def split_identifiers(padded: bytes) -> list[bytes]:
    """Read padded identifiers.

    Raises:
        SealedBoxError: one is empty, or has a zero inside; or there is a part of one.
    """
    if len(padded) % IDENTIFIER_BYTES_MAX:
        raise SealedBoxError(f"identifiers: expected {IDENTIFIER_BYTES_MAX} bytes each, got {len(padded)} in all")
    rows = np.frombuffer(padded, np.uint8).reshape(-1, IDENTIFIER_BYTES_MAX) != 0
    if not rows[:, 0].all() or (rows[:, :-1] < rows[:, 1:]).any():
        raise SealedBoxError("identifiers: expected each padded with zeros, got other bytes")
    found: list[bytes] = np.frombuffer(padded, f"S{IDENTIFIER_BYTES_MAX}").tolist()
    return found


def subject_binding(chain: ChainId, query: QueryId, inquirer: PublicKey, pseudonym: Pseudonym, nonce: bytes) -> Digest:
    """S: what a signed request says of its subject; only a token or the supervisor's copy opens it."""
    writer = Writer()
    for item in (b"mpcnode/subject/1", chain, query, inquirer, pseudonym, nonce):
        writer.blob(item)
    return Digest(hashlib.blake2b(writer.bytes(), digest_size=32).digest())


def seal_token(token: SubjectToken, to: SealingKey, ephemeral: bytes) -> bytes:
    """Seal a token to a panel member; `TOKEN_BYTES` bytes."""
    writer = Writer().fixed(token.query, 32).fixed(token.inquirer, 32).uint(token.epoch, 8)
    writer.fixed(token.pseudonym, 32).fixed(token.nonce, NONCE_BYTES).fixed(bytes(_TOKEN_PADDING), _TOKEN_PADDING)
    return seal(writer.bytes(), to, ephemeral)


def open_token(box: bytes, key: OpeningKey) -> SubjectToken:
    """Open a token; whether it belongs to a request is `token_opens`' question.

    Raises:
        SealedBoxError: it does not open, or holds something else than a token.
    """
    plain = open_box(box, key)
    if len(plain) != _TOKEN_PLAIN_BYTES or any(plain[-_TOKEN_PADDING:]):
        raise SealedBoxError(f"token: expected {_TOKEN_PLAIN_BYTES} bytes ending in zeros, got {len(plain)}")
    reader = Reader(plain, "token")
    return SubjectToken(
        query=QueryId(reader.fixed(32)),
        inquirer=PublicKey(reader.fixed(32)),
        epoch=Epoch(reader.uint(8)),
        pseudonym=Pseudonym(reader.fixed(32)),
        nonce=reader.fixed(NONCE_BYTES),
    )


def token_opens(
    token: SubjectToken, *, chain: ChainId, query: QueryId, inquirer: PublicKey, epoch: Epoch, binding: bytes
) -> bool:
    """Whether a token is the one of this inquirer's query: a token copied from another query opens another S."""
    if token.query != query or token.inquirer != inquirer or token.epoch != epoch:
        return False
    return hmac.compare_digest(subject_binding(chain, query, inquirer, token.pseudonym, token.nonce), binding)


def seal_supervisor_copy(identifier: bytes, nonce: bytes, keys: EpochKeys, secrets: bytes) -> bytes:
    """Seal a normalised identifier and the query's nonce to the supervisor; `COPY_BYTES` bytes."""
    if not 1 <= len(identifier) <= IDENTIFIER_BYTES_MAX or identifier.endswith(b"\0"):
        raise ValueError(f"expected a normalised identifier, got {len(identifier)} bytes")
    return _seal_copy(pad_identifiers([identifier]), nonce, keys, secrets)


def seal_batch_copy(identifiers: BlobReference, nonce: bytes, keys: EpochKeys, secrets: bytes) -> bytes:
    """Seal the reference of many subjects' identifiers and the query's nonce to the supervisor; `COPY_BYTES` bytes."""
    return _seal_copy(encode_reference(identifiers), nonce, keys, secrets)


def _seal_copy(subject: bytes, nonce: bytes, keys: EpochKeys, secrets: bytes) -> bytes:
    plain = Writer().fixed(subject, IDENTIFIER_BYTES_MAX).fixed(nonce, NONCE_BYTES)
    return seal_envelope(plain.bytes(), keys, secrets)


def read_batch_copy(plaintext: bytes) -> tuple[BlobReference, bytes]:
    """Read what the envelope of a supervisor copy of many subjects held: where their identifiers are, and the nonce.

    Raises:
        SealedBoxError: it has another width.
    """
    if len(plaintext) != _COPY_PLAIN_BYTES:
        raise SealedBoxError(f"supervisor copy: expected {_COPY_PLAIN_BYTES} bytes, got {len(plaintext)}")
    return decode_reference(plaintext[:IDENTIFIER_BYTES_MAX]), plaintext[IDENTIFIER_BYTES_MAX:]


def pseudonyms_key(nonce: bytes, query: QueryId) -> bytes:
    """Key of the blob of many subjects' pseudonyms: whoever opens a token has the nonce."""
    return derive_blob_key(nonce, b"pseudonyms", query)


def read_supervisor_copy(plaintext: bytes) -> SubjectCopy:
    """Read what the envelope of a supervisor copy held.

    Raises:
        SealedBoxError: it is not an identifier padded with zeros and a nonce.
    """
    if len(plaintext) != _COPY_PLAIN_BYTES:
        raise SealedBoxError(f"supervisor copy: expected {_COPY_PLAIN_BYTES} bytes, got {len(plaintext)}")
    identifier = plaintext[:IDENTIFIER_BYTES_MAX].rstrip(b"\0")
    if not identifier or b"\0" in identifier:
        raise SealedBoxError("supervisor copy: expected one identifier padded with zeros, got other bytes")
    return SubjectCopy(identifier=identifier, nonce=plaintext[IDENTIFIER_BYTES_MAX:])


def copy_opens(
    copy: SubjectCopy, subject_key: bytes, *, chain: ChainId, query: QueryId, inquirer: PublicKey, binding: bytes
) -> bool:
    """Whether a supervisor copy names the subject that the request is bound to."""
    pseudonym = make_pseudonym(subject_key, copy.identifier)
    return hmac.compare_digest(subject_binding(chain, query, inquirer, pseudonym, copy.nonce), binding)
