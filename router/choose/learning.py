"""What deciding learns from finished exchanges and from what people say of them afterwards."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from router.choose.measured import Measured
from router.choose.quality import Quality
from router.choose.sessions import Sessions
from router.config.routing import RoutingConfig
from router.judge.calibration import Calibration
from router.judge.logprobs import Features
from router.request import NO_INTENT, Exchange

_HEARD_KEPT = 20_000


class Learning:
    """The memories that a decision reads, and what feeds them."""

    def __init__(self, config: RoutingConfig) -> None:
        self.quality = Quality(config.quality)
        self.measured = Measured()
        self.calibration = Calibration()
        self.sessions = Sessions(config.sessions)
        self._heard: OrderedDict[str, None] = OrderedDict()

    def observe(self, exchange: Exchange) -> None:
        """After the last byte: lengths, latencies, who answered the session."""
        self.measured.observe(exchange)
        self.sessions.observe(exchange)

    def judged(self, said: Mapping[str, Any]) -> None:
        """Learn from one feedback; hearing the same again changes nothing."""
        identity, judged = str(said["id"]), said.get("judged") or {}
        success, target = success_of(said["kind"], said["value"]), judged.get("target")
        if success is None or target is None or identity in self._heard:
            return
        self._heard[identity] = None
        if len(self._heard) > _HEARD_KEPT:
            self._heard.popitem(last=False)
        intent = judged.get("intent")
        first = self.quality.judge(str(said["decision_id"]), intent, str(target), success)
        features = _features(judged.get("assurance"), str(target))
        if features is not None and first:
            self.calibration.judge(intent or NO_INTENT, str(target), features, success)

    def forget(self, target: str) -> None:
        """A target is gone: so is what was learned of it."""
        self.quality.forget(target)
        self.measured.forget(target)


def _features(told: Any, target: str) -> Features | None:
    """The probabilities of the answer that went out, where it was judged by them."""
    if not isinstance(told, Mapping) or told.get("target") != target:
        return None
    return Features(told["tokens"], told["mean_logprob"], told["min_logprob"], told["entropy"])


def success_of(kind: str, value: Any) -> float | None:
    """How good the answer was, 0 to 1; None when the feedback does not say."""
    if kind == "boolean":
        return float(value)
    if kind == "float" and 0.0 <= value <= 1.0:
        return float(value)
    return None
