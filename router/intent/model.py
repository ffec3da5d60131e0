"""One version of the intents: rules, encoder and head together; immutable, swapped whole."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.corpus.language import ENGLISH, UNDETERMINED, language_of
from router.config.auto import IntentConfig
from router.embed.layers import Vector, key_of
from router.intent.encoder import Encoder, Once
from router.intent.examples import Example
from router.intent.head import Head, Recognition
from router.intent.keywords import KeywordRules
from router.request import NOT_READ, Intent

KEYWORD_CONFIDENCE = 0.9
_MAX_REMEMBERED = 2048
"""Verdicts on repeated texts that are kept (law 9)."""

_JOINED = 500
"""Examples of an intent whose language is told together; no more than the first lines count."""

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


@dataclass(frozen=True, slots=True)
class Read:
    """What became of one text."""

    verdict: Recognition
    vector: Vector | None = None
    """Where the head wanted it."""


class IntentModel:
    """What `model: auto` recognises: keyword rules first, then the head, if there is one."""

    def __init__(self, intents: Sequence[IntentConfig], trained: Trained | None = None) -> None:
        self._aliases = {intent.name: intent.alias for intent in intents}
        self._rules = KeywordRules(intents)
        self._trained = trained
        self._remembered: OrderedDict[bytes, Read] = OrderedDict()

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

    def at_once(self, newest: str, view: str) -> Intent | None:
        """The intent of the newest text, where nothing has to be read for it; else None.

        ``view``: what is read with it (``view.reading``).
        """
        named = self._rules.match(newest)
        if named is None and view != newest:
            named = self._rules.match(view)
        if named is not None:
            return Intent(named, KEYWORD_CONFIDENCE, self.alias(named), source="keyword")
        if self._trained is None:
            return NOT_READ
        language = language_of(view)
        key = key_of(view)
        known = self._remembered.get(key)
        if known is not None:
            self._remembered.move_to_end(key)
            return self._told(known, language)
        if not _is_readable(language, self._trained.languages):
            return self._told(Read(_UNREADABLE), language)
        return None

    def read(self, view: str) -> Read:
        """What the head says of a text. Takes milliseconds; in one thread at a time."""
        assert self._trained is not None
        once = Once(self._trained.encoder)
        return Read(self._trained.head.judge(once, view), once.vector)

    def learned(self, view: str, read: Read) -> Intent:
        """The intent that was read; the verdict is remembered. For the thread of ``at_once``."""
        self._remembered[key_of(view)] = read
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return self._told(read, language_of(view))

    def classify(self, newest: str, view: str) -> Intent:
        """All of it in this thread."""
        known = self.at_once(newest, view)
        return self.learned(view, self.read(view)) if known is None else known

    def _told(self, read: Read, language: str) -> Intent:
        verdict = read.verdict
        return Intent(
            verdict.intent,
            round(verdict.confidence, 4),
            None if verdict.intent is None else self.alias(verdict.intent),
            source="model",
            out_of_scope=verdict.out_of_scope,
            posterior=verdict.posterior,
            model=self.version,
            language=language,
            vector=read.vector,
        )


def languages_of(examples: Sequence[Example]) -> frozenset[str]:
    """What the examples are written in: each alone, and those of an intent together."""
    together: dict[str | None, list[str]] = {}
    for example in examples:
        together.setdefault(example.intent, []).append(example.text)
    alone = {language_of(example.text) for example in examples} - {UNDETERMINED}
    joined = ("\n".join(texts[:_JOINED]) for texts in together.values())
    return frozenset(alone | {language_of(each) for each in joined})


def is_english(language: str) -> bool:
    """Whether the encoder knows a text of this language, or nobody can tell that it does not."""
    return language in _COULD_BE_ANY


def _is_readable(language: str, known: frozenset[str]) -> bool:
    if language in known or is_english(language):
        return True
    # Examples of too few words to tell may be in any language that is written like them.
    return not language.startswith("und-") and UNDETERMINED in known
