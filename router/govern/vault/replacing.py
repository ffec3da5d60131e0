"""A body as one target may see it: every value that was found, replaced as the rules say."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from router.config.governance import PiiAction
from router.govern.actions import Actions
from router.govern.scan import Found
from router.govern.vault.placeholders import word_of
from router.govern.vault.vault import Vault
from router.wire.kinds import Kind
from router.wire.texts import Text, rewrite

_NONE: Final[Mapping[tuple[str, str], int]] = {}
_WORD: Final = re.compile(r"[^\W_]+")
MIN_REPEATED: Final = 3
"""Shorter values are replaced only where they were found, not wherever else they stand."""
Digest = Callable[[str], str]
"""A keyed hash, in hexadecimal."""
_HASH_DIGITS: Final = 12
_IDENTITY_DIGITS: Final = 24
_SEED_DIGITS: Final = 7
"""Hexadecimal: every vendor takes a seed of 28 bits."""
_Edit = tuple[int, int, str]


class Replacing:
    """Replaces the values in one body.

    Args:
        actions: what becomes of what.
        vault: gives placeholders.
        digest: gives hashes.
    """

    def __init__(self, actions: Actions, vault: Vault, digest: Digest) -> None:
        self._actions = actions
        self._vault = vault
        self._digest = digest
        self._found: Found = {}
        self._values: dict[str, str] = {}
        self._words: dict[str, list[tuple[int, str]]] = {}
        self._kinds: dict[str, tuple[str, str]] = {}
        self._pieces: set[str] = set()
        """Of values that go over several texts: elsewhere they are ordinary words."""
        self._replaced: set[str] = set()

    def learn(self, texts: Iterable[Text], found: Found) -> None:
        """Give everything that was found its replacement, in the order of the texts."""
        self._found = {**self._found, **found}
        for text in texts:
            for span in found.get(text.text, ()):
                value = text.text[span.start : span.end]
                action = self._actions.of(span.entity)
                if action is PiiAction.ALLOW:
                    continue
                if not span.piece:
                    self._pieces.discard(value)
                elif value not in self._values:
                    self._pieces.add(value)
                if span.piece <= 1:
                    self._kinds.setdefault(value, (span.entity, action.value))
                if value not in self._values:
                    self._values[value] = self._stand_in(span.entity, action, value)
        self._words = _by_first_word(each for each in self._values if each not in self._pieces)

    @property
    def redactions(self) -> Mapping[tuple[str, str], int]:
        """How many values were replaced, by kind of data and by what became of them.

        A value counts once, however often it stands there, and over however many texts it goes.
        """
        if not self._replaced:  # mostly; asked four times a request
            return _NONE
        return Counter(self._kinds[value] for value in self._replaced if value in self._kinds)

    def _stand_in(self, entity: str, action: PiiAction, value: str) -> str:
        if action is PiiAction.VAULT:
            return str(self._vault.placeholder(entity, value))
        if action is PiiAction.HASH:
            return f"{word_of(entity)}-{self._digest(value)[:_HASH_DIGITS]}"
        # What forbids the target was found before it was chosen: this stands in retrieved text.
        return f"[{word_of(entity)}]"

    def body(self, body: dict[str, Any], texts: Iterable[Text]) -> dict[str, Any]:
        """The body, which has these texts, with everything replaced. Raises ``TooDeep``."""
        if not self._values and all(each.kind is not Kind.IDENTITY for each in texts):
            return body  # as most are: nothing of it would change
        changed = rewrite(body, self._changed)
        assert isinstance(changed, dict)
        return changed

    def text(self, text: str) -> str:
        """One text, in the same way."""
        return _edited(text, self._edits(text))

    def _changed(self, text: Text) -> str:
        if text.kind is Kind.IDENTITY:
            return self._identity(text.text)
        edits = self._edits(text.text)
        if not edits:
            return text.text
        if text.kind is Kind.SEED:  # the same again for the same: that is what it is for
            return str(int(self._digest(text.text)[:_SEED_DIGITS], 16))
        if text.kind is Kind.NAME:  # letters, digits and dashes, or providers refuse it
            return self._name(text.text, edits)
        return _edited(text.text, edits)

    def _identity(self, value: str) -> str:
        """Who it is about: providers want to tell persons apart, not to know them."""
        if self._actions.default is PiiAction.ALLOW and not self._edits(value):
            return value
        stand_in = f"id_{self._digest(value)[:_IDENTITY_DIGITS]}"
        self._vault.literal[stand_in] = value
        return stand_in

    def _name(self, value: str, edits: list[_Edit]) -> str:
        entity = next((s.entity for s in self._found.get(value, ())), "PERSON")
        if self._actions.of(entity) is not PiiAction.VAULT:
            return "".join(letter for letter in edits[0][2] if letter.isalnum() or letter in "_-")
        return self._vault.placeholder(entity, value).bare

    def _edits(self, text: str) -> list[_Edit]:
        """From where to where which replacement stands: what was found here or elsewhere."""
        edits: list[_Edit] = []
        for span in self._found.get(text, ()):
            value = text[span.start : span.end]
            stand_in = self._values.get(value)
            if stand_in is not None and self._actions.of(span.entity) is not PiiAction.ALLOW:
                edits.append((span.start, span.end, stand_in))
                self._replaced.add(value)
        if self._words:
            edits += self._repeated(text, sorted(edits))
        edits.sort()
        return edits

    def _repeated(self, text: str, found: list[_Edit]) -> Iterator[_Edit]:
        """Wherever else a value stands as a word of its own."""
        last = 0
        for word in _WORD.finditer(text):
            for offset, value in self._words.get(word[0], ()):
                start = word.start() - offset
                end = start + len(value)
                if start < last or not text.startswith(value, start):
                    continue
                if _is_word(text, start, end) and not _is_taken(found, start, end):
                    self._replaced.add(value)
                    last = end
                    yield start, end, self._values[value]
                    break


def _by_first_word(values: Iterable[str]) -> dict[str, list[tuple[int, str]]]:
    """Values by their first word, the longest first, with the word's place in each."""
    found: dict[str, list[tuple[int, str]]] = {}
    for value in sorted(values, key=len, reverse=True):
        word = _WORD.search(value)
        if word is not None and len(value) >= MIN_REPEATED:
            found.setdefault(word[0], []).append((word.start(), value))
    return found


def _is_taken(edits: list[_Edit], start: int, end: int) -> bool:
    place = bisect_left(edits, (start, end, ""))
    return (place > 0 and edits[place - 1][1] > start) or (
        place < len(edits) and edits[place][0] < end
    )


def _is_word(text: str, start: int, end: int) -> bool:
    inside_before = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
    return not inside_before and not (
        end < len(text) and text[end].isalnum() and text[end - 1].isalnum()
    )


def _edited(text: str, edits: list[_Edit]) -> str:
    if not edits:
        return text
    parts, place = [], 0
    for start, end, stand_in in edits:
        parts += [text[place:start], stand_in]
        place = end
    return "".join([*parts, text[place:]])
