"""Oblivious transfers in bulk: from 128 keys, as many random transfers as one likes, with symmetric cryptography only.

The receiver has two keys for each of 128 columns, the sender one of each by the bits of its secret D. The receiver
expands all keys to columns T_0, T_1 as long as its choices c, and sends U = T_0 ^ T_1 ^ c for each column. The sender
takes T_0, or T_1 ^ U, which is T_0 ^ c. Row i of what it has is then that of T_0, plus D if c_i is 1: so of the hashes
H(row, i) and H(row ^ D, i) the receiver knows the one it chose, by its own row of T_0.

*Check.* A receiver that uses other choices in other columns would learn bits of D. So it also sends a linear hash of
its choices and of every column of T_0, and the sender checks that its columns' hashes are those, plus that of the
choices where its bit of D is 1. The key of that hash is a hash of U (Fiat and Shamir), and 128 random choices at the
end hide the others. Who deviates in j columns passes only by guessing D's bits there, with a probability of 2^-j; else
it is named, and this set of keys is burned. Without a guess it passes if the choices of two columns have one hash: by
itself, before it sends anything, it may try as many U as it likes, each with 2^-119 at most for every two columns. This
check, of columns by a universal hash, is the one proved by Roy, SoftSpokenOT, CRYPTO 2022; the proof of that of Keller,
Orsini and Scholl (CRYPTO 2015), which sums rows, has a gap. (Extension: Ishai, Kilian, Nissim, Petrank, CRYPTO 2003.)

One message of the receiver: 16 bytes for each transfer, and up to 3,120 for every 65,536. The sender sends nothing, so
it cannot deviate. Tweaks count on over the whole life of a set; a receiver says where it is, and a sender that is
elsewhere refuses: so a node restored from an old state is found before rows repeat, if the other follows the protocol.
A receiver that does not plays along with a restored sender, whose rows then repeat.
"""

import hashlib
import hmac
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpcnode.errors import CorrelationReuseError, PeerDeviatedError
from mpcnode.mpc.joint.talk import expect_length
from mpcnode.mpc.ot.columns import COLUMNS, Columns, transpose
from mpcnode.mpc.ot.hashing import ROW_BYTES, ColumnHash, RowHash
from mpcnode.mpc.ring import Words
from mpcnode.types import Rank

CHUNK_WORDS = 1024
"""Choices checked together, in words: columns of 8 KB each, which stay in the second-level cache."""

TRANSFERS_MAX = 1 << 40
"""Of a set of keys, padding included. Whoever knows q hashes finds D with a probability of q / 2^128 for each time that
it computes AES (`hashing`): with so few, 2^80 times give 2^-8."""

_COUNTER_BYTES = 8
_DIGEST_BYTES = 32
_WORD_BYTES = 8
_PADDING_BYTES = 16


def column_bytes(words: int) -> int:
    """Bytes of the columns for so many words of choices: whole blocks, the last one random."""
    used = _WORD_BYTES * words
    return used + _PADDING_BYTES + used % ROW_BYTES


def message_bytes(words: int) -> int:
    """Bytes of a receiver's message for so many words of choices."""
    columns = sum(column_bytes(size) for size in chunk_sizes(words))
    return _COUNTER_BYTES + COLUMNS * columns + len(chunk_sizes(words)) * (ROW_BYTES + _DIGEST_BYTES)


def chunk_sizes(words: int) -> list[int]:
    """Cut so many words of choices into chunks."""
    return [min(CHUNK_WORDS, words - start) for start in range(0, words, CHUNK_WORDS)]


class Receiver:
    """The side that chooses."""

    def __init__(self, peer: Rank, context: bytes, keys: Sequence[tuple[bytes, bytes]], padding: bytes) -> None:
        """Prepare.

        Args:
            peer: the other node, for errors.
            context: of this set of transfers; no two sets share one.
            keys: two of 32 bytes for each column.
            padding: 32 bytes, secret, of this use only: what the random choices at the end come from.
        """
        self._peer = peer
        self._context = context
        self._zeros = Columns([zero for zero, _ in keys])
        self._ones = Columns([one for _, one in keys])
        self._padding = Columns([padding])
        self._hash = RowHash(context)
        self._count = 0

    def choose(self, choices: Words) -> tuple[bytes, Words]:
        """Choose by the bits of words; the message to send, and the chosen hashes [64 · words, 2].

        Raises:
            CorrelationReuseError: the keys have made as many transfers as they may.
        """
        _check_left(self._peer, self._count, len(choices))
        parts = [self._count.to_bytes(_COUNTER_BYTES, "little")]
        hashes = np.empty((64 * len(choices), 2), np.uint64)
        start = 0
        for size in chunk_sizes(len(choices)):
            data, found = self._chunk(choices[start : start + size])
            parts.append(data)
            hashes[64 * start : 64 * (start + size)] = found
            start += size
        return b"".join(parts), hashes

    def _chunk(self, choices: Words) -> tuple[bytes, Words]:
        size = column_bytes(len(choices))
        used = choices.view(np.uint8)
        row = np.concatenate([used, self._padding.draw(size - len(used))[0]])
        columns, sent = self._zeros.draw(size), self._ones.draw(size)
        sent ^= columns
        sent ^= row
        checked = ColumnHash(_challenge(self._context, self._count, sent), size)
        of_choices = checked(row[None]).tobytes()
        digest = _digest(checked(columns))
        hashes = self._hash(transpose(columns, 8 * len(used)), self._count)
        self._count += 8 * size
        return sent.tobytes() + of_choices + digest, hashes


class Sender:
    """The side that learns nothing of the choices."""

    def __init__(self, peer: Rank, context: bytes, keys: Sequence[bytes], secret: bytes) -> None:
        """Prepare.

        Args:
            peer: the other node, for errors.
            context: as the receiver's.
            keys: one of 32 bytes for each column.
            secret: D, 16 bytes; bit i, the lowest first, says which key of column i this side has.
        """
        self._peer = peer
        self._context = context
        self._columns = Columns(keys)
        self._secret = np.frombuffer(secret, np.uint64)
        self._is_one = np.unpackbits(np.frombuffer(secret, np.uint8), bitorder="little").astype(bool)
        self._hash = RowHash(context)
        self._count = 0
        self._burned = False

    def accept(self, message: bytes, words: int) -> tuple[Words, Words]:
        """Take a receiver's message; both hashes [64 · words, 2] of each transfer.

        Raises:
            PeerDeviatedError: the receiver is elsewhere in the count, or its message does not pass the check or has
                another length; names it.
            CorrelationReuseError: a check failed before, so bits of this side's secret may be known; or the keys have
                made as many transfers as they may.
        """
        if self._burned:
            raise CorrelationReuseError(
                f"transfers with node {self._peer}: a check failed before, expected a new set of keys"
            )
        _check_left(self._peer, self._count, words)
        expect_length(self._peer, "transfers", message, message_bytes(words))
        count = int.from_bytes(message[:_COUNTER_BYTES], "little")
        if count != self._count:
            raise PeerDeviatedError(
                f"node {self._peer}: expected transfers from number {self._count}, got {count}; "
                "one side was restored from an old state: make new keys",
                self._peer,
            )
        zero, one = (np.empty((64 * words, 2), np.uint64) for _ in range(2))
        start, at = 0, _COUNTER_BYTES
        for size in chunk_sizes(words):
            chunk = slice(64 * start, 64 * (start + size))
            zero[chunk], one[chunk] = self._chunk(memoryview(message)[at:], size)
            start += size
            at += COLUMNS * column_bytes(size) + ROW_BYTES + _DIGEST_BYTES
        return zero, one

    def _chunk(self, data: memoryview, words: int) -> tuple[Words, Words]:
        size = column_bytes(words)
        sent = np.frombuffer(data[: COLUMNS * size], np.uint8).reshape(COLUMNS, size)
        of_choices = np.frombuffer(data[COLUMNS * size :][:ROW_BYTES], np.uint8)
        digest = bytes(data[COLUMNS * size + ROW_BYTES :][:_DIGEST_BYTES])
        columns = self._columns.draw(size)
        columns[self._is_one] ^= sent[self._is_one]
        found = ColumnHash(_challenge(self._context, self._count, sent), size)(columns)
        found[self._is_one] ^= of_choices
        if not hmac.compare_digest(_digest(found), digest):
            self._burned = True
            raise PeerDeviatedError(
                f"node {self._peer}: expected the same choices in all columns of transfers from number {self._count}, "
                "got others; its keys are void",
                self._peer,
            )
        rows = transpose(columns, 64 * words)
        zero = self._hash(rows, self._count)
        one = self._hash(rows ^ self._secret, self._count)
        self._count += 8 * size
        return zero, one


def _check_left(peer: Rank, count: int, words: int) -> None:
    rows = sum(8 * column_bytes(size) for size in chunk_sizes(words))
    if count + rows > TRANSFERS_MAX:
        raise CorrelationReuseError(
            f"transfers with node {peer}: expected {TRANSFERS_MAX} at most, got {rows} after {count}; make new keys"
        )


def _challenge(context: bytes, count: int, sent: NDArray[np.uint8]) -> bytes:
    state = hashlib.sha256(b"mpc-ot-check" + context + count.to_bytes(_COUNTER_BYTES, "little"))
    state.update(sent.data)
    return state.digest()


def _digest(hashes: NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(hashes.tobytes(), digest_size=_DIGEST_BYTES, person=b"mpc-ot-columns").digest()
