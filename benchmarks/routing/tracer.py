"""The TRACER protocol on BANKING77 (github.com/adrida/tracer, arXiv 2604.14531).

A teacher has labelled n traces (here the data set's own labels, as in its published figures: what
is deferred counts as right). A surrogate is trained on them; by five-fold cross-fitting, on the
traces alone, the lowest confidence is found at which it agrees with the teacher on 96 % of what it
handles. Then, on the test set: what share does it handle, and how often does it agree there?
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.routing.data import banking77
from benchmarks.routing.encoded import Reader, names_of
from router.intent.ensemble import Ensemble, Texts

AGREEMENT = 0.96
TRACES = (2000, 6000, 10_003)
_FOLDS = 5


@dataclass(frozen=True)
class Row:
    """One number of traces."""

    traces: int
    handled: float
    agreement: float
    end_to_end: float


def table(reader: Reader, seed: int = 0) -> list[Row]:
    """One row per number of traces."""
    train, test = banking77("train"), banking77("test")
    names = names_of(train)
    known, asked = reader.texts(train, names), reader.texts(test, names)
    order = np.random.default_rng(seed).permutation(len(train))
    rows = []
    for traces in TRACES:
        chosen = np.zeros(len(train), np.bool_)
        chosen[order[:traces]] = True
        texts = known.only(chosen)
        line = _line(names, texts, order[:traces].argsort().argsort() % _FOLDS)
        whole = Ensemble.fitted(names, texts)
        posterior, _ = whole.read(asked.sentences, asked.words)
        agrees = posterior.argmax(axis=1) == asked.owner
        handled = posterior.max(axis=1) >= line
        rows.append(
            Row(
                traces,
                float(handled.mean()),
                float(agrees[handled].mean()),
                float((agrees | ~handled).mean()),
            )
        )
    return rows


def _line(names: tuple[str, ...], texts: Texts, fold: NDArray[np.integer]) -> float:
    """The threshold, from confidences that each come from a fit without the trace."""
    confidence, agrees = np.zeros(len(fold)), np.zeros(len(fold), np.bool_)
    for index in range(_FOLDS):
        held = fold == index
        part, judged = Ensemble.fitted(names, texts.only(~held)), texts.only(held)
        posterior, _ = part.read(judged.sentences, judged.words)
        confidence[held] = posterior.max(axis=1)
        agrees[held] = posterior.argmax(axis=1) == judged.owner
    return threshold(confidence, agrees)


def threshold(confidence: NDArray[np.floating], agrees: NDArray[np.bool_]) -> float:
    """The lowest confidence from which on the agreement is surely enough; 2 if none is.

    Surely: less one standard error of a share, so that chance does not decide.
    """
    order = np.argsort(-confidence)
    count = np.arange(1, len(order) + 1)
    share = np.cumsum(agrees[order]) / count
    sure = share - np.sqrt(AGREEMENT * (1 - AGREEMENT) / count)
    enough = np.flatnonzero(sure >= AGREEMENT)
    return float(confidence[order[enough[-1]]]) if len(enough) else 2.0
