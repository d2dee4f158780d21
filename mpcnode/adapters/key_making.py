"""Making a new member's keys, and the public halves that the consortium document lists."""

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from ledger.types import Millis, PublicKey, Signature
from mpcnode.adapters.certificates import make_certificate
from mpcnode.adapters.durable import make_private_directory
from mpcnode.adapters.keystore import key_path, kinds_of, store_key
from mpcnode.adapters.private_files import check_private_directory
from mpcnode.adapters.randomness import random_bytes
from mpcnode.errors import KeyFileError
from mpcnode.sealing.keyfile import KeyKind, StoredKey
from mpcnode.sealing.keys import OpeningKey, SigningKey, certificate_statement
from mpcnode.types import Role, SealingKey


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKeys:
    """What a new member tells the consortium."""

    identity: PublicKey
    sealing: SealingKey
    vote: PublicKey | None
    certificate: str
    """PEM."""
    certificate_signature: Signature
    audit: SealingKey | None
    """The supervisor's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMember:
    """Whose keys are to be made."""

    name: str
    roles: Role
    validator: bool


def make_member_keys(
    directory: Path, member: NewMember, now: Millis, subject_key: bytes | None, passphrase: bytes | None
) -> PublicKeys:
    """Make every private key of a member in its directory; nothing that exists is replaced.

    Args:
        directory: made 0700 if there is none.
        member: its name and roles.
        now: the beginning of the certificate's life.
        subject_key: what the consortium agreed on, 32 bytes; None makes a new one where the role needs one.
        passphrase: protects the files; None leaves them unprotected.

    Raises:
        KeyFileError: a key of this member is there already.
        LocalError: the directory can be reached by others.
        StorageError: the disk failed.
    """
    make_private_directory(directory)
    check_private_directory(directory)
    kinds = kinds_of(member.roles, validator=member.validator)
    for kind in kinds:
        if key_path(directory, kind).exists():
            raise KeyFileError(f"{key_path(directory, kind)}: expected no key yet, got one; it was not touched")
    tls = make_certificate(member.name, now)
    identity, vote = SigningKey(random_bytes(32)), SigningKey(random_bytes(32))
    sealing, audit = OpeningKey(random_bytes(32)), OpeningKey(random_bytes(32))
    keys = {
        KeyKind.IDENTITY: (identity.public, identity.secret()),
        KeyKind.VOTE: (vote.public, vote.secret()),
        KeyKind.SEALING: (sealing.public, sealing.secret()),
        KeyKind.AUDIT: (audit.public, audit.secret()),
        KeyKind.TLS: (b"", tls.key),
        KeyKind.DEALER: (b"", random_bytes(32)),
        KeyKind.SUBJECT: (b"", random_bytes(32) if subject_key is None else subject_key),
    }
    for kind in kinds:
        public, secret = keys[kind]
        store_key(key_path(directory, kind), StoredKey(kind=kind, public=public, secret=secret), passphrase)
    certificate = tls.certificate.decode("ascii")
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).digest()
    return PublicKeys(
        identity=identity.public,
        sealing=sealing.public,
        vote=vote.public if member.validator else None,
        certificate=certificate,
        certificate_signature=identity.sign(certificate_statement(fingerprint)),
        audit=audit.public if KeyKind.AUDIT in kinds else None,
    )


def make_opening_key(path: Path, kind: KeyKind, passphrase: bytes | None) -> SealingKey:
    """Make one X25519 key file, such as the supervisor's offline archive key; return its public half."""
    key = OpeningKey(random_bytes(32))
    store_key(path, StoredKey(kind=kind, public=key.public, secret=key.secret()), passphrase)
    return key.public


def make_signing_key(path: Path, kind: KeyKind, passphrase: bytes | None) -> PublicKey:
    """Make one Ed25519 key file, such as an inquirer's; return its public half."""
    key = SigningKey(random_bytes(32))
    store_key(path, StoredKey(kind=kind, public=key.public, secret=key.secret()), passphrase)
    return key.public
