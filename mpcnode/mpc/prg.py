"""Streams of pseudo-random bytes: AES-256 in counter mode, one key for each use, each drawn once.

A use is a label of a chunk of a session (docs/computation.md 4).

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
CHUNK_BYTES = 4
"""Bytes of a chunk's number, wherever it stands in a key or a hash."""

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
    """What a dealer and one node draw from the seed they share for one session.

    Chunks are drawn in ascending order. So what was drawn is known however many chunks there are: every chunk below the
    present one, and the labels of the present one.
    """

    def __init__(self, seed: bytes, session: SessionId) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"expected a seed of {SEED_BYTES} bytes, got {len(seed)}")
        self._seed = seed
        self._session = session
        self._chunk = 0
        self._drawn: set[str] = set()
        """Of this chunk."""

    def __repr__(self) -> str:
        return f"Streams(chunk {self._chunk}, {len(self._drawn)} drawn)"

    def draw(self, label: str, size: int, chunk: int = 0) -> NDArray[np.uint8]:
        """Return the stream of a label and chunk.

        Args:
            label: what it is for; unique in a program.
            size: bytes.
            chunk: of the session, from 0; what is not cut is chunk 0.

        Raises:
            CorrelationReuseError: it was drawn before, or a later chunk was.
        """
        where = f"stream {label}, chunk {chunk}"
        if chunk < self._chunk:
            raise CorrelationReuseError(f"{where}: expected chunk {self._chunk} or later, got one that is over")
        if chunk > self._chunk:
            self._chunk = chunk
            self._drawn.clear()
        if label in self._drawn:
            raise CorrelationReuseError(f"{where}: expected to be drawn once, got a second draw")
        self._drawn.add(label)
        data = self._session + chunk.to_bytes(CHUNK_BYTES, "big") + label.encode("ascii")
        key = hashlib.blake2b(data, digest_size=32, key=self._seed, person=b"mpc-prg").digest()
        return keystream(key, size)
