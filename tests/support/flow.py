"""Whole queries in one process and in virtual time: every role, the real contracts, and a network that can be made bad.

async def scenario():
    async with Flow() as flow:
        flow.network.faults.append(Fault(kind="end", sender=4, drop=True))
        view = await flow.settled(await flow.ask(ALICE))
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import structlog

from ledger.replica import Replica
from ledger.types import Millis
from mpcnode.adapters.ledger_link import LedgerLink
from mpcnode.client.asking import Prepared, Question, prepare
from mpcnode.client.opening import open_outcome, view_of_receipt
from mpcnode.errors import CATALOGUE, ErrorCode, PeerRefusedError, SessionError, code_of
from mpcnode.query.committee import pool_order
from mpcnode.query.messages import Kind
from mpcnode.query.view import QueryView
from mpcnode.roles.operator import Operator
from mpcnode.roles.ports import Call
from mpcnode.roles.timekeeper import Timekeeper
from mpcnode.rpc.permissions import PERMISSIONS, check_permission
from mpcnode.scorecard import Outcome, evaluate
from mpcnode.types import FailReason, MemberIndex, QueryId, SessionId
from tests.support.consortium import (
    LENDER,
    OPERATOR,
    PANEL,
    PURPOSE,
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
from tests.support.fake_ledger import FakeChain, FakeReplica, LoopClock

_PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "INTERNAL", "UNKNOWN"}
ROUNDS = "rounds"


@dataclass(kw_only=True)
class Fault:
    """What happens to messages of a kind (or of `ROUNDS`) from one daemon to another; None: any."""

    kind: str | None = None
    sender: int | None = None
    receiver: int | None = None
    drop: bool = False
    delay_ms: int = 0
    copies: int = 1
    tamper: Callable[[bytes], bytes] = lambda data: data
    times: int = 1_000_000
    """How often it happens."""

    def hits(self, kind: str, sender: int, receiver: int) -> bool:
        named = ((self.kind, kind), (self.sender, sender), (self.receiver, receiver))
        if self.times <= 0 or any(wanted is not None and wanted != got for wanted, got in named):
            return False
        self.times -= 1
        return True


NO_FAULT = Fault()


@dataclass(frozen=True)
class Sent:
    """A message that arrived at its receiver's handler."""

    kind: str
    sender: int
    receiver: int
    payload: bytes


class MemoryJournal:
    """A journal in memory: what was put is durable, and outlives the daemon."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, bytes], bytes] = {}
        self.after_put: Callable[[str], None] = lambda _kind: None
        """Told after an entry became durable and before its writer goes on."""

    async def put_once(self, kind: str, key: bytes, value: bytes) -> bool:
        is_new = (kind, key) not in self.entries
        self.entries.setdefault((kind, key), value)
        self.after_put(kind)
        await asyncio.sleep(0)
        return is_new

    async def get(self, kind: str, key: bytes) -> bytes | None:
        return self.entries.get((kind, key))

    async def items(self, kind: str, newest: int) -> Sequence[tuple[bytes, bytes]]:
        return [(key, value) for (of, key), value in self.entries.items() if of == kind][-newest:]

    def count(self, kind: str) -> int:
        return sum(of == kind for of, _ in self.entries)


class Network:
    """Hands messages and frames from daemon to daemon, as well as its faults let it."""

    def __init__(self, flow: "Flow") -> None:
        self._flow = flow
        self.faults: list[Fault] = []
        self.sent: list[Sent] = []
        self.refused: list[Sent] = []
        self._sessions: dict[tuple[SessionId, int], asyncio.Queue[tuple[MemberIndex, int, bytes] | SessionError]] = {}

    def fault(self, kind: str, sender: int, receiver: int) -> Fault:
        return next((fault for fault in self.faults if fault.hits(kind, sender, receiver)), NO_FAULT)

    def of(self, kind: str, sender: int | None = None) -> list[Sent]:
        return [sent for sent in self.sent if sent.kind == kind and sender in (None, sent.sender)]

    async def deliver(self, sender: int, to: int, kind: str, payload: bytes) -> None:
        while True:
            fault = self.fault(kind, sender, to)
            await asyncio.sleep((1 + fault.delay_ms) / 1000)
            daemon = self._flow.daemons.get(to)
            if fault.drop or daemon is None:
                await asyncio.sleep(0.2)
                continue
            sent = Sent(kind, sender, to, fault.tamper(payload))
            taken = [await self._hand(sent, daemon) for _ in range(fault.copies)]
            if any(taken):
                return
            await asyncio.sleep(0.2)

    async def _hand(self, sent: Sent, daemon: "Daemon") -> bool:
        """Give a message to its handler; False if it should be sent again later."""
        members = self._flow.consortium.members
        try:
            kind = Kind(sent.kind)
            check_permission(PERMISSIONS[kind], members[sent.sender], members[sent.receiver], kind)
            self.sent.append(sent)
            await daemon.role.handlers[kind](MemberIndex(sent.sender), sent.payload)
        except Exception as error:
            code = code_of(error)
            if code is ErrorCode.INTERNAL:
                raise
            if CATALOGUE[code].grpc not in _PASSING or code in {ErrorCode.PAST_DEADLINE, ErrorCode.EXPIRED}:
                self.refused.append(sent)
                raise PeerRefusedError(f"{sent.kind} to member {sent.receiver}: {error}", code) from error
            return False
        return True

    def port(self, me: int) -> "Port":
        return Port(self, me)

    @asynccontextmanager
    async def rounds(self, me: int, session: SessionId, others: Sequence[MemberIndex]) -> AsyncIterator["Frames"]:
        arrived = self._sessions[session, me] = asyncio.Queue()
        try:
            yield Frames(self, me, session, others, arrived)
        finally:
            del self._sessions[session, me]

    def frame(self, me: int, to: int, session: SessionId, number: int, data: bytes) -> None:
        fault = self.fault(ROUNDS, me, to)
        if not fault.drop:
            for _ in range(fault.copies):
                arrival = (MemberIndex(me), number, fault.tamper(data))
                asyncio.get_running_loop().call_later((1 + fault.delay_ms) / 1000, self._arrive, session, to, arrival)

    def _arrive(self, session: SessionId, to: int, arrival: tuple[MemberIndex, int, bytes] | SessionError) -> None:
        arrived = self._sessions.get((session, to))
        if arrived is not None:
            arrived.put_nowait(arrival)

    def cut(self, member: int) -> None:
        """A daemon's streams break."""
        for session, to in list(self._sessions):
            if to != member and (session, member) in self._sessions:
                self._arrive(session, to, SessionError(f"the stream to member {member} broke"))


class Port:
    """`roles.ports.PeersPort` of one daemon."""

    def __init__(self, network: Network, me: int) -> None:
        self._network, self._me = network, me

    async def deliver(self, to: MemberIndex, kind: str, payload: bytes) -> None:
        await self._network.deliver(self._me, to, kind, payload)

    def rounds(self, session: SessionId, others: Sequence[MemberIndex]):
        return self._network.rounds(self._me, session, others)


class Frames:
    """`roles.ports.RoundsChannel` of one daemon and session."""

    def __init__(self, network: Network, me: int, session: SessionId, others: Sequence[MemberIndex], arrived) -> None:
        self._network, self._me, self._session, self._others = network, me, session, others
        self._arrived: asyncio.Queue[tuple[MemberIndex, int, bytes] | SessionError] = arrived

    def broadcast(self, number: int, data: bytes) -> None:
        for other in self._others:
            self._network.frame(self._me, other, self._session, number, data)

    async def receive(self) -> tuple[MemberIndex, int, bytes]:
        arrival = await self._arrived.get()
        if isinstance(arrival, SessionError):
            raise arrival
        return arrival


class Daemon:
    """One running daemon: replica, link, role and, if it votes, timekeeper."""

    def __init__(self, flow: "Flow", index: int, lag_ms: int = 0) -> None:
        self.replica = FakeReplica(flow.chain, lag_ms)
        self.clock = flow.clocks.setdefault(index, LoopClock())
        self.link = LedgerLink(
            replica=cast("Replica", self.replica),
            chain=flow.consortium.chain,
            modes={listed.model: listed.audit for listed in flow.consortium.models},
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
            clock=self.clock,
        )
        self.role: AnyRole = build_role(self.context, flow.records.get(MemberIndex(index)))
        self.task = asyncio.get_running_loop().create_task(self._run(flow), name=f"daemon {index}")

    async def _run(self, flow: "Flow") -> None:
        validators = tuple(m.index for m in flow.consortium.members if m.vote_key is not None)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.link.run())
            await self.link.reach((await self.replica.head()).height)
            tasks.create_task(self.role.run())
            if self.context.me.index in validators:
                tasks.create_task(Timekeeper(self.context, validators).run())


class Flow:
    """A consortium from start to end; leaving it stops everything and tells what went wrong in a daemon."""

    def __init__(self, setting: Setting | None = None, *, silent: Sequence[int] = ()) -> None:
        self.setting = setting or Setting()
        self.consortium = self.setting.consortium()
        self.clock = LoopClock()
        self.clocks: dict[int, LoopClock] = {}
        self.chain = FakeChain(self.setting, self.clock)
        self.network = Network(self)
        self.journals: dict[int, MemoryJournal] = {}
        self.records = {who: FakeRecords(who) for who in PANEL}
        self.daemons: dict[int, Daemon] = {}
        self.logs: list[Mapping[str, Any]] = []
        self._silent = silent
        self._random = stream("inquirer")

    async def __aenter__(self) -> "Flow":
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
        if not daemon.task.cancelled() and daemon.task.exception() is not None:
            raise AssertionError(f"daemon {index} died") from daemon.task.exception()

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
            subject=subject,
            purpose=PURPOSE,
            consent=b"consent",
            contribute_by=Millis(now + window_ms),
            deadline=Millis(now + life_ms),
        )
        return prepare(self.consortium, key, SUBJECT_KEY, question, self._random)

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
        return open_outcome(view, self.setting.model, asked.result_key)

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
        """Submit a transaction of a member by hand."""
        call = Call(method=f"queries.{method}", values=values, expiry_ms=Millis(self.clock.now_ms() + life_ms))
        return await self.daemons[sender].link.submit(call)


Scenario = Callable[[], Awaitable[None]]
