"""How long one query's intent takes on one core: rules, words, sentence and head together.

Every query is measured several times, with nothing remembered in between. The wall's percentiles
are over all measurements. On a machine with other work, its time is mostly waiting; so there is
the thread's CPU time as well, and each query's least CPU time, which is what the work itself
costs once caches are not taken away in the middle of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.intent.encoder import SentenceEncoder
from router.intent.model import IntentModel, Trained
from router.intent.trained import TrainedHead

_WARM = 50
_TIMES = 5


@dataclass(frozen=True)
class Row:
    """Milliseconds, each as (p50, p99) over queries."""

    name: str
    wall: tuple[float, float]
    cpu: tuple[float, float]
    least_cpu: tuple[float, float]
    queries: int


def table(encoder: SentenceEncoder, head: TrainedHead, texts: Sequence[str]) -> list[Row]:
    """The whole path as the router takes it, and the encoder alone."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    texts = list(dict.fromkeys(texts))
    trained = Trained(encoder, head, "benchmark", languages=frozenset({"en"}))

    def classify() -> Callable[[str], object]:
        model = IntentModel((), trained)  # a new one remembers nothing
        return lambda text: model.classify(text, text)

    def encode() -> Callable[[str], object]:
        return lambda text: encoder.encode(encoder.read(text))

    return [
        _measure("a query's intent, as the router takes it", classify, texts),
        _measure("the encoder alone, run on every query", encode, texts),
    ]


def _measure(name: str, make: Callable[[], Callable[[str], object]], texts: Sequence[str]) -> Row:
    rounds = [_round(make(), texts) for _ in range(_TIMES)]
    wall = np.array([each[0] for each in rounds])
    cpu = np.array([each[1] for each in rounds])
    return Row(name, _both(wall), _both(cpu), _both(cpu.min(axis=0)), len(texts))


def _round(call: Callable[[str], object], texts: Sequence[str]) -> tuple[list[float], list[float]]:
    for text in texts[:_WARM]:
        call(f"{text} ")  # other texts than those that are measured, as far as memory goes
    wall, cpu = [], []
    for text in texts:
        began, worked = time.perf_counter(), time.thread_time()
        call(text)
        cpu.append(time.thread_time() - worked)
        wall.append(time.perf_counter() - began)
    return wall, cpu


def _both(seconds: NDArray[np.floating]) -> tuple[float, float]:
    low, high = np.percentile(seconds, [50, 99])
    return float(low) * 1e3, float(high) * 1e3
