"""The participant role: decide by own policy, look the subject up, commit and share the attributes.

Whatever the look-up finds, the participant does the same things at the same times with the same sizes: a subject that
it does not know contributes a row of zeros. It learns that a query touched it, for which model and purpose; never a
result.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import nacl.secret
import structlog

from ledger.encoding import Reader, Writer
from ledger.types import Digest
from mpcnode.errors import ErrorCode, RequestError, SealedBoxError
from mpcnode.mpc import SEED_BYTES, RowContext, RowShape, split_row
from mpcnode.query.contribution import (
    AuditRecord,
    decode_audit_record,
    encode_audit_record,
    encode_contribution,
)
from mpcnode.query.messages import BOX_BYTES_MAX, Kind, Order, Shares, decode_order, encode_shares
from mpcnode.query.request import Request, check_open, check_own_token, check_signed_request, read_request
from mpcnode.query.statements import SharesStatement, encode_shares_statement
from mpcnode.query.view import QueryView
from mpcnode.roles.context import RESUMED_MAX, Context, QueryTasks, deliver, settle, while_current
from mpcnode.roles.ports import Call, Handler, RecordsPort
from mpcnode.roles.programs import model_of, supplied_classes
from mpcnode.scorecard import Attribute, Contribution
from mpcnode.sealing.commitments import SALT_BYTES, ShareLabel, share_commitment
from mpcnode.sealing.envelopes import ENVELOPE_SECRET_BYTES, seal_envelope
from mpcnode.sealing.keys import OpeningKey
from mpcnode.sealing.pseudonyms import SubjectToken, open_token, token_opens
from mpcnode.types import Commitment, Epoch, MemberIndex, QueryId, QueryState, RefusalCode

_log = structlog.get_logger(__name__)

_ORDER = "order"
"""Journal: orders by query."""

_CONTRIBUTION = "contribution"
"""Journal: contributions by query and attempt, encrypted."""

_MOVED_ON = {
    ErrorCode.WRONG_STATE,
    ErrorCode.WRONG_ATTEMPT,
    ErrorCode.ALREADY_CONTRIBUTED,
    ErrorCode.TOO_LATE,
}


def _is_past(attempt: int) -> Callable[[QueryView], bool]:
    return lambda view: view.attempt > attempt or view.is_over


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A contribution to one attempt, in bytes."""

    record: AuditRecord = field(repr=False)
    envelope: bytes = field(repr=False)
    sent: tuple[bytes, ...] = field(repr=False)
    """For each node in rank order."""
    commitments: tuple[Commitment, ...]


class Participant:
    """One participant."""

    def __init__(
        self, context: Context, *, records: RecordsPort, sealing: OpeningKey, subject_epoch: Epoch, journal_key: bytes
    ) -> None:
        """Take the role's context, its records, the key that opens tokens, and a key for what the journal keeps."""
        self._context = context
        self._records = records
        self._sealing = sealing
        self._subject_epoch = subject_epoch
        self._box = nacl.secret.SecretBox(journal_key)
        self._ordered: asyncio.Queue[QueryId] = asyncio.Queue()

    @property
    def handlers(self) -> Mapping[Kind, Handler]:
        """What peers may deliver to this role."""
        return {Kind.ORDER: self._on_order}

    async def _on_order(self, _sender: MemberIndex, payload: bytes) -> None:
        """Keep an order; whatever is wrong with it is said at once, and nothing is kept."""
        context, order = self._context, decode_order(payload)
        context.check_inquirer(order.inquirer)
        request = check_signed_request(order.statement, order.signature, order.inquirer, context.chain)
        check_open(request, context.clock.now_ms())
        check_own_token(request, context.me.index, order.token, order.path)
        is_new = await context.journal.put_once(_ORDER, request.query, payload)
        if not is_new and payload != await context.journal.get(_ORDER, request.query):
            raise RequestError(f"order {request.query.hex()}: expected the one sent before", ErrorCode.QUERY_EXISTS)
        # also when it is not new: a sender that hung up while it was put has cancelled what follows
        self._ordered.put_nowait(request.query)

    async def run(self) -> None:
        """Serve every order, those from before a restart first; runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            queries = QueryTasks(group)
            for key, kept in await self._context.journal.items(_ORDER, RESUMED_MAX):
                if read_request(decode_order(kept).statement).deadline > self._context.clock.now_ms():
                    queries.start(QueryId(key), partial(self._serve, QueryId(key)))
            while True:
                query = await self._ordered.get()
                queries.start(query, partial(self._serve, query))

    async def _serve(self, query: QueryId) -> None:
        """Contribute to every attempt of a query until it ends. An order waits here for its registration."""
        context = self._context
        kept = await context.journal.get(_ORDER, query)
        order = decode_order(kept or b"")
        request = check_signed_request(order.statement, order.signature, order.inquirer, context.chain)
        try:
            async with asyncio.timeout(max(0, request.deadline - context.clock.now_ms()) / 1000):
                view = await context.ledger.until(query, lambda _: True)
        except TimeoutError:
            _log.info("order.never_registered")
            return
        if view.is_over:
            return
        if view.request != order.statement:
            raise RequestError(f"query {query.hex()}: another request is registered", ErrorCode.REQUEST_FORM)
        token = self._open_token(order, request) if self._allows(view) else None
        while not view.is_over:
            async with while_current(context, view) as sends:
                if token is None:
                    await self._refuse(view)
                else:
                    await self._contribute(view, token, sends)
            view = await context.ledger.until(query, _is_past(view.attempt))

    def _open_token(self, order: Order, request: Request) -> SubjectToken | None:
        """Open the own token; None if it is not a token of this inquirer's query."""
        try:
            token = open_token(order.token, self._sealing)
        except SealedBoxError as error:
            _log.warning("token.unreadable", reason=str(error))
            return None
        if not token_opens(
            token,
            chain=self._context.chain,
            query=request.query,
            inquirer=order.inquirer,
            epoch=self._subject_epoch,
            binding=request.binding,
        ):
            _log.warning("token.of_another_query")
            return None
        return token

    def _allows(self, view: QueryView) -> bool:
        """The own policy, before and independently of the look-up: the model's document must be here, approved."""
        if view.model in self._context.models:
            return True
        _log.warning("model.not_approved", model=view.model.hex())
        return False

    async def _refuse(self, view: QueryView) -> None:
        """Refuse, unless an earlier refusal holds."""
        if view.refused >> self._context.me.index & 1:
            return
        call = Call(
            method="queries.refuse",
            values=(view.query, view.attempt, int(RefusalCode.POLICY), b""),
            expiry_ms=view.deadline,
        )
        await settle(self._context, call, view.query, _MOVED_ON)

    async def _contribute(self, view: QueryView, token: SubjectToken, sends: asyncio.TaskGroup) -> None:
        """Contribute to one attempt: journal, commit at the fixed offset, and push the shares once that is final."""
        context, me = self._context, self._context.me.index
        if view.state is not QueryState.REGISTERED and me not in view.commitments:
            return
        commit_at = asyncio.get_running_loop().time() + context.timing.commit_offset / 1000
        prepared = await self._prepared(view, token)
        await asyncio.sleep(max(0.0, commit_at - asyncio.get_running_loop().time()))
        call = Call(
            method="queries.commit_input",
            values=(view.query, view.attempt, prepared.commitments, prepared.envelope),
            expiry_ms=view.contribute_by,
        )
        if me not in view.commitments:
            await settle(context, call, view.query, _MOVED_ON)
        current = context.ledger.view.get(view.query)
        if current is None or current.attempt != view.attempt or me not in current.commitments:
            return
        for rank, node in enumerate(view.committee):
            payload = self._share_payload(view, prepared, rank, node)
            sends.create_task(deliver(context, view.query, node, Kind.SHARES, payload))

    def _share_payload(self, view: QueryView, prepared: _Prepared, rank: int, node: MemberIndex) -> bytes:
        context = self._context
        stated = encode_shares_statement(
            SharesStatement(
                chain=context.chain,
                query=view.query,
                attempt=view.attempt,
                participant=context.me.index,
                node=node,
                commitment=prepared.commitments[rank],
            )
        )
        return encode_shares(
            Shares(
                query=view.query,
                attempt=view.attempt,
                salt=prepared.record.salts[rank],
                sent=prepared.sent[rank],
                signature=context.sign(stated),
            )
        )

    async def _prepared(self, view: QueryView, token: SubjectToken) -> _Prepared:
        """The contribution to an attempt: made once, journalled encrypted, and the same bytes ever after."""
        key = view.query + bytes((view.attempt,))
        kept = await self._context.journal.get(_CONTRIBUTION, key)
        if kept is None:
            record = self._make_record(view, token)
            envelope = seal_envelope(
                encode_audit_record(record), self._context.epoch, self._context.random(ENVELOPE_SECRET_BYTES)
            )
            plain = Writer().blob(encode_audit_record(record)).blob(envelope).bytes()
            nonce = self._context.random(self._box.NONCE_SIZE)
            await self._context.journal.put_once(_CONTRIBUTION, key, bytes(self._box.encrypt(plain, nonce)))
            return self._prepare(view, record, envelope)
        reader = Reader(self._box.decrypt(kept), "contribution")
        record = decode_audit_record(reader.blob(BOX_BYTES_MAX), len(self._attributes(view)), len(view.committee))
        return self._prepare(view, record, reader.blob(BOX_BYTES_MAX))

    def _attributes(self, view: QueryView) -> tuple[Attribute, ...]:
        """The attributes of the own row, in order."""
        model = model_of(self._context, view)
        row = model.row_layout(supplied_classes(self._context, self._context.me))
        return tuple(model.attributes[place] for place in row)

    def _make_record(self, view: QueryView, token: SubjectToken) -> AuditRecord:
        """Look the subject up, and draw what its row is split with."""
        context = self._context
        attributes = self._attributes(view)
        found = self._records.lookup(token.pseudonym)
        values = tuple(None if found is None else found.get(attribute.name) for attribute in attributes)
        return AuditRecord(
            query=view.query,
            attempt=view.attempt,
            participant=context.me.index,
            model=view.model,
            request_hash=Digest(view.request_hash),
            row=encode_contribution(Contribution(known=found is not None, values=values)),
            seeds=tuple(context.random(SEED_BYTES) for _ in view.committee[1:]),
            salts=tuple(context.random(SALT_BYTES) for _ in view.committee),
        )

    def _prepare(self, view: QueryView, record: AuditRecord, envelope: bytes) -> _Prepared:
        context, me = self._context, self._context.me.index
        row_context = RowContext(query=view.query, attempt=view.attempt, participant=me)
        shape = RowShape(len(self._attributes(view)))
        sent = split_row(record.row, shape, row_context, view.committee, record.seeds)
        labels = (
            ShareLabel(chain=context.chain, query=view.query, attempt=view.attempt, participant=me, node=node)
            for node in view.committee
        )
        commitments = tuple(
            share_commitment(label, given, salt) for label, given, salt in zip(labels, sent, record.salts, strict=True)
        )
        return _Prepared(record=record, envelope=envelope, sent=sent, commitments=commitments)
