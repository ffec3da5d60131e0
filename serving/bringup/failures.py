"""What Ray Serve says about deployments that start: who is up, and why one is not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Protocol

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_FAILED = "failed to start"
"""In every message of Ray Serve about a failure; in those about slowness it is not."""
_MAX_CHARACTERS = 1000


class Deployment(Protocol):
    """As in ``serve.status()``."""

    @property
    def status(self) -> str:
        """``HEALTHY``, ``UPDATING`` …"""

    @property
    def message(self) -> str:
        """More about it; a failed start with its traceback."""


def news(deployments: Mapping[str, Deployment]) -> Iterator[str]:
    """One text for each deployment that is up or failed to start; the same as long as it is so."""
    for name, deployment in deployments.items():
        if deployment.status == "HEALTHY":
            yield f"{name} is up"
        elif why := reason(deployment.message or ""):
            yield f"{name} does not start; it is tried again: {why}"


def plain(message: str) -> str:
    """The message without a terminal's colours."""
    return _COLOUR.sub("", message).strip()


def reason(message: str) -> str:
    """What was raised last, with its explanation, without tracebacks; "" when nothing failed.

    The same reason gives the same text, whichever process it was. Without a traceback, what
    follows ``Error:``.
    """
    if _FAILED not in message:
        return ""
    lines = plain(message).splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    if not frames:
        return plain(message).partition("Error:\n")[2][-_MAX_CHARACTERS:] or plain(message)
    raised = [line for line in _unindented_from(lines, frames[-1] + 1) if line.strip()]
    return "\n".join(raised)[:_MAX_CHARACTERS]


def _unindented_from(lines: list[str], start: int) -> list[str]:
    """From the first line that belongs to no frame on."""
    for number in range(start, len(lines)):
        if not lines[number].startswith(" "):
            return lines[number:]
    return []
