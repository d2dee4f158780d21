"""Strict reading of TOML tables: unknown keys are refused, and every error names its place in the file."""

import re
import tomllib
from collections.abc import Mapping

from mpcnode.errors import ModelError

INTEGER_MIN, INTEGER_MAX = -(1 << 63), (1 << 63) - 1
_FOUND_CHARACTERS_MAX = 60


def load_toml(document: bytes, size_max: int) -> "Table":
    """Read TOML bytes.

    Raises:
        ModelError: too long, not UTF-8, or not TOML.
    """
    if len(document) > size_max:
        raise ModelError(f"expected a file of at most {size_max} bytes, got {len(document)}")
    try:
        return Table(tomllib.loads(document.decode("utf-8")), "")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ModelError(f"expected a TOML document, got one with a mistake: {error}") from error


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _FOUND_CHARACTERS_MAX else text[:_FOUND_CHARACTERS_MAX] + "…"


class Table:
    """A TOML table of which every key must be taken, then `end()`."""

    def __init__(self, content: Mapping[str, object], place: str) -> None:
        self._left = dict(content)
        self._place = place

    def at(self, key: str) -> str:
        """Place of a key in the file, as errors name it."""
        return f"{self._place}.{key}" if self._place else key

    def has(self, key: str) -> bool:
        """Whether a key was given and not taken yet."""
        return key in self._left

    def _take(self, key: str, kind: str) -> object:
        if key not in self._left:
            raise ModelError(f"{self.at(key)}: expected {kind}, got nothing")
        return self._left.pop(key)

    def integer(self, key: str, least: int = INTEGER_MIN, most: int = INTEGER_MAX) -> int:
        """Take an integer in [least, most]."""
        value = self._take(key, "an integer")
        return _integer(value, self.at(key), least, most)

    def integers(self, key: str, least: int, most: int) -> tuple[int, ...]:
        """Take a list of integers in [least, most]."""
        items = self._list(key, "a list of integers")
        return tuple(_integer(item, f"{self.at(key)}[{i}]", least, most) for i, item in enumerate(items))

    def text(self, key: str, pattern: str, meaning: str) -> str:
        """Take a text that matches a regular expression; `meaning` says so in words."""
        return _text(self._take(key, meaning), self.at(key), pattern, meaning)

    def texts(self, key: str, pattern: str, meaning: str) -> tuple[str, ...]:
        """Take a list of texts that match a regular expression."""
        items = self._list(key, f"a list of texts, each {meaning}")
        return tuple(_text(item, f"{self.at(key)}[{i}]", pattern, meaning) for i, item in enumerate(items))

    def table(self, key: str) -> "Table":
        """Take a table."""
        value = self._take(key, "a table")
        if not isinstance(value, dict):
            raise ModelError(f"{self.at(key)}: expected a table, got {_shown(value)}")
        return Table(value, self.at(key))

    def tables(self, key: str, least: int, most: int) -> tuple["Table", ...]:
        """Take a list of `least` to `most` tables."""
        items = self._list(key, "a list of tables")
        if not least <= len(items) <= most:
            raise ModelError(f"{self.at(key)}: expected {least} to {most} entries, got {len(items)}")
        taken = []
        for i, item in enumerate(items):
            place = f"{self.at(key)}[{i}]"
            if not isinstance(item, dict):
                raise ModelError(f"{place}: expected a table, got {_shown(item)}")
            taken.append(Table(item, place))
        return tuple(taken)

    def _list(self, key: str, kind: str) -> list[object]:
        value = self._take(key, kind)
        if not isinstance(value, list):
            raise ModelError(f"{self.at(key)}: expected {kind}, got {_shown(value)}")
        return value

    def end(self) -> None:
        """Refuse keys that nobody took.

        Raises:
            ModelError: there is one.
        """
        if self._left:
            raise ModelError(f"{self.at(min(self._left))}: expected no such key, got one")


def _integer(value: object, place: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ModelError(f"{place}: expected an integer, got {_shown(value)}")
    if not least <= value <= most:
        raise ModelError(f"{place}: expected an integer from {least} to {most}, got {value}")
    return value


def _text(value: object, place: str, pattern: str, meaning: str) -> str:
    if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
        raise ModelError(f"{place}: expected {meaning}, got {_shown(value)}")
    return value
