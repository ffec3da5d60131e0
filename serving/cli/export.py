"""`graftwork export`: a version as a portable tar.gz, or merged into its base; complete or not."""

from __future__ import annotations

import re
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from serving.cli.client import adapter_path, connected
from serving.cli.options import DEFAULT_URL, DoneAsJson, Key, Url
from serving.cli.output import emit, fail

_FILE_NAME = re.compile(r'filename="([A-Za-z0-9._@-]+)"')


def export(
    version: Annotated[
        str, typer.Argument(help="the live version, or a pinned one", metavar="ALIAS[@DIGEST]")
    ],
    output: Annotated[
        Path | None, typer.Option(help="file to write; default: ALIAS@DIGEST.tar.gz here")
    ] = None,
    merged: Annotated[
        Path | None,
        typer.Option(
            help="write a whole model into this new directory instead: the base with the version's "
            "weights merged into it",
            metavar="DIRECTORY",
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            help="with --merged: the base model's directory; default: the embedded base",
            metavar="DIRECTORY",
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: DoneAsJson = False,
) -> None:
    """Write a version to a tar.gz file. Graftwork, vLLM and PEFT load it."""
    if merged is None:
        target = _download(version, output, url, key)
        size_bytes = target.stat().st_size
        if as_json:
            emit({"version": version, "file": str(target), "bytes": size_bytes})
        else:
            typer.echo(f"{target}: {size_bytes:,} bytes")
        return
    with tempfile.TemporaryDirectory(prefix="graftwork-export-") as scratch:
        bundle = _download(version, Path(scratch) / "bundle.tar.gz", url, key)
        _merge(bundle, Path(scratch), merged, base)
    if as_json:
        emit({"version": version, "directory": str(merged)})
        return
    typer.echo(f"{merged}: the base with {version} merged into it")


def _merge(bundle: Path, scratch: Path, target: Path, base: Path | None) -> None:
    from serving.embedded import BASE_DIR
    from serving.merge import CannotMerge, merge

    with tarfile.open(bundle) as archive:
        archive.extractall(scratch / "bundle", filter="data")
    (adapter,) = (scratch / "bundle").iterdir()
    try:
        merge((base or BASE_DIR).absolute(), adapter, target.absolute())
    except CannotMerge as error:
        fail(str(error))
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror}")


def _download(version: str, output: Path | None, url: str, key: str | None) -> Path:
    from adapters.atomic import sweep, writing

    alias, _, digest = version.partition("@")
    path = adapter_path(alias, "versions", digest, "export") if digest else None
    with (
        connected(url, key) as client,
        client.stream(path or adapter_path(alias, "export")) as answer,
    ):
        target = output or Path(_offered(answer.headers.get("content-disposition"), version))
        try:
            sweep(target.parent)
            with writing(target, private=False) as draft, draft.open("wb") as file:
                for piece in answer.iter_bytes():
                    file.write(piece)
        except OSError as error:
            fail(f"{target} cannot be written: {error.strerror}")
    return target


def _offered(disposition: str | None, version: str) -> str:
    """The file name that the server offers; never one that leads elsewhere."""
    match = _FILE_NAME.search(disposition or "")
    name = match[1] if match else f"{version}.tar.gz"
    return Path(name).name
