"""What the supervisor releases with a MATCH under audit before release (docs/protocol.md 3.2).

The nodes' output shares make the output under a mask that only the dealer knows. The release holds the mask, and the
auditor's signed word on what the shares must make, so that whoever opens it can check them; sealed to the inquirer and
to the supervisor, whose own boxes say nothing without it.
"""

import hmac
from dataclasses import dataclass, field

from ledger.encoding import WORD_BYTES, Reader, Writer
from ledger.errors import DecodeError
from ledger.types import PublicKey, Signature
from mpcnode.errors import ResultError, SealedBoxError, WrongSignatureError
from mpcnode.query.statements import RELEASE_WORDS, ReleaseStatement, decode_release_statement
from mpcnode.query.view import QueryView
from mpcnode.sealing.boxes import EPHEMERAL_BYTES, open_box, seal
from mpcnode.sealing.commitments import SALT_BYTES, masked_hash
from mpcnode.sealing.envelopes import ENVELOPE_SECRET_BYTES, seal_envelope
from mpcnode.sealing.keys import OpeningKey, check_signature
from mpcnode.types import EpochKeys, SealingKey

RELEASE_SECRET_BYTES = EPHEMERAL_BYTES + ENVELOPE_SECRET_BYTES
"""Random bytes that sealing one release consumes."""

_RELEASE_BYTES = RELEASE_WORDS * WORD_BYTES
_PART_BYTES_MAX = 6 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The plaintext: statement 224 · signature 64 · salt 32 · mask."""

    statement: bytes
    signature: Signature = field(repr=False)
    """The supervisor's."""
    salt: bytes = field(repr=False)
    """Opens the masked hash."""
    mask: bytes = field(repr=False)
    """Of the width of an output share."""


def seal_release(release: Release, to: SealingKey, keys: EpochKeys, secrets: bytes) -> bytes:
    """Seal a release to an inquirer's result key and to the supervisor: what stands in an attestation.

    Args:
        release: what to seal.
        to: the query's result key.
        keys: the supervisor's, of the query's epoch.
        secrets: `RELEASE_SECRET_BYTES` random bytes for this release alone.

    Raises:
        InvalidKeyError: a key has small order.
    """
    plaintext = (
        Writer()
        .fixed(release.statement, _RELEASE_BYTES)
        .fixed(release.signature, 64)
        .fixed(release.salt, SALT_BYTES)
        .fixed(release.mask, len(release.mask))
        .bytes()
    )
    box = seal(plaintext, to, secrets[:EPHEMERAL_BYTES])
    return Writer().blob(box).blob(seal_envelope(plaintext, keys, secrets[EPHEMERAL_BYTES:])).bytes()


def split_release(sealed: bytes) -> tuple[bytes, bytes]:
    """Return the box for the inquirer and the envelope for the supervisor.

    Raises:
        DecodeError: it is not a release.
    """
    reader = Reader(sealed, "release")
    parts = reader.blob(_PART_BYTES_MAX), reader.blob(_PART_BYTES_MAX)
    reader.end()
    return parts


def decode_release(plaintext: bytes, mask_bytes: int) -> Release:
    """Read the plaintext of a release.

    Raises:
        DecodeError: it has another width than the model fixes.
    """
    reader = Reader(plaintext, "release")
    release = Release(
        statement=reader.fixed(_RELEASE_BYTES),
        signature=Signature(reader.fixed(64)),
        salt=reader.fixed(SALT_BYTES),
        mask=reader.fixed(mask_bytes),
    )
    reader.end()
    return release


def open_release(view: QueryView, key: OpeningKey, mask_bytes: int, supervisor: PublicKey) -> Release:
    """Open the release of a query with its result key, and check that the supervisor signed it for this result.

    Args:
        view: the query, attested with a match.
        key: its result key.
        mask_bytes: width of its output.
        supervisor: who had to sign.

    Raises:
        ResultError: there is none that opens, or it is of another session or another signer.
    """
    where = f"query {view.query.hex()}: the supervisor's release"
    if view.attestation is None or view.result is None or view.session is None:
        raise ResultError(f"{where}: expected an audited result, got none")
    try:
        box, _ = split_release(view.attestation.release)
        release = decode_release(open_box(box, key), mask_bytes)
        stated = decode_release_statement(release.statement)
        check_signature(supervisor, release.statement, release.signature, "release")
    except (DecodeError, SealedBoxError, WrongSignatureError) as error:
        raise ResultError(f"{where}: {error}") from error
    expected = ReleaseStatement(
        chain=view.terms.chain,
        query=view.query,
        attempt=view.attempt,
        session=view.session,
        transcript_hash=view.result.ends[0].transcript_hash,
        masked_hash=stated.masked_hash,
    )
    if stated != expected:
        raise ResultError(f"{where}: expected one of this session and transcript, got another")
    return release


def unmask(release: Release, masked: bytes) -> bytes:
    """Take the mask off what the output shares make.

    Raises:
        ResultError: they make something else than the supervisor signed.
    """
    stated = decode_release_statement(release.statement)
    if not hmac.compare_digest(masked_hash(stated.session, masked, release.salt), stated.masked_hash):
        raise ResultError(
            f"query {stated.query.hex()}: the nodes' shares do not make the output that the supervisor signed; the "
            "answer's file and receipt are kept, they show what every node sealed and signed"
        )
    return bytes(a ^ b for a, b in zip(masked, release.mask, strict=True))
