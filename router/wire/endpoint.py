"""The public inference endpoints, and what each answer says that it used."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Endpoint(StrEnum):
    """The public inference endpoints; the value is the path."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    RESPONSES = "/v1/responses"
    MESSAGES = "/v1/messages"
    EMBEDDINGS = "/v1/embeddings"


@dataclass
class Usage:
    """Token counts as the target reported them; None when it did not.

    Attributes:
        told_usd: what it says was charged; believed only of vendors that are known to say so.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    told_usd: float | None = None
