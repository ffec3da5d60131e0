"""Reviewed answers, frozen: `datasets create|list|show|export|import`."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from serving.cli.client import connected
from serving.cli.options import DEFAULT_URL, AsJson, DoneAsJson, Key, Url
from serving.cli.output import clean, emit, fail, table

app = typer.Typer(
    help="Reviewed answers, frozen for training.", no_args_is_help=True, rich_markup_mode=None
)
_PATH = "/admin/v1/datasets"
_LINES = "application/x-ndjson"
_SHOWN_DIGITS = 12
_SPLITS = ("train", "test")

Digest = Annotated[
    str, typer.Argument(help="the dataset, or its first 12 digits", metavar="DIGEST")
]
Holdout = Annotated[
    float | None, typer.Option(min=0, max=0.999, help="share that is only tested on")
]


@app.command("create")
def create(  # noqa: PLR0913, PLR0917 - one parameter per option
    name: Annotated[str, typer.Argument(help="what it is called", metavar="NAME")],
    intent: Annotated[list[str] | None, typer.Option(help="default: all; may be repeated")] = None,
    tenant: Annotated[list[str] | None, typer.Option(help="default: all; may be repeated")] = None,
    since: Annotated[
        str | None, typer.Option(help="exchanges from then on: ISO 8601, or seconds")
    ] = None,
    holdout: Holdout = None,
    replay: Annotated[
        float | None,
        typer.Option(min=0, max=0.9, help="share of other intents' rows in what trains"),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Freeze reviewed answers."""
    said = {
        "name": name,
        "intents": intent or None,
        "tenants": tenant or None,
        "since": since,
        "holdout": holdout,
        "replay": replay,
    }
    with connected(url, key, as_json=as_json) as client:
        made = client.post(_PATH, {name: each for name, each in said.items() if each is not None})
    _show(made, as_json=as_json)


@app.command("list")
def listed(url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """List datasets, the newest first."""
    with connected(url, key, as_json=as_json) as client:
        answer = client.pages(_PATH)
    if as_json:
        emit(answer)
    else:
        _table(answer["data"])


@app.command("show")
def show(digest: Digest, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show one with its figures, leak checks and warnings."""
    with connected(url, key, as_json=as_json) as client:
        found = client.get(f"{_PATH}/{quote(digest, safe='')}")
    if as_json:
        emit(found)
        return
    _table([found])
    figures = found["statistics"]
    typer.echo("")
    table(
        ("intent", *_SPLITS),
        [(intent, n["train"], n["test"]) for intent, n in figures["by_intent"].items()],
    )
    typer.echo("")
    table(("who answered", "rows"), list(figures["provenance"].items()))
    typer.echo("")
    table(
        ("check", "passed", "detail"),
        [
            (each["name"], "yes" if each["passed"] else "NO", each["detail"])
            for each in found["checks"]
        ],
    )
    for warning in found["warnings"]:
        typer.echo(f"warning: {clean(warning)}", err=True)


@app.command("export")
def export(
    digest: Digest,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="file, or huggingface's new directory; default: standard output",
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option("--format", help="messages, prompt_completion or huggingface (a directory)"),
    ] = "messages",
    split: Annotated[str | None, typer.Option(help="train or test; default: both")] = None,
    metadata: Annotated[
        bool, typer.Option(help="with all that is known of each row beside it")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: DoneAsJson = False,
) -> None:
    """Write a dataset as JSON lines, or as a directory for Hugging Face's `datasets`.

    Without --output the rows themselves are printed, which are JSON.
    """
    query = {"format": form, "metadata": "true" if metadata else "false"}
    query |= {} if split is None else {"split": split}
    if form == "huggingface" and output is None:
        fail("huggingface is a directory: say which with --output")
    path = f"{_PATH}/{quote(digest, safe='')}/export?{urlencode(query)}"
    with connected(url, key) as client, client.stream(path) as answer:
        raw = b"".join(answer.iter_bytes())
    if output is None:
        typer.get_binary_stream("stdout").write(raw)
        return
    try:
        if form == "huggingface":
            _unpack(raw, output)
        else:
            from adapters.atomic import write_file

            write_file(output, raw, private=False)
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}")
    if as_json:
        emit({"digest": digest, "file": str(output), "bytes": len(raw)})
        return
    typer.echo(f"{output}: {len(raw):,} bytes", err=True)


@app.command("import")
def bring(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="JSON lines, or a directory with train.jsonl and test.jsonl", metavar="FILE..."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="default: the first file's name")] = None,
    form: Annotated[
        str, typer.Option("--format", help="messages or prompt_completion")
    ] = "messages",
    intent: Annotated[
        str | None, typer.Option(help="of all rows; default: each line's `intent`")
    ] = None,
    holdout: Holdout = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Freeze the examples of files: you count as their reviewer."""
    said = {
        "name": name or files[0].stem,
        "format": form,
        "intent": intent,
        "holdout": None if holdout is None else str(holdout),
    }
    query = urlencode({name: each for name, each in said.items() if each is not None})
    try:
        raw = b"".join(piece for path in files for piece in _pieces(path))
    except OSError as error:
        fail(f"{error.filename} cannot be read: {error.strerror}")
    with connected(url, key, as_json=as_json) as client:
        made = client.post_bytes(f"{_PATH}/import?{query}", raw, _LINES)
    for each in made["rejected"]:
        typer.echo(f"line {each['line']} was not taken: {clean(each['reason'])}", err=True)
    _show(made, as_json=as_json)


def _pieces(path: Path) -> list[bytes]:
    """What a path holds, each piece ending with a line feed; a directory's files are its splits."""
    if not path.is_dir():
        raw = path.read_bytes()
        return [raw if raw.endswith(b"\n") else raw + b"\n"]
    return [
        _marked(line, split)
        for split in _SPLITS
        if (file := path / f"{split}.jsonl").exists()
        for line in file.read_bytes().split(b"\n")
        if line.strip()
    ]


def _marked(line: bytes, split: str) -> bytes:
    """A line that says its split; one that is no JSON goes as it is, for the server to name."""
    try:
        found = json.loads(line)
    except ValueError:
        return line + b"\n"
    if isinstance(found, dict):
        found.setdefault("split", split)
    return json.dumps(found).encode() + b"\n"


def _unpack(raw: bytes, target: Path) -> None:
    """Write the directory that was sent; its own name is not taken from the server."""
    target.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(raw))) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            if file is not None:
                (target / Path(member.name).name).write_bytes(file.read())


def _show(made: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit(made)
    else:
        _table([made])


def _table(rows: list[dict[str, Any]]) -> None:
    table(
        ("digest", "name", "time", "state", "train", "test", "intents"),
        [
            (
                row["digest"][:_SHOWN_DIGITS],
                row["name"],
                row["time"],
                row["state"],
                row["splits"]["train"],
                row["splits"]["test"],
                ", ".join(f"{intent} {count}" for intent, count in row["counts"].items()),
            )
            for row in rows
        ],
    )
