"""Making a contribution: look the subjects up, split their rows, commit to what each node is sent.

The same for one subject and for many: the rows are made and split chunk by chunk, and of more than one subject what the
last node is sent goes into a blob, whose reference stands for it everywhere else.
"""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field

import nacl.secret

from ledger.encoding import Reader, Writer
from ledger.types import Digest
from mpcnode.errors import RequestError
from mpcnode.mpc import SEED_BYTES, split_row
from mpcnode.query.blobs import BlobKind, BlobLabel
from mpcnode.query.contribution import AuditRecord, decode_audit_record, encode_audit_record, encode_columns
from mpcnode.query.messages import BOX_BYTES_MAX
from mpcnode.query.view import QueryView
from mpcnode.roles.blobs import create_when_room, kept_until
from mpcnode.roles.context import Context
from mpcnode.roles.ports import RecordsPort
from mpcnode.roles.programs import batch_of, layout_of, model_of, supplied_classes
from mpcnode.roles.rows import SharedRows, recut, shapes_of
from mpcnode.scorecard import row_shapes
from mpcnode.sealing.blobs import KEY_BYTES, BlobReference, decode_reference, encode_reference
from mpcnode.sealing.commitments import SALT_BYTES, ShareLabel, share_commitment
from mpcnode.sealing.envelopes import ENVELOPE_SECRET_BYTES, seal_envelope
from mpcnode.sealing.pseudonyms import PSEUDONYM_BYTES, SubjectToken, pseudonyms_key, pseudonyms_root
from mpcnode.types import BlobId, Commitment, members_of

_CONTRIBUTION = "contribution"
"""Journal: contributions by query and attempt, encrypted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A contribution to one attempt, in bytes."""

    record: AuditRecord = field(repr=False)
    envelope: bytes = field(repr=False)
    sent: tuple[bytes, ...] = field(repr=False)
    """For each node in rank order."""
    commitments: tuple[Commitment, ...]
    rows: BlobId | None
    """The blob that the last node's reference leads to; None for one subject."""


class Contributor:
    """Makes one participant's contributions."""

    def __init__(self, context: Context, records: RecordsPort, journal_key: bytes) -> None:
        """Take the role's context, its records, and a key for what the journal keeps."""
        self._context = context
        self._records = records
        self._box = nacl.secret.SecretBox(journal_key)

    def are_bound(self, view: QueryView, token: SubjectToken) -> bool:
        """Whether the pseudonyms that were sent are those that the token binds; for worker threads.

        Raises:
            SealedBoxError: they do not open.
        """
        return hmac.compare_digest(pseudonyms_root(self._pseudonyms(view, token)), token.pseudonym)

    async def prepare(self, view: QueryView, token: SubjectToken) -> Prepared:
        """Return the contribution to an attempt: made once, journalled encrypted, and the same bytes ever after.

        Raises:
            RequestError: it was made before, and its blob has been lost.
            InputError: a value is too large for the model's rows, hence outside its declared range; it is not sent.
        """
        context, key = self._context, view.query + bytes((view.attempt,))
        kept = await context.journal.get(_CONTRIBUTION, key)
        if kept is None:
            record = await self._make_record(view, token)
            keys, secrets = context.epoch_of(view), context.random(ENVELOPE_SECRET_BYTES)
            envelope = seal_envelope(encode_audit_record(record), keys, secrets)
            plain = Writer().blob(encode_audit_record(record)).blob(envelope).bytes()
            nonce = context.random(self._box.NONCE_SIZE)
            await context.journal.put_once(_CONTRIBUTION, key, bytes(self._box.encrypt(plain, nonce)))
            return self._prepared(view, record, envelope)
        reader = Reader(self._box.decrypt(kept), "contribution")
        plaintext, envelope = reader.blob(BOX_BYTES_MAX), reader.blob(BOX_BYTES_MAX)
        shape = row_shapes(layout_of(context, view), view.terms.subjects)[self._shared(view).seat]
        record = decode_audit_record(plaintext, shape, len(view.committee))
        prepared = self._prepared(view, record, envelope)
        if prepared.rows is not None and not await context.blobs.is_whole(prepared.rows):
            raise RequestError(f"query {view.query.hex()}: the blob of the rows that were committed to is gone")
        return prepared

    def _attributes(self, view: QueryView) -> tuple[str, ...]:
        """Names of the attributes of the own row, in order."""
        model = model_of(self._context, view)
        row = model.row_layout(supplied_classes(self._context, self._context.me))
        return tuple(model.attributes[place].name for place in row)

    def _shared(self, view: QueryView) -> SharedRows:
        me = self._context.me.index
        return SharedRows(
            query=view.query,
            attempt=view.attempt,
            participant=me,
            seat=tuple(members_of(view.panel)).index(me),
            committee=view.committee,
        )

    def _pseudonyms(self, view: QueryView, token: SubjectToken) -> Iterator[bytes]:
        if view.terms.subjects == 1:
            return iter((token.pseudonym,))
        key = pseudonyms_key(token.nonce, view.query)
        return self._context.blobs.read(BlobReference(blob=view.terms.pseudonyms, key=key))

    def _rows(self, view: QueryView, token: SubjectToken) -> Iterator[bytes]:
        """Look the subjects up, chunk by chunk."""
        batch, attributes = batch_of(self._context, view), self._attributes(view)
        ring = shapes_of(batch, self._shared(view).seat)[0].ring
        sizes = (PSEUDONYM_BYTES * len(batch.subjects_of(chunk)) for chunk in range(batch.chunks))
        for pseudonyms in recut(self._pseudonyms(view, token), sizes):
            yield encode_columns(self._records.lookup(pseudonyms, attributes), ring)

    def _corrections(self, view: QueryView, token: SubjectToken, seeds: tuple[bytes, ...]) -> Iterator[bytes]:
        """What is left of every chunk's rows for the last node."""
        batch, shared = batch_of(self._context, view), self._shared(view)
        for chunk, row in enumerate(self._rows(view, token)):
            shape = batch.program(chunk).body.rows[shared.seat]
            yield split_row(row, shape, shared.context(chunk), view.committee, seeds)[-1]

    async def _make_record(self, view: QueryView, token: SubjectToken) -> AuditRecord:
        """Look the subjects up, and draw what their rows are split with."""
        context = self._context
        seeds = tuple(context.random(SEED_BYTES) for _ in view.committee[1:])
        if view.terms.subjects == 1:
            (row,) = self._rows(view, token)
        else:
            key = context.random(KEY_BYTES)
            label = BlobLabel(query=view.query, attempt=view.attempt, kind=BlobKind.ROWS, author=context.me.index)
            until = kept_until(label.kind, view.deadline)
            manifest = await create_when_room(context, label, key, lambda: self._corrections(view, token, seeds), until)
            row = encode_reference(BlobReference(blob=manifest.blob, key=key))
        return AuditRecord(
            query=view.query,
            attempt=view.attempt,
            participant=context.me.index,
            model=view.model,
            request_hash=Digest(view.request_hash),
            row=row,
            seeds=seeds,
            salts=tuple(context.random(SALT_BYTES) for _ in view.committee),
        )

    def _prepared(self, view: QueryView, record: AuditRecord, envelope: bytes) -> Prepared:
        context, shared = self._context, self._shared(view)
        if view.terms.subjects == 1:
            shape = batch_of(context, view).program(0).body.rows[shared.seat]
            sent, rows = split_row(record.row, shape, shared.context(0), view.committee, record.seeds), None
        else:
            sent, rows = (*record.seeds, record.row), decode_reference(record.row).blob
        labels = (
            ShareLabel(
                chain=context.chain,
                query=view.query,
                attempt=view.attempt,
                participant=context.me.index,
                node=node,
            )
            for node in view.committee
        )
        commitments = tuple(
            share_commitment(label, given, salt) for label, given, salt in zip(labels, sent, record.salts, strict=True)
        )
        return Prepared(record=record, envelope=envelope, sent=sent, commitments=commitments, rows=rows)
