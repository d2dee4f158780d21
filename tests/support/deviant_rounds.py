"""Deviations of a node in time and in the rounds: silence, delay, frames that no honest node sends, wrong openings."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ledger.types import Digest, Height
from mpcnode.mpc.openings import Width
from mpcnode.query.messages import Kind, decode_end
from mpcnode.query.statements import decode_end_statement, encode_end_statement
from mpcnode.roles.ends import encode_difference
from mpcnode.roles.ports import Call
from mpcnode.roles.programs import batch_of
from mpcnode.types import MemberIndex, SessionId
from tests.support.deviation import Deviation, Frame, Node, never

# ------------------------------------------------------------------- silence and delay


class Silent(Deviation):
    """Sends nothing more of some kinds, says nothing of it, and submits nothing."""

    def __init__(self, kinds: set[Kind], frames: int) -> None:
        super().__init__()
        self.kinds = kinds | {Kind.ABORT}
        self.frames = frames
        """Rounds after which it sends no further frame."""

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        await (never() if kind in self.kinds else node.deliver(to, kind, payload))

    def frame(self, node: Node, to: MemberIndex, frame: Frame) -> None:
        if frame.round <= self.frames:
            node.wire.frame(to, frame)

    async def submit(self, node: Node, call: Call) -> Height:
        await never()
        return await node.context.ledger.submit(call)


class Mute(Deviation):
    """Says a thing to one node and not to another."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        if kind == self.kind and to == max(node.others(node.context.ledger.view.open()[0])):
            await never()
        await node.deliver(to, kind, payload)


class Late(Deviation):
    """Accepts after everybody else has given it up."""

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        if kind == Kind.ACCEPT:
            await asyncio.sleep(7)
        await node.deliver(to, kind, payload)


class Slow(Deviation):
    """Sends every frame, three seconds after it should."""

    def frame(self, node: Node, to: MemberIndex, frame: Frame) -> None:
        node.later(3, to, frame)


class Rushing(Deviation):
    """Looks at everybody's frame of a round before it sends its own."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[SessionId, int], list[tuple[MemberIndex, Frame]]] = defaultdict(list)
        self.seen: dict[tuple[SessionId, int], set[MemberIndex]] = defaultdict(set)

    def frame(self, node: Node, to: MemberIndex, frame: Frame) -> None:
        self.held[frame.session, frame.round].append((to, frame))
        self._release(node, frame)

    def arrived(self, node: Node, sender: MemberIndex, frame: Frame) -> bytes:
        self.seen[frame.session, frame.round].add(sender)
        self._release(node, frame)
        return frame.data

    def _release(self, node: Node, frame: Frame) -> None:
        name = frame.session, frame.round
        if len(self.seen[name]) == len(node.others(node.view_of(frame.session))):
            for to, held in self.held.pop(name, ()):
                node.wire.frame(to, held)


class NoAccept(Silent):
    """Begins the rounds without having accepted anything."""

    def __init__(self) -> None:
        super().__init__({Kind.ACCEPT}, frames=99)


# ------------------------------------------------------------------- frames


class Changed(Deviation):
    """Sends something else in one round, to everybody or to one node only."""

    def __init__(self, change: Callable[[bytes], bytes], number: int = 2, *, one_only: bool = False) -> None:
        super().__init__()
        self.change, self.number, self.one_only = change, number, one_only

    def frame(self, node: Node, to: MemberIndex, frame: Frame) -> None:
        is_meant = not self.one_only or to == max(node.others(node.view_of(frame.session)))
        if frame.round == self.number and is_meant:
            frame = replace(frame, data=self.change(frame.data))
        node.wire.frame(to, frame)


class Framing(Changed):
    """Misleads one node, keeps it from its end, and shows the supervisor that another one's end is not its own.

    So what the victim sent looks wrong, and nobody has told it yet to speak for itself.
    """

    def __init__(self) -> None:
        super().__init__(lambda data: bytes(byte ^ 1 for byte in data), 1, one_only=True)

    def frame(self, node: Node, to: MemberIndex, frame: Frame) -> None:
        view = node.view_of(frame.session)
        rounds = len(batch_of(node.context, view).program(frame.chunk).round_bytes)
        if frame.round < rounds or to != max(node.others(view)):
            super().frame(node, to, frame)

    def heard(self, node: Node, sender: MemberIndex, kind: Kind, payload: bytes) -> None:
        if kind is Kind.END:
            theirs = decode_end(payload)
            other = Digest(hashlib.sha256(b"another transcript").digest())
            stated = encode_end_statement(replace(decode_end_statement(theirs.statement), transcript_hash=other))
            mine = replace(theirs, statement=stated, signature=node.context.sign(stated))
            node.beside(node.deliver(node.context.dealer, Kind.DIFFER, encode_difference(mine, sender, theirs)))


class Renumbered(Deviation):
    """Gives the second round's frame another number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def frame(self, node: Node, to: MemberIndex, frame: Frame) -> None:
        node.wire.frame(to, replace(frame, round=self.number) if frame.round == 2 else frame)


class Twice(Deviation):
    """Sends a round's frame again, the same or another."""

    def __init__(self, change: Callable[[bytes], bytes] = bytes) -> None:
        super().__init__()
        self.change = change

    def frame(self, node: Node, to: MemberIndex, frame: Frame) -> None:
        node.wire.frame(to, frame)
        if frame.round == 2:
            node.wire.frame(to, replace(frame, data=self.change(frame.data)))


class OfAnotherSession(Deviation):
    """Sends frames of a session that nobody runs, instead of its own or beside them."""

    def __init__(self, session: bytes, *, instead: bool) -> None:
        super().__init__()
        self.session, self.instead = SessionId(session), instead

    def frame(self, node: Node, to: MemberIndex, frame: Frame) -> None:
        node.wire.frame(to, replace(frame, session=self.session))
        if not self.instead:
            node.wire.frame(to, frame)


class Early(Deviation):
    """Sends a first round before anybody has accepted, of the right size."""

    def opened(self, node: Node, session: SessionId, others: Sequence[MemberIndex]) -> None:
        size = batch_of(node.context, node.view_of(session)).program(0).round_bytes[0]
        for to in others:
            node.wire.frame(to, Frame(session, 1, bytes(size)))


class Replayed(Deviation):
    """Sends the frames of a session before this one once more: its randomness would be used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first: SessionId | None = None
        self.old: dict[tuple[MemberIndex, int], bytes] = {}

    def frame(self, node: Node, to: MemberIndex, frame: Frame) -> None:
        self.first = self.first or frame.session
        if frame.session == self.first:
            self.old[to, frame.round] = frame.data
        old = self.old.get((to, frame.round)) or next(
            data for (_, number), data in self.old.items() if number == frame.round
        )
        node.wire.frame(to, replace(frame, data=old))


class WrongOpening(Deviation):
    """Opens another value than it has in one round, tells everybody the same, and goes on as if it were right.

    So all transcripts agree, its own too: nothing but the audit can tell.
    """

    def __init__(self, number: int, place: int = 0, *, kinds: set[Kind] | None = None) -> None:
        super().__init__()
        self.number, self.place = number, place
        """Which opening of which round."""
        self.silent = kinds or set()

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        await (never() if kind in self.silent else node.deliver(to, kind, payload))

    def frame(self, node: Node, to: MemberIndex, frame: Frame) -> None:
        node.wire.frame(to, replace(frame, data=self._shifted(node, frame)))

    def arrived(self, node: Node, sender: MemberIndex, frame: Frame) -> bytes:
        """What everybody else sees opened: as if one of the others had sent so much more."""
        is_first = sender == node.others(node.view_of(frame.session))[0]
        return self._shifted(node, frame) if is_first else frame.data

    def _shifted(self, node: Node, frame: Frame) -> bytes:
        if frame.round != self.number:
            return frame.data
        widths = batch_of(node.context, node.view_of(frame.session)).program(frame.chunk).rounds[self.number - 1]
        if len(frame.data) != sum(width.size for width in widths):
            return frame.data  # of another node that deviates
        at = sum(width.size for width in widths[: self.place])
        width = widths[self.place]
        return frame.data[:at] + _plus_one(width, frame.data[at : at + width.size]) + frame.data[at + width.size :]


def _plus_one(width: Width, data: bytes) -> bytes:
    """The shares of an opening, the first one greater by one; a bit is turned."""
    values = width.decode(memoryview(data))
    one = np.zeros_like(values)
    one[0] = 1
    return width.encode(width.join((values, one)))
