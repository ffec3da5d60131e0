"""Headers of the client that targets get: those whose form leaves no room for anything else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

_BETA: Final = r"[a-z0-9][a-z0-9._-]*"
_FORMS: Final = {
    "traceparent": re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"),
    "anthropic-version": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    "anthropic-beta": re.compile(rf"{_BETA}(?:\s*,\s*{_BETA})*"),
}
_SAID_WHEN_LEFT_OUT: Final = frozenset({"anthropic-version", "anthropic-beta"})
"""Of the others a tracing system notices the lack."""


_DIGITS: Final = re.compile(r"\d{12,}")
_LONGEST_NUMBER: Final = 19


def passed_on(
    headers: Mapping[str, str], holds: Callable[[str], bool], warn: Callable[[str], None]
) -> dict[str, str]:
    """What goes with a call.

    ``tracestate`` is not among it: it may say anything, and nobody looks into it.

    Args:
        headers: the client's.
        holds: whether a text has something in it that must not leave.
        warn: told the name of what the target does not get.
    """
    found: dict[str, str] = {}
    for name, form in _FORMS.items():
        value = headers.get(name)
        if value is None:
            continue
        if form.fullmatch(value) and not any(map(holds, _read(value))):
            found[name] = value
        elif name in _SAID_WHEN_LEFT_OUT:
            warn(name)
    return found


def _read(value: str) -> Iterator[str]:
    """A header as it stands, and long numbers in it without the noughts that fill them up."""
    if not _DIGITS.search(value):
        return
    yield value
    for run in _DIGITS.findall(value):
        number = run.strip("0")
        for noughts in range(min(len(run) - len(number), _LONGEST_NUMBER - len(number)) + 1):
            yield number + "0" * noughts
