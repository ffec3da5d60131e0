"""Intents with few examples, uneven: real users' bots (HINT3), and BANKING77 at 10 and 5 an intent.

The product's own path with its defaults: ``train`` makes the head, ``judge`` answers. Nothing is
chosen on the test sets. HINT3 (hellohaptik/HINT3, ODbL 1.0): every pair of files
``hint3_<bot>_train.csv`` and ``…_test.csv`` that is there; ``NO_NODES_DETECTED`` is no intent.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.routing.data import DataMissing, banking77, folder
from router.config.auto import AutoConfig
from router.intent.calibrate import calibration_error
from router.intent.encoder import Encoder
from router.intent.examples import Example
from router.intent.train import train

_NONE = "NO_NODES_DETECTED"
_SEED = 7


@dataclass(frozen=True)
class Row:
    """One set. Shares of its test texts, 0 to 1."""

    name: str
    examples: int
    intents: int
    fewest: int
    accuracy: float
    inside: float
    outside: float
    """Of the texts without an intent, share that was turned away; NaN: there are none."""
    mcc: float
    best_guess: float
    """Of the texts with an intent, share whose likeliest intent is right, turned away or not."""
    ece: float
    """Of accepted texts, 15 bins."""
    trained_s: float
    asked_ms: float


def table(encoder: Encoder) -> Iterator[Row]:
    """A row a set. Raises ``DataMissing``."""
    bots = sorted(folder().glob("hint3_*_train.csv"))
    if not bots:
        raise DataMissing(f"{folder()}/hint3_*_train.csv are not there")
    for path in bots:
        test = path.with_name(path.name.replace("_train", "_test"))
        name = path.name.removeprefix("hint3_").removesuffix("_train.csv")
        yield _row(encoder, f"HINT3 {name}", _hint3(path), _hint3(test))
    for count in (10, 5):
        known, asked = _few(banking77("train"), count), banking77("test")
        yield _row(encoder, f"BANKING77, {count} an intent", known, asked)


def _hint3(path: Path) -> list[Example]:
    with path.open(encoding="utf-8", newline="") as lines:
        rows = [(row["sentence"], row["label"]) for row in csv.DictReader(lines)]
    return [Example(text, None if label == _NONE else label) for text, label in rows]


def _few(examples: Sequence[Example], count: int) -> list[Example]:
    chance = np.random.default_rng(_SEED)
    by: dict[str, list[Example]] = {}
    for example in examples:
        by.setdefault(str(example.intent), []).append(example)
    return [own[n] for own in by.values() for n in chance.permutation(len(own))[:count]]


def _row(encoder: Encoder, name: str, known: list[Example], asked: list[Example]) -> Row:
    began = time.perf_counter()
    made = train(encoder, known, AutoConfig())
    assert made is not None
    trained = time.perf_counter()
    verdicts = [made.head.judge(encoder, example.text) for example in asked]
    took_s = time.perf_counter() - trained
    meant = np.array([example.intent or _NONE for example in asked])
    said = np.array([verdict.intent or _NONE for verdict in verdicts])
    guess = np.array([next(iter(verdict.posterior)) for verdict in verdicts])
    inside, accepted, right = meant != _NONE, said != _NONE, said == meant
    sure = np.array([verdict.confidence for verdict in verdicts])
    sizes = np.unique([e.intent for e in known if e.intent], return_counts=True)[1]
    return Row(
        name,
        len(known),
        len(sizes),
        int(sizes.min()),
        float(right.mean()),
        float(right[inside].mean()),
        float(right[~inside].mean()) if (~inside).any() else float("nan"),
        matthews(meant, said),
        float((guess == meant)[inside].mean()),
        calibration_error(sure[accepted], right[accepted]),
        trained - began,
        took_s / len(asked) * 1000,
    )


def matthews(meant: np.ndarray, said: np.ndarray) -> float:
    """The correlation coefficient of several classes, "none" being one (Gorodkin 2004)."""
    names = np.unique(np.concatenate([meant, said]))
    place = {name: index for index, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)))
    for one, other in zip(meant, said, strict=True):
        counts[place[one], place[other]] += 1
    total, right = counts.sum(), np.trace(counts)
    truth, told = counts.sum(axis=1), counts.sum(axis=0)
    spread = (total**2 - (told**2).sum()) * (total**2 - (truth**2).sum())
    return float((right * total - truth @ told) / np.sqrt(spread)) if spread > 0 else 0.0
