"""Opening an answer: from a receipt that verifies, and from nothing else.

The receipt's transactions are folded into a view by the same code that every daemon uses. Each output box must open
with the result key, be of this query, session and node, and open the commitment that its node signed.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

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
from mpcnode.scorecard import Model, Outcome, decode_output, decode_outputs, output_size
from mpcnode.sealing.blobs import REFERENCE_BYTES, BlobReference, decode_reference
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


Bodies = Callable[[BlobReference], bytes]
"""Gives what a reference leads to."""


def open_outcome(view: QueryView, model: Model, key: OpeningKey, supervisor: PublicKey) -> Outcome:
    """Open a posted result about one subject; under audit before release, one that was released.

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
    output = _open_output(view, output_size(model), key, supervisor, None)
    try:
        return decode_output(model, output)
    except MalformedMessageError as error:
        why = f"the answer does not decode, a participant or a node broke the rules: {error}"
        raise ResultError(f"query {view.query.hex()}: {why}") from error


def result_references(view: QueryView, key: OpeningKey, supervisor: PublicKey) -> list[BlobReference]:
    """Return where the shares of a result about many subjects are, and under audit before release their mask.

    Raises:
        RequestError, ResultError: as `open_outcome`.
    """
    shares = _open_shares(view, REFERENCE_BYTES, key)
    if view.mode is AuditMode.BEFORE_RELEASE:
        shares.append(open_release(view, key, REFERENCE_BYTES, supervisor).mask)
    return [decode_reference(share) for share in shares]


def open_outcomes(
    view: QueryView, model: Model, key: OpeningKey, supervisor: PublicKey, bodies: Bodies
) -> tuple[tuple[Outcome | None, ...], NDArray[np.intp]]:
    """Open a posted result about many subjects.

    Args:
        view: from a verified receipt.
        model: the model that was asked.
        key: the query's result key.
        supervisor: who audits.
        bodies: what `result_references` lead to.

    Returns:
        The outcomes that occur, and for each subject which one it is; None is of those whose bits are no outcome.

    Raises:
        RequestError, ResultError: as `open_outcome`, but for bits that are no outcome.
    """
    return decode_outputs(model, _open_output(view, output_size(model) * view.terms.subjects, key, supervisor, bodies))


def _open_output(view: QueryView, size: int, key: OpeningKey, supervisor: PublicKey, bodies: Bodies | None) -> bytes:
    """What the nodes' shares make, the mask taken off; with `bodies`, shares and mask are what references lead to."""
    width = size if bodies is None else REFERENCE_BYTES
    shares = [_body(view, share, size, bodies) for share in _open_shares(view, width, key)]
    output = join_output(shares)
    if view.mode is not AuditMode.BEFORE_RELEASE:
        return output
    release = open_release(view, key, width, supervisor)
    return unmask(replace(release, mask=_body(view, release.mask, size, bodies)), output)


def _body(view: QueryView, share: bytes, size: int, bodies: Bodies | None) -> bytes:
    body = share if bodies is None else bodies(decode_reference(share))
    if len(body) != size:
        raise ResultError(f"query {view.query.hex()}: expected {size} bytes of output, got {len(body)}")
    return body


def _open_shares(view: QueryView, width: int, key: OpeningKey) -> list[bytes]:
    """What the nodes sealed to the inquirer, each as its node signed it, in rank order."""
    if view.result is None or view.session is None or not view.is_released:
        raise RequestError(f"query {view.query.hex()}: no result that may be opened yet", ErrorCode.NOT_READY)
    shares: list[bytes] = []
    for node, box, end in zip(view.committee, view.result.inquirer_boxes, view.result.ends, strict=True):
        opened = _open_box(view, node, box, width, key)
        if not opens_output(
            opened, query=view.query, session=view.session, node=node, commitment=end.output_commitment
        ):
            raise ResultError(f"query {view.query.hex()}: member {node} sealed another share than it signed")
        shares.append(opened.share)
    return shares


def _open_box(view: QueryView, node: MemberIndex, box: bytes, width: int, key: OpeningKey) -> OutputShare:
    try:
        return decode_output_box(open_box(box, key), width)
    except (SealedBoxError, MalformedMessageError, DecodeError) as error:
        raise ResultError(f"query {view.query.hex()}: the box of member {node}: {error}") from error
