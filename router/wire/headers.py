"""Headers of the client that targets get: those whose form leaves no room for anything else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

_BETA: Final = r"[a-z0-9][a-z0-9._-]*"
_FORMS: Final = {
    "traceparent": re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"),
    "anthropic-version": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    "anthropic-beta": re.compile(rf"{_BETA}(?:\s*,\s*{_BETA})*"),
}
_SAID_WHEN_LEFT_OUT: Final = frozenset({"anthropic-version", "anthropic-beta"})
"""Of the others a tracing system notices the lack."""


def passed_on(headers: Mapping[str, str], warn: Callable[[str], None]) -> dict[str, str]:
    """What goes with a call; ``warn`` is told the name of what the target does not get.

    ``tracestate`` is not among it: it may say anything, and nobody looks into it.
    """
    found: dict[str, str] = {}
    for name, form in _FORMS.items():
        value = headers.get(name)
        if value is None:
            continue
        if form.fullmatch(value):
            found[name] = value
        elif name in _SAID_WHEN_LEFT_OUT:
            warn(name)
    return found
