"""One exchange as somebody brings it from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class BadLine(ValueError):
    """It is no exchange; the message says why, without repeating it."""


@dataclass(frozen=True, slots=True)
class Brought:
    """One exchange as somebody brings it, not redacted."""

    messages: Sequence[Mapping[str, Any]]
    response: str
    more: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else is kept of it, texts among it."""
    intent: str | None = None
    session: str = ""
    persons: frozenset[str] = frozenset()
    model: str = ""
    at: float | None = None
