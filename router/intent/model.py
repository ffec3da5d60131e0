"""One version of the intents: rules, encoder and head together; immutable, swapped whole."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.corpus.language import ENGLISH, UNDETERMINED, language_of
from router.config.auto import IntentConfig
from router.intent.encoder import Encoder, Once, Vector
from router.intent.examples import Example
from router.intent.head import Head, Recognition
from router.intent.keywords import KeywordRules
from router.request import NOT_READ, Intent

KEYWORD_CONFIDENCE = 0.9
_MAX_REMEMBERED = 2048
"""Verdicts on repeated texts that are kept (law 9)."""

_COULD_BE_ANY = {ENGLISH, UNDETERMINED, "und-Zyyy", "und-Zzzz"}
"""The encoder knows English; numbers and signs alone, and rare scripts, are not judged by these."""
_UNREADABLE = Recognition(None, 1.0, out_of_scope=True)


@dataclass(frozen=True)
class Trained:
    """A head with what it belongs to."""

    encoder: Encoder
    head: Head
    version: str
    languages: frozenset[str]
    """Of the examples: the head cannot know texts in others."""


class IntentModel:
    """What `model: auto` recognises: keyword rules first, then the head, if there is one."""

    def __init__(self, intents: Sequence[IntentConfig], trained: Trained | None = None) -> None:
        self._aliases = {intent.name: intent.alias for intent in intents}
        self._rules = KeywordRules(intents)
        self._trained = trained
        self._remembered: OrderedDict[str, tuple[Recognition, Vector | None]] = OrderedDict()

    @property
    def version(self) -> str:
        """The head's version: a hash of encoder, settings and examples; empty without a head."""
        return self._trained.version if self._trained else ""

    @property
    def names(self) -> frozenset[str]:
        """The declared intents."""
        return frozenset(self._aliases)

    @property
    def remembered(self) -> int:
        """How many verdicts on repeated texts are kept."""
        return len(self._remembered)

    def alias(self, intent: str) -> str | None:
        """The adapter that the declaration names for the intent."""
        return self._aliases.get(intent)

    def classify(self, newest: str, view: str) -> Intent:
        """The intent of the newest text, read in its view (``view.reading``)."""
        named = self._rules.match(newest)
        if named is None and view != newest:
            named = self._rules.match(view)
        if named is not None:
            return Intent(named, KEYWORD_CONFIDENCE, self.alias(named), source="keyword")
        if self._trained is None:
            return NOT_READ
        language = language_of(view)
        verdict, vector = self._judge(self._trained, view, language)
        return Intent(
            verdict.intent,
            round(verdict.confidence, 4),
            None if verdict.intent is None else self.alias(verdict.intent),
            source="model",
            out_of_scope=verdict.out_of_scope,
            posterior=verdict.posterior,
            model=self.version,
            language=language,
            vector=vector,
        )

    def _judge(
        self, trained: Trained, text: str, language: str
    ) -> tuple[Recognition, Vector | None]:
        """The verdict, and the text's vector where the head wanted it."""
        known = self._remembered.get(text)
        if known is not None:
            self._remembered.move_to_end(text)
            return known
        if not _is_readable(language, trained.languages):
            return _UNREADABLE, None
        once = Once(trained.encoder)
        found = trained.head.judge(once, text), once.vector
        self._remembered[text] = found
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return found


def languages_of(examples: Sequence[Example]) -> frozenset[str]:
    """What the examples are written in: each alone, and those of an intent together."""
    together: dict[str | None, list[str]] = {}
    for example in examples:
        together.setdefault(example.intent, []).append(example.text)
    alone = {language_of(example.text) for example in examples} - {UNDETERMINED}
    return frozenset(alone | {language_of("\n".join(texts)) for texts in together.values()})


def is_english(language: str) -> bool:
    """Whether the encoder knows a text of this language, or nobody can tell that it does not."""
    return language in _COULD_BE_ANY


def _is_readable(language: str, known: frozenset[str]) -> bool:
    if language in known or is_english(language):
        return True
    # Examples of too few words to tell may be in any language that is written like them.
    return not language.startswith("und-") and UNDETERMINED in known
