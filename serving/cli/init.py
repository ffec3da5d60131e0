"""`graftwork init`: writes a first deploy file, with comments, from five questions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serving.cli.options import DoneAsJson
from serving.cli.output import emit, fail

if TYPE_CHECKING:
    from serving.config.starting import Answers

_PLAIN = re.compile(r"[A-Za-z0-9 ._:/@~+-]+")
_LOOPBACK = "127.0.0.1"


def init(
    file: Annotated[Path, typer.Argument(help="where to write it")] = Path("graftwork.yaml"),
    force: Annotated[bool, typer.Option(help="overwrite a file that is there")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="ask nothing: all defaults")] = False,
    as_json: DoneAsJson = False,
) -> None:
    """Write a commented deploy file. Asks for base, GPU, address, frontier and state directory."""
    if file.exists() and not force:
        fail(f"{file} is there already: name another file, or add --force")
    from adapters.atomic import write_file
    from serving.config.starting import Answers, deploy_file

    answers, key = (Answers(), None) if yes else _asked(err=as_json)
    text = deploy_file(answers)
    _require_valid(text, file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, text, private=False)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")
    if as_json:
        emit({"file": str(file), "key": key})
    else:
        _say_what_next(file, answers, key)


def _asked(*, err: bool) -> tuple[Answers, str | None]:
    from router.admit.keys import hash_key, new_key
    from serving.config.starting import Answers, Vendor

    model = _ask(
        "Base model: embedded, smollm2, a directory or a Hugging Face id", "embedded", err=err
    )
    gpu = typer.confirm("Is there a GPU for it?", default=False, err=err)
    host = _ask("Address to listen on; another than loopback makes an API key", _LOOPBACK, err=err)
    key = None if host in {_LOOPBACK, "localhost", "::1"} else new_key()
    names = [each.value for each in Vendor]
    vendor = typer.prompt(f"Frontier API ({', '.join(names)})", default="none", err=err)
    if vendor not in names:
        fail(f"{vendor!r} is none of {', '.join(names)}")
    model_id = base_url = ""
    if vendor != Vendor.NONE:
        model_id = _ask("Its model's id", None, err=err)
    if vendor == Vendor.OTHER:
        base_url = _ask("Its base URL, as OpenAI's SDK takes it", None, err=err)
    state_dir = _ask("Directory for database, adapters and records", ".graftwork", err=err)
    found = Answers(
        model,
        gpu,
        host,
        hash_key(key) if key else None,
        Vendor(vendor),
        model_id,
        base_url,
        state_dir,
    )
    return found, key


def _ask(question: str, default: str | None, *, err: bool) -> str:
    """An answer that can stand in the file as it is."""
    said = str(typer.prompt(question, default=default, err=err)).strip()
    if not _PLAIN.fullmatch(said):
        fail(f"{said!r} has characters that do not belong there")
    return said


def _require_valid(text: str, file: Path) -> None:
    import yaml

    from serving.config.deploy import ConfigError, check

    try:
        check(yaml.safe_load(text), str(file))
    except ConfigError as error:
        fail(f"with these answers the file would not work: {error.problems[0]}")


def _say_what_next(file: Path, answers: Answers, key: str | None) -> None:
    from serving.config.starting import Vendor, environment_of

    typer.echo(f"wrote {file}")
    if key is not None:
        typer.echo(f"operator's API key (shown once): {key}")
    if answers.vendor is not Vendor.NONE:
        typer.echo(
            f"export {environment_of(answers.vendor)}=…   # and set the model's prices in the file"
        )
    typer.echo(f"graftwork doctor --config {file}")
    typer.echo(f"graftwork serve --config {file}")
