"""Which placeholder stands for which value, in what one target is sent for one request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from router.govern.vault.placeholders import Name, Written, word_of, written

Escape = Callable[[int, str], str]
"""A value as it has to stand at a place of the text."""


class Vault:
    """Values and their placeholders: equal values have the same, others never.

    Numbers follow the order in which values are put in, so that a conversation that a client sends
    again, with more at its end, gets the placeholders that it had. What the client's own texts
    could be taken to say is given to no value.

    Args:
        typed: the client's texts, and all others that the target reads.
        before: what placeholders stood for earlier in a conversation that the target keeps.
    """

    __slots__ = ("_names", "_next", "_texts", "_typed", "_values", "_words", "_written", "literal")

    def __init__(self, typed: Iterable[str], before: Mapping[Name, str] | None = None) -> None:
        self._texts = typed
        self._typed: dict[str, set[int]] = {}
        self._names: dict[tuple[str, str], Name] = {}
        self._values: dict[Name, str] = {}
        self._next: Counter[str] = Counter()
        self._words: frozenset[str] = frozenset()
        self._written: Written | None = None
        self.literal: dict[str, str] = {}
        """What stands for a whole field that is an identity, and the field."""
        for name, value in (before or {}).items():
            if name.number not in self._numbers_typed(name.entity):
                self._put(name, value)

    def __bool__(self) -> bool:
        return bool(self._values or self.literal)

    @property
    def entries(self) -> Mapping[Name, str]:
        """Every placeholder and what it stands for."""
        return self._values

    def placeholder(self, entity: str, value: str) -> Name:
        """What stands for a value."""
        word = word_of(entity)
        name = self._names.get((word, value))
        if name is None:
            typed, number = self._numbers_typed(word), self._next[word] + 1
            while number in typed or Name(word, number) in self._values:
                number += 1
            self._next[word] = number
            name = Name(word, number)
            self._put(name, value)
        return name

    def _put(self, name: Name, value: str) -> None:
        self._values[name] = value
        self._names.setdefault((name.entity, value), name)
        if name.entity not in self._words:
            self._words |= {name.entity}
            self._written = None

    def _numbers_typed(self, word: str) -> set[int]:
        """Numbers that a text has beside this word already."""
        found = self._typed.get(word)
        if found is None:
            finder = written(frozenset({word}))
            found = {name.number for text in self._texts for name in finder.typed(text)}
            self._typed[word] = found
        return found

    @property
    def writing(self) -> Written:
        """Finds its placeholders."""
        if self._written is None:
            self._written = written(self._words)
        return self._written

    def edits(self, text: str) -> list[tuple[int, int, str]]:
        """From where to where a text has placeholders, and the values that they stand for."""
        if not self._values:
            return []
        return [
            (start, end, self._values[name])
            for start, end, name in self.writing.find(text)
            if name in self._values
        ]

    def restored(self, text: str, escape: Escape | None = None) -> str:
        """The text with its values; ``escape`` is told where each of them goes."""
        if text in self.literal:
            return self.literal[text]
        edits = self.edits(text)
        if not edits:
            return text
        parts, place = [], 0
        for start, end, value in edits:
            parts += [text[place:start], value if escape is None else escape(start, value)]
            place = end
        return "".join([*parts, text[place:]])

    def settled(self, text: str) -> int:
        """How much of a beginning holds no beginning of a placeholder at its end, characters."""
        return self.writing.settled(text) if self._values else len(text)

    def is_cut(self, text: str) -> bool:
        """Whether a text ends inside one of the values."""
        return any(
            text.endswith(value[:size])
            for value in self._values.values()
            for size in range(min(len(value) - 1, len(text)), 2, -1)
            if value[size - 1] == text[-1:]
        )
