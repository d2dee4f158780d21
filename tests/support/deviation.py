"""One MPC node that leaves the protocol, at its edges: what it sends, what it submits, what it believes.

The role behind the edges is the real one. `Outfit` gives it other ports, so one deviation acts in a consortium in one
process and in a real daemon alike. Nothing here knows how a session is computed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from ledger.types import Height
from mpcnode.query.messages import Kind
from mpcnode.query.view import QueryView
from mpcnode.roles.context import Context
from mpcnode.roles.ports import Call, CorrectionsDealer, DealtCorrections, Handler, RoundsChannel
from mpcnode.sealing.messages import SignedMessage, sign_message
from mpcnode.types import BlobId, MemberIndex, SessionId


@dataclass(frozen=True)
class Frame:
    """What one round sends to one node."""

    session: SessionId
    round: int
    data: bytes
    chunk: int = 0


class Wire(Protocol):
    """The way out of a daemon that nothing of its own code guards."""

    def frame(self, to: MemberIndex, frame: Frame) -> None:
        """Send a frame of any session."""

    async def post(self, to: MemberIndex, message: SignedMessage) -> None:
        """Send a message as it is, once.

        Raises:
            PeerRefusedError: the receiver will never take it.
        """


class Node:
    """The deviating daemon: its honest ports, and its wire."""

    def __init__(self, context: Context, wire: Wire) -> None:
        self.context = context
        self.wire = wire
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def me(self) -> MemberIndex:
        return self.context.me.index

    def view_of(self, session: bytes) -> QueryView:
        """The query that is computed in a session."""
        return next(view for view in self.context.ledger.view.open() if view.session == session)

    def others(self, view: QueryView) -> tuple[MemberIndex, ...]:
        return tuple(member for member in view.committee if member != self.me)

    async def deliver(self, to: MemberIndex, kind: str, payload: bytes) -> None:
        await self.context.peers.deliver(to, kind, payload)

    def signed(self, to: MemberIndex, kind: str, payload: bytes) -> SignedMessage:
        """A message as an honest daemon signs it."""
        context = self.context
        return sign_message(context.identity, context.chain, kind=kind, sender=self.me, receiver=to, payload=payload)

    def later(self, seconds: float, to: MemberIndex, frame: Frame) -> None:
        asyncio.get_running_loop().call_later(seconds, self.wire.frame, to, frame)

    def beside(self, work) -> None:
        """Do something beside what the role does."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def never() -> None:
    """Keep silent until whoever waits is cancelled."""
    await asyncio.Event().wait()


class Deviation:
    """How a node leaves the protocol while `active`; what is not overridden is as it should be."""

    def __init__(self) -> None:
        self.active = True

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        """Send a message that the role wants to be delivered."""
        await node.deliver(to, kind, payload)

    def opened(self, node: Node, session: SessionId, others: Sequence[MemberIndex]) -> None:
        """A session's frames can be sent from now on."""

    def frame(self, node: Node, to: MemberIndex, frame: Frame) -> None:
        """Send a frame that the role wants to be sent."""
        node.wire.frame(to, frame)

    def arrived(self, node: Node, sender: MemberIndex, frame: Frame) -> bytes:
        """Return what the own role is to believe of a frame that arrived."""
        del node, sender
        return frame.data

    def dealt(self, node: Node, session: SessionId, chunk: int, right: DealtCorrections) -> DealtCorrections:
        """Return what a dealer gives the last node for the right corrections of a chunk."""
        del node, session, chunk
        return right

    def heard(self, node: Node, sender: MemberIndex, kind: Kind, payload: bytes) -> None:
        """A message arrived; the role gets it, too."""

    async def submit(self, node: Node, call: Call) -> Height:
        """Send a transaction that the role wants to be sent."""
        return await node.context.ledger.submit(call)

    def believes(self, context: Context) -> Context:
        """Return what the role is told of the world."""
        return context


def without(kind: str, deviation: Deviation) -> Deviation:
    """The same deviation of a node that never sends messages of a kind."""
    deliver = deviation.deliver

    async def held(node: Node, to: MemberIndex, of: str, payload: bytes) -> None:
        await (never() if of == kind else deliver(node, to, of, payload))

    deviation.deliver = held  # type: ignore[method-assign, assignment]
    return deviation


class Outfit:
    """What makes one daemon deviate."""

    def __init__(self, deviation: Deviation, wire: Callable[[Context], Wire]) -> None:
        self.deviation = deviation
        self._wire = wire
        self._node: Node | None = None

    def context(self, context: Context) -> Context:
        """Other ports for the role."""
        self._node = node = Node(context, self._wire(context))
        told = self.deviation.believes(context)
        return replace(told, peers=_Peers(self.deviation, node), ledger=_Ledger(self.deviation, node, told.ledger))

    def handlers(self, handlers: Mapping[Kind, Handler]) -> Mapping[Kind, Handler]:
        """The role's handlers, overheard."""
        return {kind: self._overheard(kind, handler) for kind, handler in handlers.items()}

    def deals(self, honest: CorrectionsDealer) -> CorrectionsDealer:
        """A dealer's answers."""
        return honest if self._node is None else _Deals(self.deviation, self._node, honest)

    def _overheard(self, kind: Kind, handler: Handler) -> Handler:
        async def handle(sender: MemberIndex, payload: bytes) -> None:
            if self._node is not None and self.deviation.active:
                self.deviation.heard(self._node, sender, kind, payload)
            await handler(sender, payload)

        return handle


class _Deals:
    """`roles.ports.CorrectionsDealer` that deviates."""

    def __init__(self, deviation: Deviation, node: Node, honest: CorrectionsDealer) -> None:
        self._deviation, self._node, self._honest = deviation, node, honest

    async def ready(self, session: SessionId, chunk: int) -> bool:
        return await self._honest.ready(session, chunk)

    async def corrections(self, node: MemberIndex, session: SessionId, chunk: int) -> DealtCorrections | None:
        right = await self._honest.corrections(node, session, chunk)
        if right is None or not self._deviation.active:
            return right
        return self._deviation.dealt(self._node, session, chunk, right)


class _Ledger:
    """`roles.ports.LedgerPort` whose submissions deviate."""

    def __init__(self, deviation: Deviation, node: Node, told) -> None:
        self._deviation, self._node, self._told = deviation, node, told

    async def submit(self, call: Call) -> Height:
        if self._deviation.active:
            return await self._deviation.submit(self._node, call)
        return await self._node.context.ledger.submit(call)

    def __getattr__(self, name: str):
        return getattr(self._told, name)


class _Peers:
    """`roles.ports.PeersPort` that deviates."""

    def __init__(self, deviation: Deviation, node: Node) -> None:
        self._deviation, self._node = deviation, node

    async def deliver(self, to: MemberIndex, kind: str, payload: bytes) -> None:
        if self._deviation.active:
            await self._deviation.deliver(self._node, to, kind, payload)
        else:
            await self._node.deliver(to, kind, payload)

    def broken(self, to: MemberIndex) -> asyncio.Event:
        return self._node.context.peers.broken(to)

    async def send_blob(self, to: MemberIndex, blob: BlobId) -> None:
        await self._node.context.peers.send_blob(to, blob)

    @asynccontextmanager
    async def rounds(self, session: SessionId, others: Sequence[MemberIndex]) -> AsyncIterator["_Channel"]:
        async with self._node.context.peers.rounds(session, others) as channel:
            if self._deviation.active:
                self._deviation.opened(self._node, session, others)
            yield _Channel(self._deviation, self._node, session, others, channel)

    def pull(self, dealer: MemberIndex, session: SessionId, chunk: int, size: int):
        return self._node.context.peers.pull(dealer, session, chunk, size)


class _Channel:
    """`roles.ports.RoundsChannel` that deviates."""

    def __init__(
        self,
        deviation: Deviation,
        node: Node,
        session: SessionId,
        others: Sequence[MemberIndex],
        honest: RoundsChannel,
    ) -> None:
        self._deviation, self._node, self._session, self._others, self._honest = (
            deviation,
            node,
            session,
            others,
            honest,
        )

    def broadcast(self, chunk: int, number: int, data: bytes) -> None:
        if not self._deviation.active:
            self._honest.broadcast(chunk, number, data)
            return
        for to in self._others:
            self._deviation.frame(self._node, to, Frame(self._session, number, data, chunk))

    def send(self, to: MemberIndex, chunk: int, number: int, data: bytes) -> None:
        if self._deviation.active:
            self._deviation.frame(self._node, to, Frame(self._session, number, data, chunk))
        else:
            self._honest.send(to, chunk, number, data)

    async def receive(self) -> tuple[MemberIndex, int, int, bytes]:
        sender, chunk, number, data = await self._honest.receive()
        if self._deviation.active:
            data = self._deviation.arrived(self._node, sender, Frame(self._session, number, data, chunk))
        return sender, chunk, number, data

    def evidence(self):
        return self._honest.evidence()
