"""What choosing learns, and from what.

From finished exchanges, from what people say of them afterwards, and from the feedback that other
routers took.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from router.choose.measured import Measured
from router.choose.quality import Quality
from router.choose.sessions import Sessions
from router.config.routing import RoutingConfig
from router.exchange import Exchange
from router.judge.calibration import Calibration
from router.judge.logprobs import Features
from router.request import NO_INTENT

_HEARD_KEPT = 20_000


class Learning:
    """The memories that a decision reads, and what feeds them."""

    def __init__(
        self, config: RoutingConfig, known: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._known = known
        self.quality = Quality(config.quality)
        self.measured = Measured()
        self.calibration = Calibration()
        self.sessions = Sessions(config.sessions)
        self._heard: OrderedDict[str, None] = OrderedDict()

    def observe(self, exchange: Exchange) -> None:
        """After the last byte: lengths, latencies, who answered the session."""
        if exchange.chosen is not None and self._known(exchange.chosen.target):
            self.measured.observe(exchange)
        self.sessions.observe(exchange)

    def judged(self, said: Mapping[str, Any]) -> None:
        """Learn from one feedback; hearing the same again changes nothing."""
        identity, judged = str(said["id"]), said.get("judged") or {}
        success, target = success_of(said["kind"], said["value"]), judged.get("target")
        if success is None or target is None or identity in self._heard:
            return
        if not self._known(str(target)):
            return
        self._heard[identity] = None
        if len(self._heard) > _HEARD_KEPT:
            self._heard.popitem(last=False)
        intent = judged.get("intent")
        first = self.quality.judge(str(said["decision_id"]), intent, str(target), success)
        assurance = judged.get("assurance") or {}
        features = _features(assurance, str(target))
        if features is not None and first:
            expected = assurance.get("expected")
            self.calibration.judge(intent or NO_INTENT, str(target), features, success, expected)

    def forget(self, target: str) -> None:
        """A target is gone: so is what was learned of it."""
        self.quality.forget(target)
        self.measured.forget(target)
        self.calibration.forget(target)


def _features(assurance: Any, target: str) -> Features | None:
    """The probabilities of the answer that went out, where it was judged by them."""
    if not isinstance(assurance, Mapping) or assurance.get("target") != target:
        return None
    names = ("tokens", "mean_logprob", "min_logprob", "entropy")
    return Features(*(assurance[name] for name in names))


def success_of(kind: str, value: Any) -> float | None:
    """How good the answer was, 0 to 1; None when the feedback does not say."""
    if kind == "boolean":
        return float(value)
    if kind == "float" and 0.0 <= value <= 1.0:
        return float(value)
    return None


EVERY_S: Final = 30.0
"""Between two looks."""
_OVERLAP_S: Final = 120.0
"""Looked at again each time: clocks differ, and a judgement takes a moment to be readable."""

Judgements = Callable[[float], Awaitable[list[dict[str, Any]]]]
"""The newest feedback since a moment (seconds since the epoch), oldest first."""


class Refit:
    """Keeps one router's beliefs in step with what everybody was told."""

    def __init__(self, learning: Learning, judgements: Judgements) -> None:
        self._learning = learning
        self._judgements = judgements
        self._since_s = 0.0

    async def once(self) -> None:
        """Learn what is new; others have the loop in between."""
        for said in await self._judgements(self._since_s):
            await asyncio.sleep(0)
            self._since_s = max(self._since_s, float(said["at"]) - _OVERLAP_S)
            self._learning.judged(said)
