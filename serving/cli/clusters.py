"""What is asked again and again and answered poorly: `clusters list|show|intent|dismiss`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

import typer

from serving.cli.client import connected
from serving.cli.options import DEFAULT_URL, AsJson, Key, Url
from serving.cli.output import clean, emit, table

app = typer.Typer(
    help="What is asked alike and answered poorly.", no_args_is_help=True, rich_markup_mode=None
)
_PATH = "/admin/v1/clusters"

Cluster = Annotated[str, typer.Argument(help="the cluster's id", metavar="ID")]


@app.command("list")
def listed(
    state: Annotated[
        str | None,
        typer.Option(help="open, intent, dismissed or all; default: open and intent"),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List them, the most frequent first."""
    only = {} if state is None else {"state": state}
    with connected(url, key, as_json=as_json) as client:
        answer = client.pages(_PATH, only)
    if as_json:
        emit(answer)
        return
    _table(answer["data"])
    if not answer["data"]:
        typer.echo(
            "Nothing yet: captured requests are grouped when their answers were escalated, unsure,"
            " refused, broken or disliked (docs/edge-cases.md).",
            err=True,
        )


@app.command("show")
def show(
    cluster: Cluster, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False
) -> None:
    """Show one with its examples and what became of it."""
    with connected(url, key, as_json=as_json) as client:
        found = client.get(_one(cluster))
    if as_json:
        emit(found)
        return
    _table([found])
    typer.echo("")
    for example in found["examples"]:
        typer.echo(f"  {clean(example)}")
    if found["history"]:
        typer.echo("")
        columns = ("time", "actor", "action", "detail")
        table(columns, [[each[name] for name in columns] for each in found["history"]])


@app.command("intent")
def intent(
    cluster: Cluster,
    name: Annotated[
        str | None, typer.Argument(help="of the intent", metavar="NAME", show_default=False)
    ] = None,
    alias: Annotated[
        str | None, typer.Option(help="the adapter that answers it; default: the intent's name")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="let it be no intent any more")] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Make one an intent: routers learn its examples, its exchanges are reviewed."""
    if undo == (name is not None):
        raise typer.BadParameter("say the intent's NAME, or --undo")
    path = f"{_one(cluster)}/intent"
    with connected(url, key, as_json=as_json) as client:
        if undo:
            found = client.delete(path)
        else:
            found = client.post(path, {"name": name, **({"alias": alias} if alias else {})})
    _said(found, as_json=as_json)


@app.command("dismiss")
def dismiss(
    cluster: Cluster,
    undo: Annotated[bool, typer.Option("--undo", help="show it again")] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show one no more, nor what comes like it."""
    path = f"{_one(cluster)}/dismiss"
    with connected(url, key, as_json=as_json) as client:
        found = client.delete(path) if undo else client.post(path, {})
    _said(found, as_json=as_json)


def _one(cluster: str) -> str:
    return f"{_PATH}/{quote(cluster, safe='')}"


def _said(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit(found)
    else:
        _table([found])


def _table(rows: Sequence[dict[str, Any]]) -> None:
    columns = ("id", "name", "volume", "cost usd", "trend", "state", "intent")
    table(
        columns,
        [
            (
                row["id"],
                row["name"],
                row["volume"],
                f"{row['cost_usd']:.4f}",
                f"{row['trend']:+.0%}",
                row["state"],
                row["intent"],
            )
            for row in rows
        ],
    )
