"""How nodes come to know each other's keys: each sends its announcement, and checks all others', in one round."""

import hashlib
from collections.abc import Callable

from mpcnode.errors import InvalidKeyError, PeerDeviatedError
from mpcnode.mpc.joint.talk import Talk, others
from mpcnode.mpc.paillier.announcement import accept, announce
from mpcnode.mpc.paillier.drawing import Source
from mpcnode.mpc.paillier.keys import DecryptionKey, EncryptionKey
from mpcnode.mpc.paillier.multiplier import PaillierMultiplier
from mpcnode.types import Rank

CONTEXT_BYTES = 32

Check = Callable[[bytes, bytes], EncryptionKey]
"""(announcement, context) -> the key of another node, if it is one."""


def introduce(
    rank: Rank, parties: int, context: bytes, key: DecryptionKey, source: Source, *, check: Check = accept
) -> Talk[PaillierMultiplier]:
    """Exchange keys with every other node.

    Args:
        rank: this node's place in the committee.
        parties: its size.
        context: 32 bytes that name this exchange at all nodes; no two exchanges share one.
        key: this node's.
        source: random bytes.
        check: of what others send; tests alone give another than the default, which takes a second for each.

    Raises:
        PeerDeviatedError: another node's announcement is not what it should be; names the node and what is wrong.
        ValueError: a context of another length.
    """
    if len(context) != CONTEXT_BYTES:
        raise ValueError(f"context: expected {CONTEXT_BYTES} bytes, got {len(context)}")
    peers = others(rank, parties)
    received = yield dict.fromkeys(peers, announce(key, _context(context, rank), source))
    keys: dict[Rank, EncryptionKey] = {}
    for peer in peers:
        try:
            keys[peer] = check(received[peer], _context(context, peer))
        except InvalidKeyError as error:
            raise PeerDeviatedError(f"node {peer}: {error}", peer) from error
    return PaillierMultiplier(rank, key, keys, source)


def _context(context: bytes, owner: Rank) -> bytes:
    """Whose key an announcement is of, and what for."""
    return hashlib.blake2b(bytes([owner]), digest_size=32, key=context, person=b"mpc-paillier-own").digest()
