"""Words, statements and digests (docs/protocol.md 1.1 and 1.2).

Everything signed is a statement: a fixed number of 32-byte words, the first its domain, the second the chain. Content
of varying size enters by its digest.
"""

import hashlib

from ledger.errors import DecodeError
from ledger.types import ChainId, Digest

WORD_BYTES = 32


def word(value: int | bytes | str) -> bytes:
    """Encode an unsigned integer (big-endian), a text (ASCII, zero-padded) or a 32-byte string as one word.

    Raises:
        ValueError: the value does not fit a word; a programming error, not a peer's.
    """
    if isinstance(value, int):
        return value.to_bytes(WORD_BYTES, "big")
    if isinstance(value, str):
        encoded = value.encode("ascii")
        if len(encoded) > WORD_BYTES or b"\0" in encoded:
            raise ValueError(f"a text word has at most {WORD_BYTES} characters and no NUL, got {value!r}")
        return encoded.ljust(WORD_BYTES, b"\0")
    if len(value) != WORD_BYTES:
        raise ValueError(f"a byte word has {WORD_BYTES} bytes, got {len(value)}")
    return bytes(value)


def statement(domain: str, chain: ChainId, *values: int | bytes | str) -> bytes:
    """Return the statement of a domain on a chain."""
    return b"".join((word(domain), word(chain), *map(word, values)))


def split_words(data: bytes, domain: str, count: int) -> tuple[bytes, ...]:
    """Take a statement apart into its words after the domain: chain first.

    Raises:
        DecodeError: it has not `count` words (domain included) or another domain.
    """
    if len(data) != count * WORD_BYTES:
        raise DecodeError(f"{domain}: expected {count * WORD_BYTES} bytes, got {len(data)}")
    if data[:WORD_BYTES] != word(domain):
        raise DecodeError(f"expected the domain {domain}, got {data[:WORD_BYTES]!r}")
    return tuple(data[start : start + WORD_BYTES] for start in range(WORD_BYTES, len(data), WORD_BYTES))


def read_uint(value: bytes, bits: int) -> int:
    """Read a word as an unsigned integer of at most `bits` bits.

    Raises:
        DecodeError: it is larger.
    """
    number = int.from_bytes(value, "big")
    if number >> bits:
        raise DecodeError(f"expected an integer of at most {bits} bits, got {number}")
    return number


def read_text(value: bytes) -> str:
    """Read a word as a text.

    Raises:
        DecodeError: it is not ASCII padded with zeros.
    """
    text = value.rstrip(b"\0")
    if b"\0" in text or not text.isascii():
        raise DecodeError(f"expected ASCII text padded with zeros, got {value!r}")
    return text.decode("ascii")


def digest(domain: str, *fields: bytes) -> Digest:
    """SHA-256 over domain, number of fields and fields, each with its length: distinct tuples never collide."""
    tag = domain.encode("ascii")
    hasher = hashlib.sha256(len(tag).to_bytes(4, "big") + tag + len(fields).to_bytes(4, "big"))
    for item in fields:
        hasher.update(len(item).to_bytes(4, "big"))
        hasher.update(item)
    return Digest(hasher.digest())
