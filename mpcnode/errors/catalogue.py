"""The one catalogue from an error to the world: code -> gRPC status, HTTP status, exit code, public text.

A peer or an inquirer sees only the `public` text of a code: it holds nothing of the request. docs/errors.md is made
from the catalogue.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mpcnode.errors.codes import ErrorCode, Exit


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
            "The companies have suspended or readmitted a participant; build the request again.",
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
        ErrorCode.OFFERS_FULL: Entry(
            "RESOURCE_EXHAUSTED",
            429,
            Exit.BUSY,
            "What this inquirer has offered and not asked about is 16 blobs, or as much as the operator's [limits] "
            "offers_mib allows; ask about it, wait an hour until it is gone, or ask about fewer subjects.",
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
        ErrorCode.UNKNOWN_METHOD: _refused("The contracts have no such function.", Exit.LEDGER_REVERTED),
        ErrorCode.UNEQUAL_STATEMENTS: _refused(
            "The co-signed statements of one transaction must have one length.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.MALFORMED_ARGUMENTS: _refused("The transaction's arguments do not decode.", Exit.LEDGER_REVERTED),
        ErrorCode.OUT_OF_GAS: _conflict("The transaction needs more gas than one may use."),
        ErrorCode.MACHINE_ERROR: _ours("The contract machine failed; the daemon's log knows more.", Exit.INTERNAL),
        ErrorCode.DELEGATE_ONLY: _forbidden(
            "Only the delegate of a company proposes and votes: its active validator, else its first active member; "
            "use that member's daemon.",
            Exit.LEDGER_REVERTED,
        ),
        ErrorCode.UNKNOWN_PROPOSAL: Entry(
            "NOT_FOUND", 404, Exit.LEDGER_REVERTED, "There is no such proposal; list those there are."
        ),
        ErrorCode.PROPOSAL_DECIDED: _conflict("The proposal is decided already; nothing is left to vote on."),
        ErrorCode.PROPOSAL_CLOSED: _conflict("The proposal's time is over; propose the same again."),
        ErrorCode.ALREADY_VOTED: _conflict("This company has voted on it; a proposal counts as its proposer's yes."),
        ErrorCode.OTHER_CALL: _conflict("This is not the call that was proposed; read the proposal from the ledger."),
        ErrorCode.CLOSES_AT: _refused(
            "A proposal closes in the future, at most 90 days ahead; check the clock.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.TARGET: _refused("There is no such contract; targets are 0 to 3.", Exit.LEDGER_REVERTED),
        ErrorCode.CALL: _refused("A proposal is the call of a function; these bytes name none.", Exit.LEDGER_REVERTED),
        ErrorCode.GOVERNED: _forbidden(
            "Only a decision of the companies may do this; propose it.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.SYSTEM_ONLY: _forbidden(
            "Only the ledger itself does this; it cannot be decided.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.UNKNOWN_MEMBER: _refused(
            "There is no such member, or it was removed; look at the members.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.UNKNOWN_COMPANY: _refused(
            "There is no such company; a new one takes the next number.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.MEMBER_EXISTS: _conflict("This identity is a member's, or was one's; take another key."),
        ErrorCode.MEMBERS_FULL: _conflict("The consortium has 128 members, those removed included; no more fit."),
        ErrorCode.ROLES: _refused(
            "These roles do not exist, or this takes a participant; look at the members.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.ACTIVE: _conflict("The member is active already; nothing is to be resumed."),
        ErrorCode.NOT_ACTIVE: _conflict("The member is suspended already; it can be resumed or removed."),
        ErrorCode.STILL_VALIDATOR: _conflict(
            "The member is a validator; take its vote key away first, then remove it."
        ),
        ErrorCode.VOTE_KEY_SAME: _conflict("The member has this vote key already; nothing would change."),
        ErrorCode.VOTE_KEY_USED: _conflict("This vote key is another member's, or was one's; make a new key."),
        ErrorCode.ONE_VALIDATOR_PER_COMPANY: _conflict(
            "The company has a validator; take the vote key of that one away first."
        ),
        ErrorCode.VALIDATORS_CHANGED: _conflict(
            "This block has changed as many validators as one may; vote again in the next."
        ),
        ErrorCode.VALIDATORS_MIN: _conflict("No fewer than four validators may be left; add another one first."),
        ErrorCode.VALIDATORS_FULL: _conflict("There are 64 validators; no more fit."),
        ErrorCode.COMPANIES_MIN: _refused(
            "A committee spans at least 2 or 3 companies, no other number.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.UPGRADE_PENDING: _conflict("Other code is scheduled already; cancel that first, or wait for it."),
        ErrorCode.UPGRADE_HEIGHT: _refused(
            "New code comes at least 16 blocks ahead; propose a later height.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.CODE: _refused(
            "New code is one hash for each contract named, none of them twice or zero.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.NO_UPGRADE: _conflict("No other code is scheduled; there is nothing to cancel."),
        ErrorCode.MODEL_RETIRED: _conflict(
            "The companies have retired this model; ask for another one.", Exit.QUERY_OUTDATED
        ),
        ErrorCode.PARTICIPANT_ONLY: _forbidden("Only an active participant may do this.", Exit.LEDGER_REVERTED),
        ErrorCode.MPC_ONLY: _forbidden("Only an active computing member may do this.", Exit.LEDGER_REVERTED),
        ErrorCode.NOT_A_HOLDER: _forbidden(
            "This member holds no share of that key, or the key is not being made.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.NOT_A_PARTY: _forbidden("The query does not concern whoever says this.", Exit.LEDGER_REVERTED),
        ErrorCode.CLAIMANT_ONLY: _forbidden("Only whoever opened the dispute may withdraw it.", Exit.LEDGER_REVERTED),
        ErrorCode.MODEL_HASH: _refused(
            "A model is named by the hash of its document, which is not zero.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.MODEL_EXISTS: _conflict("This model was published already, and a hash is never published twice."),
        ErrorCode.MODELS_FULL: _conflict("There are 65,536 models, which is the most."),
        ErrorCode.CLASSES: _refused(
            "A model needs at least one data class, of the 128 that there can be.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.MINIMUM: _refused("Between 1 and 128 companies must contribute to a model.", Exit.LEDGER_REVERTED),
        ErrorCode.MODE: _refused("The audit mode is 1 before release, 2 after release or 3 off.", Exit.LEDGER_REVERTED),
        ErrorCode.PURPOSE: _refused("A purpose is a text that is not empty.", Exit.LEDGER_REVERTED),
        ErrorCode.PURPOSES_FULL: _conflict("All models together have 64 different purposes, which is the most."),
        ErrorCode.ISOLATION: _refused(
            "The isolation figures are out of range, or above the limits of the companies.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.SUPPLIERS_TOO_FEW: _conflict(
            "Too few active participants supply the data classes of this model and approve it."
        ),
        ErrorCode.APPROVAL_SAME: _conflict("The participant has approved this model already, or has not approved it."),
        ErrorCode.INQUIRER_EXISTS: _conflict("This key is or was an inquirer, or it is zero; make a new key."),
        ErrorCode.INQUIRERS_FULL: _conflict("There are as many inquirers as there can be."),
        ErrorCode.QUOTA: _refused("A quota is a number of queries a day below 4,294,967,296.", Exit.LEDGER_REVERTED),
        ErrorCode.FEES: _refused("A fee or its time is larger than the ledger can hold.", Exit.LEDGER_REVERTED),
        ErrorCode.FEES_FULL: _conflict("The fees of this model were changed 1,024 times, which is the most."),
        ErrorCode.EPOCH: _conflict(
            "A new epoch has the next number, and keys that differ from each other and from those before."
        ),
        ErrorCode.HOLDERS: _refused(
            "Every holder of a share must be an active computing member.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.THRESHOLD: _refused(
            "The threshold is at least 2 and at most the number of holders.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.BUDGET: _refused("A budget is larger than the ledger can hold.", Exit.LEDGER_REVERTED),
        ErrorCode.OPRF_FULL: _conflict("This participant has had as many keys as there can be."),
        ErrorCode.HOUR_REPORTED: _conflict("This hour or a later one was reported already."),
        ErrorCode.USAGE_FORM: _refused(
            "Usage is one count for each participant, in ascending order.", Exit.LEDGER_REVERTED
        ),
        ErrorCode.MARK_NOT_AHEAD: _conflict("A mark only moves on; what is below it is used up."),
        ErrorCode.DISPUTE_KIND: _refused("There is no such kind of dispute.", Exit.LEDGER_REVERTED),
        ErrorCode.DISPUTE_FORM: _refused("The statement of the inquirer is not about this.", Exit.LEDGER_REVERTED),
        ErrorCode.DISPUTE_CLOSED: _conflict("The dispute is closed."),
        ErrorCode.UNKNOWN_DISPUTE: Entry("NOT_FOUND", 404, Exit.LEDGER_REVERTED, "There is no such dispute."),
        ErrorCode.STATEMENT_USED: _conflict("This statement was heard already; the inquirer must sign another one."),
        ErrorCode.OUTCOME: _refused("A dispute is upheld (2), rejected (3) or withdrawn (4).", Exit.LEDGER_REVERTED),
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
        ErrorCode.REJOIN: _conflict(
            "The statement that a validator may vote again does not hold here.", Exit.LEDGER_REJOIN
        ),
        ErrorCode.CONFIG: _ours("The configuration is wrong.", Exit.CONFIG),
        ErrorCode.KEY_FILE: _ours("A key file is damaged or weaker than allowed.", Exit.KEYS),
        ErrorCode.PASSPHRASE: _ours("The passphrase does not open the key file.", Exit.KEYS),
        ErrorCode.PERMISSIONS: _ours("A private file can be read by others.", Exit.PERMISSIONS),
        ErrorCode.LOCKED: _ours("Another process uses the data directory.", Exit.LOCKED),
        ErrorCode.STORAGE: _ours("The disk failed.", Exit.STORAGE),
        ErrorCode.MODEL: _ours("A model document is wrong.", Exit.MODEL),
        ErrorCode.RECORDS: _ours("The records cannot be read.", Exit.RECORDS),
        ErrorCode.DISK_FULL: _ours("The disk is full; nothing that was confirmed is lost. Make room.", Exit.DISK_FULL),
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
