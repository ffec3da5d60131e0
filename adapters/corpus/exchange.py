"""One captured request and its answer, redacted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ExchangeState(StrEnum):
    """How far an exchange is on its way to a dataset."""

    CAPTURED = "captured"
    IN_REVIEW = "in_review"
    GOLD = "gold"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is kept of one request. Every text is as law 6 lets it be kept."""

    id: str
    """``exc_`` and hexadecimal digits."""
    at: float
    """When the request came, seconds since the epoch."""
    intent: str
    """The recognised one, also where a named model answered."""
    tenant: str
    target: str
    """What answered: ``adapter:…``, ``base``, ``frontier:…``; ``import`` for imported ones."""
    messages: tuple[Mapping[str, Any], ...]
    """In chat completions' shape, whichever dialect the client spoke."""
    response: str
    """Text of the answer; of one that only calls tools, those calls as JSON."""
    state: ExchangeState = ExchangeState.CAPTURED
    count: int = 1
    """How often the same was asked and answered."""
    session: str = ""
    decision_id: str = ""
    subjects: tuple[str, ...] = ()
    """Keyed hashes of the persons whose data it carries (``adapters.records.subjects``)."""
    confidence: float | None = None
    cost_usd: float = 0.0
    signals: tuple[str, ...] = ()
    """Why it is worth a look: ``escalated``, ``low_confidence``, ``out_of_scope``, …"""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else a signal says, and the teacher's top log-probabilities (``logprobs``)."""
    trains: bool = True
    """Whether something may be learned from it; False: kept for a review that a rule demands."""
