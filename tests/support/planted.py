"""Looking for planted values in whatever a daemon wrote: raw, as digits, hex and base64, and inside SQLite cells."""

import base64
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SQLITE = b"SQLite format 3\0"


def base64_forms(data: bytes) -> Iterator[bytes]:
    """The characters that base64 of any longer text must hold if `data` stands in it, at each of three alignments."""
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + data)
        # the first characters mix with what stands before, the last ones with what stands after
        first, whole = -(-shift * 8 // 6), (shift + len(data)) * 8 // 6
        inner = encoded[first:whole]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")


def byte_forms(data: bytes) -> frozenset[bytes]:
    """How bytes may have been written."""
    return frozenset({data, data.hex().encode(), data.hex().upper().encode(), *base64_forms(data)})


def text_forms(text: str) -> frozenset[bytes]:
    """How a text may have been written."""
    words = {text, text.lower(), text.upper(), text.strip()}
    return frozenset(form for word in words for form in (*byte_forms(word.encode()), word.encode("utf-16-le")))


def number_forms(value: int) -> frozenset[bytes]:
    """How a number may have been written: as digits, as 64 bits in both orders, and those as hex and base64."""
    words = (value.to_bytes(8, "little"), value.to_bytes(8, "big"))
    grouped = f"{value:,}".encode()
    return frozenset({*text_forms(str(value)), grouped, f"{value:x}".encode(), *words}).union(*map(byte_forms, words))


@dataclass(frozen=True)
class Plant:
    """A value that must not be found, and where it may be all the same."""

    name: str
    forms: frozenset[bytes]
    allowed: tuple[Path, ...] = ()
    """Files or directories of its owner."""

    def may_be_in(self, path: Path) -> bool:
        return any(path == place or place in path.parents for place in self.allowed)


def cells(path: Path) -> Iterator[bytes]:
    """Every value of a SQLite file and of its write-ahead log, whole: on disk a long one is cut into pages."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - a name from the file itself
                for value in row:
                    yield value if isinstance(value, bytes) else str(value).encode()
    finally:
        connection.close()


def contents(path: Path) -> bytes:
    """A file as its bytes and, if it is a database, its cells."""
    data = path.read_bytes()
    return data if not data.startswith(SQLITE) else b"\n".join([data, *cells(path)])


def files(roots: Iterable[Path]) -> Mapping[Path, bytes]:
    """Everything that lies below these directories."""
    return {
        path: contents(path)
        for root in roots
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def findings(found: Mapping[Path, bytes], plants: Sequence[Plant]) -> list[str]:
    """Which plants are where they must not be."""
    return [
        f"{plant.name} in {path}: {form!r}"
        for path, data in found.items()
        for plant in plants
        if not plant.may_be_in(path)
        for form in plant.forms
        if form in data
    ]
