"""A replay, summed up: cost, target mix, changed choices, per intent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from router.choose.replay import Replayed

REFUSED = "(refused)"
NO_INTENT = "none"


def summary(replayed: Sequence[Replayed]) -> dict[str, Any]:
    """All of it as JSON."""
    intents = sorted({each.intent or NO_INTENT for each in replayed})
    moves = Counter(
        (each.before or REFUSED, each.after or REFUSED) for each in replayed if each.changed
    )
    return {
        "object": "replay",
        **_totals(replayed),
        "targets": _mix(replayed),
        "moves": [
            {"before": before, "after": after, "decisions": count}
            for (before, after), count in moves.most_common()
        ],
        "refused": dict(Counter(each.error for each in replayed if each.error is not None)),
        "intents": {
            intent: _totals([each for each in replayed if (each.intent or NO_INTENT) == intent])
            for intent in intents
        },
    }


def _totals(replayed: Sequence[Replayed]) -> dict[str, Any]:
    return {
        "decisions": len(replayed),
        "changed": sum(each.changed for each in replayed),
        "before_usd": sum(each.before_usd for each in replayed),
        "after_usd": sum(each.after_usd for each in replayed),
    }


def _mix(replayed: Sequence[Replayed]) -> dict[str, dict[str, int]]:
    before = Counter(each.before or REFUSED for each in replayed)
    after = Counter(each.after or REFUSED for each in replayed)
    return {
        target: {"before": before[target], "after": after[target]}
        for target in sorted({*before, *after})
    }
