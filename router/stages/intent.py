"""What is asked: the intents that the configuration declares, by keyword and by example."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass

from router.config import AutoConfig, IntentConfig
from router.request import AUTO, Exchange, Intent

_WORD = re.compile(r"[\w']+")
_KEYWORD_CONFIDENCE = 0.9


@dataclass(frozen=True)
class _Example:
    intent: IntentConfig
    vector: dict[str, float]


class KeywordClassifier:
    """Keywords first, then the most similar example by TF-IDF cosine over words."""

    def __init__(self, config: AutoConfig) -> None:
        self._threshold = config.threshold
        self._keywords = [
            # Not \b: a keyword such as "c++" ends in no word character.
            (re.compile(rf"(?<!\w){re.escape(keyword.lower())}(?!\w)"), intent)
            for intent in config.intents
            for keyword in intent.keywords
        ]
        texts = [(intent, example) for intent in config.intents for example in intent.examples]
        counts = Counter(word for _, text in texts for word in set(_words(text)))
        self._idf = {word: math.log(1 + len(texts) / n) for word, n in counts.items()}
        self._examples = [_Example(intent, self._vector(text)) for intent, text in texts]

    def classify(self, exchange: Exchange) -> None:
        """Set the exchange's intent; only ``model: auto`` needs one."""
        if exchange.model != AUTO or not exchange.text:
            return
        found = self._by_keyword(exchange.text.lower()) or self._by_example(exchange.text)
        if found is not None:
            exchange.intent = found

    def _by_keyword(self, text: str) -> Intent | None:
        for pattern, intent in self._keywords:
            if pattern.search(text):
                return Intent(intent.name, _KEYWORD_CONFIDENCE, intent.alias)
        return None

    def _by_example(self, text: str) -> Intent | None:
        vector = self._vector(text)
        scored = [(_cosine(vector, example.vector), example.intent) for example in self._examples]
        if not scored:
            return None
        score, intent = max(scored, key=lambda pair: pair[0])
        if score < self._threshold:
            return Intent(None, round(1 - score, 4))
        return Intent(intent.name, round(score, 4), intent.alias)

    def _vector(self, text: str) -> dict[str, float]:
        weights = {
            word: count * self._idf.get(word, 0.0) for word, count in Counter(_words(text)).items()
        }
        norm = math.sqrt(sum(weight * weight for weight in weights.values()))
        return {word: weight / norm for word, weight in weights.items()} if norm else {}


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _cosine(a: dict[str, float], b: dict[str, float]) -> float:
    if len(b) < len(a):
        a, b = b, a
    return sum(weight * b.get(word, 0.0) for word, weight in a.items())
