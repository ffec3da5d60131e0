"""The head for many examples: an ensemble, calibrated, with a gate and a shortcut.

The shortcut answers from the words alone, without running the encoder, when they are clear: on
held-out texts it may cost at most a thousandth of the accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.intent.calibrate import temperature, tempered
from router.intent.encoder import Encoder
from router.intent.ensemble import Ensemble, Texts
from router.intent.gate import Gate
from router.intent.head import Recognition, ranked
from router.learn.logistic import softmax

Floats = NDArray[np.floating]

_MAX_LOSS = 0.001
"""Share of held-out texts that the shortcut may get wrong and the whole head would not."""
_MAX_OUTSIDE = 0.02
"""Share of held-out out-of-scope texts that the shortcut may take for an intent."""
_CLEAR = tuple(np.arange(0.80, 0.996, 0.005))
NEVER = 2.0


@dataclass(frozen=True)
class TrainedHead:
    """What to multiply, and where to draw the lines."""

    ensemble: Ensemble
    gate: Gate
    temperature: float
    glance_temperature: float
    clear: float
    """Probability from the words alone at which the sentence need not be read."""

    def assess(self, texts: Texts) -> tuple[Floats, Floats]:
        """Posterior (texts, intents) and scores for the gate, without the shortcut."""
        posterior, signs = self.ensemble.read(texts.sentences, texts.words)
        return tempered(posterior, self.temperature), self.gate.scores(signs)

    def glance(self, words: NDArray[np.float32]) -> tuple[Floats, Floats]:
        """Posterior from the words alone, and how likely its best one is, "none" included."""
        posterior, logits = self.ensemble.glance(words)
        inside = softmax(logits)[:, : len(self.ensemble.names)].sum(axis=1)
        posterior = tempered(posterior, self.glance_temperature)
        return posterior, posterior.max(axis=1) * inside

    def judge(self, encoder: Encoder, text: str) -> Recognition:
        """The verdict on one text."""
        pieces = encoder.read(text)
        words = encoder.glance(pieces)[np.newaxis]
        (posterior,), (sure,) = self.glance(words)
        if sure < self.clear:
            sentence = encoder.encode(pieces)[np.newaxis]
            (posterior,), (score,) = self.assess(Texts(sentence, words, np.zeros(1, np.intp)))
            if score < self.gate.threshold:
                likely = ranked(self.ensemble.names, posterior)
                return Recognition(None, _sigmoid(self.gate.threshold - score), True, likely)
        best = int(posterior.argmax())
        likely = ranked(self.ensemble.names, posterior)
        return Recognition(self.ensemble.names[best], float(posterior[best]), False, likely)


def fitted(
    names: tuple[str, ...],
    texts: Texts,
    held: NDArray[np.bool_],
    reject_share: float,
    *,
    refit: bool = True,
) -> TrainedHead:
    """Calibrate on the held-out texts with an ensemble that has not seen them, then train on all.

    Args:
        names: of the intents, in the order of ``texts.owner``.
        texts: all examples.
        held: which of them are held out.
        reject_share: see ``Gate``.
        refit: whether the ensemble is trained on the held-out texts as well in the end.
    """
    outside = texts.owner < 0
    if held[outside].all():
        held = held & ~outside  # who has only these to learn from has none to be judged by
    judged = texts.only(held)
    part = Ensemble.fitted(names, texts.only(~held))
    inside = judged.owner >= 0
    owner = judged.owner[inside]
    posterior, signs = part.read(judged.sentences, judged.words)
    glanced, _ = part.glance(judged.words)
    correct = posterior[inside].argmax(axis=1) == owner
    gate = Gate.fitted(signs[inside], signs[~inside], correct, reject_share)
    head = TrainedHead(
        part,
        gate,
        temperature(posterior[inside], owner),
        temperature(glanced[inside], owner),
        NEVER,
    )
    clear = _clear(head, judged, correct)
    whole = Ensemble.fitted(names, texts) if refit else part
    return TrainedHead(whole, gate, head.temperature, head.glance_temperature, clear)


def _clear(head: TrainedHead, judged: Texts, correct: NDArray[np.bool_]) -> float:
    """The lowest probability at which the shortcut is as good as the whole head."""
    inside = judged.owner >= 0
    posterior, sure = head.glance(judged.words)
    right = posterior[inside].argmax(axis=1) == judged.owner[inside]
    for line in _CLEAR:
        taken = sure[inside] >= line
        loss = (taken & correct).sum() - (taken & right).sum()
        passed = (sure[~inside] >= line).mean() if (~inside).any() else 0.0
        if loss <= _MAX_LOSS * len(correct) and passed <= _MAX_OUTSIDE:
            return float(line)
    return NEVER


def _sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))
