"""What differs between two texts, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Final, Literal, NamedTuple

_WORDS: Final = re.compile(r"\s*\S+|\s+$")
"""A word with the spaces before it, so that a sentence that changed is not cut at each of them."""
_MOST: Final = 250_000
"""Pairs of words that are compared: of longer texts the whole is shown as changed."""


class Piece(NamedTuple):
    """A stretch of words that stayed, went or came: as the element that shows it."""

    tag: Literal["span", "del", "ins"]
    text: str


def word_diff(before: str, after: str) -> list[Piece]:
    """From one text to the other; blocks for some milliseconds on long texts."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if before == after:
        return [Piece("span", after)] if after else []
    if len(old) * len(new) > _MOST:
        return [piece for piece in (Piece("del", before), Piece("ins", after)) if piece.text]
    found: list[Piece] = []
    one, two = ([word.strip() for word in words] for words in (old, new))
    for kind, a, b, c, d in SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        if kind == "equal":
            if found and found[-1].tag == "del" and new[c] == two[c]:
                found[-1] = Piece("del", found[-1].text + old[a].removesuffix(one[a]))
            found.append(Piece("span", "".join(new[c:d])))
            continue
        if b > a:
            found.append(Piece("del", "".join(old[a:b])))
        if d > c:
            found.append(Piece("ins", "".join(new[c:d])))
    return found
