"""A real daemon of an MPC node that deviates as a file says, for tests: its role gets other ports, all else stays.

The file holds the name of a deviation and the rank that deviates, or nothing; it is read again whenever the node would
send something. So four daemons, started once, play every deviation at any place of a committee.

    python -m tests.support.deviating_daemon ORDERS NODE.TOML
"""

import asyncio
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ledger.types import Height
from mpcnode.adapters.keystore import Keystore
from mpcnode.cli.main import main
from mpcnode.config.node import NodeConfig
from mpcnode.daemon.roles import RunningRole
from mpcnode.errors import NodeError, PeerRefusedError
from mpcnode.query.committee import choose_committee
from mpcnode.query.messages import Kind
from mpcnode.roles.context import Context
from mpcnode.roles.ports import Call, Handler
from mpcnode.rpc.peers import Peers
from mpcnode.rpc.rounds import SessionRounds, _Session
from mpcnode.sealing.messages import SignedMessage
from mpcnode.types import MemberIndex, SessionId
from mpcnode.v1 import peer_pb2
from tests.support.deviant_words import Blames, Ends
from tests.support.deviation import Deviation, Frame, Node, Outfit, never
from tests.support.deviations import CASES


class RealWire:
    """`deviation.Wire` over the daemon's own channels."""

    def __init__(self, context: Context) -> None:
        self.peers: Peers = context.peers  # type: ignore[assignment]

    def frame(self, to: MemberIndex, frame: Frame) -> None:
        assert self.peers._rounds is not None
        alone = SessionRounds(frame.session, _Session(frozenset()), {to: self.peers._rounds._links[to]})
        alone.broadcast(frame.chunk, frame.round, frame.data)

    async def post(self, to: MemberIndex, message: SignedMessage) -> None:
        fields = {name: getattr(message, name) for name in ("kind", "sender", "receiver", "payload", "signature")}
        try:
            await self.peers._outboxes[to].send(peer_pb2.DeliverRequest(**fields))
        except NodeError as failure:
            raise PeerRefusedError(f"{message.kind} to member {to}: {failure}") from failure


class Redials(Deviation):
    """Opens a stream of rounds to everybody anew, hundreds of times, while a session runs."""

    def opened(self, node: Node, session: SessionId, others: Sequence[MemberIndex]) -> None:
        node.beside(self._redial(node, others))

    async def _redial(self, node: Node, others: Sequence[MemberIndex]) -> None:
        wire = node.wire
        assert isinstance(wire, RealWire)
        for _ in range(500 // len(others)):
            for to in others:
                call = wire.peers._outboxes[to]._stub.Rounds(timeout=5)  # type: ignore[call-arg]  # stubs: no read/write
                await asyncio.sleep(0.002)
                call.cancel()


class Ordered(Deviation):
    """Whatever the file says, in the first attempt's committee at the rank that it says."""

    def __init__(self, orders: Path) -> None:
        super().__init__()
        self._orders = orders
        self._text = ""
        self._deviation = Deviation()
        self._rank = 0

    def _now(self, node: Node) -> Deviation:
        text, views = self._orders.read_text(), node.context.ledger.view.open()
        if not text or not views:
            return Deviation()
        if text != self._text:
            said = json.loads(text)
            self._text, self._rank = text, said["rank"]
            self._deviation = Redials() if said["name"] == "redials" else CASES[said["name"]].make()
        view, members = views[0], node.context.members.values()
        first = choose_committee(view.query, 1, members, panel=view.panel, excluded=0, companies_min=3).members
        return self._deviation if first[self._rank] == node.me else Deviation()

    def believes(self, context: Context) -> Context:
        def draw(size: int) -> bytes:
            drawn = context.random(size)
            if isinstance(self._deviation, Ends):
                self._deviation.drawn.append(drawn)
            return drawn

        return replace(context, random=draw)

    async def deliver(self, node: Node, to: MemberIndex, kind: str, payload: bytes) -> None:
        await self._now(node).deliver(node, to, kind, payload)

    def opened(self, node: Node, session: SessionId, others: Sequence[MemberIndex]) -> None:
        self._now(node).opened(node, session, others)

    def frame(self, node: Node, to: MemberIndex, frame: Frame) -> None:
        self._now(node).frame(node, to, frame)

    def arrived(self, node: Node, sender: MemberIndex, frame: Frame) -> bytes:
        return self._now(node).arrived(node, sender, frame)

    def heard(self, node: Node, sender: MemberIndex, kind: Kind, payload: bytes) -> None:
        self._now(node).heard(node, sender, kind, payload)

    async def submit(self, node: Node, call: Call) -> Height:
        """A node that deviates does not complain of what comes of it."""
        now = self._now(node)
        if now is self._deviation and call.method == "queries.fail_attempt" and not isinstance(now, Blames):
            await never()
        return await now.submit(node, call)


class _Dressed:
    """A role whose handlers are overheard."""

    def __init__(self, role: RunningRole, outfit: Outfit) -> None:
        self._role, self._outfit = role, outfit

    @property
    def handlers(self) -> Mapping[Kind, Handler]:
        return self._outfit.handlers(self._role.handlers)

    async def run(self) -> None:
        await self._role.run()


def _dress(orders: Path) -> None:
    # the package has a function of the module's name
    run: Any = importlib.import_module("mpcnode.daemon.run")
    build, outfit = run.build_role, Outfit(Ordered(orders), RealWire)

    def dressed(config: NodeConfig, keys: Keystore, context: Context) -> RunningRole:
        return _Dressed(build(config, keys, outfit.context(context)), outfit)

    run.build_role = dressed


if __name__ == "__main__":
    _dress(Path(sys.argv[1]))
    sys.argv = ["mpcnode", "run", "--config", sys.argv[2]]
    main()
