"""Intents, and how `model: auto` chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from router.config.section import Section

MAX_NAME: Final = 256
_TAKEN: Final = frozenset({"none", "auto", "base"})
"""Names that mean something else wherever an intent may be named."""


def intent_name(name: str) -> str:
    """The name of an intent. Raises ``ValueError`` for what cannot be one."""
    is_line = name == name.strip() and name.isprintable() and 0 < len(name) <= MAX_NAME
    if not is_line or name.casefold() in _TAKEN:
        raise ValueError(
            f"the name of an intent must be a line of 1 to {MAX_NAME} characters without spaces "
            f"around it, and none of {sorted(_TAKEN)}"
        )
    return name


def _words(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank: it would be found in every text")
    return text


Name = Annotated[str, AfterValidator(intent_name)]
Words = Annotated[str, AfterValidator(_words)]


class IntentConfig(Section):
    """An intent that `model: auto` recognises, by words and examples."""

    name: Name = Field(description="as it appears in decisions and in manifests")
    alias: str | None = Field(default=None, description="the adapter that answers it")
    keywords: tuple[Words, ...] = Field(default=(), description="whole words or phrases, any case")
    examples: tuple[Words, ...] = Field(default=(), description="utterances of the intent")


class AutoConfig(Section):
    """How `model: auto` chooses."""

    intents: tuple[IntentConfig, ...] = ()
    out_of_scope: tuple[Words, ...] = Field(
        default=(), description="utterances that have none of the intents"
    )
    examples_file: Path | None = Field(
        default=None, description="more examples: CSV or JSON lines with text and intent"
    )
    intents_file: Path | None = Field(
        default=None,
        description="YAML with `intents`, `out_of_scope` and `examples_file` that are added to "
        "those here; a change is taken over without a restart",
    )
    intents_poll_s: float = Field(
        default=2.0, gt=0, description="how often these files are looked at, seconds"
    )
    reject_share: float = Field(
        default=0.02,
        ge=0,
        le=0.5,
        description="with many examples: share of correctly recognised texts that may be taken for "
        "out of scope",
    )
    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="with few examples: cosine to the nearest one below which no intent matches; "
        "default: a line that is learned from the examples",
    )
    max_tokens: int = Field(
        default=32,
        ge=8,
        le=64,
        description="word pieces of a text that go through the intent encoder, the rarest ones; "
        "each costs about 0.1 ms of one core",
    )
    frontier: str | None = Field(
        default=None, description="`<provider>/<model>` that answers when the base cannot"
    )
