"""Streams of pseudo-random bytes: AES-256 in counter mode, one key for each use, each drawn once.

Drawing a stream twice is how joint computations leak: two openings masked by the same bytes show the difference of what
they hide, with every result still correct. So a second draw raises.
"""

import hashlib

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from mpcnode.errors import CorrelationReuseError
from mpcnode.types import SessionId

SEED_BYTES = 32

_BLOCK = bytes(256 * 1024)  # encrypted again and again; stays in the second-level cache
_COUNTER_BYTES = 16


def keystream(key: bytes, size: int) -> NDArray[np.uint8]:
    """Return the first `size` bytes of AES-256-CTR under a 32-byte key, counter from 0 (NIST SP 800-38A)."""
    stream = np.empty(size, np.uint8)
    view = stream.data
    encryptor = Cipher(algorithms.AES256(key), modes.CTR(bytes(_COUNTER_BYTES))).encryptor()
    for start in range(0, size, len(_BLOCK)):
        length = min(len(_BLOCK), size - start)
        encryptor.update_into(memoryview(_BLOCK)[:length], view[start : start + length])
    return stream


class Streams:
    """What a dealer and one node draw from the seed they share for one session."""

    def __init__(self, seed: bytes, session: SessionId) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"expected a seed of {SEED_BYTES} bytes, got {len(seed)}")
        self._seed = seed
        self._session = session
        self._drawn: set[str] = set()

    def __repr__(self) -> str:
        return f"Streams({len(self._drawn)} drawn)"

    def draw(self, label: str, size: int) -> NDArray[np.uint8]:
        """Return the stream of a label.

        Raises:
            CorrelationReuseError: it was drawn before.
        """
        if label in self._drawn:
            raise CorrelationReuseError(f"stream {label}: expected to be drawn once, got a second draw")
        self._drawn.add(label)
        data = self._session + label.encode("ascii")
        key = hashlib.blake2b(data, digest_size=32, key=self._seed, person=b"mpc-prg").digest()
        return keystream(key, size)
