"""`graftwork erase`: everything that is kept of a person goes."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from serving.cli.client import connected
from serving.cli.options import DEFAULT_URL, AsJson, Key, Url
from serving.cli.output import emit, fail

_PATH = "/admin/v1/erasures"
_POLL_S = 0.25


def erase(
    person: Annotated[
        str | None, typer.Argument(help="the person, as clients named them", metavar="SUBJECT")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="the same")] = None,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="wait so long until it is done, seconds")
    ] = 60.0,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Erase a person's data everywhere. Prints the certificate with --json."""
    if (person is None) == (subject is None):
        raise typer.BadParameter("say once whose data: graftwork erase SUBJECT")
    until = time.monotonic() + wait_s
    with connected(url, key, as_json=as_json) as client:
        found = client.post(_PATH, {"subject": person or subject})
        while found["state"] != "done" and time.monotonic() < until:
            time.sleep(_POLL_S)
            found = client.get(f"{_PATH}/{found['id']}")
    if as_json:
        emit(found)
    elif found["state"] == "done":
        typer.echo(f"{found['id']}: done; {_counts(found)}")
    if found["state"] != "done":
        reason = found["reason"] or "it goes on in the background"
        fail(f"{found['id']} is {found['state']}: {reason}; look with GET {_PATH}/{found['id']}")


def _counts(found: dict[str, Any]) -> str:
    counts = {**found["found"], **found["also"]}
    return (
        ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "nothing found"
    )
