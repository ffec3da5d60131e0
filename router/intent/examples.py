"""Where a head's examples come from, and the version that their content makes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from router.config import IntentConfig


@dataclass(frozen=True, slots=True)
class Example:
    """One utterance and the intent that it has; None: it has none of them."""

    text: str
    intent: str | None


def declared(intents: Iterable[IntentConfig]) -> list[Example]:
    """The examples that are written next to the intents."""
    return [Example(text, intent.name) for intent in intents for text in intent.examples]


def version(encoder: str, settings: str, examples: Iterable[Example]) -> str:
    """12 hex digits that change when anything that a head depends on changes."""
    rows = sorted({(example.text, example.intent or "") for example in examples})
    document = json.dumps([encoder, settings, rows], ensure_ascii=False)
    return hashlib.sha256(document.encode()).hexdigest()[:12]
