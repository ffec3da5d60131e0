"""How numbers, times and names are written on pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson


def milliseconds(value: float) -> str:
    """A time given in milliseconds, in the unit that reads best."""
    if value >= 60_000:
        return f"{value / 60_000:.1f} min"
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    return f"{value:.2f} ms" if value < 100 else f"{value:.0f} ms"


def seconds(value: float) -> str:
    """A time given in seconds."""
    return milliseconds(value * 1000)


def dollars(value: float) -> str:
    """Money; small amounts in full."""
    return f"${value:,.2f}" if abs(value) >= 1 or not value else f"${value:.6f}".rstrip("0")


def count(value: float) -> str:
    """A number with its thousands apart."""
    return f"{value:,.0f}"


def share(value: float | None) -> str:
    """A share of one, in percent."""
    return "—" if value is None else f"{value * 100:.1f} %"


def moment(value: float) -> str:
    """Seconds since the epoch, in UTC."""
    return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def pretty(value: Any) -> str:
    """JSON for people."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()


def plain(value: Any) -> str:
    """A fact in a table: text as it is, nothing as a dash, what is nested as JSON."""
    if value is None or value == "":
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (dict, list)):
        return orjson.dumps(value, default=str).decode() if value else "—"
    return str(value)


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "ms": milliseconds,
    "seconds": seconds,
    "usd": dollars,
    "count": count,
    "share": share,
    "moment": moment,
    "pretty": pretty,
    "plain": plain,
}
