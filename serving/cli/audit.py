"""`graftwork audit verify`: whether a log is what was written, from its files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serving.cli.output import emit, table

_CHANGED, _UNREADABLE = 1, 2
_SHOWN = 20

app = typer.Typer(help="The log of requests and admin actions.", no_args_is_help=True)


@app.callback()
def _audit() -> None:
    pass


@app.command("verify")
def verify(
    directory: Annotated[
        Path, typer.Option("--dir", help="the log: `audit` below the state directory")
    ] = Path(".graftwork/audit"),
    as_json: Annotated[bool, typer.Option("--json", help="print the findings as JSON")] = False,
) -> None:
    """Recompute every hash. Exits with 0: whole, 1: changed, 2: unreadable. The system may run."""
    from adapters.records.verify import Unreadable
    from adapters.records.verify import verify as check

    try:
        verdict = check(directory)
    except Unreadable as error:
        typer.echo(f"graftwork: {error}; name the log's directory with --dir", err=True)
        raise typer.Exit(_UNREADABLE) from error
    if as_json:
        emit(verdict.as_dict())
    else:
        verb = "whole" if verdict.ok else "CHANGED"
        typer.echo(f"{directory}: {verb}, {verdict.records} records")
        rows = [
            (each.kind, each.writer, each.sequence, each.file, each.detail)
            for each in verdict.problems[:_SHOWN]
        ]
        if rows:
            table(("problem", "writer", "sequence", "file", "detail"), rows)
        if len(verdict.problems) > _SHOWN:
            typer.echo(f"and {len(verdict.problems) - _SHOWN} more: --json shows all")
    if not verdict.ok:
        raise typer.Exit(_CHANGED)
