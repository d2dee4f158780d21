"""Conversations of one node with every other: a generator that knows of no socket.

Each round it yields one message for every other node and is sent one from every other node. A message that no honest
node sends ends the conversation with an error that names the sender.
"""

from collections.abc import Generator, Iterable, Mapping
from typing import TypeVar

from mpcnode.errors import PeerDeviatedError
from mpcnode.mpc.openings import Protocol, encode_openings, open_all
from mpcnode.types import Rank

T = TypeVar("T")

Messages = Mapping[Rank, bytes]
"""To or from every other node."""

Talk = Generator[Messages, Messages, T]
"""Yields messages once for each round, returns a T."""


def others(rank: Rank, parties: int) -> tuple[Rank, ...]:
    """The other nodes of a committee."""
    return tuple(Rank(i) for i in range(parties) if i != rank)


def expect_length(peer: Rank, what: str, message: bytes, size: int) -> None:
    """Check a message's length.

    Raises:
        PeerDeviatedError: it has another.
    """
    if len(message) != size:
        raise PeerDeviatedError(f"node {peer}: expected {size} bytes of {what}, got {len(message)}", peer)


def broadcast(protocol: Protocol[T], peers: Iterable[Rank]) -> Talk[T]:
    """Run a protocol that opens values: every other node is sent this one's shares.

    Raises:
        PeerDeviatedError: a node sent another number of bytes.
    """
    peers = tuple(peers)
    try:
        openings = next(protocol)
        while True:
            mine = encode_openings(openings)
            received = yield dict.fromkeys(peers, mine)
            for peer in peers:
                expect_length(peer, "shares to open", received[peer], len(mine))
            openings = protocol.send(open_all(openings, (received[peer] for peer in peers)))
    except StopIteration as stop:
        result: T = stop.value
        return result
