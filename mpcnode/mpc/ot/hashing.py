"""Two hashes that extensions of oblivious transfers use: one that breaks correlations, one that checks columns.

*Breaking*: H(x, i) = p(p(x) ^ i) ^ p(x), p being AES-128 under a public key of the set of transfers. Tweakable circular
correlation robust if p is a random permutation, hence right for extensions whose receiver deviates, as long as no tweak
i repeats: a counter. A keyed hash function would do too, at a hundred times the cost in Python: AES is called once for
a million rows. (Guo, Katz, Wang and Yu, IEEE S&P 2020, "TMMO".) All rows are attacked at once: H ^ i = p(z) ^ z with
z = p(x) ^ i, so one table of q hashes serves every z that is tried; hence fewer than 2^128 / q computations are safe.

*Checking*: GHASH, the polynomial hash of AES-GCM, under a key chosen after the columns: two different columns of B
blocks collide with a probability of (B + 1) / 2^128. It is linear over bits. GMAC of a column less that of zeros is it.
"""

import hashlib
from functools import cached_property

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from mpcnode.mpc.ring import Words

ROW_BYTES = 16
_NONCE = bytes(12)
_BLOCK_ROWS = 8192  # 128 KB, which stay in the second-level cache


class RowHash:
    """The hash that breaks correlations, for rows of 16 bytes."""

    def __init__(self, context: bytes) -> None:
        key = hashlib.blake2b(context, digest_size=16, person=b"mpc-ot-rows").digest()
        cipher = Cipher(algorithms.AES128(key), modes.ECB())  # noqa: S305 (a public permutation, no encryption)
        self._encryptor = cipher.encryptor()

    def __call__(self, rows: Words, first: int) -> Words:
        """Hash rows [L, 2], with tweaks first, first + 1, ..."""
        hashed = np.empty_like(rows)
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            inner = self._permute(block)
            tweaked = inner.copy()
            tweaked[:, 0] ^= np.arange(first + start, first + start + len(block), dtype=np.uint64)
            np.bitwise_xor(self._permute(tweaked), inner, out=hashed[start : start + len(block)])
        return hashed

    def _permute(self, rows: Words) -> Words:
        out = np.empty(rows.nbytes + ROW_BYTES, np.uint8)  # the library asks for room for one more block
        size = self._encryptor.update_into(rows.reshape(-1).view(np.uint8).data, out.data)
        return out[:size].view(np.uint64).reshape(rows.shape)


class ColumnHash:
    """The hash that checks columns, all of one length."""

    def __init__(self, key: bytes, size: int) -> None:
        self._gcm = AESGCM(key)
        self._size = size

    @cached_property
    def _of_zeros(self) -> NDArray[np.uint8]:
        return self._tags(np.zeros((1, self._size), np.uint8))

    def _tags(self, columns: NDArray[np.uint8]) -> NDArray[np.uint8]:
        tags = [self._gcm.encrypt(_NONCE, b"", column.data) for column in columns]
        return np.frombuffer(b"".join(tags), np.uint8).reshape(len(columns), ROW_BYTES)

    def __call__(self, columns: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Hash columns [C, size] into [C, 16]."""
        return self._tags(columns) ^ self._of_zeros
