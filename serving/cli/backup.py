"""`graftwork backup` and `graftwork restore`: registry, adapters and records in one file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from serving.cli.options import DoneAsJson, StateDir
from serving.cli.output import emit, fail

Config = Annotated[Path, typer.Option(help="deploy file, which says where everything is")]
_LOCAL = Path("config/local.yaml")


def backup(
    output: Annotated[Path, typer.Argument(help="file to write, for example graftwork.tar")],
    config: Config = _LOCAL,
    state_dir: StateDir = None,
    as_json: DoneAsJson = False,
) -> None:
    """Write registry, adapters and decision records into one file. The system may run."""
    from serving.operations.backup import backup as make
    from serving.operations.places import OperationRefused, read_places

    try:
        found = make(read_places(config, state_dir), output)
    except OperationRefused as error:
        fail(str(error))
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror or error}")
    if as_json:
        emit({"file": str(output), **asdict(found)})
        return
    typer.echo(f"{output}: {found.versions} versions, {found.files} files, {found.kind}")
    for name in found.missing:
        typer.echo(f"note: {name} is served, and its files are not in the store", err=True)


def restore(
    source: Annotated[Path, typer.Argument(help="what `graftwork backup` wrote")],
    config: Config = _LOCAL,
    state_dir: StateDir = None,
    force: Annotated[bool, typer.Option("--force", help="over what is there")] = False,
    check: Annotated[bool, typer.Option("--check", help="verify it and change nothing")] = False,
    as_json: DoneAsJson = False,
) -> None:
    """Put a backup in place. Stop the system first; everything is verified before it is touched."""
    from serving.bringup.tenancy import Occupied, require_free
    from serving.operations.backup import restore as put
    from serving.operations.backup import verify
    from serving.operations.places import OperationRefused, read_places

    try:
        if check:
            found = verify(source)
        else:
            places = read_places(config, state_dir)
            require_free(places.state_dir)
            found = put(places, source, force=force)
    except (OperationRefused, Occupied) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or source}: {error.strerror}")
    if as_json:
        emit({"file": str(source), "restored": not check, **asdict(found)})
        return
    done = "is whole" if check else "restored"
    typer.echo(f"{source} {done}: {found.versions} versions, {found.files} files, {found.made_at}")
