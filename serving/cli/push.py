"""`graftwork push`: a directory or an archive becomes a version that serves."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from serving.cli.client import PUBLISH_S, Client, Failed, adapter_path, connected
from serving.cli.inspect import inspected, show_checks
from serving.cli.options import DEFAULT_URL, Alias, AsJson, Base, Key, MaxRank, Url
from serving.cli.output import emit, fail

_GATING = "gating"
_RECEIVED = "received"
_UNDER_WAY = frozenset({_RECEIVED, "checked", "stored", "preparing", _GATING, "prepared"})
_ENDED_BADLY = {
    "rejected": "adapter_rejected",
    "quarantined": "adapter_rejected",
    "failed": "publish_failed",
    "retired": "version_retired",
}
"""As the server calls it in an answer to who waits."""
_LOOK_S = 0.5
Sent = Callable[[int], None]


class Stage(StrEnum):
    """Where a version goes when it is ready."""

    LIVE = "live"
    CANARY = "canary"
    SHADOW = "shadow"


def push(  # noqa: PLR0913, PLR0917 - one parameter for each option
    alias: Alias,
    source: Annotated[
        Path,
        typer.Argument(
            help="PEFT directory, or a .tar, .tar.gz or .zip of one",
            metavar="DIRECTORY_OR_ARCHIVE",
            exists=True,
        ),
    ],
    stage: Annotated[Stage, typer.Option(help="where it goes when it is ready")] = Stage.LIVE,
    percent: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="share of the traffic, for canary and shadow"),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="return when it serves, or when it is stored")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only check it, here, without a server")
    ] = False,
    base: Base = None,
    max_rank: MaxRank = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Push a version of an adapter. It serves when the command ends; nothing is restarted."""
    if stage is Stage.LIVE and percent is not None:
        raise typer.BadParameter("goes with --stage canary or shadow", param_hint="--percent")
    if dry_run:
        _try(alias, source, base, max_rank, as_json)
        return
    params = {"stage": stage.value}
    if percent is not None:
        params["percent"] = f"{percent:g}"
    with connected(url, key, as_json=as_json) as client:
        # Without an engine the server would keep us waiting and could not say for what.
        if wait and client.get("/admin/v1/replicas")["data"]:
            params["wait"] = "live"
        try:
            answer = _send(client, alias, source, params)
        except Failed as error:
            _explain(error, as_json)
            raise
        if wait and answer["state"] in _UNDER_WAY:
            answer = _followed(client, alias, answer, as_json=as_json)
    if as_json:
        emit(answer)
    else:
        typer.echo(_said(answer, url))
    _require_well(answer, as_json)


def _followed(
    client: Client, alias: str, answer: dict[str, Any], *, as_json: bool
) -> dict[str, Any]:
    """The same once the version rests, or as it is after a long time; says what it waits for."""
    path = adapter_path(alias, "versions", answer["digest"])
    until, said = time.monotonic() + PUBLISH_S, ""
    while answer["state"] in _UNDER_WAY and time.monotonic() < until:
        where = _where(answer)
        if where != said and where and not as_json:
            typer.echo(f"{answer['name']} {where}", err=True)
        said = where
        time.sleep(_LOOK_S)
        now = client.get(path)
        answer = {**answer, **{key: now[key] for key in ("state", "reason", "checks")}}
    return answer


def _require_well(answer: dict[str, Any], as_json: bool) -> None:
    """Exits 1 when the version, followed to its end, does not serve."""
    if answer["state"] in _ENDED_BADLY:
        failed = [check for check in answer["checks"] if not check["ok"]]
        if failed and not as_json:
            show_checks(failed, err=True)
        reason = answer["reason"] or f"it is {answer['state']}"
        fail(f"{reason} ({_ENDED_BADLY[answer['state']]})")
    if answer["state"] == "refused":
        name = f"{answer['alias']} {answer['digest'][:12]}"
        fail(f"the gate refused it: `graftwork gate show {name}`")


def _where(answer: dict[str, Any]) -> str:
    if answer["state"] == _GATING:
        return "is at its gate, which takes minutes"
    return str(answer["reason"])


def _try(alias: str, source: Path, base: Path | None, max_rank: int | None, as_json: bool) -> None:
    report = inspected(source, base, max_rank, alias)
    failed = [check for check in report["checks"] if not check["ok"]]
    if as_json:
        emit(report)
    elif failed:
        show_checks(failed, err=True)
    if failed:
        fail(f"{source} would be refused: {len(failed)} check(s) failed")
    if not as_json:
        typer.echo(f"{alias}@{report['digest'][:12]} would be accepted; nothing was sent")


def _send(client: Client, alias: str, source: Path, params: dict[str, str]) -> dict[str, Any]:
    from serving.cli.pack import CannotPack, Pack

    path = adapter_path(alias, "versions")
    try:
        if source.is_dir():
            pack = Pack(source, alias)
            with _progress(alias, pack.size_bytes) as sent:
                return client.upload(path, pack.pieces(sent), pack.size_bytes, params)
        size = source.stat().st_size
        with _progress(alias, size) as sent:
            return client.upload(path, _file(source, sent), size, params)
    except (CannotPack, OSError) as error:
        fail(str(error))


def _file(source: Path, sent: Sent) -> Iterator[bytes]:
    from adapters.format.files import chunks

    with source.open("rb") as file:
        for piece in chunks(file):
            yield piece
            sent(len(piece))


@contextmanager
def _progress(alias: str, size_bytes: int) -> Iterator[Sent]:
    """A bar on a terminal, nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn())
    bar = Progress(*columns, DownloadColumn(), console=Console(file=sys.stderr), transient=True)
    with bar:
        task = bar.add_task(f"sending {alias}", total=size_bytes)

        def sent(count: int) -> None:
            bar.advance(task, count)
            if bar.tasks[0].finished:
                bar.update(task, description=f"{alias}: checking and publishing")

        yield sent


def _explain(error: Failed, as_json: bool) -> None:
    checks = (error.body or {}).get("checks") or []
    failed = [check for check in checks if not check.get("ok")]
    if failed and not as_json:
        show_checks(failed, err=True)


def _said(answer: dict[str, Any], url: str) -> str:
    name, state = answer["name"], answer["state"]
    if answer["known"]:
        return f"{name} is known already: {state}"
    if state == "live":
        return f'{name} is live: call it as model "{answer["alias"]}" on {url}'
    why = f" ({answer['reason']})" if answer["reason"] else ""
    return f"{name} is {state}{why}; `graftwork adapters {answer['alias']}` shows how it goes on"
