"""What gates found, and their statistics on items of one's own: `gate show`, `gate judge`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NoReturn

import typer

from serving.cli.client import adapter_path, connected
from serving.cli.options import DEFAULT_URL, Alias, AsJson, Key, Url
from serving.cli.output import clean, emit, fail, table

app = typer.Typer(no_args_is_help=True, help="Whether versions are as good as what answers now.")
_MAX_LINE = 64 << 20


@app.command("show")
def show(
    alias: Alias,
    digest: Annotated[
        str | None, typer.Argument(help="the version; default: the live one", metavar="[DIGEST]")
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show what the gate found about a version. Exits 1 when it did not pass."""
    with connected(url, key, as_json=as_json) as client:
        wanted = digest or client.get(adapter_path(alias))["live"]
        if wanted is None:
            fail(f"{alias} has no live version: name one, `graftwork adapters {alias}` lists them")
        report = client.get(adapter_path(alias, "versions", wanted, "gate"))
    if as_json:
        emit(report)
    else:
        _print(report)
    if not report["passed"]:
        raise typer.Exit(1)


@app.command("judge")
def judge(
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="read one question a line, and write one answer a line")
    ] = False,
    file: Annotated[
        Path | None, typer.Argument(help="default, or -: standard input", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge scores that you have: {id, margin, alpha, items} a line, or one such object.

    Items are {id, slice, candidate, current}, scores 0 to 1. Answers are {id, verdict, power}; with
    one object, and with --json, whatever else was found. Asks no server. Exits 0 when everything
    was judged, whatever the verdict; 2 when something could not be read.
    """
    with _opened(file) as stream:
        if jsonl:
            for number, line in _lines(stream):
                found = _judged(line, f"line {number}")
                short = {name: found[name] for name in ("id", "verdict", "power")}
                _write(found if as_json else short)
            return
        found = _judged(stream.read(_MAX_LINE + 1), "the input")
    if as_json:
        emit(found)
    else:
        _print(found)


def _opened(file: Path | None) -> BinaryIO:
    if file is None or file == Path("-"):
        return sys.stdin.buffer
    try:
        return file.open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from error


def _lines(stream: Any) -> Iterator[tuple[int, bytes]]:
    """Lines that are not empty, each with its number in the file, from 1."""
    number = 0
    while line := stream.readline(_MAX_LINE + 1):
        number += 1
        if line.strip():
            yield number, line


def _judged(raw: bytes, where: str) -> dict[str, Any]:
    import orjson

    from adapters.gate.judge import ALPHA, MARGIN, MIN_POWER, Demand, item_of, judge, shown

    if len(raw) > _MAX_LINE:
        _unreadable(where, f"it has more than {_MAX_LINE >> 20} MiB")
    try:
        given = orjson.loads(raw)
    except ValueError as error:
        _unreadable(where, f"it is no JSON: {error}")
    if not isinstance(given, dict) or not isinstance(given.get("items"), list):
        _unreadable(where, "it must be an object {id, margin, alpha, items: […]}")
    try:
        demand = Demand(
            _number(given, "margin", MARGIN, 0, 1),
            _number(given, "alpha", ALPHA, 1e-6, 0.5),
            _number(given, "min_power", MIN_POWER, 1e-6, 1),
        )
        items = [item_of(each, place) for place, each in enumerate(given["items"])]
    except ValueError as error:
        _unreadable(where, str(error))
    return {"id": given.get("id"), **shown(judge(items, demand))}


def _number(given: dict[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < high:
        raise ValueError(f"{name}: must be a number from {low:g} to below {high:g}")
    return float(value)


def _unreadable(where: str, why: str) -> NoReturn:
    typer.echo(f"graftwork: {where} cannot be judged: {clean(why)}", err=True)
    raise typer.Exit(2)


def _write(found: dict[str, Any]) -> None:
    import orjson

    sys.stdout.buffer.write(orjson.dumps(found) + b"\n")
    sys.stdout.buffer.flush()


def _print(report: dict[str, Any]) -> None:
    typer.echo(f"{report['verdict']}: {clean(report['reason'])}")
    typer.echo(
        f"{report['n']} items, candidate {report['candidate']:.3f} against "
        f"{report['current']:.3f} ({report.get('current_target', 'current')}), difference above "
        f"{report['lower']:+.3f}, margin {report['margin']:g}, power {report['power']:.2f}"
    )
    table(
        ("part", "items", "candidate", "current", "below", ""),
        [
            (
                each["name"],
                each["n"],
                f"{each['candidate']:.3f}",
                f"{each['current']:.3f}",
                f"{each['upper']:+.3f}",
                "blocks" if each["blocks"] else None,
            )
            for each in report["slices"]
        ],
    )
