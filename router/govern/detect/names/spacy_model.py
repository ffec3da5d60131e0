"""A spaCy model in place of our own: any that an operator installed."""

from __future__ import annotations

from typing import Any, Final

from router.govern.detect import DetectorUnavailable, Span

ENTITIES: Final = {
    **dict.fromkeys(("PERSON", "PER"), "PERSON"),
    **dict.fromkeys(("GPE", "LOC", "FAC", "LOCATION"), "LOCATION"),
    **dict.fromkeys(("ORG", "ORGANIZATION"), "ORGANIZATION"),
    **dict.fromkeys(("NORP", "NRP"), "NRP"),
    **dict.fromkeys(("DATE", "TIME"), "DATE_TIME"),
    **dict.fromkeys(("ADDRESS", "STREET_ADDRESS"), "ADDRESS"),
}
"""Models' names for kinds of data, and ours; what is in neither is not looked for."""
_SCORE: Final = 0.85
_UNUSED: Final = ("tagger", "parser", "attribute_ruler", "lemmatizer", "senter", "morphologizer")


class SpacyNames:
    """Blocks; loaded when it is made, of its parts only what finds names.

    Raises ``DetectorUnavailable`` when spaCy or the model is not installed.
    """

    def __init__(self, model: str) -> None:
        try:
            import spacy

            self._model: Any = spacy.load(model, exclude=_UNUSED)
        except (ImportError, OSError) as error:
            raise DetectorUnavailable(
                f"the spaCy model {model} is not there: run `pip install spacy` and "
                f"`python -m spacy download {model}`, or take governance.pii.names: builtin"
            ) from error

    def find(self, text: str) -> list[Span]:
        """What the model finds."""
        return [
            Span(found.start_char, found.end_char, ENTITIES[found.label_], _SCORE)
            for found in self._model(text).ents
            if found.label_ in ENTITIES
        ]
