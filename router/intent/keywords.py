"""Rules that come before any model: a declared word or phrase in the text names the intent."""

from __future__ import annotations

import re
from collections.abc import Iterable

from router.config.auto import IntentConfig
from router.wire.characters import normalised


class KeywordRules:
    """Whole words or phrases, in any case; the first declared one that is found wins.

    In the spelling in which requests are read, however they were written down.
    """

    def __init__(self, intents: Iterable[IntentConfig]) -> None:
        declared = [
            (normalised(keyword).text.lower(), intent.name)
            for intent in intents
            for keyword in intent.keywords
        ]
        self._rules = [(word, _whole(re.escape(word)), name) for word, name in declared]
        # Most texts have none: one look says so.
        together = "|".join(re.escape(word) for word, _ in declared)
        self._any = _whole(f"(?:{together})") if declared else None

    def match(self, text: str) -> str | None:
        """The intent that the text's words name."""
        if self._any is None:
            return None
        lowered = text.lower()
        if self._any.search(lowered) is None:
            return None
        # Whether it is there at all is told in a hundredth of the time that it takes to see where.
        found = (
            name
            for word, pattern, name in self._rules
            if word in lowered and pattern.search(lowered)
        )
        return next(found, None)


def _whole(pattern: str) -> re.Pattern[str]:
    # Not \b: a keyword such as "c++" ends in no word character.
    return re.compile(rf"(?<!\w){pattern}(?!\w)")
