"""The TRACER protocol on BANKING77 (adrida/tracer, arXiv 2604.14531; Apache/MIT, not used here).

A teacher has labelled n traces (here the data set's own labels, as in its published figures: what
is deferred counts as right). A surrogate is trained on 80 % of them; on the other 20 % the lowest
confidence is found at which it agrees with the teacher on 96 % of what it handles. Then, on the
test set: what share does it handle, and how often does it agree there?
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.routing.data import banking77
from benchmarks.routing.encoded import Reader, names_of
from router.intent.train import held_out
from router.intent.trained import fitted

AGREEMENT = 0.96
TRACES = (2000, 6000, 10_003)


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
        held = held_out([train[index] for index in np.flatnonzero(chosen)])
        texts = known.only(chosen)
        part = fitted(names, texts, held, 0.0, refit=False)
        checked = texts.only(held)
        posterior, _ = part.assess(checked)
        line = threshold(posterior.max(axis=1), posterior.argmax(axis=1) == checked.owner)
        posterior, _ = part.assess(asked)
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


def threshold(confidence: NDArray[np.floating], agrees: NDArray[np.bool_]) -> float:
    """The lowest confidence from which on the agreement is at least ``AGREEMENT``; 2 if none is."""
    order = np.argsort(-confidence)
    share = np.cumsum(agrees[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(share >= AGREEMENT)
    return float(confidence[order[enough[-1]]]) if len(enough) else 2.0
