"""Reading a TOML file into a strict shape: unknown keys are refused, every mistake is named with its place.

A message says file, key path, what was expected and what was found. No configuration file holds a secret; what was
found is cut short all the same, in case one was pasted there.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from mpcnode.errors import ConfigError

FILE_BYTES_MAX = 1 << 20
"""A configuration file; 128 members with certificates take about 200 KiB."""

_FOUND_CHARACTERS_MAX = 40

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
"""Lower-case letters, digits and hyphens, at most 32: fits a word of a statement, a certificate and a file name."""

Key = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""32 bytes as lower-case hex."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=r"^[!-~]+$")]
"""At most 32 printable ASCII characters without spaces: fits a word of a statement."""


class Shape(BaseModel):
    """Base of every table of a configuration file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


S = TypeVar("S", bound=Shape)


def read_bytes(path: Path) -> bytes:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read or is larger than 1 MiB.
    """
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: expected a readable file, got {error.strerror}") from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path}: expected at most {FILE_BYTES_MAX} bytes, got more")
    return data


def read_shape(path: Path, data: bytes, shape: type[S]) -> S:
    """Read TOML bytes as this shape.

    Raises:
        ConfigError: not TOML, an unknown or missing key, or a value of another kind.
    """
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: expected a TOML document, got one with a mistake: {error}") from error
    try:
        return shape.model_validate(document)
    except ValidationError as error:
        # the cause holds whole input values, so it is not chained
        raise ConfigError(_first(path, document, error.errors(include_url=False))) from None


def _first(path: Path, document: Mapping[str, Any], errors: list[ErrorDetails]) -> str:
    detail = errors[0]
    more = f" (and {len(errors) - 1} more mistakes)" if len(errors) > 1 else ""
    return f"{path}: {key_path(document, detail['loc'])}: {_expected(detail)}{more}"


def key_path(document: Mapping[str, Any], location: tuple[int | str, ...]) -> str:
    """Name a place in a document as a reader would: `member[2] "bank-mpc".sealing`."""
    parts: list[str] = []
    here: Any = document
    for step in location:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            here = None
        if isinstance(step, str):
            parts.append(f".{step}" if parts else step)
        else:
            parts.append(f"[{step}]{_named(here)}")
    return "".join(parts)


def _named(table: object) -> str:
    name = table.get("name") if isinstance(table, dict) else None
    return f' "{name[:32]}"' if isinstance(name, str) else ""


def _expected(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "extra_forbidden":
            return "expected no such key, got one (misspelt, or from another version?)"
        case "missing":
            return "expected a value, got none"
        case "string_pattern_mismatch":
            return f"expected a text that matches {detail['ctx']['pattern']}, got {found(detail['input'])}"
        case _:
            message = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            return f"expected {message}, got {found(detail['input'])}"


def found(value: object) -> str:
    """Show what was found, cut short."""
    shown = repr(value)
    return (
        shown if len(shown) <= _FOUND_CHARACTERS_MAX else f"{shown[:_FOUND_CHARACTERS_MAX]}… ({len(shown)} characters)"
    )
