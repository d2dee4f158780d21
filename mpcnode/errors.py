"""What can go wrong in the node, by who is at fault, and the one catalogue from an error to the world.

- `CallerError`: what was asked or sent is wrong (an inquirer, a peer, a file). Trying again unchanged is useless.
- `LocalError`: this machine or its configuration is at fault; the daemon stops or does not start.
- `UnavailableError`: nobody is at fault; it may be tried again.

Messages are for logs: "expected X, got Y", never a secret and never a subject's data. A peer or an inquirer sees only
the `public` text that `CATALOGUE` keeps for the error's code. docs/errors.md is made from the catalogue.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import ClassVar

import ledger.errors
from mpcnode.types import AuditStage


class ErrorCode(StrEnum):
    """Everything that may be said about a failure; never reused for another meaning."""

    # what is wrong with a request (the contract's words where the contract checks it too)
    REQUEST_FORM = "REQUEST_FORM"
    MALFORMED_ID = "MALFORMED_ID"
    WRONG_SIGNATURE = "WRONG_SIGNATURE"
    UNKNOWN_INQUIRER = "UNKNOWN_INQUIRER"
    UNKNOWN_MODEL = "UNKNOWN_MODEL"
    PURPOSE_NOT_ALLOWED = "PURPOSE_NOT_ALLOWED"
    WINDOW = "WINDOW"
    PAST_DEADLINE = "PAST_DEADLINE"
    PANEL_STALE = "PANEL_STALE"
    EPOCH_STALE = "EPOCH_STALE"
    TOKENS_MISMATCH = "TOKENS_MISMATCH"
    COPY_MISMATCH = "COPY_MISMATCH"
    QUERY_EXISTS = "QUERY_EXISTS"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    COMMITTEE_TOO_SMALL = "COMMITTEE_TOO_SMALL"
    UNKNOWN_QUERY = "UNKNOWN_QUERY"
    # how a query may end for its inquirer
    INSUFFICIENT = "INSUFFICIENT"
    NOT_READY = "NOT_READY"
    ABORTED = "ABORTED"
    EXPIRED = "EXPIRED"
    RESULT_MISMATCH = "RESULT_MISMATCH"
    # what the contract refuses from daemons
    OPERATOR_ONLY = "OPERATOR_ONLY"
    SUPERVISOR_ONLY = "SUPERVISOR_ONLY"
    MEMBER_ONLY = "MEMBER_ONLY"
    ONE_INQUIRER = "ONE_INQUIRER"
    COMMITTEE_ORDER = "COMMITTEE_ORDER"
    WRONG_STATE = "WRONG_STATE"
    WRONG_ATTEMPT = "WRONG_ATTEMPT"
    NOT_IN_PANEL = "NOT_IN_PANEL"
    NOT_IN_COMMITTEE = "NOT_IN_COMMITTEE"
    ALREADY_CONTRIBUTED = "ALREADY_CONTRIBUTED"
    COMMITMENTS = "COMMITMENTS"
    TOO_LATE = "TOO_LATE"
    TOO_EARLY = "TOO_EARLY"
    NOT_YOUR_TURN = "NOT_YOUR_TURN"
    COMMITTEE_SIGNATURES = "COMMITTEE_SIGNATURES"
    END_FORM = "END_FORM"
    END_MISMATCH = "END_MISMATCH"
    BOX_MISMATCH = "BOX_MISMATCH"
    REASON = "REASON"
    REFUSAL_CODE = "REFUSAL_CODE"
    NO_CONTRIBUTION = "NO_CONTRIBUTION"
    VERDICT = "VERDICT"
    ALREADY_ATTESTED = "ALREADY_ATTESTED"
    # what a peer sends
    MALFORMED_MESSAGE = "MALFORMED_MESSAGE"
    NOT_ALLOWED = "NOT_ALLOWED"
    WRONG_PEER = "WRONG_PEER"
    REPLAYED = "REPLAYED"
    SHARE_MISMATCH = "SHARE_MISMATCH"
    INPUT_INVALID = "INPUT_INVALID"
    DEAL_MISMATCH = "DEAL_MISMATCH"
    SESSION_OVER = "SESSION_OVER"
    SEALED_BOX = "SEALED_BOX"
    INVALID_KEY = "INVALID_KEY"
    # ledger and receipts
    LEDGER_INVALID = "LEDGER_INVALID"
    RECEIPT_INVALID = "RECEIPT_INVALID"
    REVERTED = "REVERTED"
    TRANSACTION_EXPIRED = "TRANSACTION_EXPIRED"
    # this machine
    CONFIG = "CONFIG"
    KEY_FILE = "KEY_FILE"
    PASSPHRASE = "PASSPHRASE"  # noqa: S105 (a name)
    PERMISSIONS = "PERMISSIONS"
    LOCKED = "LOCKED"
    STORAGE = "STORAGE"
    MODEL = "MODEL"
    RECORDS = "RECORDS"
    INTERNAL = "INTERNAL"
    # nobody
    UNAVAILABLE = "UNAVAILABLE"
    BUSY = "BUSY"
    TIMED_OUT = "TIMED_OUT"


class Exit(IntEnum):
    """Exit codes of the program: a range for each area, never reused; systemd's RestartPreventExitStatus reads them."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    # 10-19 query
    QUERY_REFUSED = 10
    QUERY_NOT_ALLOWED = 11
    QUERY_UNKNOWN = 12
    QUERY_OUTDATED = 13
    QUERY_NOT_READY = 14
    QUERY_INSUFFICIENT = 15
    QUERY_ABORTED = 16
    QUERY_EXPIRED = 17
    QUERY_MISMATCH = 18
    QUERY_QUOTA = 19
    # 20-29 ledger and receipts
    LEDGER_INVALID = 20
    RECEIPT_INVALID = 21
    LEDGER_REVERTED = 22
    LEDGER_EXPIRED = 23
    # 30-39 daemon and configuration
    CONFIG = 30
    KEYS = 31
    PERMISSIONS = 32
    LOCKED = 33
    STORAGE = 34
    MODEL = 35
    RECORDS = 36
    # 40-49 network
    UNAVAILABLE = 40
    BUSY = 41
    TIMED_OUT = 42
    PEER = 43


@dataclass(frozen=True, slots=True)
class Entry:
    """What the world learns of one code."""

    grpc: str
    """Name of the gRPC status."""
    http: int
    """HTTP status."""
    exit: Exit
    public: str
    """Text for whoever asked: says what to do, holds nothing of the request."""


def _refused(public: str, exit_code: Exit = Exit.QUERY_REFUSED) -> Entry:
    return Entry("INVALID_ARGUMENT", 400, exit_code, public)


def _forbidden(public: str, exit_code: Exit = Exit.QUERY_NOT_ALLOWED) -> Entry:
    return Entry("PERMISSION_DENIED", 403, exit_code, public)


def _conflict(public: str, exit_code: Exit = Exit.LEDGER_REVERTED) -> Entry:
    return Entry("FAILED_PRECONDITION", 409, exit_code, public)


def _ours(public: str, exit_code: Exit) -> Entry:
    return Entry("INTERNAL", 500, exit_code, public)


CATALOGUE: Mapping[ErrorCode, Entry] = MappingProxyType(
    {
        ErrorCode.REQUEST_FORM: _refused("The request is not well formed; update the client."),
        ErrorCode.MALFORMED_ID: _refused("The subject's identifier is empty, too long or has control characters."),
        ErrorCode.WRONG_SIGNATURE: Entry(
            "UNAUTHENTICATED", 401, Exit.QUERY_NOT_ALLOWED, "The signature does not belong to these bytes and this key."
        ),
        ErrorCode.UNKNOWN_INQUIRER: _forbidden("This key is not registered as an inquirer, or it is suspended."),
        ErrorCode.UNKNOWN_MODEL: Entry(
            "NOT_FOUND", 404, Exit.QUERY_OUTDATED, "The consortium has no such model; fetch the consortium document."
        ),
        ErrorCode.PURPOSE_NOT_ALLOWED: _forbidden("This model may not be asked for this purpose."),
        ErrorCode.WINDOW: _refused(
            "Times are out of order or more than an hour ahead: now < contribute_by < deadline <= now + 1 h."
        ),
        ErrorCode.PAST_DEADLINE: Entry(
            "DEADLINE_EXCEEDED", 408, Exit.QUERY_EXPIRED, "The request's time is over; ask again with a new one."
        ),
        ErrorCode.PANEL_STALE: _conflict(
            "The participants have changed; fetch the consortium document and build the request again.",
            Exit.QUERY_OUTDATED,
        ),
        ErrorCode.EPOCH_STALE: _conflict(
            "The supervisor's keys have changed; fetch the consortium document and build the request again.",
            Exit.QUERY_OUTDATED,
        ),
        ErrorCode.TOKENS_MISMATCH: _refused("The sealed tokens are not those that the request was signed for."),
        ErrorCode.COPY_MISMATCH: _refused("The supervisor's copy is not the one that the request was signed for."),
        ErrorCode.QUERY_EXISTS: Entry(
            "ALREADY_EXISTS", 409, Exit.QUERY_REFUSED, "Another request was registered under this query id."
        ),
        ErrorCode.QUOTA_EXCEEDED: Entry(
            "RESOURCE_EXHAUSTED", 429, Exit.QUERY_QUOTA, "The inquirer's quota for today is used up."
        ),
        ErrorCode.COMMITTEE_TOO_SMALL: Entry(
            "FAILED_PRECONDITION", 503, Exit.QUERY_ABORTED, "Too few independent companies can compute at the moment."
        ),
        ErrorCode.UNKNOWN_QUERY: Entry("NOT_FOUND", 404, Exit.QUERY_UNKNOWN, "There is no such query."),
        ErrorCode.INSUFFICIENT: _conflict("Too few companies contributed to give an answer.", Exit.QUERY_INSUFFICIENT),
        ErrorCode.NOT_READY: _conflict("There is no answer yet.", Exit.QUERY_NOT_READY),
        ErrorCode.ABORTED: Entry("ABORTED", 409, Exit.QUERY_ABORTED, "The computation failed; ask again."),
        ErrorCode.EXPIRED: Entry("DEADLINE_EXCEEDED", 408, Exit.QUERY_EXPIRED, "The query's deadline has passed."),
        ErrorCode.RESULT_MISMATCH: Entry(
            "DATA_LOSS", 409, Exit.QUERY_MISMATCH, "The result failed the audit or does not open; do not use it."
        ),
        ErrorCode.OPERATOR_ONLY: _forbidden("Only an operator may do this.", Exit.LEDGER_REVERTED),
        ErrorCode.SUPERVISOR_ONLY: _forbidden("Only the supervisor may do this.", Exit.LEDGER_REVERTED),
        ErrorCode.MEMBER_ONLY: _forbidden("Only an active member may do this.", Exit.LEDGER_REVERTED),
        ErrorCode.ONE_INQUIRER: _refused("A registration is co-signed by exactly one inquirer.", Exit.LEDGER_REVERTED),
        ErrorCode.COMMITTEE_ORDER: _conflict("The pool of computing members is not in the order of its ranks."),
        ErrorCode.WRONG_STATE: _conflict("The query is in a state in which this cannot happen."),
        ErrorCode.WRONG_ATTEMPT: _conflict("This is about another attempt of the query."),
        ErrorCode.NOT_IN_PANEL: _forbidden("This member was not asked by the query.", Exit.LEDGER_REVERTED),
        ErrorCode.NOT_IN_COMMITTEE: _forbidden("This member does not compute the query.", Exit.LEDGER_REVERTED),
        ErrorCode.ALREADY_CONTRIBUTED: _conflict("This member has already contributed or refused."),
        ErrorCode.COMMITMENTS: _refused(
            "There must be one commitment for each computing member.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.TOO_LATE: _conflict("The time for contributions is over."),
        ErrorCode.TOO_EARLY: _conflict("The time for this has not come."),
        ErrorCode.NOT_YOUR_TURN: _conflict("A member of better rank is to post the result first."),
        ErrorCode.COMMITTEE_SIGNATURES: _refused(
            "A result is co-signed by the whole committee in rank order.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.END_FORM: _refused("A co-signed end statement is not well formed.", Exit.LEDGER_REVERTED),
        ErrorCode.END_MISMATCH: _conflict("The computing members do not agree on how the session ended."),
        ErrorCode.BOX_MISMATCH: _refused(
            "A sealed result is not the one that its member signed.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.REASON: _refused("There is no such reason.", Exit.LEDGER_REVERTED),
        ErrorCode.REFUSAL_CODE: _refused("There is no such code of refusal.", Exit.LEDGER_REVERTED),
        ErrorCode.NO_CONTRIBUTION: _conflict("This member has contributed nothing to this attempt."),
        ErrorCode.VERDICT: _refused("There is no such verdict.", Exit.LEDGER_REVERTED),
        ErrorCode.ALREADY_ATTESTED: _conflict("The result has been attested already."),
        ErrorCode.MALFORMED_MESSAGE: _refused("The message is not well formed.", Exit.PEER),
        ErrorCode.NOT_ALLOWED: _forbidden("Not allowed."),
        ErrorCode.WRONG_PEER: Entry(
            "UNAUTHENTICATED", 401, Exit.PEER, "The other side is not the member that it should be."
        ),
        ErrorCode.REPLAYED: Entry("ALREADY_EXISTS", 409, Exit.PEER, "This call has been made before, or is too old."),
        ErrorCode.SHARE_MISMATCH: _refused("A share does not open its commitment.", Exit.PEER),
        ErrorCode.INPUT_INVALID: _refused("A contribution breaks the rules of its model.", Exit.PEER),
        ErrorCode.DEAL_MISMATCH: _refused("A deal does not match its record.", Exit.PEER),
        ErrorCode.SESSION_OVER: Entry("ABORTED", 409, Exit.PEER, "The session is over; it is never resumed."),
        ErrorCode.SEALED_BOX: _refused("A sealed message does not open.", Exit.PEER),
        ErrorCode.INVALID_KEY: _refused("A public key is not a valid key.", Exit.KEYS),
        ErrorCode.LEDGER_INVALID: Entry(
            "DATA_LOSS", 500, Exit.LEDGER_INVALID, "The ledger does not verify; call the operator of this daemon."
        ),
        ErrorCode.RECEIPT_INVALID: _refused("The receipt does not verify.", Exit.RECEIPT_INVALID),
        ErrorCode.REVERTED: _conflict("The ledger refused the transaction."),
        ErrorCode.TRANSACTION_EXPIRED: Entry(
            "DEADLINE_EXCEEDED", 504, Exit.LEDGER_EXPIRED, "The transaction expired before it was included."
        ),
        ErrorCode.CONFIG: _ours("The configuration is wrong.", Exit.CONFIG),
        ErrorCode.KEY_FILE: _ours("A key file is damaged or weaker than allowed.", Exit.KEYS),
        ErrorCode.PASSPHRASE: _ours("The passphrase does not open the key file.", Exit.KEYS),
        ErrorCode.PERMISSIONS: _ours("A private file can be read by others.", Exit.PERMISSIONS),
        ErrorCode.LOCKED: _ours("Another process uses the data directory.", Exit.LOCKED),
        ErrorCode.STORAGE: _ours("The disk failed.", Exit.STORAGE),
        ErrorCode.MODEL: _ours("A model document is wrong.", Exit.MODEL),
        ErrorCode.RECORDS: _ours("The records cannot be read.", Exit.RECORDS),
        ErrorCode.INTERNAL: _ours("An error inside the daemon; its log knows more.", Exit.INTERNAL),
        ErrorCode.UNAVAILABLE: Entry("UNAVAILABLE", 503, Exit.UNAVAILABLE, "Not available now; try again later."),
        ErrorCode.BUSY: Entry("RESOURCE_EXHAUSTED", 429, Exit.BUSY, "Too much work at once; try again later."),
        ErrorCode.TIMED_OUT: Entry("DEADLINE_EXCEEDED", 504, Exit.TIMED_OUT, "No answer in time; try again later."),
    }
)


def code_of_revert(reason: str) -> ErrorCode:
    """Return the code of a contract's revert reason; `REVERTED` if the catalogue does not know the word."""
    try:
        return ErrorCode(reason)
    except ValueError:
        return ErrorCode.REVERTED


def code_of(error: BaseException) -> ErrorCode:
    """Return the code of anything that was raised; what nobody foresaw is `INTERNAL`."""
    match error:
        case NodeError():
            return error.code
        case ledger.errors.InvalidProofError():
            return ErrorCode.RECEIPT_INVALID
        case ledger.errors.DecodeError():
            return ErrorCode.MALFORMED_MESSAGE
        case ledger.errors.InvalidError():
            return ErrorCode.LEDGER_INVALID
        case ledger.errors.LockedError():
            return ErrorCode.LOCKED
        case ledger.errors.StorageError():
            return ErrorCode.STORAGE
        case ledger.errors.ExpiredError():
            return ErrorCode.TRANSACTION_EXPIRED
        case ledger.errors.UnavailableError():
            return ErrorCode.UNAVAILABLE
        case _:
            return ErrorCode.INTERNAL


class NodeError(Exception):
    """Root of everything the node raises on purpose; `code` leads to what the world may know."""

    default: ClassVar[ErrorCode] = ErrorCode.INTERNAL

    def __init__(self, message: str, code: ErrorCode | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default

    @property
    def entry(self) -> Entry:
        """What the world learns of this error."""
        return CATALOGUE[self.code]


class CallerError(NodeError):
    """What was asked or sent breaks a rule."""

    default = ErrorCode.NOT_ALLOWED


class MalformedMessageError(CallerError):
    """Bytes are not the one encoding of any value."""

    default = ErrorCode.MALFORMED_MESSAGE


class RequestError(CallerError):
    """A request breaks a rule; the code says which."""

    default = ErrorCode.REQUEST_FORM


class MalformedIdError(RequestError):
    """An identifier cannot be one. The message never quotes it."""

    default = ErrorCode.MALFORMED_ID


class NotAllowedError(CallerError):
    """Who asks may not."""

    default = ErrorCode.NOT_ALLOWED


class WrongSignatureError(CallerError):
    """A signature does not belong to the bytes, the key or the domain."""

    default = ErrorCode.WRONG_SIGNATURE


class WrongPeerError(CallerError):
    """A message names another sender or receiver than the channel shows."""

    default = ErrorCode.WRONG_PEER


class UnknownPeerError(CallerError):
    """A channel shows a certificate that is no active member's."""

    default = ErrorCode.WRONG_PEER


class PeerRefusedError(CallerError):
    """A peer will never take what it was sent; sending it again is useless."""

    default = ErrorCode.NOT_ALLOWED


class ReplayedError(CallerError):
    """A call was made before or is too old."""

    default = ErrorCode.REPLAYED


class InvalidKeyError(CallerError):
    """A public key has small order, mixed order or is not canonical."""

    default = ErrorCode.INVALID_KEY


class SealedBoxError(CallerError):
    """A box does not open, or holds something else than it should."""

    default = ErrorCode.SEALED_BOX


class ShareError(CallerError):
    """A share does not open its commitment."""

    default = ErrorCode.SHARE_MISMATCH


class InputError(CallerError):
    """A contribution is not what its participant committed to, or breaks the rules of its model."""

    default = ErrorCode.INPUT_INVALID

    def __init__(self, message: str, stage: AuditStage = AuditStage.INPUT) -> None:
        super().__init__(message)
        self.stage = stage


class ResultError(CallerError):
    """A posted result does not open, or is not what the committee signed."""

    default = ErrorCode.RESULT_MISMATCH


class DealError(CallerError):
    """A deal does not match its record."""

    default = ErrorCode.DEAL_MISMATCH


class SessionError(CallerError):
    """Another member broke the joint computation; the session is over."""

    default = ErrorCode.SESSION_OVER


class RevertedError(CallerError):
    """The contract refused a transaction; the code is its word."""

    default = ErrorCode.REVERTED


class ModelError(CallerError):
    """A model document breaks a rule; the message names the place in the file."""

    default = ErrorCode.MODEL


class LocalError(NodeError):
    """This machine or its configuration is at fault."""

    default = ErrorCode.INTERNAL


class CorrelationReuseError(LocalError):
    """One-time randomness was to be used again; going on would leak inputs."""

    default = ErrorCode.INTERNAL


class ConfigError(LocalError):
    """A configuration or consortium document is wrong."""

    default = ErrorCode.CONFIG


class KeyFileError(LocalError):
    """A key file is damaged, weaker than the floor, or of another kind."""

    default = ErrorCode.KEY_FILE


class PassphraseError(KeyFileError):
    """The passphrase does not open the key file."""

    default = ErrorCode.PASSPHRASE


class StorageError(LocalError):
    """The disk failed; the daemon must stop."""

    default = ErrorCode.STORAGE


class RecordsError(LocalError):
    """A participant's records cannot be read."""

    default = ErrorCode.RECORDS


class UnavailableError(NodeError):
    """Not now: nobody is at fault."""

    default = ErrorCode.UNAVAILABLE


class TimedOutError(UnavailableError):
    """No answer in time."""

    default = ErrorCode.TIMED_OUT
