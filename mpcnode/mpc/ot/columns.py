"""Columns of pseudo-random bits, and their transposition into rows of 128 bits."""

from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from mpcnode.mpc.ring import Words

COLUMNS = 128

# transposition of 64x64 bit matrices by swaps of halves, quarters, ... (Warren, Hacker's Delight, section 7-3)
_SWAPS = tuple(
    (distance, np.uint64(mask))
    for distance, mask in (
        (32, 0x00000000FFFFFFFF),
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    )
)

_BLOCK_WORDS = 344  # 344 KB stay in the second-level cache; a power of two would use few of its lines


class Columns:
    """Streams of AES-256 in counter mode, one for each key of 32 bytes, each drawn on and on."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._streams = [Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor() for key in keys]

    def draw(self, size: int) -> NDArray[np.uint8]:
        """The next bytes of each stream [keys, size]."""
        drawn, zeros = np.empty((len(self._streams), size), np.uint8), bytes(size)
        for stream, column in zip(self._streams, drawn, strict=True):
            stream.update_into(zeros, column.data)
        return drawn


def transpose(columns: NDArray[np.uint8], count: int) -> Words:
    """Turn 128 columns of whole words into their first rows [count, 2]."""
    words = columns.view(np.uint64).reshape(2, 64, -1)
    size = words.shape[2]
    rows = np.empty((size, 64, 2), np.uint64)
    for start in range(0, size, _BLOCK_WORDS):
        block = np.ascontiguousarray(words[:, :, start : start + _BLOCK_WORDS].transpose(1, 0, 2))
        _transpose_squares(block)
        rows[start : start + _BLOCK_WORDS] = block.transpose(2, 0, 1)
    return rows.reshape(-1, 2)[:count]


def _transpose_squares(block: Words) -> None:
    """Transpose in place: of words [64, ...], bit i of word [j, x] and bit j of word [i, x] change places."""
    scratch = np.empty(block.size // 2, np.uint64)
    for distance, mask in _SWAPS:
        pairs = block.reshape(32 // distance, 2, -1)
        low, high = pairs[:, 0], pairs[:, 1]
        swap = scratch.reshape(low.shape)
        np.right_shift(low, np.uint64(distance), out=swap)
        swap ^= high
        swap &= mask
        high ^= swap
        swap <<= np.uint64(distance)
        low ^= swap
