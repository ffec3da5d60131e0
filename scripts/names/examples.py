"""Texts to learn from, with what is in them: own sentences, filled with made-up values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from router.govern.detect.names.features import DATA
from scripts.names import values
from scripts.names.values import FILL, SLOTS, rng

_HERE: Final = Path(__file__).parent
_SLOT: Final = re.compile(r"\{([A-Za-z]+)\}")
_THING: Final = re.compile(r"\b(?:(?:the|a|my) )?(?:\{adj\} )?\{noun\}(?!s)")
_PLANTED: Final = 0.4
_PLANTS: Final = ["first", "first", "last", "person", "person", "org", "org", "city", "country"]
Labelled = tuple[str, list[tuple[int, int, str]]]


def lines(name: str) -> list[str]:
    """The sentences of a file."""
    text = (_HERE / name).read_text()
    return [line.replace("\\n", "\n") for line in text.splitlines() if line and line[0] != "#"]


def filled(sentence: str) -> Labelled:
    """A sentence with values in its slots, and where they are."""
    parts: list[str] = []
    spans: list[tuple[int, int, str]] = []
    done = size = 0
    for slot in _SLOT.finditer(sentence):
        before, value = sentence[done : slot.start()], FILL[slot[1]]()
        start = size + len(before)
        size = start + len(value)
        done = slot.end()
        parts += (before, value)
        if slot[1] in SLOTS:
            spans.append((start, size, SLOTS[slot[1]]))
    return "".join([*parts, sentence[done:]]), spans


def planted(sentence: str) -> str:
    """Now and then with a name where any word may be: names turn up everywhere."""
    places = list(_THING.finditer(sentence))
    if not places or rng.random() > _PLANTED:
        return sentence
    place = rng.choice(places)
    return f"{sentence[: place.start()]}{{{rng.choice(_PLANTS)}}}{sentence[place.end() :]}"


def example(some: list[str], others: list[str]) -> Labelled:
    """One to four sentences, as people write: also without capital letters."""
    chosen = rng.choices([some, others], [0.62, 0.38], k=rng.choice([1, 1, 1, 2, 2, 3, 4]))
    joint = rng.choice([" ", " ", "\n", "\n\n"])
    text, spans = "", []
    for pool in chosen:
        more, found = filled(planted(rng.choice(pool)))
        begin = len(text) + len(joint) * bool(text)
        text = text + joint * bool(text) + more
        spans += [(start + begin, end + begin, entity) for start, end, entity in found]
    form = rng.random()
    lower = text.lower()
    if form < 0.15 and len(lower) == len(text):
        return lower, spans
    upper = text.upper()
    if form < 0.18 and len(upper) == len(text):
        return upper, spans
    if form < 0.3 and text[-1:] == "." and len(chosen) == 1:
        return text[:-1], spans
    return text, spans


def examples(count: int, number: int) -> list[Labelled]:
    """``count`` of them, the same for the same number."""
    values.seed(number)
    values.CITIES[:] = json.loads((_HERE / "cities.json").read_text())
    values.COUNTRIES[:] = json.loads((_HERE / "countries.json").read_text())
    values.WORDS.update(json.loads((_HERE / "words.json").read_text()))
    kinds = json.loads((DATA / "lists.json").read_text())
    parts = {"noun": "nouns", "verb": "verbs", "adj": "adjectives", "adv": "adverbs"}
    values.RARE.update({part: kinds[name].split() for part, name in parts.items()})
    some, others = lines("sentences.txt"), lines("others.txt")
    return [example(some, others) for _ in range(count)]
