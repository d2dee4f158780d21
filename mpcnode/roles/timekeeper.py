"""What validators owe every query by rank: closing its inputs, and ending it when its deadline has passed.

Any role can be a validator, so this runs beside the role. Ranks spread the duty (docs/protocol.md 6.5): usually one
daemon submits, and a reverted call only means that another was faster.
"""

import asyncio
import operator
from collections.abc import Callable
from functools import partial

import structlog

from ledger.types import Millis
from mpcnode.errors import ErrorCode
from mpcnode.query.duties import Duty, due_duties
from mpcnode.query.view import QueryView
from mpcnode.roles.context import Context, QueryTasks, is_due, settle, until_over
from mpcnode.roles.ports import Call
from mpcnode.types import MemberIndex, QueryId, bitmap

_log = structlog.get_logger(__name__)

_MOVED_ON = {
    ErrorCode.WRONG_STATE,
    ErrorCode.WRONG_ATTEMPT,
    ErrorCode.TOO_EARLY,
    ErrorCode.UNKNOWN_QUERY,
}


class Timekeeper:
    """Closes and expires queries when they are due and it is this validator's turn."""

    def __init__(self, context: Context, validators: Callable[[], tuple[MemberIndex, ...]]) -> None:
        """Take the role's context, and what returns the present validators' member indices: they change."""
        self._context = context
        self._validators = validators

    async def run(self) -> None:
        """Watch every open query; runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            queries = QueryTasks(group)
            async for query in self._context.ledger.changed():
                queries.start(query, partial(self._watch, query))

    async def _watch(self, query: QueryId) -> None:
        async with until_over(self._context, query):
            while True:
                view = self._context.ledger.view.get(query)
                if view is None:
                    return
                now = self._context.clock.now_ms()
                me, auditors = self._context.me.index, bitmap((self._context.dealer,))
                due, later = due_duties(view, me, self._validators(), now, auditors)
                if due:
                    await self._do(view, due[-1], later)
                elif later is None:
                    return
                else:
                    await is_due(self._context, query, later, partial(operator.ne, view))

    async def _do(self, view: QueryView, duty: Duty, later: Millis | None) -> None:
        """Submit what is due. If that gets lost, the next duty must not wait for it."""
        _log.info("duty.due", method=duty.method, query=view.query.hex())
        call = Call(method=duty.method, values=duty.values, expiry_ms=self._context.soon())
        patience_s = None if later is None else (later - self._context.clock.now_ms()) / 1000
        try:
            async with asyncio.timeout(patience_s):
                await settle(self._context, call, view.query, _MOVED_ON)
                # a revert as too early means that block time lags this clock; look again a little later
                await asyncio.sleep(self._context.timing.retry / 1000)
        except TimeoutError:
            _log.warning("duty.without_effect", method=duty.method, query=view.query.hex())
