"""`graftwork policy`: business rules are tested, put, compared, tried in the shadow, taken back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from serving.cli.client import connected
from serving.cli.options import DEFAULT_URL, AsJson, Key, Url
from serving.cli.output import emit, table

_BASE = "/admin/v1/policy"
_DIGITS = 12
_HISTORY_LINES = 50
_UNREADABLE = 2

app = typer.Typer(
    help="Business rules: docs/policy.md says how they are written.", no_args_is_help=True
)
File = Annotated[Path, typer.Argument(help="a rules file, for example config/policy-example.yaml")]


@app.command("test")
def run_examples(
    file: File,
    as_json: Annotated[bool, typer.Option("--json", help="print the findings as JSON")] = False,
) -> None:
    """Read a rules file, compile it and run its examples. Needs no server.

    Exits with 0: it may be pushed, 1: it may not, 2: it cannot be read.
    """
    from router.policy.document import PolicyInvalid
    from router.policy.load import load

    source = _read(file)
    try:
        rules = load(source)
    except PolicyInvalid as error:
        errors = [each.shown() for each in error.problems]
        if as_json:
            emit({"ok": False, "errors": errors, "warnings": []})
        else:
            _show_problems(file, "error", errors)
        raise typer.Exit(1) from error
    warnings = [each.shown() for each in rules.warnings]
    examples = sum(len(rule.examples) for rule in rules.file.rules)
    if as_json:
        count = {"rules": len(rules.file.rules), "examples": examples}
        emit({"ok": True, "version": rules.version, **count, "errors": [], "warnings": warnings})
        return
    _show_problems(file, "warning", warnings)
    typer.echo(f"{file}: ok, {len(rules.file.rules)} rules, {examples} examples")


@app.command("push")
def push(
    file: File,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="only evaluate them beside those that hold")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Have a rules file hold from now on, on every router."""
    source = _read(file)
    path = f"{_BASE}?{urlencode({'stage': 'shadow' if shadow else 'live'})}"
    with connected(url, key, as_json=as_json) as client:
        answer = client.put(path, source, "application/yaml")
    if as_json:
        emit(answer)
        return
    _show_problems(file, "warning", answer["warnings"])
    _show_move(answer)


@app.command("show")
def show(url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Print the rules that hold."""
    with connected(url, key, as_json=as_json) as client:
        answer = client.get(_BASE)
    if as_json:
        emit(answer)
        return
    for stage in ("active", "shadow"):
        found = answer[stage]
        if found is not None:
            typer.echo(f"# {stage} {found['version'][:_DIGITS]} by {found['author']}", err=True)
    if answer["active"] is None:
        typer.echo("no rules yet: graftwork policy push FILE", err=True)
    else:
        typer.echo(answer["active"]["source"], nl=False)


@app.command("diff")
def diff(
    before: Annotated[
        str | None, typer.Option("--from", help="a version; default: the one that holds")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--to", help="a version; default: the one in the shadow")
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Print what differs between two versions."""
    asked = {"from": before, "to": after}
    query = urlencode({name: each for name, each in asked.items() if each is not None})
    with connected(url, key, as_json=as_json) as client:
        answer = client.get(f"{_BASE}/diff?{query}")
    if as_json:
        emit(answer)
    else:
        typer.echo(answer["diff"], nl=False)


@app.command("history")
def history(url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """List what held when, and who decided it."""
    with connected(url, key, as_json=as_json) as client:
        answer = client.get(f"{_BASE}/history?limit={_HISTORY_LINES}")
    if as_json:
        emit(answer)
        return
    rows = [
        (
            f"{each['at'][:19]}Z",
            each["action"],
            (each["active"] or "")[:_DIGITS],
            (each["shadow"] or "")[:_DIGITS],
            each["actor"],
        )
        for each in answer["data"]
    ]
    table(("at", "action", "active", "shadow", "by"), rows)


@app.command("shadow")
def shadow(url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show what the rules in the shadow would have decided otherwise."""
    with connected(url, key, as_json=as_json) as client:
        answer = client.get(f"{_BASE}/shadow")
    if as_json:
        emit(answer)
        return
    typer.echo(f"{answer['compared']} requests compared")
    table(("difference", "requests"), list(answer["differing"].items()))


@app.command("promote")
def promote(url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Have the rules in the shadow hold."""
    _move("promote", url, key, as_json=as_json)


@app.command("rollback")
def rollback(url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Have those rules hold that held before."""
    _move("rollback", url, key, as_json=as_json)


def _move(verb: str, url: str, key: str | None, *, as_json: bool) -> None:
    with connected(url, key, as_json=as_json) as client:
        answer = client.post(f"{_BASE}/{verb}", {})
    if as_json:
        emit(answer)
    else:
        _show_move(answer)


def _show_move(answer: Mapping[str, Any]) -> None:
    late = "" if answer["applied"] else "; some routers are late"
    for stage in ("active", "shadow"):
        if answer[stage]:
            typer.echo(f"{stage} {answer[stage][:_DIGITS]}{late}")


def _show_problems(file: Path, kind: str, problems: list[dict[str, Any]]) -> None:
    for each in problems:
        rule = f"rule {each['rule']}: " if each["rule"] else ""
        typer.echo(f"{file}:{each['line']}: {kind}: {rule}{each['message']}", err=True)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        typer.echo(f"graftwork: {file} cannot be read: {error.strerror}", err=True)
        raise typer.Exit(_UNREADABLE) from error
