"""What an inquirer asks: the signed request of 18 words and what travels with it (docs/protocol.md section 3).

A request is checked three times by the same functions: by the client before it signs, by the operator before it
registers, and by everybody who receives an order. The contract has the last word on model, panel, epoch and quota.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ledger import merkle
from ledger.encoding import WORD_BYTES, Reader, Writer, read_text, read_uint, split_words, statement
from ledger.errors import DecodeError, InvalidProofError
from ledger.types import ChainId, Digest, Millis, PublicKey, Signature
from mpcnode.errors import ErrorCode, InvalidKeyError, RequestError
from mpcnode.sealing.keys import check_sealing_key, check_signature
from mpcnode.sealing.messages import CLOCK_SKEW_MS
from mpcnode.sealing.pseudonyms import COPY_BYTES, SCHEME, TOKEN_BYTES
from mpcnode.types import (
    MEMBERS_MAX,
    QUERY_WINDOW_MS_MAX,
    SUBJECTS_MAX,
    Bitmap,
    BlobId,
    Epoch,
    MemberIndex,
    ModelHash,
    QueryId,
    SealingKey,
    members_of,
)

REQUEST = "mpcnode/request/1"
REQUEST_WORDS = 18
REQUEST_BYTES = REQUEST_WORDS * WORD_BYTES

NO_BLOB = BlobId(bytes(32))
"""Stands in a request about one subject, whose token and supervisor copy say all."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What an inquirer signs."""

    chain: ChainId
    query: QueryId
    model: ModelHash
    panel: Bitmap
    """Participants that are asked."""
    purpose: str
    """Purpose code, at most 32 ASCII characters."""
    consent_hash: Digest
    contribute_by: Millis
    """Last block time of a contribution to the first attempt."""
    deadline: Millis
    """Block time after which anybody may end the query."""
    result_key: SealingKey
    """Fresh for this query; the answer is sealed to it."""
    scheme: str
    """How the subject is named; `keyed` in this version."""
    binding: Digest
    """S: what a token must open."""
    copy_hash: Digest
    """SHA-256 of the supervisor copy."""
    tokens_root: Digest
    """Merkle root of the sealed tokens in panel order."""
    epoch: Epoch
    """Of the supervisor's keys."""
    subjects: int = 1
    """How many are asked about; of more than one, the two below say where they are."""
    pseudonyms: BlobId = NO_BLOB
    """Blob of the subjects' pseudonyms, for the panel."""
    identifiers: BlobId = NO_BLOB
    """Blob of the subjects' identifiers, for the supervisor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRequest:
    """A request as it reaches the operator: the signed statement and everything sealed."""

    statement: bytes = field(repr=False)
    signature: Signature = field(repr=False)
    inquirer: PublicKey
    tokens: tuple[bytes, ...] = field(repr=False)
    """One for each panel member, ascending by index."""
    supervisor_copy: bytes = field(repr=False)


def encode_request(request: Request) -> bytes:
    """Encode a request as its statement."""
    return statement(
        REQUEST,
        request.chain,
        request.query,
        request.model,
        request.panel,
        request.purpose,
        request.consent_hash,
        request.contribute_by,
        request.deadline,
        request.result_key,
        request.scheme,
        request.binding,
        request.copy_hash,
        request.tokens_root,
        request.epoch,
        request.subjects,
        request.pseudonyms,
        request.identifiers,
    )


def decode_request(data: bytes) -> Request:
    """Decode a request and check each word by itself.

    Raises:
        RequestError: a word cannot be what it should; the message names it.
    """
    request = read_request(data)
    _check_fields(request)
    return request


def read_request(data: bytes) -> Request:
    """Decode a request of which nothing more is known than that the contract registered it.

    The contract looks into neither scheme nor result key; a view of the ledger must show the query all the same.

    Raises:
        RequestError: the contract would not have registered it.
    """
    words = _read("statement", lambda: split_words(data, REQUEST, REQUEST_WORDS))
    return Request(
        chain=ChainId(words[0]),
        query=QueryId(words[1]),
        model=ModelHash(words[2]),
        panel=Bitmap(_read("panel", lambda: read_uint(words[3], MEMBERS_MAX))),
        purpose=_read("purpose", lambda: read_text(words[4])),
        consent_hash=Digest(words[5]),
        contribute_by=Millis(_read("contribute_by", lambda: read_uint(words[6], 48))),
        deadline=Millis(_read("deadline", lambda: read_uint(words[7], 48))),
        result_key=SealingKey(words[8]),
        scheme=words[9].rstrip(b"\0").decode("ascii", "backslashreplace"),
        binding=Digest(words[10]),
        copy_hash=Digest(words[11]),
        tokens_root=Digest(words[12]),
        epoch=Epoch(_read("epoch", lambda: read_uint(words[13], 32))),
        subjects=_read("subjects", lambda: read_uint(words[14], 32)),
        pseudonyms=BlobId(words[15]),
        identifiers=BlobId(words[16]),
    )


def _read(name: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except DecodeError as error:
        raise RequestError(f"{name}: {error}") from error


def _check_fields(request: Request) -> None:
    if not request.panel:
        raise RequestError("panel: expected at least one member, got none")
    if not request.purpose:
        raise RequestError("purpose: expected a code, got an empty text")
    if request.scheme != SCHEME:
        raise RequestError(f"scheme: expected {SCHEME}, got {request.scheme!r}")
    if not 1 <= request.subjects <= SUBJECTS_MAX:
        raise RequestError(f"subjects: expected 1 to {SUBJECTS_MAX}, got {request.subjects}")
    if any((blob == NO_BLOB) != (request.subjects == 1) for blob in (request.pseudonyms, request.identifiers)):
        raise RequestError(f"subjects: expected two blobs for more than one, got {request.subjects} and others")
    if not request.contribute_by < request.deadline:
        raise RequestError(
            f"deadline: expected it after contribute_by {request.contribute_by}, got {request.deadline}",
            ErrorCode.WINDOW,
        )
    try:
        check_sealing_key(request.result_key)
    except InvalidKeyError as error:
        raise RequestError(f"result key: {error}") from error


def check_signed_request(stated: bytes, signature: Signature, inquirer: PublicKey, chain: ChainId) -> Request:
    """Return the request that an inquirer signed on this chain. Whether the inquirer is registered, the ledger says.

    Raises:
        WrongSignatureError: the inquirer did not sign it.
        RequestError: a word cannot be what it should, or it is for another chain.
    """
    check_signature(inquirer, stated, signature, "request")
    request = decode_request(stated)
    if request.chain != chain:
        raise RequestError(f"chain: expected {chain.hex()}, got {request.chain.hex()}")
    return request


def check_window(request: Request, now: Millis) -> None:
    """Check that contributions are still possible and the deadline is not too far ahead.

    Raises:
        RequestError: PAST_DEADLINE if the time is over, WINDOW if it is too far ahead.
    """
    if now >= request.contribute_by:
        raise RequestError(f"contribute_by: expected after {now}, got {request.contribute_by}", ErrorCode.PAST_DEADLINE)
    if request.deadline > now + QUERY_WINDOW_MS_MAX:
        raise RequestError(
            f"deadline: expected at most {QUERY_WINDOW_MS_MAX} ms after {now}, got {request.deadline}", ErrorCode.WINDOW
        )


def check_open(request: Request, now: Millis) -> None:
    """Check that a query can still be open, and for no longer than the contract allows: an order is kept that long.

    Raises:
        RequestError: PAST_DEADLINE if its time is over, WINDOW if it ends too far ahead.
    """
    if now >= request.deadline:
        raise RequestError(f"deadline: expected after {now}, got {request.deadline}", ErrorCode.PAST_DEADLINE)
    latest = now + QUERY_WINDOW_MS_MAX + CLOCK_SKEW_MS
    if request.deadline > latest:
        raise RequestError(f"deadline: expected at most {latest}, got {request.deadline}", ErrorCode.WINDOW)


def check_sealed_request(sealed: SealedRequest, chain: ChainId, *, now: Millis) -> Request:
    """Return the request after every check that needs no ledger: signature, words, window, tokens, supervisor copy.

    Raises:
        WrongSignatureError: the inquirer did not sign it.
        RequestError: with the code of the rule that it breaks.
    """
    request = check_signed_request(sealed.statement, sealed.signature, sealed.inquirer, chain)
    check_window(request, now)
    check_tokens(request, sealed.tokens)
    if len(sealed.supervisor_copy) != COPY_BYTES:
        raise RequestError(
            f"supervisor copy: expected {COPY_BYTES} bytes, got {len(sealed.supervisor_copy)}", ErrorCode.COPY_MISMATCH
        )
    if not hmac.compare_digest(hashlib.sha256(sealed.supervisor_copy).digest(), request.copy_hash):
        raise RequestError("supervisor copy: expected the one that was signed, got another", ErrorCode.COPY_MISMATCH)
    return request


def check_tokens(request: Request, tokens: Sequence[bytes]) -> None:
    """Check that the sealed tokens are those that were signed, one for each panel member.

    Raises:
        RequestError: TOKENS_MISMATCH.
    """
    if len(tokens) != request.panel.bit_count():
        raise RequestError(
            f"tokens: expected {request.panel.bit_count()}, got {len(tokens)}", ErrorCode.TOKENS_MISMATCH
        )
    for seat, token in enumerate(tokens):
        _check_token_width(token, f"token {seat}")
    if not hmac.compare_digest(merkle.root(tokens), request.tokens_root):
        raise RequestError("tokens: expected those that were signed, got others", ErrorCode.TOKENS_MISMATCH)


def check_own_token(request: Request, member: MemberIndex, token: bytes, path: Sequence[bytes]) -> None:
    """Check that a sealed token is the one that was signed for this panel member.

    Raises:
        RequestError: TOKENS_MISMATCH, or NOT_IN_PANEL.
    """
    panel = tuple(members_of(request.panel))
    if member not in panel:
        raise RequestError(f"token: expected a member of the panel {panel}, got {member}", ErrorCode.NOT_IN_PANEL)
    _check_token_width(token, "token")
    try:
        merkle.verify_path(token, panel.index(member), len(panel), path, request.tokens_root)
    except InvalidProofError as error:
        raise RequestError(f"token: {error}", ErrorCode.TOKENS_MISMATCH) from error


def _check_token_width(token: bytes, what: str) -> None:
    if len(token) != TOKEN_BYTES:
        raise RequestError(f"{what}: expected {TOKEN_BYTES} bytes, got {len(token)}", ErrorCode.TOKENS_MISMATCH)


def encode_sealed_request(sealed: SealedRequest) -> bytes:
    """Encode a sealed request, for the operator's journal and to compare bodies."""
    writer = Writer().fixed(sealed.statement, REQUEST_BYTES).fixed(sealed.signature, 64).fixed(sealed.inquirer, 32)
    writer.uint(len(sealed.tokens), 4)
    for token in sealed.tokens:
        writer.blob(token)
    return writer.blob(sealed.supervisor_copy).bytes()


def decode_sealed_request(data: bytes) -> SealedRequest:
    """Decode a sealed request.

    Raises:
        DecodeError: not the encoding of one.
    """
    reader = Reader(data, "sealed request")
    sealed = SealedRequest(
        statement=reader.fixed(REQUEST_BYTES),
        signature=Signature(reader.fixed(64)),
        inquirer=PublicKey(reader.fixed(32)),
        tokens=reader.items(MEMBERS_MAX, lambda: reader.blob(TOKEN_BYTES)),
        supervisor_copy=reader.blob(COPY_BYTES),
    )
    reader.end()
    return sealed
