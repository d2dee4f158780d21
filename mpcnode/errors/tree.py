"""What the node raises on purpose, by who is at fault.

- `CallerError`: what was asked or sent is wrong (an inquirer, a peer, a file). Trying again unchanged is useless.
- `LocalError`: this machine or its configuration is at fault; the daemon stops or does not start.
- `UnavailableError`: nobody is at fault; it may be tried again.

Messages are for logs: "expected X, got Y", never a secret and never a subject's data.
"""

from typing import ClassVar

import ledger.errors
from mpcnode.errors.catalogue import CATALOGUE, Entry
from mpcnode.errors.codes import ErrorCode
from mpcnode.types import AuditStage, MemberIndex, Rank


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


class PeerDeviatedError(SessionError):
    """A node of the committee sent what no honest node sends."""

    def __init__(self, message: str, rank: Rank) -> None:
        super().__init__(message)
        self.rank = rank


class PeerLostError(SessionError):
    """The stream to a member broke in a session; one of the two ends let it, and neither can show which."""

    def __init__(self, message: str, *members: MemberIndex) -> None:
        super().__init__(message)
        self.members = members


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


_OF_THE_LEDGER: tuple[tuple[type[ledger.errors.LedgerError], ErrorCode], ...] = (
    (ledger.errors.InvalidProofError, ErrorCode.RECEIPT_INVALID),
    (ledger.errors.DecodeError, ErrorCode.MALFORMED_MESSAGE),
    (ledger.errors.InvalidError, ErrorCode.LEDGER_INVALID),
    (ledger.errors.LockedError, ErrorCode.LOCKED),
    (ledger.errors.DiskFullError, ErrorCode.DISK_FULL),
    (ledger.errors.StorageError, ErrorCode.STORAGE),
    (ledger.errors.ExpiredError, ErrorCode.TRANSACTION_EXPIRED),
    (ledger.errors.UnavailableError, ErrorCode.UNAVAILABLE),
)
"""The ledger's errors, the narrower kinds first."""


def code_of(error: BaseException) -> ErrorCode:
    """Return the code of anything that was raised; what nobody foresaw is `INTERNAL`."""
    if isinstance(error, NodeError):
        return error.code
    return next((code for kind, code in _OF_THE_LEDGER if isinstance(error, kind)), ErrorCode.INTERNAL)
