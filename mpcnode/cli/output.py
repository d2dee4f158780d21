"""How commands show what they found: tables for people on a terminal, JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
"""Every command that shows something takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows for people."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


def show_json(value: object) -> None:
    """Print one JSON document; byte strings as hex."""
    click.echo(json.dumps(value, indent=2, default=_plain))


def show_table(table: Table) -> None:
    """Print a table: framed on a terminal, plain columns elsewhere."""
    from rich.console import Console  # noqa: PLC0415 - slow to load
    from rich.table import Table as Framed  # noqa: PLC0415

    console = Console(highlight=False)
    framed = Framed(title=table.title or None, box=None, pad_edge=False, title_justify="left", header_style="bold")
    for column in table.columns:
        framed.add_column(column, overflow="fold", no_wrap=not console.is_terminal)
    for row in table.rows:
        framed.add_row(*row)
    if console.is_terminal:
        console.print(framed)
        return
    widths = [max(map(len, cells)) for cells in zip(table.columns, *table.rows, strict=True)]
    for row in (table.columns, *table.rows):
        cells = zip(row, widths, strict=True)
        click.echo("  ".join(cell.ljust(width) for cell, width in cells).rstrip())


def show_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Print all about one thing: what, and its value."""
    show_table(Table(columns=("what", "value"), rows=rows))


def short_hex(value: bytes) -> str:
    """Return the first bytes of a digest, enough to tell two apart."""
    return value[:6].hex()


def _plain(value: Any) -> object:  # noqa: ANN401 - json's signature
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"expected something that JSON can hold, got {type(value).__name__}")
