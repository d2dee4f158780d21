"""Envelopes that only the supervisor opens: today by its audit key, in years by its archive key (docs/protocol.md 2).

    epoch u64 · box(K -> audit key, e1) 80 · box(K -> archive key, e2) 80 · secretbox_K(e2 ‖ plaintext), nonce 0

The sender could wrap something else for the archive; so e2 travels inside, and the auditor makes the archive's wrap
again and compares.
"""

import hmac
from dataclasses import dataclass, field

import nacl.bindings
import nacl.exceptions

from ledger.encoding import Reader, Writer
from mpcnode.errors import SealedBoxError
from mpcnode.sealing.boxes import BOX_OVERHEAD, EPHEMERAL_BYTES, open_box, seal
from mpcnode.sealing.keys import OpeningKey
from mpcnode.types import Epoch, EpochKeys, SealingKey

_KEY_BYTES = 32
_WRAP_BYTES = _KEY_BYTES + BOX_OVERHEAD
_MAC_BYTES = 16
_NONCE = bytes(24)
"""The content key encrypts once."""

ENVELOPE_OVERHEAD = 8 + 2 * _WRAP_BYTES + _MAC_BYTES + EPHEMERAL_BYTES
"""216 bytes more than the plaintext."""

ENVELOPE_SECRET_BYTES = _KEY_BYTES + 2 * EPHEMERAL_BYTES
"""Random bytes that one envelope consumes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What an envelope held."""

    epoch: Epoch
    plaintext: bytes = field(repr=False)
    content_key: bytes = field(repr=False)
    archive_ephemeral: bytes = field(repr=False)


def seal_envelope(plaintext: bytes, keys: EpochKeys, secrets: bytes) -> bytes:
    """Seal a plaintext to the supervisor; `len(plaintext) + ENVELOPE_OVERHEAD` bytes.

    Args:
        plaintext: of a width that depends only on the model.
        keys: the supervisor's of the current epoch.
        secrets: `ENVELOPE_SECRET_BYTES` random bytes for this envelope alone: K, e1, e2.

    Raises:
        InvalidKeyError: a key of the supervisor has small order.
    """
    if len(secrets) != ENVELOPE_SECRET_BYTES:
        raise ValueError(f"envelope secrets: expected {ENVELOPE_SECRET_BYTES} bytes, got {len(secrets)}")
    content_key, audit_ephemeral, archive_ephemeral = secrets[:32], secrets[32:64], secrets[64:]
    content = nacl.bindings.crypto_secretbox(archive_ephemeral + plaintext, _NONCE, content_key)
    return (
        Writer()
        .uint(keys.epoch, 8)
        .fixed(seal(content_key, keys.audit, audit_ephemeral), _WRAP_BYTES)
        .fixed(seal(content_key, keys.archive, archive_ephemeral), _WRAP_BYTES)
        .fixed(content, len(content))
        .bytes()
    )


def envelope_epoch(envelope: bytes) -> Epoch:
    """Return the epoch that an envelope names.

    Raises:
        SealedBoxError: it is too short to be an envelope.
    """
    return _split(envelope)[0]


def open_by_audit(envelope: bytes, epoch: Epoch, key: OpeningKey) -> Opened:
    """Open an envelope with the epoch's audit key; `has_archive_wrap` is the next check.

    Raises:
        SealedBoxError: it is of another epoch, was changed, or was not sealed to this key.
    """
    named, audit_wrap, _, content = _split(envelope)
    return _open(named, epoch, audit_wrap, content, key)


def open_by_archive(envelope: bytes, epoch: Epoch, key: OpeningKey) -> Opened:
    """Open an envelope with the epoch's archive key.

    Raises:
        SealedBoxError: it is of another epoch, was changed, or was not sealed to this key.
    """
    named, _, archive_wrap, content = _split(envelope)
    return _open(named, epoch, archive_wrap, content, key)


def has_archive_wrap(envelope: bytes, opened: Opened, archive: SealingKey) -> bool:
    """Whether the archive key opens the same envelope: the auditor makes its wrap again from what was inside."""
    _, _, archive_wrap, _ = _split(envelope)
    return hmac.compare_digest(archive_wrap, seal(opened.content_key, archive, opened.archive_ephemeral))


def _split(envelope: bytes) -> tuple[Epoch, bytes, bytes, bytes]:
    if len(envelope) < ENVELOPE_OVERHEAD:
        raise SealedBoxError(f"envelope: expected at least {ENVELOPE_OVERHEAD} bytes, got {len(envelope)}")
    reader = Reader(envelope, "envelope")
    epoch, audit_wrap, archive_wrap = Epoch(reader.uint(8)), reader.fixed(_WRAP_BYTES), reader.fixed(_WRAP_BYTES)
    return epoch, audit_wrap, archive_wrap, reader.fixed(len(envelope) - 8 - 2 * _WRAP_BYTES)


def _open(named: Epoch, expected: Epoch, wrap: bytes, content: bytes, key: OpeningKey) -> Opened:
    if named != expected:
        raise SealedBoxError(f"envelope: expected epoch {expected}, got {named}")
    content_key = open_box(wrap, key)
    try:
        inner = nacl.bindings.crypto_secretbox_open(content, _NONCE, content_key)
    except nacl.exceptions.CryptoError as error:
        raise SealedBoxError("envelope: expected contents under the wrapped key, got other bytes") from error
    return Opened(
        epoch=named,
        plaintext=inner[EPHEMERAL_BYTES:],
        content_key=content_key,
        archive_ephemeral=inner[:EPHEMERAL_BYTES],
    )
