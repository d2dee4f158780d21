"""Bodies of many subjects at a node: rows come in, outputs go out."""

from collections.abc import Mapping

from mpcnode.errors import StorageError, UnavailableError
from mpcnode.mpc import Batch
from mpcnode.query.blobs import BlobKind, BlobLabel
from mpcnode.query.view import QueryView
from mpcnode.roles.blobs import kept_until
from mpcnode.roles.context import Context, send_blob
from mpcnode.roles.failures import AttemptFailedError
from mpcnode.roles.rows import shapes_of
from mpcnode.roles.waiting import collect
from mpcnode.sealing.blobs import KEY_BYTES, BlobReference, encode_reference
from mpcnode.types import FailReason, MemberIndex


async def await_rows(
    context: Context, view: QueryView, batch: Batch, sent: Mapping[MemberIndex, bytes], by: float
) -> None:
    """Wait until the last node holds everybody's rows.

    Args:
        context: the node's.
        view: the query.
        batch: what runs.
        sent: by participant, the references that they committed to.
        by: until when, by the loop's time.

    Raises:
        AttemptFailedError: a participant did not send them in time, or others than it committed to; or there is no room
            for them here, which is no fault of theirs.
    """
    waits = {member: context.blobs.whole(_label(view, BlobKind.ROWS, member)) for member in sent}
    try:
        arrived = await collect("rows", waits, by)
    except AttemptFailedError as error:
        rows = (sum(shape.size for shape in shapes_of(batch, seat)) for seat in range(len(batch.whole.body.rows)))
        if await context.blobs.has_room(max(rows)):
            raise
        raise AttemptFailedError(FailReason.ABORT, "rows: no room for them here", (context.me.index,)) from error
    for member, manifest in arrived.items():
        if not sent[member].startswith(manifest.blob):
            why = f"member {member}: sent another blob of rows than it committed to"
            raise AttemptFailedError(FailReason.BAD_SHARE, why, (member,))


async def hand_over(context: Context, view: QueryView, share: bytes, by: float) -> bytes:
    """Put a node's output share of many subjects where it is fetched; return its reference.

    Raises:
        AttemptFailedError: there is no room for it here, or who has to hold it does not by the loop's time `by`.
    """
    label, key = _label(view, BlobKind.OUTPUT, context.me.index), context.random(KEY_BYTES)
    until = kept_until(label.kind, view.deadline)
    try:
        manifest = await context.blobs.create(label, key, (share,), until)
    except (UnavailableError, StorageError) as error:
        raise AttemptFailedError(FailReason.ABORT, f"output: {error}", (context.me.index,)) from error
    holders = (context.dealer, context.operator)
    sends = {holder: send_blob(context, view.query, holder, manifest.blob) for holder in holders}
    held = await collect("held outputs", sends, by)
    refusing = [holder for holder in holders if not held[holder]]
    if refusing:
        raise AttemptFailedError(FailReason.ABORT, f"output: refused by members {refusing}", refusing)
    return encode_reference(BlobReference(blob=manifest.blob, key=key))


def _label(view: QueryView, kind: BlobKind, author: MemberIndex) -> BlobLabel:
    return BlobLabel(query=view.query, attempt=view.attempt, kind=kind, author=author)
