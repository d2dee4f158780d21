"""The operator role: the desk at which inquirers ask. It registers, sends orders, and hands receipts back.

It learns who asks which model and when; never the subject, an input or a result: tokens, supervisor copy and boxes are
sealed to others.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial

import structlog

from ledger import merkle
from ledger.types import Cosignature, Height, Millis, PublicKey
from mpcnode.errors import CallerError, ErrorCode, NotAllowedError, RequestError, UnavailableError
from mpcnode.query.blobs import BlobKind
from mpcnode.query.committee import pool_order
from mpcnode.query.messages import Kind, Order, encode_order
from mpcnode.query.request import (
    Request,
    SealedRequest,
    check_sealed_request,
    decode_request,
    decode_sealed_request,
    encode_sealed_request,
    read_request,
)
from mpcnode.query.view import QueryView
from mpcnode.roles.blobs import kept_until
from mpcnode.roles.context import RESUMED_MAX, Context, QueryTasks, deliver, send_blob, until_over
from mpcnode.roles.ports import Call, Handler
from mpcnode.sealing.pseudonyms import IDENTIFIER_BYTES_MAX, PSEUDONYM_BYTES
from mpcnode.types import Bitmap, BlobId, MemberIndex, ModelHash, QueryId, members_of

_log = structlog.get_logger(__name__)

_REQUEST = "request"
"""Journal: sealed requests by query id."""


class Operator:
    """The desk."""

    def __init__(self, context: Context) -> None:
        """Take the role's context."""
        self._context = context
        self._ordered: asyncio.Queue[QueryId] = asyncio.Queue()

    @property
    def handlers(self) -> Mapping[Kind, Handler]:
        """What peers may deliver to this role: nothing."""
        return {}

    async def run(self) -> None:
        """Send the orders of every open query, those from before a restart first; runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            queries = QueryTasks(group)
            for key, kept in await self._context.journal.items(_REQUEST, RESUMED_MAX):
                if read_request(decode_sealed_request(kept).statement).deadline > self._context.clock.now_ms():
                    queries.start(QueryId(key), partial(self._resume, QueryId(key)))
            while True:
                query = await self._ordered.get()
                queries.start(query, partial(self._order, query))

    def check_inquirer(self, inquirer: PublicKey) -> None:
        """Check that the consortium knows an inquirer.

        Raises:
            NotAllowedError: it does not.
        """
        self._context.check_inquirer(inquirer)

    async def panel(self, model: ModelHash) -> Bitmap:
        """Return the participants that a model asks now; none if the consortium has no such model."""
        return await self._context.ledger.panel(model)

    async def ask(self, sealed: SealedRequest) -> Height:
        """Register a query.

        Returns:
            The height at which the registration became final.

        Raises:
            CallerError: the request breaks a rule, with its code; nothing was registered.
            UnavailableError: the ledger did not include it in time.
        """
        self.check_inquirer(sealed.inquirer)
        request = check_sealed_request(sealed, self._context.chain, now=self._context.clock.now_ms())
        body = encode_sealed_request(sealed)
        known = await self._context.journal.get(_REQUEST, request.query)
        if known is not None and known != body:
            raise RequestError(f"query {request.query.hex()}: expected the request sent before", ErrorCode.QUERY_EXISTS)
        await self._check_blobs(request)
        view = self._context.ledger.view.get(request.query)
        if view is not None:
            if known is not None:
                self._ordered.put_nowait(request.query)
            return self._registered(view, sealed)
        call = self._registration(sealed)
        await self._context.ledger.preflight(call)
        if not await self._context.journal.put_once(_REQUEST, request.query, body):
            known = await self._context.journal.get(_REQUEST, request.query)
            if known != body:
                raise RequestError(f"query {request.query.hex()}: asked twice at once", ErrorCode.QUERY_EXISTS)
        await self._keep_blobs(request)
        # before the registration is final: an inquirer that hangs up meanwhile does not stop it
        self._ordered.put_nowait(request.query)
        return await self._submit(call, request.query, sealed)

    async def _check_blobs(self, request: Request) -> None:
        """Check that what many subjects' pseudonyms and identifiers are in is here, whole and as large as it must be.

        Raises:
            RequestError: NOT_READY if it is not here yet, REQUEST_FORM if it is something else.
        """
        widths = {BlobKind.PSEUDONYMS: PSEUDONYM_BYTES, BlobKind.IDENTIFIERS: IDENTIFIER_BYTES_MAX}
        for kind, blob in _blobs_of(request).items():
            if not await self._context.blobs.is_whole(blob):
                raise RequestError(
                    f"blob {blob.hex()}: expected it whole before it is asked about", ErrorCode.NOT_READY
                )
            offer, _ = await self._context.blobs.about(blob)
            is_of_query = (offer.label.query, offer.label.kind) == (request.query, kind)
            if not is_of_query or offer.manifest.length != widths[kind] * request.subjects:
                raise RequestError(
                    f"blob {blob.hex()}: expected {kind.name} of {request.subjects} subjects of this query"
                )

    async def _keep_blobs(self, request: Request) -> None:
        """Keep what is asked about as long as inputs are kept; what was only offered is swept much sooner."""
        for kind, blob in _blobs_of(request).items():
            offer, _ = await self._context.blobs.about(blob)
            await self._context.blobs.offer(offer, kept_until(kind, request.deadline))

    async def _submit(self, call: Call, query: QueryId, sealed: SealedRequest) -> Height:
        try:
            return await self._context.ledger.submit(call)
        except CallerError as refused:
            view = self._context.ledger.view.get(query)
            if refused.code is ErrorCode.QUERY_EXISTS and view is not None:
                return self._registered(view, sealed)
            raise

    def _registered(self, view: QueryView, sealed: SealedRequest) -> Height:
        if view.request != sealed.statement:
            raise RequestError(f"query {view.query.hex()}: another request is registered", ErrorCode.QUERY_EXISTS)
        return view.registered_height

    def _registration(self, sealed: SealedRequest) -> Call:
        context = self._context
        request = check_sealed_request(sealed, context.chain, now=context.clock.now_ms())
        order = pool_order(request.query, 1, context.members.values(), excluded=0)
        return Call(
            method="queries.register",
            values=(sealed.supervisor_copy, order),
            cosigners=(Cosignature(key=sealed.inquirer, statement=sealed.statement, signature=sealed.signature),),
            expiry_ms=request.contribute_by,
        )

    async def _resume(self, query: QueryId) -> None:
        """Take up a query from before a restart: register it if time is left, then order."""
        if self._context.ledger.view.get(query) is None:
            body = await self._context.journal.get(_REQUEST, query)
            sealed = decode_sealed_request(body or b"")
            try:
                await self._submit(self._registration(sealed), query, sealed)
            except (CallerError, UnavailableError) as refused:
                _log.info("request.abandoned", query=query.hex(), code=refused.code)
                return
        await self._order(query)

    async def _order(self, query: QueryId) -> None:
        """Send the order to panel and every committee, once registered, until acknowledged or the query ends."""
        body = await self._context.journal.get(_REQUEST, query)
        sealed = decode_sealed_request(body or b"")
        view = await self._seen(query, decode_request(sealed.statement).deadline)
        if view is None or view.is_over:
            return
        panel = tuple(members_of(view.panel))
        sent: set[MemberIndex] = set()
        async with until_over(self._context, query) as tasks:
            if view.terms.subjects > 1:
                tasks.create_task(send_blob(self._context, query, self._context.dealer, view.terms.identifiers))
                for member in panel:
                    tasks.create_task(send_blob(self._context, query, member, view.terms.pseudonyms))
            while True:
                for member in {*panel, *view.committee} - sent:
                    payload = encode_order(_order_for(sealed, panel, member))
                    tasks.create_task(deliver(self._context, query, member, Kind.ORDER, payload))
                    sent.add(member)
                attempt = view.attempt
                view = await self._context.ledger.until(query, _is_past(attempt))

    async def _seen(self, query: QueryId, deadline: Millis) -> QueryView | None:
        """Wait until the own replica shows a query; None if it does not by its deadline."""
        try:
            async with asyncio.timeout(max(0, deadline - self._context.clock.now_ms()) / 1000):
                return await self._context.ledger.until(query, lambda _: True)
        except TimeoutError:
            return None

    async def follow(self, query: QueryId, inquirer: PublicKey) -> AsyncIterator[QueryView]:
        """Yield the inquirer's query now and after every change until nothing more will happen to it.

        Raises:
            RequestError: there is no such query.
            NotAllowedError: somebody else asked it.
        """
        view = self._own(query, inquirer)
        while True:
            yield view
            if view.is_settled:
                return
            seen = view
            view = await self._context.ledger.until(query, _differs_from(seen))

    async def receipt(self, query: QueryId, inquirer: PublicKey) -> bytes:
        """Return the receipt of the inquirer's query so far."""
        self._own(query, inquirer)
        return await self._context.ledger.receipt(query)

    def _own(self, query: QueryId, inquirer: PublicKey) -> QueryView:
        view = self._context.ledger.view.get(query)
        if view is None:
            raise RequestError(f"query {query.hex()}: not on the ledger", ErrorCode.UNKNOWN_QUERY)
        if not view.asked_by(inquirer):
            raise NotAllowedError(f"query {query.hex()}: expected its inquirer, got {inquirer.hex()}")
        return view


def _blobs_of(request: Request) -> Mapping[BlobKind, BlobId]:
    """The blobs that a request is about; one about one subject is about none."""
    if request.subjects == 1:
        return {}
    return {BlobKind.PSEUDONYMS: request.pseudonyms, BlobKind.IDENTIFIERS: request.identifiers}


def _is_past(attempt: int) -> Callable[[QueryView], bool]:
    return lambda view: view.attempt > attempt


def _differs_from(seen: QueryView) -> Callable[[QueryView], bool]:
    return lambda view: view != seen


def _order_for(sealed: SealedRequest, panel: tuple[MemberIndex, ...], member: MemberIndex) -> Order:
    token, path = b"", tuple[bytes, ...]()
    if member in panel:
        seat = panel.index(member)
        token, path = sealed.tokens[seat], merkle.path(sealed.tokens, seat)
    return Order(
        statement=sealed.statement, signature=sealed.signature, inquirer=sealed.inquirer, token=token, path=path
    )
