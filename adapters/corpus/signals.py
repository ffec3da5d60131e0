"""Why an exchange is worth a look: the words for it, and when even the frontier had trouble."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Final


class Signal(StrEnum):
    """One sign that an answer was not what it should have been, or might not have been."""

    OUT_OF_SCOPE = "out_of_scope"
    """None of the declared intents."""
    LOW_CONFIDENCE = "low_confidence"
    """It went out although little speaks for it."""
    ESCALATED = "escalated"
    """A local answer was not good enough; a better target was asked."""
    REFUSED = "refused"
    """Whoever answered would not or could not do it."""
    HEDGED = "hedged"
    """Whoever answered did not know, or was not sure."""
    BROKEN_CALL = "broken_call"
    """A tool call that the tool's own schema does not allow."""
    BROKEN_JSON = "broken_json"
    """JSON was asked for, and what came is none, or not of the schema."""
    VIOLATED = "violated"
    """An answer broke what a rule obliges it to, and was asked for again or withheld."""
    NEGATIVE_FEEDBACK = "negative_feedback"
    """Whoever asked said so."""
    ASKED_AGAIN = "asked_again"
    """Whoever asked put the same question in other words."""
    SHADOW_DIFFERS = "shadow_differs"
    """The candidate in the shadow said something else."""


TROUBLE: Final = frozenset(
    {
        Signal.REFUSED,
        Signal.HEDGED,
        Signal.BROKEN_CALL,
        Signal.BROKEN_JSON,
        Signal.NEGATIVE_FEEDBACK,
        Signal.ASKED_AGAIN,
    }
)
"""What says that the answer itself was poor, whoever gave it."""


def struggles(target: str, signals: Collection[str]) -> bool:
    """Whether a frontier answered poorly: no better target is left, a person has to look."""
    return target.startswith("frontier:") and not TROUBLE.isdisjoint(signals)
