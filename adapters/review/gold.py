"""The answer that a review settled on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Provenance = Literal["human", "teacher", "verified"]
"""A person wrote it; a target did and a person accepted it; several persons settled on it."""


@dataclass(frozen=True, slots=True)
class Gold:
    """One exchange with the answer that it should have had."""

    exchange_id: str
    at: float
    """The exchange's time."""
    settled_at: float
    intent: str
    tenant: str
    session: str
    messages: tuple[Mapping[str, Any], ...]
    answer: str
    provenance: Provenance
    reviewers: tuple[str, ...]
    teacher: str
    """The target whose answer was judged."""
    subjects: tuple[str, ...] = ()
    details: Mapping[str, Any] | None = None
    """The exchange's, where the teacher's own answer was accepted: its log-probabilities."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """What its request offered: functions, in chat's shape."""
    calls: tuple[Mapping[str, Any], ...] = ()
    """Calls that the answer makes beside what it says; one that only calls has them as its text."""
    left_out: str = ""
    """Why what the request offered is not all here; then nothing can be learned from it."""
