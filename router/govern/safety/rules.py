"""Signs of an injection that need no model: other parties' marks, hidden and encoded orders.

Each pattern takes time in proportion to the text: no repetition is inside another.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from router.embed.threads import Busy, Threads
from router.errors import GuardUnavailable
from router.govern.safety.checks import INJECTION, LONG, Case, Finding, Passage, Source
from router.govern.safety.memory import Memory

MAX_ENCODED: Final = 16
"""Encoded parts of a text that are opened."""
_ALL: Final = (
    r"(?:all|any|every|the|your|these|those|of|its|prior|earlier|previous|above|preceding|foregoing"
    r"|original|initial)"
)
_ORDERS: Final = (
    r"(?:instructions?|prompts?|rules|directives|guidelines|programming|commands|orders)"
)
_OVERRIDE: Final = re.compile(
    rf"\b(?:ignore|disregard|forget|override|bypass|overlook|discard)\s+(?:{_ALL}\s+){{1,5}}{_ORDERS}\b"
    r"|\b(?:ignora|olvida|descarta)\s+(?:todas\s+)?(?:las|tus)\s+instrucciones\b"
    r"|\bignore[rz]?\s+(?:toutes\s+)?(?:les|tes|vos)\s+instructions\b"
    r"|\b(?:ignorier|vergiss|missachte)\w*\s+(?:alle\s+)?(?:vorherigen|bisherigen|deine|obigen)\s+(?:anweisungen|instruktionen|regeln)\b"
    r"|\bignora\s+(?:tutte\s+)?le\s+(?:tue\s+)?istruzioni\b"
    r"|\bignore\s+(?:todas\s+)?as\s+(?:suas\s+)?instruções\b",
    re.IGNORECASE,
)
_REVEAL: Final = re.compile(
    r"\b(?:reveal|print|output|repeat|show|display|leak|dump|tell|give|send|share|write)\s+(?:me\s+|us\s+|out\s+|back\s+)?"
    r"(?:your|the|its)\s+(?:full\s+|entire\s+|complete\s+|exact\s+|hidden\s+|secret\s+|original\s+|initial\s+|internal\s+)?"
    r"(?:system\s+(?:prompt|message|instructions)|initial\s+(?:prompt|instructions)|hidden\s+(?:prompt|instructions))\b",
    re.IGNORECASE,
)
_MARKS: Final = re.compile(
    r"<\|(?:im_start|im_end|system|assistant|user|start_header_id|eot_id|endoftext)\|>"
    r"|<<SYS>>|\[/?INST\]|<start_of_turn>",
    re.IGNORECASE,
)
_HEADINGS: Final = re.compile(
    r"^\W{0,8}(?:end of (?:document|user input|context)|begin system|new instructions?)\W{0,8}$",
    re.IGNORECASE | re.MULTILINE,
)
_TO_THE_MODEL: Final = re.compile(
    r"\b(?:note|message|instructions?|attention|important)\s*(?:to|for)\s+(?:the\s+|any\s+|all\s+)?"
    r"(?:ai|assistant|llm|chatbot|bot|language\s+model|agent)s?\b"
    r"|\b(?:ai|assistant|llm|chatbot|bot|agent)s?\s*[:,]\s*(?:you\s+must\s+|please\s+)?(?:ignore|disregard|send|forward|email|reveal|execute)\b"
    r"|\bwhen\s+(?:you|the\s+(?:ai|assistant|model|bot))\s+(?:summari[sz]e|read|process|answer)\w*\b[^.\n]{0,60}\b(?:must|also|instead|always)\b",
    re.IGNORECASE,
)
_NEEDS: Final = (
    (
        _OVERRIDE,
        "ignor disregard forget override bypass overlook discard olvida descarta vergiss missachte",
        False,
    ),
    (_REVEAL, "prompt instructions message", False),
    (_HEADINGS, "document input context system instruction", True),
    (_TO_THE_MODEL, "ai assistant llm bot model agent when", True),
)
"""Each pattern, words without which it cannot be there, and whether it counts only in what nobody
vouches for. The words are looked for first: that takes a tenth of the time."""
_PATTERNS: Final = tuple((pattern, tuple(words.split()), only) for pattern, words, only in _NEEDS)
_MARKED: Final = ("<|", "<<sys", "inst]", "<start_of")
_QUOTES: Final = ('"', "'", "`")
_BLOCKS: Final = ('"""', "'''", "```")
_LONG_WORD: Final = 24
"""Letters of the shortest base64 that is opened."""
_SPREAD: Final = 5
_SPREAD_WORD: Final = 9
"""Single letters, or letters of a word with as many signs between them, that are read as one."""
_ENCODED: Final = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_SPACED: Final = re.compile(r"\b(?:\w[ .\-_]){4,}\w\b")
_ESCAPES: Final = re.compile(r"\\[nrt]")
_TAGS: Final = re.compile(r"[\U000e0020-\U000e007e]+")


def hidden(text: str) -> Iterator[str]:
    """What a text says that a reader does not see: tag characters, base64, spread letters, and
    words that the escapes of source code hold together.
    """
    if not text.isascii():
        for found in _TAGS.findall(text):
            yield "".join(chr(ord(letter) - 0xE0000) for letter in found)
    if "\\" in text and (plain := _ESCAPES.sub(" ", text)) != text:
        yield plain
    lengths = [len(word) for word in text.split()]
    if not lengths:
        return
    longest = max(lengths)
    if longest >= _LONG_WORD:
        for match in islice(_ENCODED.finditer(text), MAX_ENCODED):
            opened = _opened(match[0])
            if opened:
                yield opened
    if longest >= _SPREAD_WORD or lengths.count(1) >= _SPREAD:
        spread = _SPACED.search(text)
        if spread:
            yield re.sub(r"(?<=\b\w)[ .\-_](?=\w\b)", "", text)


def _opened(encoded: str) -> str:
    """Base64 of plain text; empty for anything else."""
    encoded = encoded.rstrip("=")
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        text = raw.decode()
    except (binascii.Error, ValueError):
        return ""
    return text if text.isprintable() and " " in text else ""


class InjectionRules:
    """The signs, in prompts and in what nobody vouches for.

    Args:
        threads: where long texts are read.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._long: Memory[bool] = Memory(256)

    async def judge(self, case: Case) -> list[Finding]:
        """Injections. Raises ``GuardUnavailable`` when too many long texts wait."""
        return [
            Finding("rules", INJECTION, passage.source)
            for passage in case.passages
            if passage.source is not Source.ANSWER and await self._has_signs(passage)
        ]

    async def _has_signs(self, passage: Passage) -> bool:
        if len(passage.text) < LONG:
            return signs(*passage)
        known = self._long.recall(passage)
        if known is not None:
            return known
        try:
            return self._long.keep(passage, await self._threads.run(lambda: signs(*passage)))
        except Busy as error:
            raise GuardUnavailable(
                "More requests wait for the safety checks than they get through."
            ) from error


def signs(text: str, source: Source) -> bool:
    """Whether a text has one of the signs, openly or hidden."""
    if _has(text, source):
        return True
    return any(_has(each, source) for each in hidden(text))


def _has(text: str, source: Source) -> bool:
    lower = text.lower()
    if source is Source.UNTRUSTED and any(word in lower for word in _MARKED) and marked(text):
        return True
    return any(
        any(word in lower for word in words) and pattern.search(text) is not None
        for pattern, words, untrusted_only in _PATTERNS
        if source is Source.UNTRUSTED or not untrusted_only
    )


def marked(text: str) -> bool:
    """Whether a chat template's mark stands in a text for itself.

    Source code and prose about models quote them, within a line or over several: what is said
    there counts as any text does, and the marks do not.
    """
    if _MARKS.fullmatch(text.strip()):
        return False  # a value of JSON, which says nothing
    blocks = dict.fromkeys(_BLOCKS, 0)
    ends = {each: text.rfind(each) for each in _BLOCKS}
    at = 0
    for line in text.split("\n"):
        quotes, start = dict.fromkeys(_QUOTES, 0), 0
        last = {each: line.rfind(each) for each in _QUOTES}
        for found in _MARKS.finditer(line):
            for each in _BLOCKS:
                blocks[each] += line.count(each, start, found.start())
            for each in _QUOTES:
                quotes[each] += line.count(each, start, found.start())
            start = found.end()
            in_line = any(n % 2 and last[each] >= start for each, n in quotes.items())
            in_block = any(n % 2 and ends[each] >= at + start for each, n in blocks.items())
            if not (in_line or in_block):
                return True
        for each in _BLOCKS:
            blocks[each] += line.count(each, start)
        at += len(line) + 1
    return False
