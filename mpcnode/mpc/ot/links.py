"""What two nodes keep with each other: transfers in both directions, and a seed for zero shares.

Made once, in one round of 12,320 bytes to each other node, and used for many sessions: transfers count on, seeds are
drawn from by session and label. All secrets come from one seed, so that a node may commit to it and open it to an
auditor. Right and secure as its parts are; every key depends on both nodes, their order and the set-up's context, those
of hashes and the seed of a pair on all that both sent, too.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from mpcnode.errors import CorrelationReuseError
from mpcnode.mpc.joint.talk import Talk, expect_length, others
from mpcnode.mpc.ot.columns import COLUMNS
from mpcnode.mpc.ot.endemic import POINT_BYTES, SCALAR_SOURCE_BYTES, KeyChooser, KeyMaker, agree, half
from mpcnode.mpc.ot.extension import Receiver, Sender
from mpcnode.mpc.prg import Streams
from mpcnode.types import Rank, SessionId

CONTEXT_BYTES = 32

_CHOOSER_BYTES = 2 * POINT_BYTES * COLUMNS
_MAKER_BYTES = POINT_BYTES * COLUMNS
_HELLO_BYTES = _CHOOSER_BYTES + _MAKER_BYTES + POINT_BYTES


@dataclass(frozen=True, slots=True)
class Link:
    """This node's side of what it keeps with one other node."""

    receiver: Receiver = field(repr=False)
    sender: Sender = field(repr=False)
    seed: bytes = field(repr=False)
    """The same 32 bytes at both."""


class Links:
    """This node's links with all other nodes of a committee."""

    def __init__(self, rank: Rank, by_peer: Mapping[Rank, Link]) -> None:
        self.rank = rank
        self.by_peer = by_peer
        self._sessions: set[SessionId] = set()
        self._running: SessionId | None = None

    @property
    def parties(self) -> int:
        """Nodes of the committee."""
        return len(self.by_peer) + 1

    def claim(self, session: SessionId) -> None:
        """Take these links for a session, once; one session at a time.

        Raises:
            CorrelationReuseError: they were taken for it before, or for another that has not ended. If that one failed,
                nobody knows how far each node counted in it: the links are of no more use, and no other node is at
                fault for what its count is.
        """
        if session in self._sessions:
            raise CorrelationReuseError(f"session {session.hex()}: expected to get correlations once, got a second use")
        if self._running is not None:
            raise CorrelationReuseError(
                f"session {session.hex()}: expected links that are free, got some that session {self._running.hex()} "
                "has not given back; if it failed, connect the nodes anew"
            )
        self._sessions.add(session)
        self._running = session

    def give_back(self) -> None:
        """End the running session: every node has all that it should have."""
        self._running = None


def connect(rank: Rank, parties: int, context: bytes, seed: bytes) -> Talk[Links]:
    """Make links with every other node.

    Args:
        rank: this node's place in the committee.
        parties: its size.
        context: 32 bytes that name this set-up and its committee at all nodes; no two set-ups share one.
        seed: 32 bytes that nobody else knows, of this set-up only; after a failed check, as ever, another: what was
            learnt of a secret must not help again.

    Raises:
        PeerDeviatedError: another node sent what no honest one does; names it.
        ValueError: a context of another length.
    """
    if len(context) != CONTEXT_BYTES:
        raise ValueError(f"context: expected {CONTEXT_BYTES} bytes, got {len(context)}")
    halves = {
        peer: _Half(rank, peer, context, Streams(seed, SessionId(context + bytes([peer]))))
        for peer in others(rank, parties)
    }
    received = yield {peer: side.message for peer, side in halves.items()}
    return Links(rank, {peer: side.link(received[peer]) for peer, side in halves.items()})


class _Half:
    """This node's side of a link in the making."""

    def __init__(self, rank: Rank, peer: Rank, context: bytes, streams: Streams) -> None:
        self._rank = rank
        self._peer = peer
        self._context = context
        self._secret = streams.draw("secret", COLUMNS // 8).tobytes()
        self._padding = streams.draw("padding", 32).tobytes()
        choices = bytes(self._secret[i // 8] >> i % 8 & 1 for i in range(COLUMNS))
        chooser_source = streams.draw("chooser", 2 * SCALAR_SOURCE_BYTES * COLUMNS).tobytes()
        maker_source = streams.draw("maker", SCALAR_SOURCE_BYTES * COLUMNS).tobytes()
        self._chooser = KeyChooser(peer, _bind(context, peer, rank), choices, chooser_source)
        self._maker = KeyMaker(peer, _bind(context, rank, peer), COLUMNS, maker_source)
        self._scalar, self._point = half(streams.draw("pair", SCALAR_SOURCE_BYTES).tobytes())

    @property
    def message(self) -> bytes:
        return self._chooser.message + self._maker.message + self._point

    def link(self, message: bytes) -> Link:
        expect_length(self._peer, "a set-up", message, _HELLO_BYTES)
        chooser, maker = message[:_CHOOSER_BYTES], message[_CHOOSER_BYTES:-POINT_BYTES]
        sides = sorted(((self._rank, self.message), (self._peer, message)))
        heard = b"".join(bytes([rank]) + sent for rank, sent in sides)
        context = hashlib.blake2b(heard, digest_size=32, key=self._context, person=b"mpc-ot-link").digest()
        return Link(
            receiver=Receiver(
                self._peer, _bind(context, self._rank, self._peer), self._maker.keys(chooser), self._padding
            ),
            sender=Sender(self._peer, _bind(context, self._peer, self._rank), self._chooser.keys(maker), self._secret),
            seed=agree(self._peer, context, self._scalar, message[-POINT_BYTES:]),
        )


def _bind(context: bytes, receiver: Rank, sender: Rank) -> bytes:
    """The context of one direction: who will receive, who will send."""
    data = bytes([receiver, sender])
    return hashlib.blake2b(data, digest_size=32, key=context, person=b"mpc-ot-way").digest()
