"""A participant's own records: a CSV file in memory, found by pseudonym.

The identifiers themselves are not kept. Messages name file, line and column, and what was found by its kind only:
records are subjects' data, and messages reach the log.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpcnode.errors import MalformedIdError, RecordsError
from mpcnode.scorecard import Columns
from mpcnode.sealing.pseudonyms import make_pseudonym, normalise

COLUMNS_MAX = 1024
"""Columns of a file."""

DIGITS_MAX = 20
"""Characters of a value: 64 bits and a sign."""

_PSEUDONYM = np.dtype("S32")
_INT64 = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True, slots=True)
class Range:
    """What the models allow of an attribute."""

    minimum: int
    maximum: int

    def within(self, other: "Range") -> "Range":
        """Return what both allow."""
        return Range(max(self.minimum, other.minimum), min(self.maximum, other.maximum))


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Attributes of subjects, as loaded."""

    attributes: tuple[str, ...]
    """Names of the columns but the identifier's."""
    _pseudonyms: NDArray[np.bytes_] = field(repr=False)
    """[rows] of 32 bytes, ascending."""
    _values: NDArray[np.int64] = field(repr=False)
    """[attributes + 1, rows + 1]; 0 where missing, in the last row and in the last column, which are nobody's."""
    _present: NDArray[np.bool_] = field(repr=False)
    """The same, False there."""

    def __len__(self) -> int:
        return len(self._pseudonyms)

    def lookup(self, pseudonyms: bytes, attributes: Sequence[str]) -> Columns:
        """Return the attributes of subjects; the same steps whether they are known or not.

        Args:
            pseudonyms: of all subjects, joined.
            attributes: names; one that is no column is missing for everybody.
        """
        asked = np.frombuffer(pseudonyms, _PSEUDONYM)
        # all have 32 bytes, so the zeros at the end that numpy's comparison leaves out make no two of them equal
        places = np.searchsorted(self._pseudonyms, asked)
        known = self._pseudonyms.take(places, mode="clip") == asked if len(self) else np.zeros(len(asked), np.bool_)
        rows = np.where(known, places, len(self))
        named = {name: place for place, name in enumerate(self.attributes)}
        columns = np.array([named.get(name, len(named)) for name in attributes], np.intp)[:, None]
        return Columns(known=known, present=self._present[columns, rows], values=self._values[columns, rows])


def load_records(path: Path, id_column: str, subject_key: bytes, asked: Mapping[str, Range] | None = None) -> Records:
    """Load a CSV file with a header: one line for each subject, integers, empty where a value is missing.

    Args:
        path: the file, UTF-8.
        id_column: the column of the subjects' identifiers.
        subject_key: K_subj of the epoch, 32 bytes.
        asked: what models ask of this participant, by column. The supervisor rejects a value outside, and a query with
            it, so it is refused here.

    Raises:
        RecordsError: the file cannot be read, lacks a column that is asked, or has a mistake; the message names file,
            line and column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(path, file, id_column, subject_key, asked or {})
    except OSError as error:
        raise RecordsError(f"{path}: expected readable records, got {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecordsError(f"{path}: expected CSV in UTF-8, got a mistake ({type(error).__name__})") from error


def _read(path: Path, file: Iterable[str], id_column: str, subject_key: bytes, asked: Mapping[str, Range]) -> Records:
    lines = csv.reader(file, strict=True)
    header = _header(path, lines, (id_column, *asked))
    place = header.index(id_column)
    rows: dict[bytes, int] = {}
    values: list[list[int | None]] = []
    for cells in lines:
        line = _Line(path, lines.line_num, header, asked)
        line.check_width(cells)
        pseudonym = make_pseudonym(subject_key, line.identifier(id_column, cells[place]))
        if pseudonym in rows:
            raise line.wrong(id_column, "each subject once", "one that is in an earlier line, too")
        rows[pseudonym] = len(values)
        values.append([line.value(header[at], cell) for at, cell in enumerate(cells) if at != place])
    order = sorted(rows)
    shape = (len(order), len(header) - 1)
    sorted_values = [values[rows[pseudonym]] for pseudonym in order]
    numbers = np.array([[value or 0 for value in row] for row in sorted_values], np.int64).reshape(shape)
    present = np.array([[value is not None for value in row] for row in sorted_values], np.bool_).reshape(shape)
    return Records(
        attributes=tuple(name for name in header if name != id_column),
        _pseudonyms=np.array(order, _PSEUDONYM),
        _values=np.pad(numbers.T, (0, 1)),
        _present=np.pad(present.T, (0, 1)),
    )


def _header(path: Path, lines: Iterator[list[str]], needed: tuple[str, ...]) -> list[str]:
    header = next(lines, None)
    if not header:
        raise RecordsError(f"{path}:1: expected a header with the columns' names, got none")
    if len(header) > COLUMNS_MAX:
        raise RecordsError(f"{path}:1: expected at most {COLUMNS_MAX} columns, got {len(header)}")
    for number, name in enumerate(header, 1):
        if not name or header.index(name) != number - 1:
            expected = "a name that no other column has"
            raise RecordsError(f"{path}:1: column {number}: expected {expected}, got {name!r}")
    for name in needed:
        if name not in header:
            raise RecordsError(f"{path}:1: expected a column {name!r}, got {', '.join(header)}")
    return header


@dataclass(frozen=True, slots=True)
class _Line:
    path: Path
    number: int
    header: list[str]
    asked: Mapping[str, Range]

    def wrong(self, column: str, expected: str, got: str) -> RecordsError:
        return RecordsError(f"{self.path}:{self.number}: column {column}: expected {expected}, got {got}")

    def check_width(self, cells: list[str]) -> None:
        if len(cells) != len(self.header):
            expected = f"{len(self.header)} values as in the header"
            raise RecordsError(f"{self.path}:{self.number}: expected {expected}, got {len(cells)}")

    def identifier(self, column: str, cell: str) -> bytes:
        try:
            return normalise(cell)
        except MalformedIdError as error:
            raise self.wrong(
                column, "an identifier of 1 to 64 bytes", f"{len(cell)} characters that are none"
            ) from error

    def value(self, column: str, cell: str) -> int | None:
        text = cell.strip()
        if not text:
            return None
        digits = text[1:] if text[0] in "+-" else text
        if len(text) > DIGITS_MAX or not (digits.isascii() and digits.isdigit()):
            raise self.wrong(column, "an integer or nothing", f"{len(text)} characters that are none")
        number = int(text)
        if number not in _INT64:
            raise self.wrong(column, "an integer of 64 bits", "a larger one")
        allowed = self.asked.get(column)
        if allowed is not None and not allowed.minimum <= number <= allowed.maximum:
            raise self.wrong(column, f"{allowed.minimum} to {allowed.maximum} as the models say", "one outside")
        return number
