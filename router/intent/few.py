"""The head for few examples, from one an intent up: where most intents begin.

A classifier (``classifier.py``) says what a text is likest to; against one line (``line.py``),
which moves with the share of messages that have none of the intents (``share.py``), it is out of
scope.

How sure the head is of what it recognises is calibrated by more: how the messages that come look
beside the examples (``messages.py``), and the classifier's own probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from router.intent import line
from router.intent.classifier import Examples, Floats
from router.intent.encoder import Encoder, Once
from router.intent.head import Head, Recognition, ranked
from router.intent.line import Doubt
from router.intent.messages import Messages
from router.intent.share import Outsiders

_EVEN: Final = 0.5
CONFIDENCE: Final = (0.51, 0.58, 0.57)
"""Log-odds of a recognised intent's being right: so much of those by the scores, so much of those
by the classifier alone, and a constant. Fitted to pretended bots: ``benchmarks.routing.pretend``.
"""
_TINY: Final = 1e-9
_SURE: Final = 1e-4


@dataclass(frozen=True)
class Seen:
    """One text, as the classifier and the examples see it.

    Attributes:
        probabilities: of the intents, by the classifier.
        best: the number of the likeliest one.
        score: what decides, of that one.
        cosine: to its nearest example.
        is_foreign: it is as near to a text that was declared to have none.
    """

    probabilities: Floats
    best: int
    score: float
    cosine: float
    is_foreign: bool


class FewHead:
    """Judges texts.

    Args:
        names: of the intents, in the order of their numbers.
        examples: of intents; at least one of each.
        outside: vectors of texts that were declared to have none; a text that is nearer to one of
            them than to every example has none either.
        encoder: of all of them; it reads ``unrelated.txt`` too.
        threshold: the cosine to the nearest example below which nothing is recognised, in place of
            the line that is learned.
    """

    def __init__(
        self,
        names: Sequence[str],
        examples: Examples,
        outside: Floats,
        encoder: Encoder,
        threshold: float | None = None,
    ) -> None:
        self._names = list(names)
        self._few = examples.fitted()
        self._outside = outside
        self._threshold = threshold
        known = np.concatenate([outside, line.unrelated(encoder, examples)])
        rounds = list(line.rounds(examples, known))
        self._line, self._sure = line.curves(rounds)
        self._outsiders = Outsiders()
        shapes = line.shapes(rounds)
        self._messages = None if shapes is None else Messages(shapes)

    def judge(self, encoder: Encoder, text: str) -> Recognition:
        """The verdict on a text, read by the encoder that the head was made with."""
        return self.decide(self.read(encoder, text))

    def read(self, encoder: Encoder, text: str) -> Seen:
        """What there is to decide by."""
        vector = encoder.encode(encoder.read(text))[np.newaxis]
        reading = self._few.read(vector)
        both = reading.both[0]
        best = int(both.argmax())
        cosine = float(reading.cosines[0, best])
        is_foreign = bool(len(self._outside) and (self._outside @ vector[0]).max() >= cosine)
        return Seen(reading.probabilities[0], best, float(both[best]), cosine, is_foreign)

    def decide(self, seen: Seen) -> Recognition:
        """The verdict, and what the message teaches of those that will come."""
        doubt, factor = self._doubt(seen.score), self._outsiders.factor
        self._outsiders.saw(doubt.inside)
        if self._messages is not None:
            self._messages.saw(seen.score)
        sure, meant = doubt.right(factor), doubt.meant(factor)
        if seen.is_foreign or self._is_outside(meant, seen.cosine):
            posterior = ranked(self._names, _posterior(seen, sure))
            return Recognition(None, 1.0 - (sure if seen.is_foreign else meant), True, posterior)
        evidence = self.evidence(seen)
        sure = sure if evidence is None else _confidence(*evidence)
        return Recognition(
            self._names[seen.best], sure, False, ranked(self._names, _posterior(seen, sure))
        )

    def evidence(self, seen: Seen) -> tuple[float, float] | None:
        """Log-odds of the likeliest intent's being right, by the scores and by the classifier.

        None where nothing could be held out that they could be learned from.
        """
        if self._messages is None:
            return None
        by_scores = self._messages.inside(seen.score) / (1 + self._doubt(seen.score).other)
        return _log_odds(by_scores), _log_odds(float(seen.probabilities[seen.best]))

    def _doubt(self, score: float) -> Doubt:
        meant = max(self._line.at(score), _TINY)
        sure = min(meant, max(self._sure.at(score), _TINY))
        return Doubt(1 / meant - 1, 1 / sure - 1 / meant)

    def _is_outside(self, meant: float, cosine: float) -> bool:
        return meant < _EVEN if self._threshold is None else cosine < self._threshold


def _posterior(seen: Seen, sure: float) -> NDArray[np.floating]:
    """The likeliest intent with its confidence; of the rest half is the other intents'."""
    rest = seen.probabilities.astype(np.float64)
    rest[seen.best] = 0.0
    total = rest.sum()
    found: NDArray[np.floating] = rest * ((1.0 - sure) * _EVEN / total if total > 0 else 0.0)
    found[seen.best] = sure
    return found


def _confidence(by_score: float, by_classifier: float) -> float:
    score, classifier, constant = CONFIDENCE
    return float(1 / (1 + np.exp(-(score * by_score + classifier * by_classifier + constant))))


def _log_odds(probability: float) -> float:
    bounded = min(1 - _SURE, max(_SURE, probability))
    return float(np.log(bounded / (1 - bounded)))


class FewBeside:
    """A few new intents with a handful of examples each, beside a head for many examples.

    Args:
        few: knows the new ones; for it all other examples are of none.
        rest: is asked about what is none of the new ones.
    """

    def __init__(self, few: FewHead, rest: Head) -> None:
        self._few = few
        self._rest = rest

    def judge(self, encoder: Encoder, text: str) -> Recognition:
        """A new intent where it is recognised; else what the other head says."""
        once = Once(encoder)
        found = self._few.judge(once, text)
        return found if found.intent is not None else self._rest.judge(once, text)
