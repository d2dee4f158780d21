"""Boxes: libsodium's sealed box, made deterministically from a given ephemeral secret (docs/protocol.md section 2).

Whoever opens uses libsodium's own function. Whoever knows the ephemeral secret and the plaintext can make the box again
and compare it: so an auditor checks the archive's wrap, and a test the bytes.
"""

import hashlib

import nacl.bindings
import nacl.exceptions

from mpcnode.errors import InvalidKeyError, SealedBoxError
from mpcnode.sealing.keys import OpeningKey
from mpcnode.types import SealingKey

BOX_OVERHEAD = 48
"""Ephemeral public key 32, authenticator 16."""

EPHEMERAL_BYTES = 32


def seal(plaintext: bytes, to: SealingKey, ephemeral: bytes) -> bytes:
    """Seal a plaintext to a key; `len(plaintext) + BOX_OVERHEAD` bytes.

    Args:
        plaintext: of a width that tells nothing.
        to: X25519 public key.
        ephemeral: 32 random bytes, drawn for this box alone: two plaintexts under one ephemeral secret and key share
            their key stream.

    Raises:
        InvalidKeyError: the key has small order.
        ValueError: the ephemeral secret has not 32 bytes; a programming error.
    """
    if len(ephemeral) != EPHEMERAL_BYTES:
        raise ValueError(f"ephemeral secret: expected {EPHEMERAL_BYTES} bytes, got {len(ephemeral)}")
    if len(to) != 32:
        raise InvalidKeyError(f"expected an X25519 public key of 32 bytes, got {len(to)}")
    public = nacl.bindings.crypto_scalarmult_base(ephemeral)
    nonce = hashlib.blake2b(public + to, digest_size=24).digest()
    try:
        return public + nacl.bindings.crypto_box(plaintext, nonce, to, ephemeral)
    except nacl.exceptions.RuntimeError as error:
        raise InvalidKeyError(f"expected an X25519 public key of large order, got {to.hex()}") from error


def open_box(box: bytes, key: OpeningKey) -> bytes:
    """Open a box.

    Raises:
        SealedBoxError: it was not sealed to this key, or was changed.
    """
    if len(box) < BOX_OVERHEAD:
        raise SealedBoxError(f"box: expected at least {BOX_OVERHEAD} bytes, got {len(box)}")
    try:
        return nacl.bindings.crypto_box_seal_open(bytes(box), key.public, key.secret())
    except nacl.exceptions.CryptoError as error:
        raise SealedBoxError(f"box: expected one sealed to {key.public.hex()}, got {len(box)} other bytes") from error
