"""How the messages that come look beside the examples: how many have none of the intents, and how
much further the users' words are from the examples than the examples are from each other.

Scores of messages with an intent lie around those of held-out examples, but lower: people do not
write as the authors of examples do. Scores of the others lie where those of left-out intents and of
unrelated texts lie. The shares and the distance are what explains the newest messages best, by
expectation maximisation, without labels. A share alone would take strange words for strange
intents. The priors were chosen on pretended bots (``benchmarks.routing.pretend``).

It only says how sure an answer is. What is recognised does not move with it: believing it there
would turn away messages for how they are worded (``share.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from router.intent.share import ASSUMED

Scores = NDArray[np.floating]

_AWAY: Final = 0.4
"""Of messages with none of the intents, share that is like the intents, before any came."""
_FURTHER: Final = 0.3
"""Distance before any message came, of that from held-out examples to what has no intent."""
_NEAREST: Final = -0.1
_FURTHEST: Final = 0.6
_PRIOR_DISTANCE: Final = 160.0
_PRIOR_SHARE: Final = 50.0
"""How many messages the two assumptions weigh as much as."""
_LEAST: Final = 0.02
_MOST: Final = 0.95
_WINDOW: Final = 500
"""The newest messages that count."""
_EVERY: Final = 10
_STEPS: Final = 5
_NARROWEST: Final = 1e-3
_EDGE: Final = 1e-3
_TINY: Final = 1e-12


@dataclass(frozen=True)
class Shape:
    """Scores of one kind of texts, as if they were normally distributed."""

    mean: float
    spread: float

    @classmethod
    def of(cls, scores: Scores) -> Shape:
        """Of some that are there."""
        return cls(float(scores.mean()), float(scores.std()) + _NARROWEST)

    def density(self, scores: Scores, lower: float = 0.0) -> Scores:
        """But for a constant factor, of the shape moved down by ``lower``."""
        away = (scores - (self.mean - lower)) / self.spread
        found: Scores = np.exp(-0.5 * away * away) / self.spread
        return found


@dataclass(frozen=True)
class Shapes:
    """Scores of texts that a head did not know: of its intents, of left-out ones, of none."""

    inside: Shape
    away: Shape
    outside: Shape

    @classmethod
    def of(cls, inside: Scores, away: Scores, outside: Scores) -> Shapes | None:
        """None where nothing of an intent could be held out."""
        if not len(inside) or not len(outside):
            return None
        other = Shape.of(outside)
        return cls(Shape.of(inside), Shape.of(away) if len(away) else other, other)

    @property
    def low(self) -> float:
        """The mean of what has no intent."""
        return _AWAY * self.away.mean + (1 - _AWAY) * self.outside.mean

    @property
    def apart(self) -> float:
        """How far that is from the intents'."""
        return max(_NARROWEST, self.inside.mean - self.low)


class Messages:
    """Belongs to one head and one event loop."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._scores = np.zeros(_WINDOW)
        self._seen = 0
        self._away = _AWAY
        self.share = ASSUMED
        self.further = _FURTHER

    def saw(self, score: float) -> None:
        """One more message came."""
        self._scores[self._seen % _WINDOW] = score
        self._seen += 1
        if self._seen % _EVERY == 0:
            scores = self._scores[: min(self._seen, _WINDOW)]
            for _ in range(_STEPS):
                self._learn(scores)

    def inside(self, score: float) -> float:
        """How likely a message with this score has one of the intents.

        Beyond the middles of both kinds nothing more is learned from how far.
        """
        high = self._shapes.inside.mean - self.further * self._shapes.apart
        low = min(high, self._shapes.outside.mean)
        inside, away, outside = self._parts(np.array([min(high, max(low, score))]))
        likely = float((inside / (inside + away + outside + _TINY))[0])
        return min(1 - _EDGE, max(_EDGE, likely))

    def _parts(self, scores: Scores) -> tuple[Scores, Scores, Scores]:
        """Densities of having an intent, of being like one, and of being about anything else."""
        shapes, like = self._shapes, self.share * self._away
        lower = self.further * shapes.apart
        return (
            (1 - self.share) * shapes.inside.density(scores, lower),
            like * shapes.away.density(scores),
            (self.share - like) * shapes.outside.density(scores),
        )

    def _learn(self, scores: Scores) -> None:
        """One step of expectation maximisation."""
        inside, away, outside = self._parts(scores)
        whole = inside + away + outside + _TINY
        have = inside / whole
        like = float((away / whole).sum())
        none = like + float((outside / whole).sum())
        assumed = _PRIOR_SHARE * ASSUMED
        share = (none + assumed) / (len(scores) + _PRIOR_SHARE)
        self.share = min(_MOST, max(_LEAST, share))
        self._away = (like + _AWAY * assumed) / (none + assumed)
        lower = float(have @ (self._shapes.inside.mean - scores)) / self._shapes.apart
        further = (lower + _PRIOR_DISTANCE * _FURTHER) / (float(have.sum()) + _PRIOR_DISTANCE)
        self.further = min(_FURTHEST, max(_NEAREST, further))
