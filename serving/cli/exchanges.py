"""What was captured of requests and answers: `exchanges list|show|import`."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from serving.cli.client import connected
from serving.cli.options import DEFAULT_URL, AsJson, Key, Url
from serving.cli.output import clean, emit, fail, table, tell_of_more

app = typer.Typer(
    help="Captured requests and answers, redacted.", no_args_is_help=True, rich_markup_mode=None
)
_PATH = "/admin/v1/exchanges"
_SHOWN_CHARS = 60
_PIECE = 1 << 20


class State(StrEnum):
    """How far an exchange is."""

    CAPTURED = "captured"
    IN_REVIEW = "in_review"
    GOLD = "gold"
    REJECTED = "rejected"


class Form(StrEnum):
    """How lines are written."""

    OPENAI_LOGS = "openai_logs"
    MESSAGES = "messages"
    PROMPT_COMPLETION = "prompt_completion"


@app.command("list")
def listed(
    intent: Annotated[str | None, typer.Option(help="recognised so; none: not recognised")] = None,
    state: Annotated[State | None, typer.Option(help="how far they are")] = None,
    subject: Annotated[str | None, typer.Option(help="whose data they carry")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="at most so many")] = 100,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List the newest."""
    said = {"intent": intent, "state": state and state.value, "subject": subject, "limit": limit}
    query = urlencode({name: value for name, value in said.items() if value is not None})
    with connected(url, key, as_json=as_json) as client:
        found = client.get(f"{_PATH}?{query}")
    if as_json:
        emit(found)
        return
    table(
        ("id", "time", "state", "intent", "target", "count", "asked"),
        [
            (
                each["id"],
                each["time"],
                each["state"],
                each["intent"],
                each["target"],
                each["count"],
                _short(_asked(each)),
            )
            for each in found["data"]
        ],
    )
    tell_of_more(found, limit)


@app.command("show")
def show(
    exchange: Annotated[str, typer.Argument(help="its id", metavar="ID")],
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show one with its messages and why it is worth a look."""
    with connected(url, key, as_json=as_json) as client:
        found = client.get(f"{_PATH}/{quote(exchange, safe='')}")
    if as_json:
        emit(found)
        return
    for message in found["request"]["messages"]:
        typer.echo(f"{message['role']}: {clean(str(message['content']))}")
    typer.echo(f"{found['target']}: {clean(found['response'])}")
    for name, why in (found["details"].get("signs") or {}).items():
        typer.echo(f"{name}: {clean(str(why))}", err=True)


@app.command("import")
def bring(
    file: Annotated[Path, typer.Argument(help="JSON lines", metavar="FILE")],
    form: Annotated[Form, typer.Option("--format", help="how lines are written")],
    intent: Annotated[str | None, typer.Option(help="what all of them are about")] = None,
    tenant: Annotated[str | None, typer.Option(help="whose they are; default: the key's")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Take exchanges from elsewhere; exit 2 when a line was rejected."""
    said = {"format": form.value, "intent": intent, "tenant": tenant}
    query = {name: value for name, value in said.items() if value is not None}
    try:
        size = file.stat().st_size
        with connected(url, key, as_json=as_json) as client:
            told = client.upload(f"{_PATH}/import", _pieces(file), size, query)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    if as_json:
        emit(told)
    else:
        typer.echo(f"imported {told['imported']:,}, duplicates {told['duplicates']:,}")
        for each in told["rejected"]:
            typer.echo(f"{file}:{each['line']}: {clean(each['reason'])}", err=True)
    if told["rejected_total"]:
        raise typer.Exit(2)


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as lines:
        while piece := lines.read(_PIECE):
            yield piece


def _asked(row: dict[str, Any]) -> str:
    messages = row["request"]["messages"]
    users = [each["content"] for each in messages if each["role"] == "user"]
    return str(users[-1]) if users else ""


def _short(text: str) -> str:
    line = clean(" ".join(text.split()))
    return line if len(line) <= _SHOWN_CHARS else f"{line[: _SHOWN_CHARS - 1]}…"
