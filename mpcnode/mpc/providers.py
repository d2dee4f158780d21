"""Where a node's correlations come from: one interface, whoever makes them.

For the same program all providers give the same items: labels, fields, shapes, rings. So bodies and sessions run on any
of them, and only what it costs, who could read along, and what an audit can recompute differ (docs/computation.md 6).
"""

import hashlib
from collections.abc import Callable
from typing import Protocol

from mpcnode.errors import CorrelationReuseError
from mpcnode.mpc.correlations import Material
from mpcnode.mpc.dealer import expand
from mpcnode.mpc.joint import Maker, MultiplierMaker, Talk, provide
from mpcnode.mpc.ot import TransferMaker, connect
from mpcnode.mpc.paillier import DecryptionKey, generate, introduce
from mpcnode.mpc.paillier.announcement import accept
from mpcnode.mpc.paillier.introduction import Check
from mpcnode.mpc.prg import CHUNK_BYTES, SEED_BYTES
from mpcnode.mpc.program import Program
from mpcnode.types import CorrelationSource, Rank, SessionId

Source = Callable[[int], bytes]
"""Returns so many random bytes, fit for keys."""


class Provider(Protocol):
    """One node's source of correlations, in one committee."""

    def provide(self, program: Program, session: SessionId) -> Talk[Material]:
        """Give a session its material, once; talks with the other nodes' providers if they make it together.

        Raises:
            CorrelationReuseError: the session was given its material before.
            ValueError: a correlation of the program cannot be provided; names it.
            PeerDeviatedError: another node sent what no honest one does; names it.
        """
        ...


class DealerProvider:
    """Material of one session that a dealer made: no talk."""

    def __init__(self, rank: Rank, session: SessionId, seed: bytes, corrections: bytes | None) -> None:
        """Take what the dealer gave this node for a session."""
        self._rank = rank
        self._claims = _Claims()
        self._session = session
        self._seed = seed
        self._corrections = corrections

    def __repr__(self) -> str:
        return f"DealerProvider({self._session.hex()})"

    def provide(self, program: Program, session: SessionId) -> Talk[Material]:
        """See `Provider`.

        Raises:
            CorrelationReuseError: this session was given its material before, or another was dealt to.
            DealError: what was dealt does not fit the program.
        """
        if session != self._session:
            raise CorrelationReuseError(
                f"session {session.hex()}: expected the session that was dealt to, {self._session.hex()}"
            )
        self._claims.claim(session)
        yield from ()
        return expand(program, session, self._rank, self._seed, self._corrections)


class JointProvider:
    """Material that the nodes make together, for any number of sessions."""

    def __init__(self, rank: Rank, source: Source, maker: Callable[[SessionId], Maker]) -> None:
        """Take this node's place, random bytes, and who makes a session's elementary correlations."""
        self._rank = rank
        self._source = source
        self._maker = maker
        self._claims = _Claims()

    def __repr__(self) -> str:
        return f"JointProvider({len(self._claims)} sessions)"

    def provide(self, program: Program, session: SessionId) -> Talk[Material]:
        """See `Provider`."""
        self._claims.claim(session)
        return (yield from provide(program, session, self._rank, self._source(SEED_BYTES), self._maker(session)))


class _Claims:
    """Sessions that were given their material."""

    def __init__(self) -> None:
        self._sessions: set[SessionId] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    def claim(self, session: SessionId) -> None:
        if session in self._sessions:
            raise CorrelationReuseError(f"session {session.hex()}: expected to get correlations once, got a second use")
        self._sessions.add(session)


def transfer_provider(rank: Rank, parties: int, context: bytes, source: Source) -> Talk[JointProvider]:
    """Connect with the other nodes for correlations from oblivious transfers.

    Args:
        rank: this node's place in the committee.
        parties: its size.
        context: 32 bytes that name this set-up at all nodes; no two set-ups share one.
        source: random bytes.

    Raises:
        PeerDeviatedError: another node sent what no honest one does; names it.
    """
    links = yield from connect(rank, parties, context, source(SEED_BYTES))
    return JointProvider(rank, source, lambda session: TransferMaker(links, session))


def paillier_provider(
    rank: Rank, parties: int, context: bytes, key: DecryptionKey, source: Source, *, check: Check = accept
) -> Talk[JointProvider]:
    """Exchange keys with the other nodes for correlations from products under Paillier encryption.

    Args:
        rank: this node's place in the committee.
        parties: its size.
        context: 32 bytes that name this set-up at all nodes; no two set-ups share one.
        key: this node's, of this set-up only.
        source: random bytes.
        check: as `introduce` takes it.

    Raises:
        PeerDeviatedError: another node's key is not what it should be; names the node and what is wrong.
    """
    multiplier = yield from introduce(rank, parties, context, key, source, check=check)
    return JointProvider(rank, source, lambda _: MultiplierMaker(multiplier, rank, parties))


def joint_provider(
    source: CorrelationSource, rank: Rank, parties: int, context: bytes, random: Source
) -> Talk[JointProvider]:
    """Connect with the other nodes, as a source of correlations wants it.

    Args:
        source: how the committee makes them.
        rank: this node's place in the committee.
        parties: its size.
        context: 32 bytes that name this set-up at all nodes; no two set-ups share one.
        random: secret random bytes.

    Raises:
        ValueError: a dealer makes them.
        SessionError: another node sent what no honest one does; names it.
        InvalidKeyError: another node's key is not what it should be; names the node and what is wrong.
    """
    match source:
        case CorrelationSource.OT:
            return (yield from transfer_provider(rank, parties, context, random))
        case CorrelationSource.PAILLIER:
            return (yield from paillier_provider(rank, parties, context, generate(random), random))
        case CorrelationSource.DEALER:
            raise ValueError(f"set-up {context.hex()}: expected correlations that nodes make, got a dealer's")


def chunk_name(session: SessionId, chunk: int) -> SessionId:
    """What a chunk's correlations are made under, where a session makes its own."""
    named = hashlib.blake2b(session + chunk.to_bytes(CHUNK_BYTES, "big"), digest_size=32, person=b"mpc-joint-chunk")
    return SessionId(named.digest())
