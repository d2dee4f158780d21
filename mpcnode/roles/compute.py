"""The mpc role: hold shares, compute with the committee, post the result by rank.

What one attempt does is in `roles.session`; here is when attempts begin, how they fail, and who posts. A session is
never resumed nor re-run: a node that restarts during an attempt fails it, and the next attempt draws everything afresh.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from ledger.types import Cosignature
from mpcnode.errors import ErrorCode, RevertedError, UnavailableError
from mpcnode.query.committee import pool_order
from mpcnode.query.duties import turn_to_post
from mpcnode.query.frames import encode_shown
from mpcnode.query.messages import (
    End,
    Kind,
    decode_abort,
    decode_accept,
    decode_deal,
    decode_draw,
    decode_end,
    decode_order,
    decode_recall,
    decode_shares,
)
from mpcnode.query.statements import decode_accept_statement, decode_deal_statement, decode_end_statement
from mpcnode.query.view import QueryView
from mpcnode.roles.context import Context, QueryTasks, deliver, is_due, settle, while_current
from mpcnode.roles.failures import AttemptFailedError
from mpcnode.roles.mailbox import Mailbox, share_name
from mpcnode.roles.ports import Call, Handler
from mpcnode.roles.session import SessionRunner
from mpcnode.roles.stocking import Stocking
from mpcnode.sealing.keys import check_signature
from mpcnode.types import FailReason, MemberIndex, QueryId, QueryState, SessionId

_log = structlog.get_logger(__name__)

_MOVED_ON = {ErrorCode.WRONG_STATE, ErrorCode.WRONG_ATTEMPT, ErrorCode.UNKNOWN_QUERY}


def _has_left(attempt: int) -> Callable[[QueryView], bool]:
    """Whether an attempt is computed no more."""
    return lambda view: view.attempt != attempt or view.state is not QueryState.COMPUTING


class Compute:
    """One MPC node."""

    def __init__(self, context: Context) -> None:
        """Take the role's context."""
        self._context = context
        self._mailbox = Mailbox()
        self._stocking = Stocking(context)
        self._runner = SessionRunner(context, self._mailbox, self._stocking.stock)

    @property
    def handlers(self) -> Mapping[Kind, Handler]:
        """What peers may deliver to this role."""
        return {
            Kind.ORDER: self._on_order,
            Kind.SHARES: self._on_shares,
            Kind.DEAL: self._on_deal,
            Kind.ACCEPT: self._on_accept,
            Kind.END: self._on_end,
            Kind.ABORT: self._on_abort,
            Kind.RECALL: self._on_recall,
            Kind.STOCK: self._stocking.on_offer,
            Kind.DRAW: self._on_draw,
        }

    @property
    def in_stock(self) -> int:
        """Sessions for which correlations were made in advance."""
        return len(self._stocking.stock)

    async def run(self) -> None:
        """Work on every open query whose committee this node is in; runs until cancelled."""
        interrupted = {view.query: view.attempt for view in self._context.ledger.view.open() if self._computes(view)}
        async with asyncio.TaskGroup() as group:
            queries = QueryTasks(group)
            group.create_task(self._stocking.run(), name="stocking")
            async for query in self._context.ledger.changed():
                view = self._context.ledger.view.get(query)
                if view is not None and not view.is_over and self._is_in(view):
                    attempt = interrupted.pop(query, None)
                    queries.start(query, partial(self._serve, query, attempt))

    def _is_in(self, view: QueryView) -> bool:
        return self._context.me.index in view.committee

    def _computes(self, view: QueryView) -> bool:
        return view.state is QueryState.COMPUTING and self._is_in(view)

    async def _serve(self, query: QueryId, interrupted: int | None) -> None:
        """Take part in every attempt whose committee this node is in, until the query ends."""
        while True:
            view = await self._context.ledger.until(query, lambda now: now.is_over or self._computes(now))
            if view.is_over:
                return
            async with while_current(self._context, view) as sends:
                if view.attempt == interrupted:
                    await self._fail(view, AttemptFailedError(FailReason.ABORT, "this node restarted"))
                else:
                    await self._attempt(view, sends)

    async def _attempt(self, view: QueryView, sends: asyncio.TaskGroup) -> None:
        try:
            await self._post(view, await self._runner.run(view, sends))
        except AttemptFailedError as failure:
            await self._fail(view, failure)
        except RevertedError as refused:
            await self._fail(view, AttemptFailedError(FailReason.ABORT, f"the ledger refused the result: {refused}"))

    async def _post(self, view: QueryView, ends: tuple[End, ...]) -> None:
        """Post the result when it is this node's turn and nobody has."""
        context = self._context
        turn = turn_to_post(view, context.me.index)
        if turn is None:
            return
        if view.rank_of(context.me.index) and not await is_due(context, view.query, turn, _has_left(view.attempt)):
            return
        call = Call(
            method="queries.post_result",
            values=(
                view.query,
                view.attempt,
                b"".join(end.inquirer_box for end in ends),
                b"".join(end.supervisor_box for end in ends),
            ),
            cosigners=tuple(
                Cosignature(key=context.members[member].identity, statement=end.statement, signature=end.signature)
                for member, end in zip(view.committee, ends, strict=True)
            ),
            expiry_ms=view.deadline,
        )
        await settle(context, call, view.query, _MOVED_ON, not_yet={ErrorCode.NOT_YOUR_TURN})

    async def _fail(self, view: QueryView, failure: AttemptFailedError) -> None:
        """Fail an attempt, by rank, so that one member of the committee says it."""
        context = self._context
        _log.warning("attempt.failed", attempt=view.attempt, reason=failure.reason.name, why=str(failure))
        rank = view.committee.index(context.me.index) + (len(view.committee) if failure.by_peer else 0)
        turn = context.clock.now_ms() + rank * context.timing.retry
        if failure.is_judged:
            turn += context.timing.of(view.terms.subjects).verdict
        if not await is_due(context, view.query, turn, _has_left(view.attempt)):
            return
        excluded = view.excluded | failure.waited
        order = pool_order(
            view.query,
            view.attempt + 1,
            context.members.values(),
            excluded=excluded,
            panel=view.panel,
            companies_min=context.committee_companies_min,
        )
        call = Call(
            method="queries.fail_attempt",
            values=(view.query, view.attempt, int(failure.reason), failure.waited, order),
            expiry_ms=view.deadline,
        )
        await settle(context, call, view.query, _MOVED_ON)

    async def _on_order(self, _sender: MemberIndex, payload: bytes) -> None:
        """Take an order. The ledger has already told what this node must do; the order shows that the desk saw it."""
        order = decode_order(payload)
        check_signature(order.inquirer, order.statement, order.signature, "order")
        _log.debug("order.taken")

    async def _on_shares(self, sender: MemberIndex, payload: bytes) -> None:
        shares = decode_shares(payload)
        self._mailbox.shares.put(sender, share_name(QueryId(shares.query), shares.attempt), shares)

    async def _on_deal(self, sender: MemberIndex, payload: bytes) -> None:
        deal = decode_deal(payload)
        check_signature(self._context.members[sender].identity, deal.statement, deal.signature, "deal")
        stated = decode_deal_statement(deal.statement)
        self._mailbox.deals.put(sender, stated.session, deal)

    async def _on_draw(self, sender: MemberIndex, payload: bytes) -> None:
        draw = decode_draw(payload)
        self._mailbox.draws.put(sender, draw.session, draw)

    async def _on_accept(self, sender: MemberIndex, payload: bytes) -> None:
        accept = decode_accept(payload)
        check_signature(self._context.members[sender].identity, accept.statement, accept.signature, "accept")
        stated = decode_accept_statement(accept.statement)
        self._mailbox.accepts.put(sender, stated.session, stated.deal_hash)

    async def _on_end(self, sender: MemberIndex, payload: bytes) -> None:
        end = decode_end(payload)
        check_signature(self._context.members[sender].identity, end.statement, end.signature, "end")
        stated = decode_end_statement(end.statement)
        self._mailbox.ends.put(sender, stated.session, end)

    async def _on_abort(self, sender: MemberIndex, payload: bytes) -> None:
        abort = decode_abort(payload)
        self._mailbox.aborts.put(sender, abort.session, abort)

    async def _on_recall(self, sender: MemberIndex, payload: bytes) -> None:
        """Show the supervisor what arrived in a session that is over; one that runs is ended first."""
        recall = decode_recall(payload)
        session = SessionId(recall.session)
        if self._runner.is_running(session):
            self._mailbox.recalls.put(sender, session, None)
            raise UnavailableError("recall: expected a session that is over, got one that is being ended")
        query = self._runner.query_of(session) or self._posted(session)
        if query is None:
            raise UnavailableError("recall: expected a session of this node, or of a result on the ledger, got another")
        shown = encode_shown(self._runner.shown(session, recall.first))
        await deliver(self._context, query, sender, Kind.FRAMES, shown)

    def _posted(self, session: SessionId) -> QueryId | None:
        """The query whose result a session led to, by the own replica."""
        ledger = self._context.ledger.view
        posted = (view for view in (*ledger.open(), *ledger.ended()) if view.session == session and view.result)
        return next((view.query for view in posted), None)
