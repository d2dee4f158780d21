"""A member's private keys: one file for each, 0600 in a 0700 directory, checked against the consortium document.

The supervisor's archive key is not among them: its private half stays offline.
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import nacl.bindings
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mpcnode.adapters.certificates import TlsPair
from mpcnode.adapters.durable import create_file
from mpcnode.adapters.private_files import check_private_directory, read_private_file
from mpcnode.adapters.randomness import random_bytes
from mpcnode.config.consortium import Consortium
from mpcnode.errors import KeyFileError
from mpcnode.sealing.keyfile import (
    NONCE_BYTES,
    SALT_BYTES,
    KeyKind,
    Protection,
    StoredKey,
    decode_key_file,
    encode_key_file,
    is_protected,
)
from mpcnode.sealing.keys import OpeningKey, SigningKey
from mpcnode.types import Member, Role

LATER_AUDIT_KEYS = "audit-*.key"
"""Files of audit keys of epochs that began after the document was written; the ledger says which holds when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keystore:
    """What a daemon signs and opens with."""

    identity: SigningKey
    sealing: OpeningKey
    tls: TlsPair
    vote: SigningKey | None
    """Set if there is a vote key; the ledger says whether it is the registered one, and validators change."""
    audit: tuple[OpeningKey, ...]
    """The supervisor's, which open envelopes: that of the document's epoch, then those of later epochs."""
    dealer_master: bytes | None = field(repr=False)
    """32 bytes; set for the supervisor: the seeds of all correlations."""
    subject_key: bytes | None = field(repr=False)
    """32 bytes; set for participants and the supervisor."""
    protected: bool
    """Whether every file was under a passphrase."""


def key_path(directory: Path, kind: KeyKind) -> Path:
    """Return where a member's key of this kind lies."""
    return directory / f"{kind}.key"


def kinds_of(roles: Role, *, validator: bool) -> tuple[KeyKind, ...]:
    """Return which private keys a member of these roles has."""
    kinds = [KeyKind.IDENTITY, KeyKind.SEALING, KeyKind.TLS]
    if validator:
        kinds.append(KeyKind.VOTE)
    if roles & Role.SUPERVISOR:
        kinds += [KeyKind.AUDIT, KeyKind.DEALER]
    if roles & (Role.PARTICIPANT | Role.SUPERVISOR):
        kinds.append(KeyKind.SUBJECT)
    return tuple(kinds)


def load_keystore(directory: Path, consortium: Consortium, member: Member, passphrase: bytes | None = None) -> Keystore:
    """Load a member's keys and check that they are those of the consortium document.

    The vote key need not be: the ledger may have another one by now, or one for a member that had none.

    Args:
        directory: the member's keys_dir.
        consortium: the document that lists the public halves.
        member: whose keys they are.
        passphrase: opens protected files; without one only unprotected files load.

    Raises:
        LocalError: a file or the directory can be reached by others; the message has the line to run.
        KeyFileError: a file is missing (a vote key only of a member for which the document lists one), damaged, or not
            the key that the document lists.
    """
    check_private_directory(directory)
    loader = _Loader(directory, passphrase)
    kinds = kinds_of(member.roles, validator=member.vote_key is not None)
    certificate = consortium.certificates[member.index]
    return Keystore(
        identity=loader.signing(KeyKind.IDENTITY, member.identity),
        sealing=loader.opening(KeyKind.SEALING, member.sealing),
        tls=loader.tls(certificate),
        vote=loader.vote(required=member.vote_key is not None),
        audit=loader.audit(consortium.epoch.audit) if KeyKind.AUDIT in kinds else (),
        dealer_master=loader.secret(KeyKind.DEALER) if KeyKind.DEALER in kinds else None,
        subject_key=loader.secret(KeyKind.SUBJECT) if KeyKind.SUBJECT in kinds else None,
        protected=loader.protected,
    )


def load_key(path: Path, kind: KeyKind, passphrase: bytes | None = None) -> StoredKey:
    """Load one private key file; an unprotected one needs no passphrase.

    Raises:
        LocalError: others can reach it; the message has the line to run.
        KeyFileError: missing, damaged or of another kind.
    """
    return _load(path, kind, passphrase)[0]


def store_key(path: Path, key: StoredKey, passphrase: bytes | None) -> None:
    """Write a new private key file, 0600; None leaves it unprotected.

    Raises:
        FileExistsError: a key is there; it was not touched.
        StorageError: the disk failed.
    """
    protection = None
    if passphrase is not None:
        salt, nonce = random_bytes(SALT_BYTES), random_bytes(NONCE_BYTES)
        protection = Protection(passphrase=passphrase, salt=salt, nonce=nonce)
    create_file(path, encode_key_file(key, protection))


def _load(path: Path, kind: KeyKind, passphrase: bytes | None) -> tuple[StoredKey, bool]:
    data = read_private_file(path)
    try:
        protected = is_protected(data)
        return decode_key_file(data, kind, passphrase if protected else None), protected
    except KeyFileError as error:
        raise type(error)(f"{path}: {error}", error.code) from error


class _Loader:
    def __init__(self, directory: Path, passphrase: bytes | None) -> None:
        self._directory = directory
        self._passphrase = passphrase
        self.protected = True

    def secret(self, kind: KeyKind) -> bytes:
        return self._secret(key_path(self._directory, kind), kind)

    def _secret(self, path: Path, kind: KeyKind) -> bytes:
        key, protected = _load(path, kind, self._passphrase)
        self.protected &= protected
        return key.secret

    def signing(self, kind: KeyKind, listed: bytes) -> SigningKey:
        key = SigningKey(self.secret(kind))
        self._check(kind, key.public, listed)
        return key

    def vote(self, *, required: bool) -> SigningKey | None:
        if not required and not key_path(self._directory, KeyKind.VOTE).exists():
            return None
        return SigningKey(self.secret(KeyKind.VOTE))

    def opening(self, kind: KeyKind, listed: bytes) -> OpeningKey:
        key = OpeningKey(self.secret(kind))
        self._check(kind, key.public, listed)
        return key

    def audit(self, listed: bytes) -> tuple[OpeningKey, ...]:
        later = sorted(self._directory.glob(LATER_AUDIT_KEYS))
        return self.opening(KeyKind.AUDIT, listed), *(OpeningKey(self._secret(path, KeyKind.AUDIT)) for path in later)

    def tls(self, certificate: bytes) -> TlsPair:
        pem = self.secret(KeyKind.TLS)
        path = key_path(self._directory, KeyKind.TLS)
        try:
            public = serialization.load_pem_private_key(pem, password=None).public_key()
        except (ValueError, TypeError) as error:
            raise KeyFileError(f"{path}: expected a private key in PEM, got something else") from error
        if public != x509.load_der_x509_certificate(certificate).public_key():
            raise KeyFileError(f"{path}: expected the key of the certificate in the consortium document, got another")
        return TlsPair(certificate=ssl.DER_cert_to_PEM_cert(certificate).encode("ascii"), key=pem)

    def _check(self, kind: KeyKind, public: bytes, listed: bytes) -> None:
        if not nacl.bindings.sodium_memcmp(public, listed):
            path = key_path(self._directory, kind)
            raise KeyFileError(
                f"{path}: expected the key {listed.hex()} of the consortium document, got {public.hex()}"
            )
