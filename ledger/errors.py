"""What can go wrong in the ledger, by who is at fault.

`InvalidError` and its kinds blame the bytes that were given (a peer, a file, a caller); `StorageError` blames this
machine's disk and stops the daemon; `UnavailableError` blames nobody and may be tried again. Messages name what was
expected and what was found, in that order.
"""


class LedgerError(Exception):
    """Root of everything the ledger raises on purpose."""


class InvalidError(LedgerError):
    """Something that was received breaks a rule."""


class DecodeError(InvalidError):
    """Bytes are not the one encoding of any value."""


class InvalidTransactionError(InvalidError):
    """A transaction fails a check that needs no state."""


class InvalidBlockError(InvalidError):
    """A block does not extend this chain."""


class InvalidCertificateError(InvalidError):
    """A certificate is not a quorum of valid votes."""


class InvalidProofError(InvalidError):
    """A receipt or proof does not verify."""


class StorageError(LedgerError):
    """The disk failed or holds something that was not written; the daemon must stop."""


class DiskFullError(StorageError):
    """The disk has no room; what was acknowledged is on it, and a start after making room goes on from there."""


class LockedError(StorageError):
    """Another process uses the data directory."""


class UnavailableError(LedgerError):
    """Not now: no peer answered, or a queue is full."""


class ExpiredError(UnavailableError):
    """A transaction's expiry passed before a block held it; the same call may be made again, with a later expiry."""
