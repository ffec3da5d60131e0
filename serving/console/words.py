"""How numbers, times and names are written on pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import wraps
from math import floor, log10
from typing import Any, Final

import orjson
from jinja2 import Undefined

_LEAST_USD: Final = 0.000001


def milliseconds(value: float) -> str:
    """A time given in milliseconds, in the unit that reads best."""
    if value >= 3_600_000:
        return f"{value / 3_600_000:.1f} h"
    if value >= 60_000:
        return f"{value / 60_000:.1f} min"
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    return f"{value:.2f} ms" if value < 100 else f"{value:.0f} ms"


def seconds(value: float) -> str:
    """A time given in seconds."""
    return milliseconds(value * 1000)


def dollars(value: float) -> str:
    """Money: cents, and of less than a dollar three digits that count."""
    sign, size = "-" if value < 0 else "", abs(value)
    if 0 < size < _LEAST_USD:
        return f"{sign}<${_LEAST_USD:.6f}"
    digits = 2 - floor(log10(size)) if 0 < size < 1 else 2
    whole, _, rest = f"{size:,.{min(digits, 6)}f}".partition(".")
    return f"{sign}${whole}.{rest.rstrip('0').ljust(2, '0')}"


def count(value: float) -> str:
    """A number with its thousands apart."""
    return f"{value:,.0f}"


def share(value: float | None) -> str:
    """A share of one, in percent."""
    return "—" if value is None else f"{value * 100:.1f} %"


def moment(value: float | str | None) -> str:
    """Seconds since the epoch, or an ISO 8601 time, in UTC."""
    found = _time(value)
    return "—" if found is None else found.strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(value: float | str | None) -> str:
    """How long ago a moment was, roughly."""
    found = _time(value)
    if found is None:
        return "—"
    # Clocks of two machines differ: what was written by another may lie a little ahead.
    gone = max((datetime.now(UTC) - found).total_seconds(), 0.0)
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        number = int(gone // size)
        if number:
            return f"{number} {unit}{'' if number == 1 else 's'} ago"
    return "just now"


def _time(value: float | str | None) -> datetime | None:
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        return None if value is None else datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def short(value: Any) -> str:
    """The first twelve digits of a digest, as names of versions have them."""
    return str(value or "—")[:12]


def stood(value: Any) -> str:
    """A state, or the digest of a version in twelve digits."""
    text = plain(value)
    return text[:12] if len(text) == 64 and text.isalnum() else text


def said(message: Mapping[str, Any]) -> str:
    """What one message of a conversation says, its parts and calls included."""
    content = message.get("content")
    if isinstance(content, list):
        texts = [each.get("text") if isinstance(each, dict) else each for each in content]
        content = "\n".join(str(text) for text in texts if text)
    calls = message.get("tool_calls")
    return "\n".join(str(each) for each in (content, plain(calls) if calls else "") if each)


def pretty(value: Any) -> str:
    """JSON for people."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()


def plain(value: Any) -> str:
    """A fact in a table: text as it is, nothing as a dash, names in a row, the nested as JSON."""
    if value is None or value == "":
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    if isinstance(value, (dict, list)):
        return orjson.dumps(value, default=str).decode() if value else "—"
    return str(value)


def tally(value: Any) -> str:
    """Numbers by name on one line, as they come; anything else as ``plain`` writes it."""
    if not isinstance(value, Mapping) or not value:
        return plain(value)
    return ", ".join(f"{name} {plain(number)}" for name, number in value.items())


def _where_there_is_any(filter_of: Callable[..., str]) -> Callable[..., str]:
    """The same; what is missing is a dash."""

    @wraps(filter_of)
    def filtered(value: Any) -> str:
        missing = value is None or isinstance(value, Undefined)
        return "—" if missing else filter_of(value)

    return filtered


_ALL: Final[Mapping[str, Callable[..., str]]] = {
    "ms": milliseconds,
    "seconds": seconds,
    "usd": dollars,
    "count": count,
    "share": share,
    "moment": moment,
    "ago": ago,
    "short": short,
    "stood": stood,
    "spoken": said,
    "pretty": pretty,
    "plain": plain,
    "tally": tally,
}
FILTERS: Final = {name: _where_there_is_any(found) for name, found in _ALL.items()}
