"""Writer and Reader: integers big-endian, everything else behind its length.

Law of every decoder built on these: a value or `DecodeError`, never another exception, and no allocation before its
length was checked.
"""

from collections.abc import Callable
from typing import Self, TypeVar

from ledger.errors import DecodeError

T = TypeVar("T")


class Writer:
    """Collects the bytes of one value; every method returns the writer."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def uint(self, value: int, size: int) -> Self:
        """Add an unsigned integer of `size` bytes."""
        self._parts.append(value.to_bytes(size, "big"))
        return self

    def fixed(self, value: bytes, size: int) -> Self:
        """Add exactly `size` bytes."""
        if len(value) != size:
            raise ValueError(f"expected {size} bytes, got {len(value)}")
        self._parts.append(value)
        return self

    def blob(self, value: bytes) -> Self:
        """Add u32 length and bytes."""
        self._parts.append(len(value).to_bytes(4, "big"))
        self._parts.append(value)
        return self

    def text(self, value: str) -> Self:
        """Add u8 length and ASCII characters."""
        encoded = value.encode("ascii")
        return self.uint(len(encoded), 1).fixed(encoded, len(encoded))

    def bytes(self) -> bytes:
        """Return everything that was added."""
        return b"".join(self._parts)


class Reader:
    """Takes values from the front of a byte string."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._at = 0
        self._what = what

    def uint(self, size: int) -> int:
        """Take an unsigned integer of `size` bytes."""
        return int.from_bytes(self.fixed(size), "big")

    def fixed(self, size: int) -> bytes:
        """Take exactly `size` bytes."""
        end = self._at + size
        if end > len(self._data):
            raise DecodeError(
                f"{self._what}: expected {size} bytes at offset {self._at}, got {len(self._data) - self._at}"
            )
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def blob(self, size_max: int) -> bytes:
        """Take u32 length and bytes, at most `size_max`."""
        size = self.uint(4)
        if size > size_max:
            raise DecodeError(f"{self._what}: expected at most {size_max} bytes at offset {self._at}, got {size}")
        return self.fixed(size)

    def text(self) -> str:
        """Take u8 length and ASCII characters."""
        taken = self.fixed(self.uint(1))
        if not taken.isascii():
            raise DecodeError(f"{self._what}: expected ASCII text, got {taken!r}")
        return taken.decode("ascii")

    def items(self, count_max: int, take: Callable[[], T]) -> tuple[T, ...]:
        """Take u32 count and that many items, at most `count_max`."""
        count = self.uint(4)
        if count > count_max:
            raise DecodeError(f"{self._what}: expected at most {count_max} items, got {count}")
        return tuple(take() for _ in range(count))

    def end(self) -> None:
        """Check that nothing is left.

        Raises:
            DecodeError: trailing bytes.
        """
        if self._at != len(self._data):
            raise DecodeError(
                f"{self._what}: expected the end at offset {self._at}, got {len(self._data) - self._at} more bytes"
            )
