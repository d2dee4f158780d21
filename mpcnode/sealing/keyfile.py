"""The bytes of a private key file; where files lie and who may read them is an adapter's business.

A file is JSON. Under a passphrase the secret is in a secretbox (XSalsa20-Poly1305) whose key argon2id derives; kind and
public half are inside the box too, so that neither can be changed. What a file says of argon2id's cost is believed only
between a floor and a ceiling. The form without a passphrase exists for development networks and says so.
"""

import hmac
import json
from dataclasses import dataclass, field
from enum import StrEnum

import nacl.bindings
import nacl.exceptions
import nacl.pwhash.argon2id

from ledger.encoding import digest
from mpcnode.errors import KeyFileError, PassphraseError

FORMAT = "mpcnode/key/1"
PROTECTED = "argon2id"
UNPROTECTED = "none: for development networks only"

OPERATIONS_MIN = 3
OPERATIONS_MAX = 10
MEMORY_BYTES_MIN = 64 * 1024 * 1024
MEMORY_BYTES_MAX = 1024 * 1024 * 1024

SALT_BYTES = 16
NONCE_BYTES = 24
SECRET_BYTES = 32
SECRET_BYTES_MAX = 4096
FILE_BYTES_MAX = 16 * 1024


class KeyKind(StrEnum):
    """What a key is for; no key serves two uses."""

    IDENTITY = "identity"
    VOTE = "vote"
    SEALING = "sealing"
    TLS = "tls"
    INQUIRER = "inquirer"
    AUDIT = "audit"
    ARCHIVE = "archive"
    DEALER = "dealer"
    SUBJECT = "subject"
    RESULT = "result"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A private key as a file holds it."""

    kind: KeyKind
    public: bytes
    """Public half; empty for symmetric keys and TLS."""
    secret: bytes = field(repr=False)
    """32 bytes; PEM for TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """How a passphrase protects a file."""

    passphrase: bytes = field(repr=False)
    salt: bytes
    """16 random bytes."""
    nonce: bytes
    """24 random bytes."""
    operations: int = OPERATIONS_MIN
    """Passes of argon2id."""
    memory_bytes: int = MEMORY_BYTES_MIN


def encode_key_file(key: StoredKey, protection: Protection | None) -> bytes:
    """Encode a key file.

    Args:
        key: what to keep.
        protection: None for the explicit unprotected form.

    Raises:
        KeyFileError: the protection is weaker than the floor or costs more than the ceiling.
        ValueError: a width is wrong; a programming error.
    """
    if not _fits(key):
        raise ValueError(f"{key.kind} key: got a secret of {len(key.secret)} bytes")
    fields: dict[str, object] = {"format": FORMAT, "kind": str(key.kind), "public": key.public.hex()}
    if protection is None:
        fields |= {"protection": UNPROTECTED, "secret": key.secret.hex()}
    else:
        if len(protection.salt) != SALT_BYTES or len(protection.nonce) != NONCE_BYTES:
            raise ValueError(f"expected a salt of {SALT_BYTES} and a nonce of {NONCE_BYTES} bytes")
        wrapping = _wrapping_key(protection)
        box = nacl.bindings.crypto_secretbox(_label(key.kind, key.public) + key.secret, protection.nonce, wrapping)
        fields |= {
            "protection": PROTECTED,
            "operations": protection.operations,
            "memory_bytes": protection.memory_bytes,
            "salt": protection.salt.hex(),
            "nonce": protection.nonce.hex(),
            "box": box.hex(),
        }
    return json.dumps(fields, indent=2).encode("ascii") + b"\n"


def is_protected(data: bytes) -> bool:
    """Whether a key file needs a passphrase.

    Raises:
        KeyFileError: it is not a key file.
    """
    return _fields(data)["protection"] == PROTECTED


def decode_key_file(data: bytes, kind: KeyKind, passphrase: bytes | None) -> StoredKey:
    """Decode a key file of one kind.

    Args:
        data: the file.
        kind: what the key is to be used for.
        passphrase: None accepts only the unprotected form, which is for the caller to allow.

    Raises:
        KeyFileError: damaged, of another kind, weaker than the floor, or protected otherwise than expected.
        PassphraseError: the passphrase does not open it.
    """
    fields = _fields(data)
    if fields["kind"] != kind:
        raise KeyFileError(f"key file: expected a key of kind {kind}, got {fields['kind']!r}")
    protected = fields["protection"] == PROTECTED
    if protected != (passphrase is not None):
        found = "one" if protected else "none"
        raise KeyFileError(f"key file: expected {'no' if protected else 'a'} passphrase to be needed, got {found}")
    public = _hex(fields, "public")
    secret = _hex(fields, "secret") if passphrase is None else _open(fields, kind, public, passphrase)
    key = StoredKey(kind=kind, public=public, secret=secret)
    if not _fits(key):
        raise KeyFileError(f"key file: expected a secret as {kind} keys have it, got {len(secret)} bytes")
    return key


def _fits(key: StoredKey) -> bool:
    if len(key.public) not in (0, 32):
        return False
    return 0 < len(key.secret) <= SECRET_BYTES_MAX if key.kind is KeyKind.TLS else len(key.secret) == SECRET_BYTES


def _label(kind: KeyKind, public: bytes) -> bytes:
    return digest("mpcnode/key/1", str(kind).encode("ascii"), public)


def _wrapping_key(protection: Protection) -> bytes:
    if not OPERATIONS_MIN <= protection.operations <= OPERATIONS_MAX:
        raise KeyFileError(
            f"key file: expected {OPERATIONS_MIN} to {OPERATIONS_MAX} passes, got {protection.operations}"
        )
    if not MEMORY_BYTES_MIN <= protection.memory_bytes <= MEMORY_BYTES_MAX:
        raise KeyFileError(
            f"key file: expected {MEMORY_BYTES_MIN} to {MEMORY_BYTES_MAX} bytes, got {protection.memory_bytes}"
        )
    return nacl.pwhash.argon2id.kdf(
        32,
        protection.passphrase,
        protection.salt,
        opslimit=protection.operations,
        memlimit=protection.memory_bytes,
    )


def _open(fields: dict[str, object], kind: KeyKind, public: bytes, passphrase: bytes) -> bytes:
    salt, nonce, box = _hex(fields, "salt"), _hex(fields, "nonce"), _hex(fields, "box")
    if len(salt) != SALT_BYTES or len(nonce) != NONCE_BYTES:
        raise KeyFileError(f"key file: expected salt and nonce of {SALT_BYTES} and {NONCE_BYTES} bytes")
    wrapping = _wrapping_key(
        Protection(
            passphrase=passphrase,
            salt=salt,
            nonce=nonce,
            operations=_integer(fields, "operations"),
            memory_bytes=_integer(fields, "memory_bytes"),
        )
    )
    try:
        inner = nacl.bindings.crypto_secretbox_open(box, nonce, wrapping)
    except (nacl.exceptions.CryptoError, nacl.exceptions.ValueError) as error:
        raise PassphraseError(
            "key file: expected the passphrase that made it, got another one or a damaged box"
        ) from error
    if not hmac.compare_digest(inner[:32], _label(kind, public)):
        raise KeyFileError("key file: expected kind and public half as in the box, got others")
    return inner[32:]


def _fields(data: bytes) -> dict[str, object]:
    if len(data) > FILE_BYTES_MAX:
        raise KeyFileError(f"key file: expected at most {FILE_BYTES_MAX} bytes, got {len(data)}")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise KeyFileError("key file: expected JSON, got other bytes") from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise KeyFileError(f"key file: expected the format {FORMAT}, got another")
    wanted = {"format", "kind", "public", "protection"}
    match fields.get("protection"):
        case "argon2id":
            wanted |= {"operations", "memory_bytes", "salt", "nonce", "box"}
        case text if text == UNPROTECTED:
            wanted |= {"secret"}
        case _:
            raise KeyFileError(f"key file: expected the protection {PROTECTED!r} or {UNPROTECTED!r}, got another")
    if set(fields) != wanted:
        raise KeyFileError(f"key file: expected the fields {sorted(wanted)}, got {sorted(map(str, fields))}")
    return fields


def _hex(fields: dict[str, object], name: str) -> bytes:
    value = fields[name]
    if not isinstance(value, str):
        raise KeyFileError(f"key file: expected {name} to be a text, got something else")
    try:
        return bytes.fromhex(value)
    except ValueError as error:
        raise KeyFileError(f"key file: expected {name} in hexadecimal, got something else") from error


def _integer(fields: dict[str, object], name: str) -> int:
    value = fields[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise KeyFileError(f"key file: expected {name} to be an integer, got something else")
    return value
