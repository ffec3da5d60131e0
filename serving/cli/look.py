"""What goes on inside a running Graftwork: `replicas`, `events`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from serving.cli.client import connected
from serving.cli.options import DEFAULT_URL, AsJson, Key, Url
from serving.cli.output import clean, emit, table

_DIGITS = 12
_DECISION = "decision"
_QUIET_S = 1.0
"""A stream without news for so long has told everything that is remembered."""
_SILENT_S = 60.0
"""The server says something at least every 15 s; after so long it is gone."""
_NOT_DETAILS = frozenset({"kind", "seq", "at", "alias", "digest"})


def replicas(url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show what every engine replica holds."""
    with connected(url, key, as_json=as_json) as client:
        answer = client.pages("/admin/v1/replicas")
    if as_json:
        emit(answer)
        return
    rows = [
        (
            each.get("id"),
            "yes" if each.get("ready") else "no",
            each.get("base"),
            each.get("in_flight"),
            ", ".join((each.get("tiers") or {}).get("gpu") or ()),
            ", ".join(each.get("resident") or ()),
        )
        for each in answer["data"]
    ]
    table(("replica", "ready", "base", "requests", "in a slot", "adapters held"), rows)


def events(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="go on as things happen, until Ctrl-C")
    ] = False,
    after: Annotated[int, typer.Option(min=0, help="only events after this number")] = 0,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show what happened, decisions aside. With --json, one object per line."""
    import httpx

    quiet_s = _SILENT_S if follow else _QUIET_S
    try:
        with (
            connected(url, key) as client,
            client.stream(f"/admin/v1/events?after={after}&detail=true", quiet_s) as answer,
        ):
            try:
                for event in _events(answer.iter_lines()):
                    typer.echo(json.dumps(event) if as_json else _line(event))
            except httpx.ReadTimeout:
                if follow:
                    raise
    except KeyboardInterrupt:
        return


def _events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Graftwork's events from the lines of a server-sent stream: one ``data`` line each."""
    for line in lines:
        if line.startswith("data:"):
            event = json.loads(line.removeprefix("data:"))
            if event.get("kind") != _DECISION:  # one for each request: `decisions` lists them
                yield event


def _line(event: dict[str, Any]) -> str:
    at = event["at"]
    about = event.get("alias") or ""
    if event.get("digest"):
        about += f"@{event['digest'][:_DIGITS]}"
    details = " ".join(
        f"{name}={value}"
        for name, value in event.items()
        if name not in _NOT_DETAILS and value not in ("", None)
    )
    head = f"{event['seq']:>5}  {at}  {clean(event['kind']):<18}"
    return f"{head}  {clean(about)}  {clean(details)}".rstrip()
