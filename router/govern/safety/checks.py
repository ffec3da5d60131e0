"""What a safety check is, for prompts and answers alike, and what it can find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from router.request import Request

HARM: Final = "harm"
"""Help in hurting people."""
INJECTION: Final = "injection"
"""Words that are to make the model forget what it was told."""


LONG: Final = 20_000
"""Characters from which a text is read in a thread."""


class Source(StrEnum):
    """Where a text comes from."""

    USER = "user"
    UNTRUSTED = "untrusted"
    """A tool's result, a document: nobody who may give orders."""
    ANSWER = "answer"


class Passage(NamedTuple):
    """One text that is to be judged."""

    text: str
    source: Source


class Turn(NamedTuple):
    """One turn of the conversation, for checks that read it as a whole."""

    role: str
    """``user`` or ``assistant``."""
    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """What is to be judged.

    Attributes:
        passages: every text of it.
        turns: the conversation, the turn in question last.
        request: whose it is; None where nobody asked, as of a document.
    """

    passages: Sequence[Passage]
    turns: Sequence[Turn] = ()
    request: Request | None = None


class Finding(NamedTuple):
    """Something that must not pass.

    Attributes:
        check: whose finding it is: ``rules``, ``classifier``, ``guard`` or ``topic``.
        category: ``harm``, ``injection``, a topic's name or a guard's word for it.
        source: in what.
        score: how sure that is, 0 to 1.
    """

    check: str
    category: str
    source: Source
    score: float = 1.0


class Check(Protocol):
    """Judges texts. Shared by all requests; what is heavy in it runs off the event loop."""

    async def judge(self, case: Case) -> list[Finding]:
        """What must not pass. Raises ``GuardUnavailable`` when it cannot say."""
        ...
