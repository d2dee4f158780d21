"""What lies between daemons in one process: messages and frames with their faults, and journals that outlive them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from ledger import merkle
from ledger.types import ChainId
from mpcnode.errors import CATALOGUE, CallerError, DealError, ErrorCode, PeerLostError, PeerRefusedError, code_of
from mpcnode.mpc import Payload
from mpcnode.query.frames import ArrivedFrame, Flush
from mpcnode.query.messages import Kind
from mpcnode.query.statements import FlushStatement, data_hash, encode_flush_statement, frame_digest
from mpcnode.roles.ports import BlobKeeper, BlobsPort, CorrectionsDealer, DealtCorrections, Handler
from mpcnode.rpc.permissions import CORRECTIONS, PERMISSIONS, check_permission
from mpcnode.sealing.messages import SignedMessage, check_message
from mpcnode.types import BlobId, Member, MemberIndex, SessionId
from tests.support.consortium import identity

_PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "INTERNAL", "UNKNOWN"}
ROUNDS = "rounds"
PULLS = "corrections"
BLOB = "blob"


@dataclass(kw_only=True)
class Fault:
    """What happens to messages of a kind (or of `ROUNDS` or `PULLS`) from one daemon to another; None: any."""

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
class Arrival:
    """A frame that arrives: what is kept of it, and its data."""

    kept: ArrivedFrame
    data: bytes


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

    def __init__(
        self,
        chain: ChainId,
        members: Sequence[Member],
        handlers: Callable[[int], Mapping[Kind, Handler] | None],
        dealers: Callable[[int], CorrectionsDealer | None],
        shelf: Callable[[int], tuple[BlobsPort, BlobKeeper] | None] = lambda _: None,
    ) -> None:
        """Take everybody, and what tells a running daemon's handlers, deals and blobs, and who may put some there."""
        self._shelf = shelf
        self._chain = chain
        self._members = members
        self.flushes = 0
        self.taken: dict[tuple[SessionId, int], list[ArrivedFrame]] = {}
        """Frames that sessions received, by session and receiver, as their senders signed them."""
        self._handlers = handlers
        self._dealers = dealers
        self.faults: list[Fault] = []
        self.sent: list[Sent] = []
        self.refused: list[Sent] = []
        self.broken: dict[int, asyncio.Event] = defaultdict(asyncio.Event)
        """Told when the streams to a daemon break."""
        self._sessions: dict[tuple[SessionId, int], asyncio.Queue[Arrival | PeerLostError]] = {}

    def fault(self, kind: str, sender: int, receiver: int) -> Fault:
        return next((fault for fault in self.faults if fault.hits(kind, sender, receiver)), NO_FAULT)

    def of(self, kind: str, sender: int | None = None) -> list[Sent]:
        return [sent for sent in self.sent if sent.kind == kind and sender in (None, sent.sender)]

    async def deliver(self, sender: int, to: int, kind: str, payload: bytes) -> None:
        while True:
            fault = self.fault(kind, sender, to)
            await asyncio.sleep((1 + fault.delay_ms) / 1000)
            handlers = self._handlers(to)
            if fault.drop or handlers is None:
                await asyncio.sleep(0.2)
                continue
            sent = Sent(kind, sender, to, fault.tamper(payload))
            taken = [await self._hand(sent, handlers) for _ in range(fault.copies)]
            if any(taken):
                return
            await asyncio.sleep(0.2)

    async def send_blob(self, sender: int, to: int, blob: BlobId) -> None:
        """Hand a blob over, chunk by chunk; a fault hits every chunk and breaks the stream there."""
        while True:
            own, other = self._shelf(sender), self._shelf(to)
            if own is not None and other is not None and await self._hand_blob(own[0], other, (sender, to), blob):
                return
            await asyncio.sleep(0.2)

    async def _hand_blob(
        self, own: BlobsPort, other: tuple[BlobsPort, BlobKeeper], way: tuple[int, int], blob: BlobId
    ) -> bool:
        """Go on where the other side is; False if the transfer broke off."""
        blobs, keeper = other
        offer, _ = await own.about(blob)
        try:
            held = await blobs.offer(offer, keeper.admit(MemberIndex(way[0]), offer))
            while held < len(offer.manifest.chunks):
                fault = self.fault(BLOB, *way)
                await asyncio.sleep((1 + fault.delay_ms) / 1000)
                if fault.drop or self._shelf(way[1]) is None:
                    return False
                held = await blobs.put(blob, held, fault.tamper(await own.get(blob, held)))
        except Exception as error:
            code = code_of(error)
            if code is ErrorCode.INTERNAL:
                raise
            if CATALOGUE[code].grpc not in _PASSING:
                raise PeerRefusedError(f"blob to member {way[1]}: {error}", code) from error
            return False
        return True

    async def _hand(self, sent: Sent, handlers: Mapping[Kind, Handler]) -> bool:
        """Give a message to its handler; False if it should be sent again later."""
        try:
            kind = Kind(sent.kind)
            check_permission(PERMISSIONS[kind], self._members[sent.sender], self._members[sent.receiver], kind)
            self.sent.append(sent)
            await handlers[kind](MemberIndex(sent.sender), sent.payload)
        except Exception as error:
            code = code_of(error)
            if code is ErrorCode.INTERNAL:
                raise
            if CATALOGUE[code].grpc not in _PASSING or code in {ErrorCode.PAST_DEADLINE, ErrorCode.EXPIRED}:
                self.refused.append(sent)
                raise PeerRefusedError(f"{sent.kind} to member {sent.receiver}: {error}", code) from error
            return False
        return True

    async def post(self, sender: int, to: int, message: SignedMessage) -> None:
        """Hand over a message as somebody signed it; it is checked as a listener checks it."""
        await asyncio.sleep(0.001)
        handlers, peer = self._handlers(to), self._members[sender]
        kind, payload = Kind(message.kind), message.payload
        if handlers is None:
            return
        sent = Sent(kind, sender, to, payload)
        try:
            check_permission(PERMISSIONS[kind], peer, self._members[to], kind)
            check_message(message, self._chain, peer=peer.index, peer_key=peer.identity, me=MemberIndex(to))
        except CallerError as error:
            self.refused.append(sent)
            raise PeerRefusedError(f"{kind} to member {to}: {error}", error.code) from error
        await self._hand(sent, handlers)

    def port(self, me: int) -> "Port":
        return Port(self, me)

    @asynccontextmanager
    async def rounds(self, me: int, session: SessionId, others: Sequence[MemberIndex]) -> AsyncIterator["Frames"]:
        arrived = self._sessions[session, me] = asyncio.Queue()
        try:
            yield Frames(self, me, session, others, arrived)
        finally:
            del self._sessions[session, me]

    async def pull(self, me: int, dealer: int, session: SessionId, chunk: int, size: int) -> DealtCorrections:
        """A dealer's answer to a node that pulls corrections; asked again where none came."""
        while True:
            fault = self.fault(PULLS, dealer, me)
            await asyncio.sleep((1 + fault.delay_ms) / 1000)
            deals = self._dealers(dealer)
            if fault.drop or deals is None:
                await asyncio.sleep(0.2)
                continue
            check_permission(CORRECTIONS, self._members[me], self._members[dealer], PULLS)
            is_ready = await deals.ready(session, chunk)
            dealt = await deals.corrections(MemberIndex(me), session, chunk) if is_ready else None
            if dealt is None:
                continue
            data = fault.tamper(dealt.data)
            if len(data) != size:
                raise DealError(f"corrections: expected {size} bytes, got {len(data)}")
            return DealtCorrections(data, dealt.signature)

    def frame(self, me: int, to: int, session: SessionId, payload: Payload) -> None:
        fault = self.fault(ROUNDS, me, to)
        if not fault.drop:
            for _ in range(fault.copies):
                arrival = self._signed(session, to, MemberIndex(me), replace(payload, data=fault.tamper(payload.data)))
                after_s = (1 + fault.delay_ms) / 1000 + self.flushes * 1e-9  # a stream keeps its order
                asyncio.get_running_loop().call_later(after_s, self._arrive, session, to, arrival)

    def _signed(self, session: SessionId, to: int, sender: MemberIndex, frame: Payload) -> Arrival:
        """A frame as its sender signed it: each leaves alone."""
        self.flushes += 1
        hashed = data_hash(frame.data)
        leaves = (frame_digest(session, frame.chunk, frame.round, hashed),)
        stated = FlushStatement(
            chain=self._chain,
            sender=sender,
            receiver=MemberIndex(to),
            number=self.flushes,
            frames_root=merkle.root(leaves),
        )
        signature = identity(sender).sign(encode_flush_statement(stated))
        flush = Flush(self.flushes, leaves, signature)
        return Arrival(ArrivedFrame(flush, 0, sender, frame.chunk, frame.round, hashed), frame.data)

    def _arrive(self, session: SessionId, to: int, arrival: Arrival | PeerLostError) -> None:
        arrived = self._sessions.get((session, to))
        if arrived is not None:
            arrived.put_nowait(arrival)

    def cut(self, member: int) -> None:
        """A daemon's streams break."""
        self.broken.pop(member, asyncio.Event()).set()
        for session, to in list(self._sessions):
            if to != member and (session, member) in self._sessions:
                self._arrive(session, to, PeerLostError(f"the stream to member {member} broke", MemberIndex(member)))


class Port:
    """`roles.ports.PeersPort` of one daemon."""

    def __init__(self, network: Network, me: int) -> None:
        self._network, self._me = network, me

    async def deliver(self, to: MemberIndex, kind: str, payload: bytes) -> None:
        await self._network.deliver(self._me, to, kind, payload)

    def broken(self, to: MemberIndex) -> asyncio.Event:
        return self._network.broken[to]

    async def send_blob(self, to: MemberIndex, blob: BlobId) -> None:
        await self._network.send_blob(self._me, to, blob)

    def rounds(self, session: SessionId, others: Sequence[MemberIndex]):
        return self._network.rounds(self._me, session, others)

    def pull(self, dealer: MemberIndex, session: SessionId, chunk: int, size: int) -> asyncio.Future[DealtCorrections]:
        pulling = self._network.pull(self._me, dealer, session, chunk, size)
        return asyncio.get_running_loop().create_task(pulling, name=f"corrections of chunk {chunk}")


class Frames:
    """`roles.ports.RoundsChannel` of one daemon and session."""

    def __init__(self, network: Network, me: int, session: SessionId, others: Sequence[MemberIndex], arrived) -> None:
        self._network, self._me, self._session, self._others = network, me, session, others
        self._arrived: asyncio.Queue[Arrival | PeerLostError] = arrived

    def broadcast(self, chunk: int, number: int, data: bytes) -> None:
        for other in self._others:
            self._network.frame(self._me, other, self._session, Payload(number, data, chunk))

    def send(self, to: MemberIndex, chunk: int, number: int, data: bytes) -> None:
        self._network.frame(self._me, to, self._session, Payload(number, data, chunk))

    async def receive(self) -> tuple[MemberIndex, int, int, bytes]:
        arrival = await self._arrived.get()
        if isinstance(arrival, PeerLostError):
            raise arrival
        kept = arrival.kept
        self._network.taken.setdefault((self._session, self._me), []).append(kept)
        return kept.sender, kept.chunk, kept.round, arrival.data

    def evidence(self) -> Sequence[ArrivedFrame]:
        return self._network.taken.get((self._session, self._me), [])
