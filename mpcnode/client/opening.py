"""Opening an answer: from a receipt that verifies, and from nothing else.

The receipt's transactions are folded into a view by the same code that every daemon uses. Each output box must open
with the result key, be of this query, session and node, and open the commitment that its node signed.
"""

from collections.abc import Sequence

from ledger.contract.abi import decode_log
from ledger.errors import DecodeError, LedgerError
from ledger.receipts import VerifiedReceipt, verify_receipt
from ledger.types import PublicKey
from mpcnode.config.consortium import Consortium
from mpcnode.errors import ErrorCode, MalformedMessageError, NodeError, RequestError, ResultError, SealedBoxError
from mpcnode.mpc import join_output
from mpcnode.query.events import event_of
from mpcnode.query.release import open_release, unmask
from mpcnode.query.view import LedgerView, QueryView
from mpcnode.scorecard import Model, Outcome, decode_output, output_size
from mpcnode.sealing.boxes import open_box
from mpcnode.sealing.commitments import OutputShare, opens_output
from mpcnode.sealing.commitments import decode_output as decode_output_box
from mpcnode.sealing.keys import OpeningKey, verify
from mpcnode.types import AuditMode, MemberIndex, QueryId, Verdict

_QUERIES = "queries"


def view_of_receipt(data: bytes, consortium: Consortium) -> QueryView:
    """Verify a receipt offline and return what it proves of its one query.

    Raises:
        InvalidProofError: the receipt does not verify.
        RequestError: it is not the receipt of one query from its registration on.
    """
    verified = verify_receipt(data, consortium.genesis(), verify)
    views = _views(verified, consortium)
    if len(views) != 1:
        raise RequestError(f"receipt: expected transactions of one query, got {len(views)}", ErrorCode.RECEIPT_INVALID)
    return views[0]


def shown_queries(verified: VerifiedReceipt, consortium: Consortium) -> list[dict[str, str | int | None]]:
    """Return what a verified receipt says of its queries, for people and programs: mode and verdict of the audit, too.

    Raises:
        RequestError: it does not hold its queries from the registration on.
    """
    names = {model.model: model.name for model in consortium.models}
    return [
        {
            "query": view.query.hex(),
            "model": names[view.model],
            "state": view.state.name.lower(),
            "attempt": view.attempt,
            "audit": view.mode.name.lower().replace("_", " "),
            "correlations": str(consortium.correlations),
            "verdict": None if view.verdict is None else Verdict(view.verdict).name,
        }
        for view in _views(verified, consortium)
    ]


def _views(verified: VerifiedReceipt, consortium: Consortium) -> Sequence[QueryView]:
    try:
        return _fold(verified, consortium)
    except (NodeError, LedgerError) as error:
        # every transaction is on the ledger, but some are left out, or it is another contract's
        raise RequestError(f"receipt: {error}", ErrorCode.RECEIPT_INVALID) from error


def _fold(verified: VerifiedReceipt, consortium: Consortium) -> Sequence[QueryView]:
    ledger = LedgerView({model.model: model.audit for model in consortium.models})
    queries: dict[QueryId, None] = {}
    for proven in verified.transactions:
        logs = [decode_log(log) for log in proven.receipt.logs]
        events = [event_of(log.event, log.values) for log in logs if log.contract == _QUERIES]
        queries |= dict.fromkeys(ledger.apply(proven.height, proven.timestamp_ms, events))
    return [view for query in queries if (view := ledger.get(query)) is not None]


def open_outcome(view: QueryView, model: Model, key: OpeningKey, supervisor: PublicKey) -> Outcome:
    """Open a posted result; under audit before release, one that was released.

    Args:
        view: from a verified receipt.
        model: the model that was asked.
        key: the query's result key.
        supervisor: who audits.

    Raises:
        RequestError: there is no result yet, or it is not released.
        ResultError: a box or the release does not open, a share is not what its node signed, or the shares do not make
            what the supervisor signed; do not use the answer.
    """
    if view.result is None or view.session is None or not view.is_released:
        raise RequestError(f"query {view.query.hex()}: no result that may be opened yet", ErrorCode.NOT_READY)
    shares: list[bytes] = []
    for node, box, end in zip(view.committee, view.result.inquirer_boxes, view.result.ends, strict=True):
        opened = _open_box(view, node, box, model, key)
        if not opens_output(
            opened, query=view.query, session=view.session, node=node, commitment=end.output_commitment
        ):
            raise ResultError(f"query {view.query.hex()}: member {node} sealed another share than it signed")
        shares.append(opened.share)
    output = join_output(shares)
    if view.mode is AuditMode.BEFORE_RELEASE:
        output = unmask(open_release(view, key, output_size(model), supervisor), output)
    try:
        return decode_output(model, output)
    except MalformedMessageError as error:
        raise ResultError(f"query {view.query.hex()}: {error}") from error


def _open_box(view: QueryView, node: MemberIndex, box: bytes, model: Model, key: OpeningKey) -> OutputShare:
    try:
        return decode_output_box(open_box(box, key), output_size(model))
    except (SealedBoxError, MalformedMessageError, DecodeError) as error:
        raise ResultError(f"query {view.query.hex()}: the box of member {node}: {error}") from error
