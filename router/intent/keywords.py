"""Rules that come before any model: a declared word or phrase in the text names the intent."""

from __future__ import annotations

import re
from collections.abc import Iterable

from router.config.auto import IntentConfig


class KeywordRules:
    """Whole words or phrases, in any case; the first declared one that is found wins."""

    def __init__(self, intents: Iterable[IntentConfig]) -> None:
        self._rules = [
            # Not \b: a keyword such as "c++" ends in no word character.
            (re.compile(rf"(?<!\w){re.escape(keyword.lower())}(?!\w)"), intent.name)
            for intent in intents
            for keyword in intent.keywords
        ]

    def match(self, text: str) -> str | None:
        """The intent that the text's words name."""
        lowered = text.lower()
        return next((name for pattern, name in self._rules if pattern.search(lowered)), None)
