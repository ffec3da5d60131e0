"""How long one query's intent takes on one core: rules, words, sentence and head together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from router.intent.encoder import MiniLM
from router.intent.model import IntentModel, Trained
from router.intent.trained import TrainedHead

_WARM = 50


@dataclass(frozen=True)
class Row:
    """Milliseconds: of the wall, and of the CPU, which other programs on the core stretch less."""

    name: str
    wall_p50: float
    wall_p99: float
    cpu_p50: float
    cpu_p99: float
    queries: int


def table(encoder: MiniLM, head: TrainedHead, texts: Sequence[str]) -> list[Row]:
    """The whole path as the router takes it, and the encoder alone."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    model = IntentModel((), Trained(encoder, head, "benchmark", only_latin=True))
    texts = list(dict.fromkeys(texts))  # a repeated text is remembered, which is no measurement

    def encode(text: str) -> None:
        encoder.encode(encoder.read(text))

    return [
        _measure(
            "intent of a query, as the router takes it", lambda t: model.classify(t, t), texts
        ),
        _measure("the encoder alone, on every query", encode, texts),
    ]


def _measure(name: str, call: Callable[[str], object], texts: Sequence[str]) -> Row:
    for text in texts[:_WARM]:
        call(text)
    wall, cpu = [], []
    for text in texts[_WARM:]:
        began, worked = time.perf_counter(), time.thread_time()
        call(text)
        cpu.append(time.thread_time() - worked)
        wall.append(time.perf_counter() - began)
    figures = [float(np.percentile(v, q)) * 1e3 for v in (wall, cpu) for q in (50, 99)]
    return Row(name, *figures, len(wall))
