"""Whole queries in one process and in virtual time: every role, the real contracts, and a network that can be made bad.

async def scenario():
    async with Flow() as flow:
        flow.network.faults.append(Fault(kind="end", sender=4, drop=True))
        view = await flow.settled(await flow.ask(ALICE))
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import structlog

from ledger.replica import Replica
from ledger.types import Millis
from mpcnode.adapters.ledger_link import LedgerLink
from mpcnode.client.asking import Prepared, Question, about_one, prepare
from mpcnode.client.opening import open_outcome, view_of_receipt
from mpcnode.mpc import Payload
from mpcnode.query.committee import pool_order
from mpcnode.query.messages import Kind
from mpcnode.query.view import QueryView
from mpcnode.roles.blobs import QueryBlobs
from mpcnode.roles.operator import Operator
from mpcnode.roles.ports import Call, CorrectionsDealer, Handler
from mpcnode.roles.supervisor import Supervisor
from mpcnode.roles.timekeeper import Timekeeper
from mpcnode.scorecard import Outcome, evaluate
from mpcnode.sealing.messages import SignedMessage
from mpcnode.types import Epoch, EpochKeys, FailReason, MemberIndex, QueryId, SealingKey
from tests.support.consortium import (
    LENDER,
    OPERATOR,
    PANEL,
    PURPOSE,
    REGULATOR,
    SUBJECT_KEY,
    AnyRole,
    FakeRecords,
    Setting,
    build_context,
    build_role,
    contribution,
    identity,
    layout,
    stream,
)
from tests.support.deviation import Deviation, Frame, Outfit
from tests.support.fake_blobs import MemoryBlobs
from tests.support.fake_ledger import FakeChain, FakeReplica, LoopClock
from tests.support.fake_peers import BLOB, PULLS, ROUNDS, Fault, MemoryJournal, Network, Sent

OFFERS_BYTES = 1 << 20
"""What an inquirer may offer before it asks."""

__all__ = ["BLOB", "PULLS", "ROUNDS", "Daemon", "Fault", "Flow", "MemoryJournal", "Network", "Sent"]


class FlowWire:
    """`deviation.Wire` in one process."""

    def __init__(self, network: Network, me: int) -> None:
        self._network, self._me = network, me

    def frame(self, to: MemberIndex, frame: Frame) -> None:
        self._network.frame(self._me, to, frame.session, Payload(frame.round, frame.data, frame.chunk))

    async def post(self, to: MemberIndex, message: SignedMessage) -> None:
        await self._network.post(self._me, to, message)


class Daemon:
    """One running daemon: replica, link, role and, if it votes, timekeeper."""

    def __init__(self, flow: "Flow", index: int, lag_ms: int = 0) -> None:
        self.replica = FakeReplica(flow.chain, lag_ms)
        self.clock = flow.clocks.setdefault(index, LoopClock())
        self.link = LedgerLink(
            replica=cast("Replica", self.replica),
            chain=flow.consortium.chain,
            modes={listed.model: listed.audit for listed in flow.consortium.models},
            epoch=flow.consortium.epoch,
            key=identity(index),
            clock=self.clock,
            random=stream(f"transactions of {index} from {self.replica.height}"),
        )
        self.context = build_context(
            flow.consortium,
            flow.setting.model,
            index,
            ledger=self.link,
            peers=flow.network.port(index),
            journal=flow.journals.setdefault(index, MemoryJournal()),
            blobs=flow.blobs.setdefault(index, MemoryBlobs()),
            clock=self.clock,
            stock_items=flow.setting.stock_items,
        )
        if index in flow.outfits:
            self.context = flow.outfits[index].context(self.context)
        self.keeper = QueryBlobs(self.context, offers_bytes=OFFERS_BYTES)
        self.role: AnyRole = build_role(self.context, flow.records.get(MemberIndex(index)))
        self.task = asyncio.get_running_loop().create_task(self._run(flow), name=f"daemon {index}")
        self.task.add_done_callback(flow.heed)

    async def _run(self, flow: "Flow") -> None:
        validators = tuple(m.index for m in flow.consortium.members if m.vote_key is not None)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.link.run())
            await self.link.reach((await self.replica.head()).height)
            tasks.create_task(self.role.run())
            tasks.create_task(Timekeeper(self.context, lambda: validators).run())


def _of_the_test(error: BaseException | None) -> BaseException | None:
    """What ends the test itself, which pytest raises in whichever task runs; it says nothing of a daemon."""
    while isinstance(error, BaseExceptionGroup):
        _, error = error.split(Exception)
        error = None if error is None else error.exceptions[0]
    return None if isinstance(error, Exception) else error


class Flow:
    """A consortium from start to end; leaving it stops everything and tells what went wrong in a daemon."""

    def __init__(self, setting: Setting | None = None, *, silent: Sequence[int] = ()) -> None:
        self.setting = setting or Setting()
        self.consortium = self.setting.consortium()
        self.epoch = self.consortium.epoch
        """In which the inquirer asks."""
        self.clock = LoopClock()
        self.clocks: dict[int, LoopClock] = {}
        self.chain = FakeChain(self.setting, self.clock)
        self.network = Network(self.consortium.chain, self.consortium.members, self._handlers, self._deals, self._shelf)
        self.journals: dict[int, MemoryJournal] = {}
        self.blobs: dict[int, MemoryBlobs] = {}
        self.records = {who: FakeRecords(who) for who in PANEL}
        self.daemons: dict[int, Daemon] = {}
        self.outfits: dict[int, Outfit] = {}
        """Daemons that deviate."""
        self.logs: list[Mapping[str, Any]] = []
        self._silent = silent
        self._random = stream("inquirer")

    def _handlers(self, index: int) -> Mapping[Kind, Handler] | None:
        daemon = self.daemons.get(index)
        if daemon is None:
            return None
        outfit, handlers = self.outfits.get(index), daemon.role.handlers
        return handlers if outfit is None else outfit.handlers(handlers)

    def _deals(self, index: int) -> CorrectionsDealer | None:
        daemon = self.daemons.get(index)
        if daemon is None or not isinstance(daemon.role, Supervisor):
            return None
        outfit, deals = self.outfits.get(index), daemon.role.deals
        return deals if outfit is None else outfit.deals(deals)

    def outfit(self, index: int, deviation: Deviation) -> None:
        """Let a daemon deviate from its next start on."""
        self.outfits[index] = Outfit(deviation, lambda _: FlowWire(self.network, index))

    def _shelf(self, index: int) -> tuple[MemoryBlobs, QueryBlobs] | None:
        daemon = self.daemons.get(index)
        return None if daemon is None else (self.blobs[index], daemon.keeper)

    async def __aenter__(self) -> "Flow":
        self._test = asyncio.current_task()
        self._capture = structlog.testing.capture_logs()
        self.logs = cast("list[Mapping[str, Any]]", self._capture.__enter__())
        for m in self.consortium.members:
            if m.index not in self._silent:
                self.start(m.index)
        await asyncio.sleep(0.001)
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        for index in list(self.daemons):
            await self.crash(index)
        self._capture.__exit__(None, None, None)
        if kind is None:
            assert not self.errors(), self.errors()

    def errors(self) -> list[Mapping[str, Any]]:
        """What daemons logged as their own fault."""
        return [entry for entry in self.logs if entry["log_level"] in {"error", "critical"}]

    def start(self, index: int, lag_ms: int = 0) -> Daemon:
        self.daemons[index] = Daemon(self, index, lag_ms)
        return self.daemons[index]

    def kill(self, index: int) -> Daemon:
        """End a daemon at once; its journal stays."""
        daemon = self.daemons.pop(index)
        daemon.replica.stop()
        self.network.cut(index)
        daemon.task.cancel()
        return daemon

    async def crash(self, index: int) -> None:
        """End a daemon and wait until it is gone."""
        daemon = self.kill(index)
        await asyncio.wait([daemon.task])
        error = None if daemon.task.cancelled() else daemon.task.exception()
        if error is not None:
            raise _of_the_test(error) or AssertionError(f"daemon {index} died") from error

    def heed(self, ended: asyncio.Task[None]) -> None:
        """End the test at once if what ends it was raised in a daemon that runs; `crash` tells that then."""
        if self._test is None or ended.cancelled() or ended not in [daemon.task for daemon in self.daemons.values()]:
            return
        if _of_the_test(ended.exception()) is not None:
            self._test.cancel()

    async def restart(self, index: int) -> Daemon:
        await self.crash(index)
        daemon = self.start(index)
        await asyncio.sleep(0.001)
        return daemon

    def kill_after(self, index: int, kind: str) -> None:
        """Let a daemon die when an entry of this kind has become durable."""
        journal = self.journals[index]

        def die(put: str) -> None:
            if put == kind:
                journal.after_put = lambda _: None
                self.kill(index)

        journal.after_put = die

    # ------------------------------------------------------------------- an inquirer

    def prepare(self, subject: str, *, window_ms: int = 2_000, life_ms: int = 30_000, key=LENDER) -> Prepared:
        now = self.clock.now_ms()
        question = Question(
            model=self.consortium.models[0],
            purpose=PURPOSE,
            consent=b"consent",
            contribute_by=Millis(now + window_ms),
            deadline=Millis(now + life_ms),
        )
        of_epoch = replace(self.consortium, epoch=self.epoch)
        return prepare(of_epoch, key, about_one(subject, SUBJECT_KEY, self._random), question, self._random)

    async def begin_epoch(self, audit: SealingKey) -> EpochKeys:
        """Let the supervisor rotate its audit key; who asks goes on asking in the epoch before."""
        last = max(self.daemons[REGULATOR].link.epochs)
        await self.call(REGULATOR, "registries.rotate_audit_key", last + 1, audit)
        return self.daemons[REGULATOR].link.epochs[Epoch(last + 1)]

    @property
    def desk(self) -> Operator:
        role = self.daemons[OPERATOR].role
        assert isinstance(role, Operator)
        return role

    async def ask(self, subject: str, **options: int) -> Prepared:
        prepared = self.prepare(subject, **options)
        await self.desk.ask(prepared.sealed)
        return prepared

    def view(self, asked: Prepared | QueryId, at: int | None = None) -> QueryView:
        query = asked.request.query if isinstance(asked, Prepared) else asked
        view = self.watcher(at).link.view.get(query)
        assert view is not None
        return view

    def watcher(self, at: int | None = None) -> Daemon:
        return self.daemons[at if at is not None else next(iter(self.daemons))]

    async def until(self, asked: Prepared, condition: Callable[[QueryView], bool], at: int | None = None) -> QueryView:
        return await self.watcher(at).link.until(asked.request.query, condition)

    async def settled(self, asked: Prepared, *, within_s: float = 120.0) -> QueryView:
        """The query when nothing more will happen to it."""
        async with asyncio.timeout(within_s):
            return await self.until(asked, lambda view: view.is_settled)

    async def opened(self, asked: Prepared) -> Outcome:
        """The answer, opened by the inquirer from the operator's receipt."""
        receipt = await self.desk.receipt(asked.request.query, asked.sealed.inquirer)
        view = view_of_receipt(receipt, self.consortium)
        return open_outcome(view, self.setting.model, asked.result_key, identity(REGULATOR).public)

    def clear(self, subject: str, present: Sequence[MemberIndex] = PANEL) -> Outcome:
        """The answer that the contributions of these participants should give."""
        model = self.setting.model
        return evaluate(layout(model), {who: contribution(model, who, subject) for who in present})

    async def fail_by_hand(self, view: QueryView, waited: int = 0) -> None:
        """Let a member of the committee fail the attempt, for no reason of its own."""
        members = self.consortium.members
        gone = view.excluded | waited
        order = pool_order(view.query, view.attempt + 1, members, excluded=gone, panel=view.panel, companies_min=3)
        await self.call(
            view.committee[0], "fail_attempt", view.query, view.attempt, int(FailReason.ABORT), waited, order
        )

    async def call(self, sender: int, method: str, *values: object, life_ms: int = 60_000) -> Any:
        """Submit a transaction of a member by hand; `method` is one of `queries` unless it names its contract."""
        full = method if "." in method else f"queries.{method}"
        call = Call(method=full, values=values, expiry_ms=Millis(self.clock.now_ms() + life_ms))
        return await self.daemons[sender].link.submit(call)
