"""What all engine replicas do per busy second, lately: sums that fade with the time that was busy.

Idle time fades nothing: a quiet night does not make the first request of the morning the measure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from functools import reduce
from typing import Final

from router.prices import Work
from serving.registry.card_times import CardTimes

ENOUGH_BUSY_S: Final = 10.0
"""Before so many busy seconds nothing is told: a few requests say little."""
_NEWS: Final = 0.01
"""A rate that moved by less than this share is told as before: routers make no new cards."""
_FADED_S: Final = 1e-3
"""A card of which fewer busy seconds are left is forgotten."""
_NOTHING = Work()


class Throughput:
    """Feeds on what replicas report since their start. Belongs to the registry's event loop.

    Args:
        window_busy_s: busy seconds, of all replicas, after which a measurement counts for 1/e.

    Attributes:
        times: how long tokens take on each kind of card, for what prompt and generated ones cost
            beside each other.
        told: what routers price local tokens by; None before enough was measured.
    """

    def __init__(self, window_busy_s: float) -> None:
        self._window_s = window_busy_s
        self._last: dict[str, Work] = {}
        self._of: dict[str, Work] = {}
        """What was done on each kind of card."""
        self.times = CardTimes(window_busy_s)
        self.told: Work | None = None

    def heard(self, replica: str, work: Work | None, card: str = "") -> None:
        """Take a replica's counts since its start; ``card`` is its kind, by name."""
        if work is None:
            return
        before = self._last.get(replica)
        self._last[replica] = work
        if before is not None:
            done = _since(before, work)
            self.times.of(card).heard(replica, done)
            self._add(done, card)
        elif not any(each.busy_s for each in self._of.values()):
            # A registry that was just restarted: the past of one replica is better than nothing.
            self._add(work, card)

    def keep(self, alive: Container[str]) -> None:
        """Forget the counts of replicas that are gone; what they did stays measured."""
        self._last = {i: work for i, work in self._last.items() if i in alive}
        self.times.keep(alive)

    def _add(self, done: Work, card: str) -> None:
        if done.busy_s > self._window_s:
            done = _scaled(done, self._window_s / done.busy_s)
        kept = math.exp(-done.busy_s / self._window_s)
        self._of = {
            name: faded
            for name, work in self._of.items()
            if (faded := _scaled(work, kept)).busy_s > _FADED_S
        }
        self._of[card] = _added(self._of.get(card, _NOTHING), done)
        total = reduce(_added, self._of.values())
        found = total.model_copy(update={"ratio": self.times.ratio(self._of)})
        if found.busy_s >= ENOUGH_BUSY_S and _is_news(self.told, found):
            self.told = found


def _since(before: Work, now: Work) -> Work:
    """What was done between two reports. Counts that fell began anew: the engine was restarted."""
    if (
        now.busy_s < before.busy_s
        or now.input_tokens < before.input_tokens
        or now.output_tokens < before.output_tokens
    ):
        return now
    return _joined(now, before, lambda after, earlier: after - earlier)


def _scaled(work: Work, factor: float) -> Work:
    return _joined(work, work, lambda count, _: count * factor)


def _added(one: Work, other: Work) -> Work:
    return _joined(one, other, lambda mine, others: mine + others)


def _joined(one: Work, other: Work, join: Callable[[float, float], float]) -> Work:
    """Each count of two, made one."""
    return Work(
        busy_s=join(one.busy_s, other.busy_s),
        # An engine of an earlier release does not tell it, in the middle of an upgrade.
        request_s=max(0.0, join(one.request_s, other.request_s)),
        input_tokens=join(one.input_tokens, other.input_tokens),
        output_tokens=join(one.output_tokens, other.output_tokens),
    )


def _is_news(told: Work | None, found: Work) -> bool:
    if told is None:
        return True
    if (told.ratio is None) != (found.ratio is None):
        return True
    pairs = (
        (told.ratio or 0.0, found.ratio or 0.0),
        (told.input_tokens / told.busy_s, found.input_tokens / found.busy_s),
        (told.output_tokens / told.busy_s, found.output_tokens / found.busy_s),
    )
    return any(abs(new - old) > _NEWS * max(old, new) for old, new in pairs)
