"""Proof files: JSON with exact keys, integers and lowercase hexadecimal; whatever is wrong is named by its place.

Nothing but `InvalidProofError` is raised, whatever the bytes are, and nothing is decoded before its size was checked.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from ledger.errors import InvalidError, InvalidProofError

FILE_BYTES_MAX = 16 * 1024 * 1024
"""Largest file that is read."""

_FIELD_BYTES_MAX = 2 * 1024 * 1024
_HEXADECIMAL = frozenset("0123456789abcdef")


class Entry:
    """An object in a proof file, with exactly the keys that it should have."""

    def __init__(self, found: object, keys: frozenset[str], at: str = "") -> None:
        """Take a value of the file; `at` is its place, such as `blocks[2]`, and empty for the whole.

        Raises:
            InvalidProofError: it is no object, or has other keys.
        """
        if not isinstance(found, dict) or found.keys() != keys:
            got = sorted(found) if isinstance(found, dict) else type(found).__name__
            raise InvalidProofError(f"{at or 'file'}: expected an object with {sorted(keys)}, got {got}")
        self.at = at
        self._found = found

    def integer(self, name: str) -> int:
        """Take an integer of 32 bits."""
        found = self._found[name]
        if type(found) is not int or not 0 <= found < 1 << 32:
            raise InvalidProofError(f"{self._place(name)}: expected an integer of 32 bits, got {type(found).__name__}")
        return found

    def hex(self, name: str, size: int | None = None) -> bytes:
        """Take bytes, of a certain number if `size` is given."""
        return _unhex(self._found[name], self._place(name), size)

    def hexes(self, name: str, most: int) -> tuple[bytes, ...]:
        """Take a list of at most so many 32-byte strings."""
        return tuple(_unhex(item, at, 32) for item, at in self._items(name, 0, most))

    def entry(self, name: str, keys: frozenset[str]) -> Self:
        """Take an object."""
        return type(self)(self._found[name], keys, self._place(name))

    def entries(self, name: str, keys: frozenset[str], least: int, most: int) -> list[Self]:
        """Take a list of `least` to `most` objects."""
        return [type(self)(item, keys, at) for item, at in self._items(name, least, most)]

    def _items(self, name: str, least: int, most: int) -> list[tuple[object, str]]:
        found, at = self._found[name], self._place(name)
        if not isinstance(found, list):
            raise InvalidProofError(f"{at}: expected a list, got {type(found).__name__}")
        if not least <= len(found) <= most:
            raise InvalidProofError(f"{at}: expected {least} to {most} items, got {len(found)}")
        return [(item, f"{at}[{index}]") for index, item in enumerate(found)]

    def _place(self, name: str) -> str:
        return f"{self.at}.{name}" if self.at else name


@contextmanager
def located(at: str) -> Iterator[None]:
    """Turn what is wrong with a part of a file into `InvalidProofError` with its place."""
    try:
        yield
    except InvalidError as error:
        raise InvalidProofError(f"{at}: {error}") from error


def read_file(data: bytes, form: str, keys: frozenset[str]) -> Entry:
    """Parse a proof file of the format `form`.

    Raises:
        InvalidProofError: too long, no such JSON, other keys, or another format.
    """
    if len(data) > FILE_BYTES_MAX:
        raise InvalidProofError(f"file: expected at most {FILE_BYTES_MAX} bytes, got {len(data)}")
    try:
        document = json.loads(
            data.decode("utf-8"), object_pairs_hook=_object, parse_float=_no_float, parse_constant=_no_float
        )
    except (ValueError, RecursionError) as error:
        raise InvalidProofError(f"file: expected JSON, got {error}") from error
    stated = document.get("format") if isinstance(document, dict) else None
    if stated != form:
        raise InvalidProofError(f"format: expected {form}, got {stated!r}")
    return Entry(document, keys)


def write_file(document: dict[str, object]) -> bytes:
    """Write a proof file."""
    return json.dumps(document, indent=1).encode("ascii") + b"\n"


def write_hexes(items: Sequence[bytes]) -> list[str]:
    """Write byte strings as a list."""
    return [item.hex() for item in items]


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidProofError("file: expected every key once, got one twice")
    return found


def _no_float(text: str) -> object:
    raise InvalidProofError(f"file: expected integers only, got {text}")


def _unhex(text: object, at: str, size: int | None) -> bytes:
    if not isinstance(text, str) or len(text) > 2 * _FIELD_BYTES_MAX or not set(text) <= _HEXADECIMAL:
        raise InvalidProofError(f"{at}: expected lowercase hexadecimal, got something else")
    if len(text) % 2 or (size is not None and len(text) != 2 * size):
        raise InvalidProofError(f"{at}: expected {size or 'whole'} bytes, got {len(text)} digits")
    return bytes.fromhex(text)
