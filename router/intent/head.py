"""A vector becomes a verdict: which intent, how sure, or none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from router.intent.encoder import Encoder

TOP = 5
_SHARPNESS = 16.0
"""Of the softmax over cosines. At 0.1 above the threshold the best intent has 5 times the weight
of "none"; an example itself is certain to three digits."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a head says about one text.

    Attributes:
        intent: the most probable intent, None when the text is out of scope.
        confidence: 0 to 1, of this verdict.
        out_of_scope: none of the declared intents is meant.
        posterior: the most probable intents and their probabilities, best first.
    """

    intent: str | None
    confidence: float
    out_of_scope: bool
    posterior: Mapping[str, float] = field(default_factory=dict)


class Head(Protocol):
    """Judges vectors of one encoder."""

    def judge(self, encoder: Encoder, text: str) -> Recognition:
        """The verdict on a text, read by the encoder that the head was made with."""


class NearestHead:
    """For a handful of examples per intent: the cosine to each intent's nearest example.

    "None of them" takes part as if it had an example at cosine ``threshold``, besides the
    out-of-scope examples that there are, so the verdict is out of scope exactly when no intent's
    example is at least that near. The probabilities are a softmax of
    these cosines: ordered and bounded, but no frequencies; calibration needs more examples.
    """

    def __init__(
        self, vectors: NDArray[np.float32], intents: Sequence[str | None], threshold: float
    ) -> None:
        self._names = sorted({name for name in intents if name is not None})
        self._vectors = vectors
        none = len(self._names)
        self._owner = np.array([none if n is None else self._names.index(n) for n in intents])
        self._threshold = threshold

    def judge(self, encoder: Encoder, text: str) -> Recognition:
        """The verdict on a text."""
        vector = encoder.encode(encoder.read(text))
        cosines = np.full(len(self._names) + 1, -1.0)
        cosines[-1] = self._threshold
        np.maximum.at(cosines, self._owner, self._vectors @ vector)
        weights = np.exp(_SHARPNESS * (cosines - cosines.max()))
        weights /= weights.sum()
        best = int(cosines[:-1].argmax())
        posterior = ranked(self._names, weights[:-1])
        if cosines[best] < cosines[-1]:
            return Recognition(None, float(weights[-1]), out_of_scope=True, posterior=posterior)
        return Recognition(self._names[best], float(weights[best]), False, posterior)


def ranked(names: Sequence[str], weights: NDArray[np.floating]) -> dict[str, float]:
    """The ``TOP`` names with the most weight, best first."""
    order = np.argsort(-weights, kind="stable")[:TOP]
    return {names[index]: round(float(weights[index]), 4) for index in order}


class FewBeside:
    """A few new intents with a handful of examples each, beside a head for many examples.

    Args:
        few: knows the new ones; for it all other examples are of none.
        rest: is asked about what is none of the new ones.
    """

    def __init__(self, few: NearestHead, rest: Head) -> None:
        self._few = few
        self._rest = rest

    def judge(self, encoder: Encoder, text: str) -> Recognition:
        """A new intent where its example is the nearest of all; else what the other head says."""
        once = _Once(encoder)
        found = self._few.judge(once, text)
        return found if found.intent is not None else self._rest.judge(once, text)


class _Once:
    """An encoder that reads one text, and that once, whoever asks."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._read: list[int] | None = None
        self._vector: NDArray[np.float32] | None = None

    @property
    def name(self) -> str:
        return self._encoder.name

    @property
    def width(self) -> int:
        return self._encoder.width

    def read(self, text: str) -> list[int]:
        if self._read is None:
            self._read = self._encoder.read(text)
        return self._read

    def glance(self, pieces: Sequence[int]) -> NDArray[np.float32]:
        return self._encoder.glance(pieces)

    def encode(self, pieces: Sequence[int]) -> NDArray[np.float32]:
        if self._vector is None:
            self._vector = self._encoder.encode(pieces)
        return self._vector
