"""How hard a model says that one request is, for each target: data that choosing reads.

``router.choose.difficulty`` has the model. Nothing of the request can be read from what it says, so
records hold it, and a replay decides by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from adapters.evaluation import Tally

ANY: Final = "*"
"""In place of an intent: whatever it is."""
_USUAL: Final = 0.1
"""Log-odds that make no difference worth a word."""


def family(target: str) -> str:
    """What learns together: all versions of an adapter, any other target by itself."""
    return target.partition("@")[0] if target.startswith("adapter:") else target


@dataclass(frozen=True)
class Hardness:
    """What a model says of one request. Nothing of the request can be read from it.

    Attributes:
        model: the model's digest; empty: there is none.
        shifts: by family of targets, log-odds.
        levels: shares of good answers that were imported, by family and intent.
    """

    model: str = ""
    shifts: Mapping[str, float] = field(default_factory=dict)
    levels: Mapping[tuple[str, str], Tally] = field(default_factory=dict)

    def of(self, target: str) -> float | None:
        """The shift for a target; None where nothing was learned of it."""
        return self.shifts.get(family(target))

    def applied(self, target: str, quality: float) -> float:
        """Expected quality of this request's answer, given that of the usual one."""
        shift = self.of(target)
        if not shift or not 0.0 < quality < 1.0:
            return quality
        odds = quality / (1.0 - quality) * math.exp(shift)
        return odds / (1.0 + odds)

    def known(self, target: str, intent: str, *, general: bool = True) -> list[Tally]:
        """What was imported of a target's answers: where no intent was named, then to the intent.

        ``general``: what names no intent is about this one as well.
        """
        if not self.levels:
            return []
        name = family(target)
        wanted = (ANY, intent) if general else (intent,)
        found = [self.levels.get((name, each)) for each in wanted]
        return [each for each in found if each is not None]

    def told(self, target: str) -> str:
        """For people; empty where nothing was learned of the target."""
        shift = self.of(target)
        if shift is None:
            return ""
        if abs(shift) < _USUAL:
            return f"as hard as its usual request ({shift:+.2f} log-odds)"
        word = "harder" if shift < 0 else "easier"
        return f"{word} than its usual request ({shift:+.2f} log-odds)"

    def record(self, targets: Sequence[str], intents: Sequence[str]) -> dict[str, Any] | None:
        """What a decision about these was made from; ``of_record`` reads it."""
        if not self.model:
            return None
        names = {family(target) for target in targets}
        return {
            "model": self.model,
            "shifts": {name: shift for name, shift in self.shifts.items() if name in names},
            "levels": [
                [name, intent, level.good, level.judged]
                for (name, intent), level in self.levels.items()
                if name in names and intent in {ANY, *intents}
            ],
        }


NOT_JUDGED: Final = Hardness()


def of_record(told: Mapping[str, Any] | None) -> Hardness:
    """What a record says that a decision was made from."""
    if not told:
        return NOT_JUDGED
    levels = {(name, intent): tally(good, n) for name, intent, good, n in told["levels"]}
    return Hardness(told["model"], dict(told["shifts"]), levels)


def tally(good: float, judged: float) -> Tally:
    """So many good answers of so many. Raises ``ValueError`` for what makes no share."""
    return Tally.model_validate({"good": good, "judged": judged})
