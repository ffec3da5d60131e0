"""Which words of a conversation are read for its intent.

The newest user text decides. When it is short or points back ("and how long does that take?"), the
user turns before it, at most two, are read with it: alone it says too little. System prompts,
tool results and the assistant's own words are never read: they say what the application is, not
what is asked now.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from router.request import Request

_ENOUGH_WORDS = 4
_TURNS_BEFORE = 2
_MAX_CHARS_BEFORE = 500
"""Of each earlier turn: its beginning is what the newest text can point to."""

_POINTS_BACK = re.compile(
    r"(and|also|but|then|so|yes|no|ok|okay|what about|how about|why|it|that|this|those|these)\b",
    re.IGNORECASE,
)
_LETTERS_OF_EUROPE = 0x24F
"""Last code point of the block Latin Extended-B: beyond it, letters belong to other scripts."""


def reading(request: Request) -> str:
    """The text to classify: the newest user text, with what it points back to before it."""
    return read_of(request.text, request.turns)


def read_of(newest: str, turns: Sequence[str]) -> str:
    """The same of a user's texts, the newest of which is the last turn."""
    if len(newest.split()) >= _ENOUGH_WORDS and not _POINTS_BACK.match(newest.strip()):
        return newest
    before = turns[:-1][-_TURNS_BEFORE:]
    return "\n".join([*(turn[:_MAX_CHARS_BEFORE] for turn in before), newest])


def other_script(text: str) -> bool:
    """Whether most letters are of a script other than Latin."""
    letters = [letter for letter in text if letter.isalpha()]
    foreign = sum(ord(letter) > _LETTERS_OF_EUROPE for letter in letters)
    return foreign * 2 > len(letters)
