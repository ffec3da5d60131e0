"""Which model finds names: our own, a spaCy model, a Hugging Face token classifier, or GLiNER."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router.govern.detect import Detector, DetectorUnavailable, Span, apart
from router.govern.detect.awaited import Awaited
from router.govern.detect.names.spacy_model import ENTITIES, SpacyNames
from router.govern.detect.names.tagger import Tagger

_ASKED: Final = {
    "person": "PERSON",
    "address": "ADDRESS",
    "city": "LOCATION",
    "country": "LOCATION",
    "organization": "ORGANIZATION",
    "nationality": "NRP",
    "date of birth": "DATE_TIME",
}
"""What GLiNER is asked for, in its words."""
_LEAST: Final = 0.5
_PART_CHARS: Final = 1200
"""These models read some hundred words at a time."""


def name_detector(names: str) -> Awaited | None:
    """The detector that a configuration names: ``builtin``, ``none``, ``spacy:MODEL``,
    ``transformers:MODEL`` or ``gliner:MODEL``; loaded with the first text, in its own thread.
    """
    kind, _, model = names.partition(":")
    makers: dict[str, Callable[[], Detector]] = {
        "builtin": Tagger,
        "spacy": lambda: SpacyNames(model),
        "transformers": lambda: TokenClassifier(model),
        "gliner": lambda: Gliner(model),
    }
    return Awaited("names", makers[kind]) if kind in makers else None


class TokenClassifier:
    """A model for token classification from Hugging Face or a directory."""

    def __init__(self, model: str) -> None:
        try:
            from transformers import pipeline

            self._classify: Any = pipeline(
                "token-classification", model=model, aggregation_strategy="simple", device="cpu"
            )
        except (ImportError, OSError, ValueError) as error:
            raise DetectorUnavailable(
                f"the token classifier {model} cannot be loaded: give a directory that holds it, "
                "or a model's name with network or a filled HF_HOME; or take governance.pii.names: "
                "builtin"
            ) from error

    def find(self, text: str) -> list[Span]:
        """What the model finds, part by part of the text."""
        found: list[Span] = []
        for start, part in parts(text):
            for row in self._classify(part):
                entity = ENTITIES.get(str(row["entity_group"]).upper())
                if entity and row["score"] >= _LEAST:
                    score = min(float(row["score"]), 0.89)
                    found.append(Span(start + row["start"], start + row["end"], entity, score))
        return apart(found)


class Gliner:
    """A GLiNER model: it is told in words what to look for."""

    def __init__(self, model: str) -> None:
        try:
            from gliner import GLiNER  # type: ignore[import-not-found]

            self._model: Any = GLiNER.from_pretrained(model)
        except (ImportError, OSError, ValueError) as error:
            raise DetectorUnavailable(
                f"the GLiNER model {model} cannot be loaded: run `pip install gliner` and give a "
                "directory that holds the model, or take governance.pii.names: builtin"
            ) from error

    def find(self, text: str) -> list[Span]:
        """What the model finds, part by part of the text."""
        found: list[Span] = []
        for start, part in parts(text):
            for row in self._model.predict_entities(part, list(_ASKED), threshold=_LEAST):
                entity = _ASKED[row["label"]]
                score = min(float(row["score"]), 0.89)
                found.append(Span(start + row["start"], start + row["end"], entity, score))
        return apart(found)


def parts(text: str) -> list[tuple[int, str]]:
    """The text in parts that such a model can read, cut at spaces, and where each begins."""
    found: list[tuple[int, str]] = []
    start = 0
    while start < len(text):
        end = min(len(text), start + _PART_CHARS)
        if end < len(text):
            space = text.rfind(" ", start + _PART_CHARS // 2, end)
            end = space if space > start else end
        found.append((start, text[start:end]))
        start = end
    return found
