"""Pretended bots: is a head for few examples as sure as it is right?

Bots that nobody has: 4 to 60 intents of CLINC150 (train, validation), Bitext or BANKING77 (train)
with 1 to 30 examples each, uneven, five, ten or 3 to 20; asked with 400 texts of which 0 to 60 %
have none of the intents: two in five of these are of intents that were left out, the rest of other
sets. Examples are picked by chance, or, as authors write them, from the most typical third, so that
what is asked is worded more strangely than what is known. Nothing of it is a test set.

The product's own path with its defaults: ``train`` makes the head, ``judge`` answers, and learns
from the messages as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.routing.data import banking77, bitext, clinc150
from benchmarks.routing.encoded import Reader
from router.intent.calibrate import calibration_error
from router.intent.examples import Example
from router.intent.train import few_head
from router.intent.vectors import Remembering, encode_all

BOTS: Final = 96
_SEED: Final = 0
_ASKED: Final = 400
_RELATED: Final = 0.4
_MOST_INTENTS: Final = {"CLINC150": 60, "Bitext": 18, "BANKING77": 50}
_KEPT: Final = {"CLINC150": 60, "Bitext": 150, "BANKING77": 70}
"""Texts of an intent that are drawn from."""
BY_CHANCE: Final = "by chance"
BY_AUTHORS: Final = "by authors"
_SHARES: Final = (0.0, 0.1, 0.2, 0.4, 0.6)
_FEWEST_RECOGNISED: Final = 20
_DRAWS: Final = 5

Floats = NDArray[np.floating]
Texts = dict[str, list[str]]
"""Of a set, by intent."""
Encode = Callable[[list[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class Bot:
    """What it was told, and what it is asked."""

    name: str
    source: str
    style: str
    share: float
    known: list[Example]
    asked: list[Example]


@dataclass(frozen=True)
class Judged:
    """What a bot recognised: how sure it was, and whether it was right."""

    bot: Bot
    confidence: Floats
    right: NDArray[np.bool_]

    @property
    def ece(self) -> float:
        """Of what was recognised, 15 bins."""
        return calibration_error(self.confidence, self.right)

    @property
    def by_chance(self) -> float:
        """The same, if it were exactly as often right as it says."""
        drawn = np.random.default_rng(_SEED).random((_DRAWS, len(self.right)))
        return float(
            np.mean([calibration_error(self.confidence, d < self.confidence) for d in drawn])
        )


@dataclass(frozen=True)
class Row:
    """A kind of bots; means over them."""

    name: str
    bots: int
    ece: float
    by_chance: float
    too_sure: float
    """Confidence less the share that is right."""


def table(reader: Reader) -> Iterator[Row]:
    """A row for all, and one by style and share of texts without an intent."""
    judged = [each for each in _judged(reader) if len(each.right) >= _FEWEST_RECOGNISED]
    kinds: dict[str, list[Judged]] = {"all": judged}
    for each in judged:
        kinds.setdefault(f"{each.bot.style}, {each.bot.share:.0%} without", []).append(each)
    for name, own in sorted(kinds.items()):
        yield Row(
            name,
            len(own),
            float(np.mean([each.ece for each in own])),
            float(np.mean([each.by_chance for each in own])),
            float(np.mean([each.confidence.mean() - each.right.mean() for each in own])),
        )


def _judged(reader: Reader) -> Iterator[Judged]:
    sets = _sets()
    encoder = Remembering(reader.encoder)
    texts = sorted({text for own in sets.values() for said in own.values() for text in said})
    for text, vector in zip(texts, reader.vectors(texts), strict=True):
        encoder.known[tuple(encoder.read(text))] = vector
    for bot in bots(sets, lambda texts: encode_all(encoder, texts)):
        head = few_head(encoder, bot.known)
        verdicts = [(head.judge(encoder, each.text), each.intent) for each in bot.asked]
        told = [(v.confidence, v.intent == meant) for v, meant in verdicts if v.intent is not None]
        sure, right = np.array(told, float).reshape(-1, 2).T
        yield Judged(bot, sure, right > 0)


def _sets() -> dict[str, Texts]:
    """By name, without test sets; a few of each intent."""
    found = {
        "CLINC150": clinc150("train", "val"),
        "Bitext": bitext(),
        "BANKING77": banking77("train"),
    }
    chance = np.random.default_rng(_SEED)
    sets: dict[str, Texts] = {}
    for name, examples in found.items():
        by: Texts = {}
        for each in examples:
            by.setdefault(str(each.intent), []).append(each.text)
        sets[name] = {
            intent: [own[n] for n in chance.permutation(len(own))[: _KEPT[name]]]
            for intent, own in by.items()
        }
    return sets


def bots(sets: dict[str, Texts], encode: Encode, count: int = BOTS) -> Iterator[Bot]:
    """The same each time."""
    chance = np.random.default_rng(_SEED)
    sources = list(sets)
    for number in range(count):
        source = sources[number % len(sources)]
        size = number // len(sources) % 4
        style = (BY_CHANCE, BY_AUTHORS)[number // 12 % 2]
        share = _SHARES[number % len(_SHARES)]
        yield _bot(chance, sets, encode, source, size, style, share)


def _bot(
    chance: np.random.Generator,
    sets: dict[str, Texts],
    encode: Encode,
    source: str,
    size: int,
    style: str,
    share: float,
) -> Bot:
    names = [str(name) for name in chance.permutation(sorted(sets[source]))]
    count = int(chance.integers(4, _MOST_INTENTS[source] + 1))
    known: list[Example] = []
    asked: list[Example] = []
    for name in names[:count]:
        own = list(dict.fromkeys(sets[source][name]))
        picked = _picked(chance, own, min(_size(chance, size), len(own) // 2), style, encode)
        known += [Example(text, name) for text in picked]
        asked += [Example(text, name) for text in own if text not in set(picked)]
    none = round(_ASKED * share)
    related = [text for name in names[count:] for text in sets[source][name]]
    strange = [t for other, own in sets.items() if other != source for s in own.values() for t in s]
    near = round(none * _RELATED) if related else 0
    said = [asked[n] for n in chance.permutation(len(asked))[: _ASKED - none]]
    for texts, wanted in ((related, near), (strange, none - near)):
        said += [Example(texts[n], None) for n in chance.permutation(len(texts))[:wanted]]
    order = [said[n] for n in chance.permutation(len(said))]
    return Bot(f"{count} of {source}", source, style, share, known, order)


def _size(chance: np.random.Generator, kind: int) -> int:
    uneven = {0: (1, 30), 3: (3, 20)}.get(kind)
    if uneven is None:
        return 5 * kind
    return max(1, int(np.exp(chance.uniform(*np.log(uneven)))))


def _picked(
    chance: np.random.Generator, own: list[str], size: int, style: str, encode: Encode
) -> list[str]:
    """Examples of an intent: any, or of those that are most like all."""
    if style == BY_CHANCE:
        return [own[n] for n in chance.permutation(len(own))[:size]]
    vectors = encode(own)
    typical = np.argsort(-(vectors @ vectors.mean(axis=0)))[: max(size, len(own) // 3)]
    return [own[n] for n in chance.permutation(typical)[:size]]
