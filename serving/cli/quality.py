"""What outcomes taught of targets and of single requests: `quality show|import|clear`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlencode

import typer

from serving.cli.client import connected
from serving.cli.options import DEFAULT_URL, AsJson, Key, Url
from serving.cli.output import clean, emit, fail, table

app = typer.Typer(
    help="How good targets' answers are, and how hard requests are for them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_PATH: Final = "/admin/v1/quality"
_PIECE: Final = 1 << 20
_KINDS: Final = {
    ".csv": "text/csv",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".json": "application/x-ndjson",
}


@app.command("show")
def show(url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show of which targets requests are told apart, and how well."""
    with connected(url, key, as_json=as_json) as client:
        found = client.get(_PATH)
    if as_json:
        emit(found)
        return
    imported = {each["target"]: each["judged"] for each in found["outcomes"]}
    table(
        ("target", "judged", "good", "told apart", "log-loss saved", "why"),
        [
            (
                each["target"],
                each["judged"],
                f"{each['good'] / each['judged']:.1%}",
                "yes" if each["used"] else "no",
                f"{each['explained']:.1%}",
                each["why"],
            )
            for each in found["targets"]
        ],
    )
    typer.echo(f"model {found['model'] or '-'}, {sum(imported.values()):,} imported outcomes")
    if not found["targets"]:
        typer.echo(
            "Nothing was learned yet: import a table of outcomes, or let feedback, reviews and"
            " gates come (docs/difficulty.md).",
            err=True,
        )


@app.command("import")
def bring(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV or JSON lines with text, target, good; if known intent, subject",
            metavar="FILE",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only say what would be imported")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Import a table of outcomes; exit 2 when a line was rejected."""
    kind = _KINDS.get(file.suffix.lower())
    if kind is None:
        fail(f"{file}: name it .csv, or .jsonl for a JSON object a line")
    query = {"dry_run": "true"} if dry_run else {}
    try:
        size = file.stat().st_size
        with connected(url, key, as_json=as_json) as client:
            told = client.upload(f"{_PATH}/outcomes", _pieces(file), size, query, kind)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    if as_json:
        emit(told)
    else:
        table(
            ("target", "judged", "good"),
            [
                (each["target"], each["judged"], f"{each['good'] / each['judged']:.1%}")
                for each in told["targets"]
            ],
        )
        would = "would be imported" if dry_run else "imported"
        typer.echo(f"{told['imported']:,} {would}, {told['replaced']:,} replaced")
        for each in told["rejected"]:
            typer.echo(f"{file}:{each['line']}: {clean(each['reason'])}", err=True)
    if told["rejected_total"]:
        raise typer.Exit(2)


@app.command("clear")
def clear(
    target: Annotated[str | None, typer.Option(help="only its outcomes")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Remove imported outcomes; what was learned from them goes too."""
    query = "" if target is None else f"?{urlencode({'target': target})}"
    with connected(url, key, as_json=as_json) as client:
        told = client.delete(f"{_PATH}/outcomes{query}")
    if as_json:
        emit(told)
    else:
        typer.echo(f"{told['removed']:,} removed")


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as lines:
        while piece := lines.read(_PIECE):
            yield piece
