"""`graftwork check FILE`: explains every error in a deploy file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serving.cli.options import DoneAsJson
from serving.cli.output import emit


def check(
    file: Annotated[Path, typer.Argument(help="deploy file, for example config/local.yaml")],
    as_json: DoneAsJson = False,
) -> None:
    """Explain every error in a deploy file. One line each, with the field's name."""
    from serving.config.deploy import ConfigError, load

    try:
        deploy = load(file)
    except ConfigError as error:
        if as_json:
            emit({"file": str(file), "ok": False, "problems": list(error.problems)})
            raise typer.Exit(1) from error
        for problem in error.problems:
            typer.echo(problem, err=True)
        typer.echo(f"{file}: {len(error.problems)} problem(s)", err=True)
        raise typer.Exit(1) from error
    if as_json:
        emit(
            {
                "file": str(file),
                "ok": True,
                "problems": [],
                "notes": list(deploy.notes),
                "base": deploy.settings.base.model,
                "host": deploy.host,
                "port": deploy.port,
            }
        )
        return
    for note in deploy.notes:
        typer.echo(f"note: {note}", err=True)
    base = deploy.settings.base.model
    typer.echo(f"{file}: ok (base {base}, {deploy.host}:{deploy.port})")
