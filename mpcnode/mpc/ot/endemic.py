"""Key transfers: one node gets two keys for each transfer, the other one of them, by a bit that the first never learns.

The other, with bit c, sends points r_0, r_1 of which r_(1-c) is random and r_c = aG - H_c(r_(1-c)); the first sends
bG and takes as keys hashes of b (r_0 + H_0(r_1)) and b (r_1 + H_1(r_0)). One of these is b a G, which the other knows
too; the discrete logarithm of the other it does not know, since H is a random oracle into the group. Both messages
cross: one round; 64 bytes for a transfer one way, 32 the other.

Right by that identity. Secure against nodes that deviate, if the computational Diffie-Hellman problem in the group is
hard and BLAKE2b is a random oracle: r_0 and r_1 are uniform whatever c is, and every point received is checked to be
one of the prime-order group of ed25519. Whoever deviates can choose its own keys, which extensions allow. (Masny and
Rindal, Endemic Oblivious Transfer, CCS 2019. Two images of Elligator 2 added make a random oracle: Farashahi et al.,
Math. Comp. 2013.)
"""

import hashlib

from nacl import bindings as sodium

from mpcnode.errors import PeerDeviatedError
from mpcnode.mpc.joint.talk import expect_length
from mpcnode.types import Rank

POINT_BYTES = 32
SCALAR_SOURCE_BYTES = 64
"""Random bytes that make a scalar: twice its length, so that it is uniform."""


class KeyChooser:
    """The side that chooses: bits in, a key for each."""

    def __init__(self, peer: Rank, context: bytes, choices: bytes, randomness: bytes) -> None:
        """Prepare.

        Args:
            peer: the other node, for errors.
            context: of this set of transfers; no two sets share one.
            choices: a byte of 0 or 1 for each transfer.
            randomness: 128 bytes for each, secret, of this use only.
        """
        self._peer = peer
        self._context = context
        self._scalars: list[bytes] = []
        self._points: list[tuple[bytes, bytes]] = []
        for i, choice in enumerate(choices):
            source = randomness[2 * SCALAR_SOURCE_BYTES * i :][: 2 * SCALAR_SOURCE_BYTES]
            scalar, other = _scalar(source[:SCALAR_SOURCE_BYTES]), _times_g(_scalar(source[SCALAR_SOURCE_BYTES:]))
            chosen = sodium.crypto_core_ed25519_sub(_times_g(scalar), _hash_to_group(context, i, choice, other))
            self._scalars.append(scalar)
            self._points.append((other, chosen) if choice else (chosen, other))

    @property
    def message(self) -> bytes:
        """What to send: r_0 and r_1 of each transfer."""
        return b"".join(zero + one for zero, one in self._points)

    def keys(self, message: bytes) -> list[bytes]:
        """Return the chosen keys, 32 bytes each, from the other side's message.

        Raises:
            PeerDeviatedError: it has another length, or is not made of points of the group.
        """
        expect_length(self._peer, "points", message, POINT_BYTES * len(self._scalars))
        found = []
        for i, (scalar, pair) in enumerate(zip(self._scalars, self._points, strict=True)):
            point = _checked(self._peer, message, i)
            found.append(_key(self._context, i, pair, point, sodium.crypto_scalarmult_ed25519_noclamp(scalar, point)))
        return found


class KeyMaker:
    """The side that makes: two keys for each transfer."""

    def __init__(self, peer: Rank, context: bytes, count: int, randomness: bytes) -> None:
        """Prepare; as for the other side, but 64 random bytes for each of `count` transfers."""
        self._peer = peer
        self._context = context
        self._scalars = [_scalar(randomness[SCALAR_SOURCE_BYTES * i :][:SCALAR_SOURCE_BYTES]) for i in range(count)]
        self._points = [_times_g(scalar) for scalar in self._scalars]

    @property
    def message(self) -> bytes:
        """What to send: bG of each transfer."""
        return b"".join(self._points)

    def keys(self, message: bytes) -> list[tuple[bytes, bytes]]:
        """Return both keys of each transfer, 32 bytes each, from the other side's message.

        Raises:
            PeerDeviatedError: it has another length, or is not made of points of the group.
        """
        expect_length(self._peer, "points", message, 2 * POINT_BYTES * len(self._scalars))
        found = []
        for i, (scalar, mine) in enumerate(zip(self._scalars, self._points, strict=True)):
            pair = _checked(self._peer, message, 2 * i), _checked(self._peer, message, 2 * i + 1)
            zero, one = (self._key(i, choice, pair, scalar, mine) for choice in (0, 1))
            found.append((zero, one))
        return found

    def _key(self, i: int, choice: int, pair: tuple[bytes, bytes], scalar: bytes, mine: bytes) -> bytes:
        hashed = _hash_to_group(self._context, i, choice, pair[1 - choice])
        base = sodium.crypto_core_ed25519_add(pair[choice], hashed)
        if not sodium.crypto_core_ed25519_is_valid_point(base):
            why = f"node {self._peer}: expected two points that do not cancel, got such in transfer {i}"
            raise PeerDeviatedError(why, self._peer)
        return _key(self._context, i, pair, mine, sodium.crypto_scalarmult_ed25519_noclamp(scalar, base))


def agree(peer: Rank, context: bytes, scalar: bytes, point: bytes) -> bytes:
    """Return 32 bytes that this node and a peer share: a hash of their Diffie-Hellman point.

    Args:
        peer: the other node, for errors.
        context: 32 bytes of these two nodes and both their messages: else a node in the middle, which hands on points
            as its own, makes two others share one secret with it unawares.
        scalar: of `half`.
        point: the peer's.

    Raises:
        PeerDeviatedError: what the peer sent is not a point of the group.
    """
    expect_length(peer, "a point", point, POINT_BYTES)
    shared = sodium.crypto_scalarmult_ed25519_noclamp(scalar, _checked(peer, point, 0))
    return hashlib.blake2b(shared, digest_size=32, key=context, person=b"mpc-ot-pair").digest()


def half(randomness: bytes) -> tuple[bytes, bytes]:
    """Turn 64 random bytes into a scalar for `agree` and the point to send for it."""
    scalar = _scalar(randomness)
    return scalar, _times_g(scalar)


def _scalar(source: bytes) -> bytes:
    scalar: bytes = sodium.crypto_core_ed25519_scalar_reduce(source)
    return scalar


def _times_g(scalar: bytes) -> bytes:
    point: bytes = sodium.crypto_scalarmult_ed25519_base_noclamp(scalar)
    return point


def _checked(peer: Rank, message: bytes, place: int) -> bytes:
    point = message[POINT_BYTES * place :][:POINT_BYTES]
    if not sodium.crypto_core_ed25519_is_valid_point(point):
        why = f"node {peer}: expected a point of ed25519's prime-order group, got {point.hex()}"
        raise PeerDeviatedError(why, peer)
    return point


def _hash_to_group(context: bytes, transfer: int, choice: int, point: bytes) -> bytes:
    data = context + transfer.to_bytes(4, "little") + bytes([choice]) + point
    hashed = hashlib.blake2b(data, person=b"mpc-ot-point").digest()
    low, high = (sodium.crypto_core_ed25519_from_uniform(part) for part in (hashed[:32], hashed[32:]))
    image: bytes = sodium.crypto_core_ed25519_add(low, high)
    return image


def _key(context: bytes, transfer: int, pair: tuple[bytes, bytes], point: bytes, shared: bytes) -> bytes:
    data = context + transfer.to_bytes(4, "little") + pair[0] + pair[1] + point + shared
    return hashlib.blake2b(data, digest_size=32, person=b"mpc-ot-key").digest()
