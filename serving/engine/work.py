"""How long a replica was busy, and how many tokens its engine computed meanwhile."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import REGISTRY, CollectorRegistry

PROMPT = "vllm:prompt_tokens_total"
CACHED = "vllm:prompt_tokens_cached_total"
GENERATED = "vllm:generation_tokens_total"


class Processed(NamedTuple):
    """Tokens since the engine's start."""

    input: float
    """Of prompts, computed: without those from the prefix cache."""
    output: float
    """Generated."""


def processed(registry: CollectorRegistry = REGISTRY) -> Processed | None:
    """What vLLM counted in this process, over all its engines; None where it counts nothing."""
    found: defaultdict[str, float] = defaultdict(float)
    # Only these three: vLLM's histograms would take milliseconds each time.
    for family in registry.restricted_registry((PROMPT, CACHED, GENERATED)).collect():
        for sample in family.samples:
            found[sample.name] += sample.value
    if PROMPT not in found or GENERATED not in found:
        return None
    return Processed(max(0.0, found[PROMPT] - found[CACHED]), found[GENERATED])


class BusyTime:
    """A stopwatch that runs while at least one ``with`` block is open, on one event loop.

    It also adds up how long each of the blocks was open: what of that falls to a second of the
    stopwatch is how many were open at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open = 0
        self._since = 0.0
        self._seconds = 0.0
        self._each_s = 0.0

    def __enter__(self) -> None:
        self._look()
        self._open += 1

    def __exit__(self, *_: object) -> None:
        self._look()
        self._open -= 1

    def seconds(self) -> float:
        """Until now."""
        self._look()
        return self._seconds

    def each_s(self) -> float:
        """Seconds of all blocks added up, until now."""
        self._look()
        return self._each_s

    def _look(self) -> None:
        now = self._clock()
        if self._open:
            self._seconds += now - self._since
            self._each_s += (now - self._since) * self._open
        self._since = now
