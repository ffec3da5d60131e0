"""Three classifiers over one text: two read the sentence's vector, one only its words.

Posterior = SENTENCE * logistic(vector) + NEIGHBOURS * nearest(vector) + WORDS * logistic(words),
then tempered. A linear head draws one border per intent, neighbours know what single examples say,
and words are right where the sentence's meaning is blurred: their errors differ. The shares were
chosen on held-out parts of BANKING77's training set. Texts without an intent, where there are
examples of such, are one more class of both logistic classifiers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.intent.linear import Linear
from router.learn.logistic import softmax

Floats = NDArray[np.float32]

SENTENCE, NEIGHBOURS, WORDS = 0.5, 0.3, 0.2
_CANDIDATES = 5
"""Neighbours are looked for among the examples of the likeliest intents: a part of the memory to
read, so a part of the time."""
_NEAREST = 20
_SHARPNESS = 20.0
"""A neighbour at cosine 0.95 counts 1/e of an identical one."""
_OUTSIDE_SHARE = 1 / 15
"""Weight of all out-of-scope examples together against all others."""
_MAX_OUTSIDE_WEIGHT = 10.0
_CERTAIN = 1e-6


@dataclass(frozen=True)
class Texts:
    """Examples as the classifiers see them.

    Attributes:
        sentences: one vector of length 1 per text.
        words: one cheap vector per text (``Encoder.glance``).
        owner: the number of each text's intent; -1 for none.
    """

    sentences: Floats
    words: Floats
    owner: NDArray[np.intp]

    def only(self, rows: NDArray[np.bool_]) -> Texts:
        """Some of them."""
        return Texts(self.sentences[rows], self.words[rows], self.owner[rows])


@dataclass(frozen=True)
class Ensemble:
    """The fitted classifiers; intents are numbers, and ``names`` says which."""

    names: tuple[str, ...]
    sentence: Linear
    words: Linear
    vectors: Floats
    """Of the examples with an intent, those of one intent together."""
    starts: NDArray[np.intp]
    """Where each intent's examples begin in ``vectors``, and where the last one's end."""

    @classmethod
    def fitted(cls, names: Sequence[str], texts: Texts) -> Ensemble:
        """Train; seconds for ten thousand texts."""
        inside = texts.owner >= 0
        outside = int((~inside).sum())
        count = len(names) + (outside > 0)
        classes = np.where(inside, texts.owner, len(names))
        heavy = _OUTSIDE_SHARE * inside.sum() / max(outside, 1)
        weight = np.where(inside, 1.0, np.clip(heavy, 1.0, _MAX_OUTSIDE_WEIGHT)).astype(np.float32)
        return cls(
            tuple(names),
            Linear.fitted(texts.sentences, classes, count, weights=weight),
            Linear.fitted(
                texts.words, classes, count, weights=weight, block=texts.words.shape[1] // 2
            ),
            texts.sentences[inside][np.argsort(texts.owner[inside], kind="stable")],
            np.searchsorted(np.sort(texts.owner[inside]), np.arange(len(names) + 1)),
        )

    def glance(self, words: Floats) -> tuple[NDArray[np.floating], Floats]:
        """From the words alone: posterior over the intents, and the logits."""
        logits = self.words.logits(words)
        return self._inside(softmax(logits)), logits

    def read(self, sentences: Floats, words: Floats) -> tuple[NDArray[np.floating], Floats]:
        """Posterior over the intents, untempered, and the gate's signs; a row per text."""
        logits = self.sentence.logits(sentences)
        probabilities = softmax(logits)
        quick, quick_logits = self.glance(words)
        cosines, votes = self._votes(sentences, self._of_intents(logits))
        posterior = SENTENCE * self._inside(probabilities) + NEIGHBOURS * votes + WORDS * quick
        best = posterior.max(axis=1)
        favourite = posterior.argmax(axis=1)[:, np.newaxis]
        signs = [
            _log_sum(self._of_intents(logits)),
            _log_sum(self._of_intents(quick_logits)),
            self._of_intents(quick_logits).max(axis=1),
            cosines[:, 0],
            cosines[:, :5].mean(axis=1),
            np.log(best / (1 - best + 1e-3)),
            np.take_along_axis(quick, favourite, axis=1)[:, 0],
        ]
        if logits.shape[1] > len(self.names):
            signs += [_log_odds_inside(probabilities), _log_odds_inside(softmax(quick_logits))]
        return posterior, np.stack(signs, axis=1).astype(np.float32)

    def _of_intents(self, logits: Floats) -> Floats:
        return logits[:, : len(self.names)]

    def _inside(self, probabilities: Floats) -> NDArray[np.floating]:
        """The probabilities of the intents, given that it is one of them."""
        intents = np.maximum(self._of_intents(probabilities), _CERTAIN)
        result: NDArray[np.floating] = intents / intents.sum(axis=1, keepdims=True)
        return result

    def _votes(
        self, sentences: Floats, logits: Floats
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """The ``_NEAREST`` highest cosines, highest first, and the votes of their intents."""
        likely = np.argsort(-logits, axis=1)[:, :_CANDIDATES]
        near = np.full((len(sentences), _NEAREST), -1.0)
        votes = np.zeros((len(sentences), len(self.names)))
        for row, (sentence, intents) in enumerate(zip(sentences, likely, strict=True)):
            spans = [slice(self.starts[i], self.starts[i + 1]) for i in intents]
            cosines = np.concatenate([self.vectors[span] @ sentence for span in spans])
            owner = np.repeat(intents, [span.stop - span.start for span in spans])
            order = np.argsort(-cosines)[:_NEAREST]
            near[row, : len(order)] = cosines[order]
            np.add.at(votes[row], owner[order], np.exp(_SHARPNESS * (cosines[order] - 1)))
        return near, votes / votes.sum(axis=1, keepdims=True)


def _log_sum(logits: Floats) -> Floats:
    top = logits.max(axis=1, keepdims=True)
    result: Floats = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return result


def _log_odds_inside(probabilities: Floats) -> Floats:
    """Of the classes before the last one against the last one, "none of them"."""
    outside = np.clip(probabilities[:, -1], _CERTAIN, 1 - _CERTAIN)
    result: Floats = np.log((1 - outside) / outside)
    return result
