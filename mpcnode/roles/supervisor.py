"""The supervisor role: check what was contributed, deal correlations, audit every result, attest.

It reads inputs by office. It deals only to sessions whose contributions passed every check; a bad contribution is
rejected, and the next attempt goes on without it.
"""

import asyncio
from collections.abc import Mapping
from functools import partial

import structlog

from mpcnode.errors import ErrorCode, UnavailableError
from mpcnode.query.audit import AuditedInput, Finding
from mpcnode.query.committee import pool_order
from mpcnode.query.messages import Kind, decode_accept, encode_deal
from mpcnode.query.statements import decode_accept_statement
from mpcnode.query.view import QueryView
from mpcnode.roles.auditing import AuditKeys, InputsRejectedError, audit_result, check_inputs, rejected
from mpcnode.roles.context import Context, QueryTasks, deliver, settle, while_current
from mpcnode.roles.dealing import Dealt, deal_session
from mpcnode.roles.ports import Call, Handler
from mpcnode.roles.programs import layout_of, program_of, session_of
from mpcnode.sealing.keys import check_signature
from mpcnode.types import NO_MEMBERS, NOBODY, AuditMode, FailReason, MemberIndex, QueryId, QueryState

_log = structlog.get_logger(__name__)

_ACCEPT = "accept"
"""Journal: accepts by session and node; what a node accepted it cannot complain about later."""

_MOVED_ON = {ErrorCode.WRONG_STATE, ErrorCode.WRONG_ATTEMPT, ErrorCode.ALREADY_ATTESTED}


def _needs_work(view: QueryView) -> bool:
    return view.is_over or view.state in (QueryState.COMPUTING, QueryState.ANSWERED)


class Supervisor:
    """Dealer and auditor."""

    def __init__(self, context: Context, keys: AuditKeys, dealer_master: bytes) -> None:
        """Take the role's context, the audit key and the dealer's master key."""
        self._context = context
        self._keys = keys
        self._master = dealer_master

    @property
    def handlers(self) -> Mapping[Kind, Handler]:
        """What peers may deliver to this role."""
        return {Kind.ACCEPT: self._on_accept}

    async def _on_accept(self, sender: MemberIndex, payload: bytes) -> None:
        accept = decode_accept(payload)
        check_signature(self._context.members[sender].identity, accept.statement, accept.signature, "accept")
        stated = decode_accept_statement(accept.statement)
        running = (view for view in self._context.ledger.view.open() if view.session == stated.session)
        if not any(sender in view.committee for view in running):
            # nobody accepts what was not dealt; this daemon may have restarted, and still be catching up
            raise UnavailableError(f"accept: expected one of a running session of member {sender}, got another")
        await self._context.journal.put_once(_ACCEPT, stated.session + bytes((sender,)), payload)

    async def run(self) -> None:
        """Serve every query that is open or not attested yet; runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            queries = QueryTasks(group)
            for view in self._context.ledger.view.ended():
                if not view.is_settled:
                    queries.start(view.query, partial(self._serve, view.query))
            async for query in self._context.ledger.changed():
                changed = self._context.ledger.view.get(query)
                if changed is not None and not changed.is_settled:
                    queries.start(query, partial(self._serve, query))

    async def _serve(self, query: QueryId) -> None:
        """Deal to every attempt of a query until it ends, then audit its result."""
        while True:
            view = await self._context.ledger.until(query, _needs_work)
            if view.state is QueryState.COMPUTING:
                async with while_current(self._context, view) as sends:
                    await self._deal(view, sends)
            elif view.state is QueryState.ANSWERED and view.verdict is None and view.mode is not AuditMode.OFF:
                await self._audit(view)
            else:
                return

    async def _deal(self, view: QueryView, sends: asyncio.TaskGroup) -> None:
        try:
            _, dealt = await asyncio.to_thread(self._prepare, view)
        except InputsRejectedError as error:
            _log.warning("input.rejected", member=error.participant, stage=error.stage.name, reason=str(error))
            await self._reject(view, error)
            return
        for member, message in zip(view.committee, dealt.messages(self._context.identity), strict=True):
            sends.create_task(deliver(self._context, view.query, member, Kind.DEAL, encode_deal(message)))

    def _prepare(self, view: QueryView) -> tuple[Mapping[MemberIndex, AuditedInput], Dealt]:
        """Check an attempt's inputs and make its deal, the same ones whenever it is done."""
        context = self._context
        inputs = check_inputs(self._keys, view, layout_of(context, view), context.inquirers[view.inquirer])
        program = program_of(context, view)
        dealt = deal_session(context.chain, self._master, session_of(view), view.committee, program)
        return inputs, dealt

    async def _reject(self, view: QueryView, error: InputsRejectedError) -> None:
        """Reject a contribution; a bad copy of the inquirer's is nobody's contribution and fails every attempt."""
        context = self._context
        order = pool_order(
            view.query,
            view.attempt + 1,
            context.members.values(),
            excluded=view.excluded,
            panel=view.panel,
            companies_min=context.committee_companies_min,
        )
        is_copy = error.participant == NOBODY
        blamed = (int(FailReason.ABORT), NO_MEMBERS) if is_copy else (error.participant,)
        call = Call(
            method="queries.fail_attempt" if is_copy else "queries.reject_input",
            values=(view.query, view.attempt, *blamed, order),
            expiry_ms=view.deadline,
        )
        await settle(context, call, view.query, _MOVED_ON)

    async def _audit(self, view: QueryView) -> None:
        finding = await asyncio.to_thread(self._judge, view)
        _log.info("audit.done", verdict=finding.verdict.name, member=finding.member, stage=finding.stage.name)
        call = Call(
            method="queries.attest",
            values=(
                view.query,
                view.attempt,
                int(finding.verdict),
                finding.member,
                int(finding.stage),
                finding.round,
                b"",
            ),
            expiry_ms=self._context.soon(),
        )
        await settle(self._context, call, view.query, _MOVED_ON)

    def _judge(self, view: QueryView) -> Finding:
        try:
            inputs, dealt = self._prepare(view)
        except InputsRejectedError as error:
            return rejected(error)
        layout, program = layout_of(self._context, view), program_of(self._context, view)
        return audit_result(
            self._keys, view, session=session_of(view), layout=layout, program=program, dealt=dealt, inputs=inputs
        )
