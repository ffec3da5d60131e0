"""A vector becomes a verdict: which intent, how sure, or none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from router.intent.encoder import Encoder

TOP = 5


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


def ranked(names: Sequence[str], weights: NDArray[np.floating]) -> dict[str, float]:
    """The ``TOP`` names with the most weight, best first."""
    order = np.argsort(-weights, kind="stable")[:TOP]
    return {names[index]: round(float(weights[index]), 4) for index in order}
