"""Making a request: everything random is drawn here, everything public comes from the consortium document."""

import hashlib
from dataclasses import dataclass, field

from ledger import merkle
from ledger.types import Digest, Millis
from mpcnode.config.consortium import Consortium, ListedModel
from mpcnode.errors import ErrorCode, RequestError
from mpcnode.query.committee import panel_of
from mpcnode.query.request import Request, SealedRequest, encode_request
from mpcnode.roles.ports import RandomBytes
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
    seal_supervisor_copy,
    seal_token,
    subject_binding,
)
from mpcnode.types import MEMBERS_MAX, Bitmap, QueryId, members_of

QUERY_ID_BYTES = 32

EVERYBODY = Bitmap((1 << MEMBERS_MAX) - 1)
"""Until the operator says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be asked."""

    model: ListedModel
    subject: str = field(repr=False)
    purpose: str
    consent: bytes = field(repr=False)
    """Reference of the subject's consent; only a salted hash of it leaves."""
    contribute_by: Millis
    deadline: Millis
    panel: Bitmap = EVERYBODY
    """Members that take part now; of those that do not, none is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request that can be sent, and what only its inquirer keeps."""

    request: Request
    sealed: SealedRequest
    result_key: OpeningKey
    consent_salt: bytes = field(repr=False)


def prepare(
    consortium: Consortium, key: SigningKey, subject_key: bytes, question: Question, random: RandomBytes
) -> Prepared:
    """Build, seal and sign a request.

    Raises:
        MalformedIdError: the subject's identifier cannot be one.
        RequestError: the model may not be asked for this purpose.
    """
    if question.purpose not in question.model.purposes:
        allowed = ", ".join(question.model.purposes)
        raise RequestError(
            f"purpose: expected one of {allowed} for {question.model.name}, got {question.purpose!r}",
            ErrorCode.PURPOSE_NOT_ALLOWED,
        )
    identifier = normalise(question.subject)
    pseudonym = make_pseudonym(subject_key, identifier)
    query, nonce = QueryId(random(QUERY_ID_BYTES)), random(NONCE_BYTES)
    panel = Bitmap(panel_of(consortium.members, question.model.classes) & question.panel)
    token = SubjectToken(
        query=query, inquirer=key.public, epoch=consortium.subject_epoch, pseudonym=pseudonym, nonce=nonce
    )
    tokens = tuple(
        seal_token(token, consortium.members[member].sealing, random(EPHEMERAL_BYTES)) for member in members_of(panel)
    )
    copy = seal_supervisor_copy(identifier, nonce, consortium.epoch, random(ENVELOPE_SECRET_BYTES))
    result_key, consent_salt = OpeningKey(random(SEED_BYTES)), random(SALT_BYTES)
    request = Request(
        chain=consortium.chain,
        query=query,
        model=question.model.model,
        panel=panel,
        purpose=question.purpose,
        consent_hash=consent_hash(consent_salt, question.consent),
        contribute_by=question.contribute_by,
        deadline=question.deadline,
        result_key=result_key.public,
        scheme=SCHEME,
        binding=subject_binding(consortium.chain, query, key.public, pseudonym, nonce),
        copy_hash=Digest(hashlib.sha256(copy).digest()),
        tokens_root=merkle.root(tokens),
        epoch=consortium.epoch.epoch,
    )
    stated = encode_request(request)
    sealed = SealedRequest(
        statement=stated, signature=key.sign(stated), inquirer=key.public, tokens=tokens, supervisor_copy=copy
    )
    return Prepared(request=request, sealed=sealed, result_key=result_key, consent_salt=consent_salt)
