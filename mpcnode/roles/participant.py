"""The participant role: decide by own policy, look the subject up, commit and share the attributes.

Whatever the look-up finds, the participant does the same things at the same times with the same sizes: a subject that
it does not know contributes a row of zeros. It learns that a query touched it, for which model and purpose; never a
result.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from mpcnode.errors import ErrorCode, InputError, RequestError, SealedBoxError
from mpcnode.query.blobs import EVERY_ATTEMPT, INQUIRER, BlobKind, BlobLabel
from mpcnode.query.messages import Kind, Order, Shares, decode_order, encode_shares
from mpcnode.query.request import Request, check_open, check_own_token, check_signed_request, read_request
from mpcnode.query.statements import SharesStatement, encode_shares_statement
from mpcnode.query.view import QueryView
from mpcnode.roles.context import RESUMED_MAX, Context, QueryTasks, keep_delivered, send_blob, settle, while_current
from mpcnode.roles.contributing import Contributor, Prepared
from mpcnode.roles.ports import Call, Handler, RecordsPort
from mpcnode.sealing.keys import OpeningKey
from mpcnode.sealing.pseudonyms import SubjectToken, open_token, token_opens
from mpcnode.types import Epoch, MemberIndex, QueryId, QueryState, RefusalCode

_log = structlog.get_logger(__name__)

_ORDER = "order"
"""Journal: orders by query."""

_MOVED_ON = {
    ErrorCode.WRONG_STATE,
    ErrorCode.WRONG_ATTEMPT,
    ErrorCode.ALREADY_CONTRIBUTED,
    ErrorCode.TOO_LATE,
}


def _is_past(attempt: int) -> Callable[[QueryView], bool]:
    return lambda view: view.attempt > attempt or view.is_over


class Participant:
    """One participant."""

    def __init__(
        self, context: Context, *, records: RecordsPort, sealing: OpeningKey, subject_epoch: Epoch, journal_key: bytes
    ) -> None:
        """Take the role's context, its records, the key that opens tokens, and a key for what the journal keeps."""
        self._context = context
        self._contributor = Contributor(context, records, journal_key)
        self._sealing = sealing
        self._subject_epoch = subject_epoch
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
        if token is not None and not await self._has_pseudonyms(view, token):
            token = None
        view = await context.ledger.until(query, lambda _: True)
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

    async def _has_pseudonyms(self, view: QueryView, token: SubjectToken) -> bool:
        """Wait for the pseudonyms of many subjects; whether they are those that S binds. A token holds that of one."""
        if view.terms.subjects == 1:
            return True
        label = BlobLabel(query=view.query, attempt=EVERY_ATTEMPT, kind=BlobKind.PSEUDONYMS, author=INQUIRER)
        try:
            async with asyncio.timeout(max(0, view.deadline - self._context.clock.now_ms()) / 1000):
                await self._context.blobs.whole(label)
            return await asyncio.to_thread(self._contributor.are_bound, view, token)
        except (TimeoutError, SealedBoxError, RequestError) as error:
            _log.warning("pseudonyms.unreadable", reason=str(error))
            return False

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
        """Contribute to one attempt: journal, then commit and push the shares at the fixed offset.

        A node keeps its share until the ledger shows the commitment, in memory: one that restarts meanwhile is sent it
        again. Of a contribution that never gets there it has what it would have had of one that did, a uniform share.
        """
        context, me = self._context, self._context.me.index
        if view.state is not QueryState.REGISTERED and me not in view.commitments:
            return
        commit_at = asyncio.get_running_loop().time() + context.timing.commit_offset / 1000
        try:
            prepared = await self._contributor.prepare(view, token)
        except InputError as error:
            # the supervisor would reject it, and name this member; so it counts as absent
            _log.warning("contribution.impossible", reason=str(error))
            return
        if prepared.rows is not None:
            sends.create_task(send_blob(context, view.query, view.committee[-1], prepared.rows))
            if not await send_blob(context, view.query, context.dealer, prepared.rows):
                return
        await asyncio.sleep(max(0.0, commit_at - asyncio.get_running_loop().time()))
        for rank, node in enumerate(view.committee):
            payload = self._share_payload(view, prepared, rank, node)
            sends.create_task(keep_delivered(context, view.query, node, Kind.SHARES, payload))
        if me in view.commitments:
            return
        call = Call(
            method="queries.commit_input",
            values=(view.query, view.attempt, prepared.commitments, prepared.envelope),
            expiry_ms=view.contribute_by,
        )
        await settle(context, call, view.query, _MOVED_ON)

    def _share_payload(self, view: QueryView, prepared: Prepared, rank: int, node: MemberIndex) -> bytes:
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
