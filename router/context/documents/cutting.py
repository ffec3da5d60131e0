"""A text is cut into chunks: whole paragraphs and sentences where they fit, under their heading."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

CHUNK_TOKENS: Final = 200
"""About how long a chunk is; a little above a usual paragraph, well within what encoders read."""
_PARAGRAPH: Final = re.compile(r"\n[ \t]*\n+")
_SENTENCE: Final = re.compile(
    r"(?<=[.!?\u2026])\s+|(?<=[.!?\u2026][\"')\]\u201d\u2019])\s+|(?<=[\u3002\uff01\uff1f])|\n+"
)
_HEADING: Final = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_HARD_CHARS: Final = 700


def size(text: str) -> float:
    """Tokens, estimated: four Latin letters, or one sign of a script without an alphabet."""
    wide = 0 if text.isascii() else sum(ord(char) > 0x2E7F for char in text)
    return (len(text) - wide) / 4 + wide


def sentences(text: str) -> list[str]:
    """A text's sentences and lines; what has no end for long is cut between words."""
    found: list[str] = []
    for sentence in _SENTENCE.split(text):
        found += _bounded(sentence.strip())
    return found


def chunks(text: str, limit: float = CHUNK_TOKENS) -> list[str]:
    """The chunks of a text, in order. Every word of it is in one of them."""
    found: list[str] = []
    for heading, body in _sections(text):
        head = f"{heading}\n" if heading else ""
        found += [head + chunk for chunk in _packed(_PARAGRAPH.split(body), limit - size(head))]
    return found


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Text under each heading of Markdown, with the headings above it."""
    above: list[tuple[int, str]] = []
    start = 0
    for match in _HEADING.finditer(text):
        if body := text[start : match.start()].strip():
            yield " / ".join(title for _, title in above), body
        level = len(match[1])
        above = [each for each in above if each[0] < level]
        above.append((level, match[2].strip()[:120]))
        start = match.end()
    body = text[start:].strip()
    if body or above:
        yield " / ".join(title for _, title in above), body


def _packed(paragraphs: Iterable[str], limit: float) -> list[str]:
    """Paragraphs together up to the limit; a longer one by its sentences."""
    found: list[str] = []
    now: list[str] = []
    held = 0.0
    for paragraph in map(str.strip, paragraphs):
        if not paragraph:
            continue
        is_long = size(paragraph) > limit
        for part in sentences(paragraph) if is_long else [paragraph]:
            wanted = size(part)
            if now and held + wanted > limit:
                found.append("\n".join(now))
                now, held = [], 0.0
            now.append(part)
            held += wanted
        if now and (is_long or held > limit / 2):
            found.append("\n".join(now))
            now, held = [], 0.0
    if now:
        found.append("\n".join(now))
    return found or [""]


def _bounded(sentence: str) -> Iterator[str]:
    while len(sentence) > _HARD_CHARS:
        cut = sentence.rfind(" ", _HARD_CHARS // 2, _HARD_CHARS)
        cut = _HARD_CHARS if cut < 0 else cut
        yield sentence[:cut].rstrip()
        sentence = sentence[cut:].lstrip()
    if sentence:
        yield sentence
