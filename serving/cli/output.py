"""How commands speak: aligned columns, JSON, one line for what went wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, TextIO

import typer

_MAX_PADDED = 64
"""A longer cell is printed whole, but does not push the whole column to the right."""


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, err: bool = False) -> None:
    """Print rows below their headings: wrapped on a terminal, one line each in a pipe."""
    stream = sys.stderr if err else sys.stdout
    cells = [[clean(cell) for cell in row] for row in rows]
    if stream.isatty():
        _print_wrapped(columns, cells, stream)
    else:
        _print_plain([list(columns), *cells], stream)


def _print_wrapped(columns: Sequence[str], cells: list[list[str]], stream: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in cells:
        # Text, not str: what others wrote must not be read as markup.
        shown.add_row(*(Text(cell) for cell in row))
    Console(file=stream).print(shown)


def _print_plain(rows: list[list[str]], stream: TextIO) -> None:
    widths = [
        max(len(cell) for cell in column if len(cell) <= _MAX_PADDED)
        for column in zip(*rows, strict=True)
    ]
    for row in rows:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        stream.write("  ".join(padded).rstrip() + "\n")


def clean(value: object) -> str:
    """Text for one line of a terminal: no line breaks, no control sequences; ``-`` for nothing."""
    text = " ".join(("-" if value is None else str(value)).split())
    return "".join(c if c.isprintable() else "�" for c in text)


def tell_of_more(page: Mapping[str, Any], limit: int) -> None:
    """Say that a page is not all there is."""
    if page["next"] is not None:
        typer.echo(f"there are more: narrow them, or raise --limit (now {limit})", err=True)


def emit(value: Any) -> None:
    """Print JSON for programs."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def fail(message: str) -> NoReturn:
    """Say in one line what went wrong, and exit with 1."""
    typer.echo(f"graftwork: {clean(message)}", err=True)
    raise typer.Exit(1)
