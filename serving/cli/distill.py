"""From gold answers to a version that serves: `distill`, and `distill list|show|cancel`."""

from __future__ import annotations

import time
from typing import Annotated, Any
from urllib.parse import quote

import typer

from serving.cli.client import Client, connected
from serving.cli.options import DEFAULT_URL, AsJson, Key, Url
from serving.cli.output import emit, fail, table

app = typer.Typer(
    help="Distil gold answers into a new version of an adapter.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
_PATH = "/admin/v1/distillations"
_ENDED = frozenset({"live", "refused", "failed", "cancelled"})
_POLL_S = 0.5
_COLUMNS = ("id", "state", "alias", "intent", "step", "loss", "eta", "reason")

Id = Annotated[str, typer.Argument(help="the distillation's id", metavar="ID")]


@app.callback()
def distill(  # noqa: PLR0913, PLR0917 - one parameter per option
    context: typer.Context,
    intent: Annotated[
        str | None, typer.Option(help="all gold answers of this intent are frozen and distilled")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="digest of a frozen dataset")] = None,
    alias: Annotated[
        str | None, typer.Option(help="the adapter that learns; default: the intent's")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="one setting of the training, as name=value", metavar="N=V"),
    ] = None,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="wait so long until it has ended, seconds")
    ] = 0.0,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Distil an intent's gold answers, or a dataset."""
    if context.invoked_subcommand is not None:
        return
    if intent is None and dataset is None:
        raise typer.BadParameter("say what to distil: --intent NAME or --dataset DIGEST")
    given = {"intent": intent, "dataset": dataset, "alias": alias}
    body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    body["settings"] = dict(_setting(each) for each in setting or ())
    with connected(url, key, as_json=as_json) as client:
        found = client.post(_PATH, body)
        found = _awaited(client, found, wait_s)
    if as_json:
        emit(found)
    else:
        _show([found])
    if wait_s and found["state"] not in _ENDED:
        fail(f"{found['id']} is {found['state']}: it goes on; graftwork distill show {found['id']}")
    if wait_s and found["state"] != "live":
        fail(f"{found['id']} is {found['state']}: {found['reason']}")


@app.command("list")
def listed(
    state: Annotated[str | None, typer.Option(help="only those in this state")] = None,
    alias: Annotated[str | None, typer.Option(help="only this adapter's")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List distillations, the newest first."""
    only = {name: value for name, value in (("state", state), ("alias", alias)) if value}
    with connected(url, key, as_json=as_json) as client:
        answer = client.pages(_PATH, only)
    if as_json:
        emit(answer)
    else:
        _show(answer["data"])


@app.command("show")
def show(identity: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show one distillation and what its trainer said last."""
    with connected(url, key, as_json=as_json) as client:
        found = client.get(f"{_PATH}/{quote(identity, safe='')}")
    if as_json:
        emit(found)
        return
    _show([found])
    if found["log"]:
        typer.echo(found["log"].rstrip())


@app.command("cancel")
def cancel(identity: Id, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Stop a distillation; its version does not go live."""
    with connected(url, key, as_json=as_json) as client:
        found = client.post(f"{_PATH}/{quote(identity, safe='')}/cancel", {})
    if as_json:
        emit(found)
    else:
        _show([found])


def _awaited(client: Client, found: dict[str, Any], wait_s: float) -> dict[str, Any]:
    until = time.monotonic() + wait_s
    while found["state"] not in _ENDED and time.monotonic() < until:
        time.sleep(_POLL_S)
        found = client.get(f"{_PATH}/{found['id']}")
    return found


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"--set {text!r}: write name=value, for example --set rank=8")
    try:
        return name, _number(value)
    except ValueError:
        return name, {"true": True, "false": False}.get(value, value)


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _show(rows: list[dict[str, Any]]) -> None:
    table(
        _COLUMNS,
        [
            (
                row["id"],
                row["state"],
                row["alias"],
                row["intent"] or "",
                f"{row['step']}/{row['steps']}",
                "" if row["loss"] is None else f"{row['loss']:.3f}",
                "" if row["eta_s"] is None else f"{row['eta_s']:.0f} s",
                row["reason"] or "",
            )
            for row in rows
        ],
    )
