"""Who used what, and what is left: `usage`."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from serving.cli.client import connected
from serving.cli.options import DEFAULT_URL, AsJson, Key, Url
from serving.cli.output import emit, fail, table

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_AGO = re.compile(r"(\d+)([mhdw])")
_DIMENSIONS = ("key", "tenant", "route", "target")


def usage(
    since: Annotated[
        str, typer.Option(help="how far back: 30m, 24h, 7d or 4w; whole hours are counted")
    ] = "24h",
    by: Annotated[
        str,
        typer.Option(
            help="what to tell apart, with commas: key, tenant, route, target, intent, version, "
            "heading or hour"
        ),
    ] = "tenant,key,target",
    budgets: Annotated[
        bool, typer.Option("--budgets", help="show budgets and what is left of them instead")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show requests, tokens and money over all routers."""
    query = urlencode({"since": f"{time.time() - _seconds(since):.0f}", "by": by})
    with connected(url, key, as_json=as_json) as client:
        answer = client.get(f"/admin/v1/usage?{query}")
    if as_json:
        emit(answer)
    elif budgets:
        _show_budgets(answer["budgets"])
    else:
        _show_usage(answer["data"], [name for name in by.split(",") if name])


def drift(url: Url = DEFAULT_URL, key: Key = None, as_json: AsJson = False) -> None:
    """Show whether the last day is unlike the week before, and what moved."""
    with connected(url, key, as_json=as_json) as client:
        answer = client.get("/admin/v1/drift")
    if as_json:
        emit(answer)
        return
    table(
        ("signal", "level", "PSI", "by chance", "requests", "moved most", "from", "to", "examples"),
        [(*_moved(row),) for row in answer["data"]],
    )


def _moved(row: dict[str, Any]) -> list[Any]:
    psi, noise = (None if row[n] is None else f"{row[n]:.3f}" for n in ("psi", "noise"))
    found: list[Any] = [row["signal"], row["level"], psi, noise, row["requests"]]
    if not row["buckets"]:
        return [*found, None, None, None, None]
    most = row["buckets"][0]
    shares = (f"{most[name] * 100:.1f} %" for name in ("reference_share", "share"))
    return [*found, most["bucket"], *shares, " ".join(most["examples"])]


def _seconds(text: str) -> int:
    match = _AGO.fullmatch(text)
    if match is None:
        fail(f"--since {text!r}: write it like 30m, 24h, 7d or 4w")
    return int(match[1]) * _UNITS[match[2]]


def _show_usage(rows: list[dict[str, Any]], by: list[str]) -> None:
    counts = ("requests", "refused", "cache_hits", "input_tokens", "output_tokens")
    table(
        (*by, "requests", "refused", "cached", "tokens in", "tokens out", "own ms", "USD"),
        [
            (
                *(row[name] or None for name in by),
                *(row.get(name) for name in counts),
                f"{row['time_ms']:.1f}",
                f"{row['usd']:.6f}",
            )
            for row in rows
        ],
    )


def _show_budgets(rows: list[dict[str, Any]]) -> None:
    table(
        ("budget", "of", "window", "counts", "limit", "spent", "leased", "starts anew in"),
        [
            (
                row["budget"],
                " ".join(f"{name}={row[name]}" for name in _DIMENSIONS[:3] if row[name]) or "all",
                row["window"],
                row["metric"],
                f"{row['limit']:g}",
                f"{row['spent']:g}",
                f"{row['leased']:g}",
                f"{_left_s(row['ends']):.0f} s" if row["ends"] else "never",
            )
            for row in rows
        ],
    )


def _left_s(ends: str) -> float:
    return max(0.0, datetime.fromisoformat(ends).timestamp() - time.time())
