"""Keywords are whole words, and the first that is declared wins."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from router.config.auto import IntentConfig
from router.intent.keywords import KeywordRules

WORDS = st.text("ab c+.*", min_size=1, max_size=4).filter(str.strip)


@given(st.lists(st.lists(WORDS, max_size=3), max_size=4), st.text("ab c+.*A", max_size=20))
def test_the_first_declared_word_that_stands_there_names_the_intent(
    keywords: list[list[str]], text: str
) -> None:
    """As if each were looked for alone, one after the other."""
    intents = [IntentConfig(name=f"i{n}", keywords=found) for n, found in enumerate(keywords)]
    alone = (
        intent.name
        for intent in intents
        for word in intent.keywords
        if re.search(rf"(?<!\w){re.escape(word.lower())}(?!\w)", text.lower())
    )
    assert KeywordRules(intents).match(text) == next(alone, None)


def test_words_are_found_in_whatever_spelling_they_were_written_down() -> None:
    """Requests are read in one spelling, so the rules are."""
    rules = KeywordRules([IntentConfig(name="cafe", keywords=("cafe\u0301", "\uff33\uff29\uff2d"))])
    assert rules.match("in the caf\u00e9") == "cafe"
    assert rules.match("a new sim card") == "cafe"
