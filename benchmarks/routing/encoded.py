"""Data sets as the head sees them; vectors are kept in a folder, so that a second run is quick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from router.intent.encoder import SentenceEncoder
from router.intent.ensemble import Texts
from router.intent.examples import Example
from router.intent.vectors import VectorCache, glance_all


@dataclass(frozen=True)
class Reader:
    """An encoder with the folder of its vectors."""

    encoder: SentenceEncoder
    cache: VectorCache

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Of whole sentences."""
        return self.cache.encode(self.encoder, texts)

    def texts(self, examples: Sequence[Example], names: tuple[str, ...]) -> Texts:
        """The examples with their vectors; intents are numbered as in ``names``."""
        place = {name: index for index, name in enumerate(names)}
        owner = [-1 if e.intent is None else place[e.intent] for e in examples]
        plain = [example.text for example in examples]
        return Texts(self.vectors(plain), glance_all(self.encoder, plain), np.array(owner, np.intp))


def names_of(examples: Sequence[Example]) -> tuple[str, ...]:
    """The intents that occur, in order."""
    return tuple(sorted({e.intent for e in examples if e.intent is not None}))


def joined(*parts: Texts) -> Texts:
    """Several sets of texts as one."""
    return Texts(
        np.concatenate([part.sentences for part in parts]),
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.owner for part in parts]),
    )
