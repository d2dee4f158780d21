"""Making a request: everything random is drawn here, everything public comes from the consortium document."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from ledger import merkle
from ledger.types import Digest, Millis
from mpcnode.config.consortium import Consortium, ListedModel
from mpcnode.errors import ErrorCode, RequestError
from mpcnode.query.committee import panel_of
from mpcnode.query.request import NO_BLOB, Request, SealedRequest, encode_request
from mpcnode.roles.ports import RandomBytes
from mpcnode.sealing.blobs import BlobReference
from mpcnode.sealing.boxes import EPHEMERAL_BYTES
from mpcnode.sealing.commitments import SALT_BYTES, consent_hash
from mpcnode.sealing.envelopes import ENVELOPE_SECRET_BYTES
from mpcnode.sealing.keys import SEED_BYTES, OpeningKey, SigningKey
from mpcnode.sealing.pseudonyms import (
    NONCE_BYTES,
    SCHEME,
    SubjectToken,
    make_pseudonym,
    normalise,
    seal_batch_copy,
    seal_supervisor_copy,
    seal_token,
    subject_binding,
)
from mpcnode.types import MEMBERS_MAX, Bitmap, BlobId, EpochKeys, Pseudonym, QueryId, members_of

QUERY_ID_BYTES = 32

EVERYBODY = Bitmap((1 << MEMBERS_MAX) - 1)
"""Until the operator says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be asked."""

    model: ListedModel
    purpose: str
    consent: bytes = field(repr=False)
    """Reference of the subject's consent; only a salted hash of it leaves."""
    contribute_by: Millis
    deadline: Millis
    panel: Bitmap = EVERYBODY
    """Members that take part now; of those that do not, none is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """About whom a query is: what the panel and the supervisor learn of it."""

    query: QueryId
    nonce: bytes = field(repr=False)
    pseudonym: Pseudonym = field(repr=False)
    """Of many subjects what S binds of theirs."""
    copy: Callable[[EpochKeys, bytes], bytes] = field(repr=False)
    """Seals the supervisor's copy, from the epoch's keys and random bytes."""
    subjects: int = 1
    pseudonyms: BlobId = NO_BLOB
    identifiers: BlobId = NO_BLOB


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request that can be sent, and what only its inquirer keeps."""

    request: Request
    sealed: SealedRequest
    result_key: OpeningKey
    consent_salt: bytes = field(repr=False)


def about_one(subject: str, subject_key: bytes, random: RandomBytes) -> Asked:
    """Return a query about one subject.

    Raises:
        MalformedIdError: the subject's identifier cannot be one.
    """
    identifier, nonce = normalise(subject), random(NONCE_BYTES)
    return Asked(
        query=QueryId(random(QUERY_ID_BYTES)),
        nonce=nonce,
        pseudonym=make_pseudonym(subject_key, identifier),
        copy=lambda keys, secrets: seal_supervisor_copy(identifier, nonce, keys, secrets),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """Many subjects whose pseudonyms and identifiers are in blobs."""

    query: QueryId
    nonce: bytes = field(repr=False)
    subjects: int
    root: Pseudonym
    pseudonyms: BlobId
    identifiers: BlobReference


def about_many(many: Many) -> Asked:
    """Return a query about many subjects."""
    return Asked(
        query=many.query,
        nonce=many.nonce,
        pseudonym=many.root,
        copy=lambda keys, secrets: seal_batch_copy(many.identifiers, many.nonce, keys, secrets),
        subjects=many.subjects,
        pseudonyms=many.pseudonyms,
        identifiers=many.identifiers.blob,
    )


def check_purpose(model: ListedModel, purpose: str) -> None:
    """Check that a model may be asked for a purpose.

    Raises:
        RequestError: it may not.
    """
    if purpose not in model.purposes:
        allowed = ", ".join(model.purposes)
        raise RequestError(
            f"purpose: expected one of {allowed} for {model.name}, got {purpose!r}", ErrorCode.PURPOSE_NOT_ALLOWED
        )


def prepare(consortium: Consortium, key: SigningKey, asked: Asked, question: Question, random: RandomBytes) -> Prepared:
    """Build, seal and sign a request.

    Raises:
        RequestError: the model may not be asked for this purpose.
    """
    check_purpose(question.model, question.purpose)
    panel = Bitmap(panel_of(consortium.members, question.model.classes) & question.panel)
    token = SubjectToken(
        query=asked.query,
        inquirer=key.public,
        epoch=consortium.subject_epoch,
        pseudonym=asked.pseudonym,
        nonce=asked.nonce,
    )
    tokens = tuple(
        seal_token(token, consortium.members[member].sealing, random(EPHEMERAL_BYTES)) for member in members_of(panel)
    )
    copy = asked.copy(consortium.epoch, random(ENVELOPE_SECRET_BYTES))
    result_key, consent_salt = OpeningKey(random(SEED_BYTES)), random(SALT_BYTES)
    request = Request(
        chain=consortium.chain,
        query=asked.query,
        model=question.model.model,
        panel=panel,
        purpose=question.purpose,
        consent_hash=consent_hash(consent_salt, question.consent),
        contribute_by=question.contribute_by,
        deadline=question.deadline,
        result_key=result_key.public,
        scheme=SCHEME,
        binding=subject_binding(consortium.chain, asked.query, key.public, asked.pseudonym, asked.nonce),
        copy_hash=Digest(hashlib.sha256(copy).digest()),
        tokens_root=merkle.root(tokens),
        epoch=consortium.epoch.epoch,
        subjects=asked.subjects,
        pseudonyms=asked.pseudonyms,
        identifiers=asked.identifiers,
    )
    stated = encode_request(request)
    sealed = SealedRequest(
        statement=stated, signature=key.sign(stated), inquirer=key.public, tokens=tokens, supervisor_copy=copy
    )
    return Prepared(request=request, sealed=sealed, result_key=result_key, consent_salt=consent_salt)
