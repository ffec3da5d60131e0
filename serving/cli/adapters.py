"""`graftwork adapters` and the moves of a version: promote, canary, shadow, rollback, retire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from serving.cli.client import adapter_path, connected
from serving.cli.options import DEFAULT_URL, Alias, AsJson, Digest, Key, Percent, Url
from serving.cli.output import emit, table

_DIGITS = 12
# A digest is cut to its first 12 digits; no state's name is longer.
_STATE_CHARACTERS = 12
_COLUMNS = ("adapter", "version", "state", "live", "share", "effect", "author", "since", "reason")
_HISTORY_LINES = 20


def adapters(
    alias: Annotated[str | None, typer.Argument(help="only this adapter", metavar="ALIAS")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List adapters and their versions. For one adapter, also what happened to it."""
    with connected(url, key, as_json=as_json) as client:
        if alias is None:
            answer = client.pages("/admin/v1/adapters")
        else:
            answer = client.get(adapter_path(alias))
    if as_json:
        emit(answer)
        return
    found = answer["data"] if alias is None else [answer]
    if not found:
        typer.echo("no adapters yet: graftwork push ALIAS DIRECTORY")
        return
    table(_COLUMNS, [row for each in found for row in _versions(each)])
    if alias is not None:
        _show_history(answer["history"])


def _versions(adapter: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    shares = {each["digest"]: f"{each['percent']:g} %" for each in adapter["candidates"]}
    if not adapter["versions"]:
        yield (adapter["alias"], *[None] * (len(_COLUMNS) - 1))
    for version in adapter["versions"]:
        digest, effect = version["digest"], version["effect"]
        yield (
            adapter["alias"],
            digest[:_DIGITS],
            version["state"],
            "*" if digest == adapter["live"] else "",
            shares.get(digest, ""),
            "" if effect is None else f"{effect:.3g}",
            version["author"],
            _when(version["updated_at"]),
            version["reason"],
        )


def _show_history(history: list[dict[str, Any]]) -> None:
    typer.echo("")
    rows = [
        (
            _when(line["at"]),
            line["action"],
            (line["digest"] or "")[:_DIGITS],
            _change(line["before"], line["after"]),
            line["actor"],
            line["detail"],
        )
        for line in history[-_HISTORY_LINES:]
    ]
    table(("at", "action", "version", "state", "by", "detail"), rows)


def _change(before: str | None, after: str | None) -> str:
    """From one state, or one live version, to another."""
    return " -> ".join(each[:_STATE_CHARACTERS] for each in (before, after) if each)


def _when(timestamp: str) -> str:
    """ISO 8601 to the second."""
    return timestamp[:19] + "Z"


# Moves


def promote(
    alias: Alias, digest: Digest, url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False
) -> None:
    """Make a version live. The one before it is drained."""
    _move(alias, "promote", {"digest": digest}, (url, key, as_json))


def canary(
    alias: Alias,
    digest: Digest,
    percent: Percent,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Give a version a share of the traffic. A session stays on its version."""
    _move(alias, "canary", {"digest": digest, "percent": percent}, (url, key, as_json))


def shadow(
    alias: Alias,
    digest: Digest,
    percent: Percent,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Let a version answer in secret. It gets a share of the traffic; nobody sees its answers."""
    _move(alias, "shadow", {"digest": digest, "percent": percent}, (url, key, as_json))


def rollback(
    alias: Alias,
    quarantine: Annotated[
        str | None, typer.Option(help="why the version that is live must never come back")
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Go back to the version before."""
    body = {} if quarantine is None else {"quarantine": quarantine}
    _move(alias, "rollback", body, (url, key, as_json))


def retire(
    alias: Alias,
    digest: Annotated[
        str | None,
        typer.Argument(help="only this version; default: all of them", metavar="DIGEST"),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Take versions out of service. Without DIGEST, all versions of the adapter."""
    _move(alias, "retire", {} if digest is None else {"digest": digest}, (url, key, as_json))


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Free the store of versions that nobody can want back: adapters/store/collection.py."""
    with connected(url, key, as_json=as_json) as client:
        answer = client.post("/admin/v1/gc", {"dry_run": dry_run})
    if as_json:
        emit(answer)
        return
    rows = [
        (each["name"], each["state"], _when(each["since"]), f"{each['size_bytes']:,}")
        for each in answer["versions"]
    ]
    if rows:
        table(("version", "state", "since", "bytes"), rows)
    verb = "would be freed" if dry_run else "freed"
    typer.echo(f"{len(rows)} versions, {answer['size_bytes']:,} bytes {verb}")


def _move(
    alias: str, verb: str, body: Mapping[str, Any], server: tuple[str, str | None, bool]
) -> None:
    url, key, as_json = server
    with connected(url, key, as_json=as_json) as client:
        answer = client.post(adapter_path(alias, verb), body)
    if as_json:
        emit(answer)
        return
    moves = answer.get("versions", [answer])
    if not moves:
        typer.echo(f"no version of {alias} is in service (nothing had to be done)")
    for moved in moves:
        unchanged = " (nothing had to be done)" if moved["known"] else ""
        typer.echo(f"{moved['name']} is {moved['state']}{unchanged}")
