"""BANKING77 and CLINC150: accuracy, out-of-scope recall, calibration, on the public test sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.routing.data import banking77, clinc150
from benchmarks.routing.encoded import Reader, joined, names_of
from router.config.auto import AutoConfig
from router.intent.calibrate import calibration_error
from router.intent.ensemble import Texts
from router.intent.train import held_out
from router.intent.trained import TrainedHead, fitted

REJECT_SHARE = AutoConfig().reject_share
"""As shipped."""


@dataclass(frozen=True)
class Banking:
    """Accuracy with the shortcut (as the router answers) and without it, and its calibration."""

    accuracy: float
    without_shortcut: float
    logistic_alone: float
    ece: float
    shortcut_share: float
    texts: int


@dataclass(frozen=True)
class Clinc:
    """Accuracy over in-scope texts, rejected ones counted as wrong; recall over the others."""

    before: float
    after: float
    recall: float
    auroc: float
    ece: float
    validation_after: float
    validation_recall: float
    shortcut_share: float


@dataclass(frozen=True)
class Answers:
    """What a head says about many texts, with the shortcut, as ``TrainedHead.judge`` does."""

    intent: NDArray[np.intp]
    """-1: out of scope."""
    best: NDArray[np.intp]
    """The likeliest intent, rejected or not."""
    confidence: NDArray[np.floating]
    score: NDArray[np.floating]
    shortcut: NDArray[np.bool_]


def answers(head: TrainedHead, texts: Texts, *, shortcut: bool = True) -> Answers:
    """Judge many texts at once."""
    posterior, scores = head.assess(texts)
    quick, sure = head.glance(texts.words)
    clear = (sure >= head.clear) & shortcut
    chosen = np.where(clear[:, np.newaxis], quick, posterior)
    best = chosen.argmax(axis=1)
    intent = np.where(clear | (scores >= head.gate.threshold), best, -1)
    return Answers(intent, best, chosen.max(axis=1), scores, clear)


def banking(reader: Reader) -> tuple[Banking, TrainedHead]:
    """Train on the 10,003 training texts, calibrate on a fifth of them, test on 3,080."""
    train, test = banking77("train"), banking77("test")
    names = names_of(train)
    known, asked = reader.texts(train, names), reader.texts(test, names)
    # The set has no out-of-scope texts, so nothing is rejected: accuracy is over all texts.
    head = fitted(names, known, held_out(train), 0.0)
    got, slow = answers(head, asked), answers(head, asked, shortcut=False)
    right = got.best == asked.owner
    alone = head.ensemble.sentence.logits(asked.sentences).argmax(axis=1) == asked.owner
    return Banking(
        accuracy=float(right.mean()),
        without_shortcut=float((slow.best == asked.owner).mean()),
        logistic_alone=float(alone.mean()),
        ece=calibration_error(got.confidence, right),
        shortcut_share=float(got.shortcut.mean()),
        texts=len(slow.intent),
    ), head


def clinc(reader: Reader) -> Clinc:
    """Train on train + oos_train, set temperature, gate and threshold on val + oos_val, test."""
    train, valid = clinc150("train", "oos_train"), clinc150("val", "oos_val")
    names = names_of(train)
    known, checked = reader.texts(train, names), reader.texts(valid, names)
    asked = reader.texts(clinc150("test", "oos_test"), names)
    held = np.repeat([False, True], [len(train), len(valid)])
    head = fitted(names, joined(known, checked), held, REJECT_SHARE, refit=False)
    got, val = answers(head, asked), answers(head, checked)
    inside, val_inside = asked.owner >= 0, checked.owner >= 0
    posterior, _ = head.assess(asked)
    accepted = inside & (got.intent >= 0)
    return Clinc(
        before=float((posterior.argmax(axis=1) == asked.owner)[inside].mean()),
        after=float((got.intent == asked.owner)[inside].mean()),
        recall=float((got.intent[~inside] == -1).mean()),
        auroc=auroc(got.score[inside], got.score[~inside]),
        ece=calibration_error(got.confidence[accepted], (got.intent == asked.owner)[accepted]),
        validation_after=float((val.intent == checked.owner)[val_inside].mean()),
        validation_recall=float((val.intent[~val_inside] == -1).mean()),
        shortcut_share=float(got.shortcut.mean()),
    )


def auroc(inside: NDArray[np.floating], outside: NDArray[np.floating]) -> float:
    """How often a text that is in scope has a higher score than one that is not."""
    ranks = np.argsort(np.argsort(np.concatenate([inside, outside])))
    n, m = len(inside), len(outside)
    return float((ranks[:n].sum() - n * (n - 1) / 2) / (n * m))
