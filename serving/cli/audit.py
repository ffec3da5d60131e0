"""`graftwork audit`: whether a log is what was written, from its files; what auditors ask."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer

from serving.cli.client import connected
from serving.cli.options import DEFAULT_URL, AsJson, Key, Url
from serving.cli.output import emit, fail, table

if TYPE_CHECKING:
    from adapters.records.problems import Verification
    from adapters.records.signing import PublicKey
    from adapters.records.verified import Verified
    from adapters.records.verify import Reference

_CHANGED, _UNREADABLE = 1, 2
_SHOWN = 20
_PATH = "/admin/v1/audit"
_KEPT = (
    "--checkpoint takes what GET /admin/v1/audit/checkpoint answered, --key a public key in PEM or"
    " what GET /admin/v1/audit/keys answered"
)

app = typer.Typer(help="The log of requests and admin actions.", no_args_is_help=True)

Directory = Annotated[
    Path, typer.Option("--dir", help="the log: `audit` below the state directory")
]
_DEFAULT_DIR = Path(".graftwork/audit")


@app.command("verify")
def verify(
    directory: Directory = _DEFAULT_DIR,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="a checkpoint that was kept elsewhere: JSON, or the last line of a file"),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="public keys that were kept elsewhere: PEM, or as the API lists them"),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="go on from what this file remembers, and remember there"),
    ] = None,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="the same, beside the log: `<dir>.verified.json`")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the findings as JSON")] = False,
) -> None:
    """Recompute every hash and signature. Exits with 0: whole, 1: changed, 2: unreadable.

    The system may run meanwhile.
    """
    from adapters.records.problems import Unreadable
    from adapters.records.verify import verify_more

    if incremental and state is None:
        state = directory.with_name(f"{directory.name}.verified.json")
    reference = _reference(checkpoint, key, state)
    try:
        verification, seen = verify_more(directory, reference)
        if state is not None and verification.ok:
            seen.write(state)
    except Unreadable as error:
        typer.echo(f"graftwork: {error}; name the log's directory with --dir", err=True)
        raise typer.Exit(_UNREADABLE) from error
    except OSError as error:
        typer.echo(f"graftwork: {state} cannot be written: {error}", err=True)
        raise typer.Exit(_UNREADABLE) from error
    if as_json:
        emit(verification.as_dict())
    else:
        _show(directory, verification)
    if not verification.ok:
        raise typer.Exit(_CHANGED)


def _reference(checkpoint: Path | None, key: Path | None, state: Path | None) -> Reference:
    """What is held against the log; ends the command when that cannot be read."""
    from adapters.records import checkpoints
    from adapters.records.signing import BadKey
    from adapters.records.verify import Reference

    try:
        kept = None if checkpoint is None else checkpoints.parse_kept(checkpoint.read_bytes())
        keys = [] if key is None else _keys(key)
    except (OSError, BadKey, ValueError) as error:
        typer.echo(f"graftwork: what was kept elsewhere cannot be read: {error}; {_KEPT}", err=True)
        raise typer.Exit(_UNREADABLE) from error
    return Reference(
        checkpoint=kept,
        keys=keys,
        since=_since(state),
        processes=os.cpu_count() or 1,
    )


def _keys(path: Path) -> list[PublicKey]:
    """Those that were kept. Raises ``OSError``, ``BadKey``."""
    from adapters.records.signing import BadKey, parse_keys

    found = parse_keys(path.read_bytes())
    if not found:
        # Without any the log's own list would be believed, which is what is in doubt.
        raise BadKey("it lists no key")
    return found


def _since(state: Path | None) -> Verified | None:
    from adapters.records.problems import Unreadable
    from adapters.records.verified import Verified

    try:
        return None if state is None else Verified.read(state)
    except Unreadable as error:
        typer.echo(f"graftwork: {error}; remove it, and all is verified again", err=True)
        raise typer.Exit(_UNREADABLE) from error


def _show(directory: Path, verification: Verification) -> None:
    verb = "whole" if verification.ok else "CHANGED"
    typer.echo(
        f"{directory}: {verb}, {verification.records} records, "
        f"{verification.checkpoints} checkpoints, "
        f"tree {verification.tree_size} {verification.root}"
    )
    rows = [
        (each.kind, each.writer, each.sequence, each.file, each.detail)
        for each in verification.problems[:_SHOWN]
    ]
    if rows:
        table(("problem", "writer", "sequence", "file", "detail"), rows)
    if len(verification.problems) > _SHOWN:
        typer.echo(f"and {len(verification.problems) - _SHOWN} more: --json shows all")


@app.command("export")
def export(
    since: Annotated[str | None, typer.Option(help="ISO 8601, or seconds since the epoch")] = None,
    subject: Annotated[str | None, typer.Option(help="about this person")] = None,
    kind: Annotated[str | None, typer.Option(help="of this kind, for example `admin`")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object for all")] = False,
) -> None:
    """Print records, the oldest first, one JSON object a line."""
    import orjson

    asked = {"since": since, "subject": subject, "kind": kind, "limit": "1000"}
    query = {name: value for name, value in asked.items() if value is not None}
    whole: list[Any] = []
    with connected(url, key, as_json=as_json) as client:
        while True:
            page = client.get(f"{_PATH}?{urlencode(query)}")
            for record in page["data"]:
                if as_json:
                    whole.append(record)
                else:
                    typer.echo(orjson.dumps(record, option=orjson.OPT_SORT_KEYS).decode())
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
    if as_json:
        emit({"object": "list", "data": whole, "next": None})


@app.command("keys")
def keys(
    url: Url = DEFAULT_URL,
    key: Key = None,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="sign with a new key from now on; needs --dir")
    ] = False,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="the log's directory on this machine")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="as `audit.key_file` in the deploy file")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the public keys that checkpoints are signed with: keep them elsewhere."""
    if rotate:
        if directory is None:
            fail("a key is rotated where its file is: name the log's directory with --dir")
        found = _rotate(directory, key_file)
    else:
        with connected(url, key, as_json=as_json) as client:
            found = client.get(f"{_PATH}/keys")
    if as_json:
        emit(found)
        return
    rows = [(each["key_id"], each["created"], each["public_key"]) for each in found["data"]]
    table(("key", "created", "public key (Ed25519)"), rows)


def _rotate(directory: Path, key_file: Path | None) -> dict[str, Any]:
    from dataclasses import asdict

    from adapters.records.signing import SIGNING_FILE, BadKey, Signer

    if not (key_file or directory / SIGNING_FILE).is_file():
        fail(f"there is no key in {directory}: name the log's directory with --dir")
    try:
        made = Signer(directory, key_file).rotate()
    except (BadKey, OSError) as error:
        fail(f"the key was not rotated: {error}")
    return {"object": "list", "data": [asdict(made)], "next": None}


@app.command("proof")
def proof(
    sequence: Annotated[int, typer.Argument(help="of the record", metavar="SEQUENCE")],
    writer: Annotated[str | None, typer.Option(help="whose record it is")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show that a record is under the newest checkpoint's root."""
    query = "" if writer is None else f"?{urlencode({'writer': writer})}"
    with connected(url, key, as_json=as_json) as client:
        found = client.get(f"{_PATH}/{sequence}/proof{query}")
    if as_json:
        emit(found)
        return
    typer.echo(f"leaf {found['leaf_index']} of {found['tree_size']}: {found['leaf_hash']}")
    for step in found["path"]:
        typer.echo(f"  {step}")
    typer.echo(f"root {found['root']}, signed {found['checkpoint']['time']}")
