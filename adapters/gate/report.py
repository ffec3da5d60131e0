"""What a gate found, as JSON: the contract's fields, and what else there is to see."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from adapters.gate.asking import Answer
from adapters.gate.judge import Item, Outcome, Verdict
from adapters.gate.suites import Suite


@dataclass(frozen=True)
class GateReport:
    """One test of one version.

    Attributes:
        verdict: of the scores.
        suites: what else the version must not do worse.
        looks: how often the version was judged by items that were enough, this time included.
    """

    alias: str
    digest: str
    intents: tuple[str, ...]
    dataset: str | None
    current_target: str
    grader: str
    verdict: Verdict
    items: Sequence[Item] = ()
    suites: tuple[Suite, ...] = ()
    looks: int = 1
    costs: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    at: float = field(default_factory=time.time)

    @property
    def outcome(self) -> Outcome:
        """Of scores and suites together."""
        if self._broken and self.verdict.verdict != "refused":
            return "failed"
        # What leaks or breaks is bad however few items there are.
        return "failed" if any(s.blocks and s.p is None for s in self.suites) else self._scored

    @property
    def _scored(self) -> Outcome:
        return self.verdict.verdict

    @property
    def _broken(self) -> list[Suite]:
        return [suite for suite in self.suites if suite.blocks]

    @property
    def reason(self) -> str:
        """In words."""
        if self.outcome == "failed" and self._broken:
            broken = "; ".join(f"{each.name}: {each.detail}" for each in self._broken)
            return broken if self.verdict.passed else f"{broken}; {self.verdict.reason}"
        return self.verdict.reason

    def as_dict(self) -> dict[str, Any]:
        """For storage and for the API."""
        verdict = self.verdict
        return {
            "alias": self.alias,
            "digest": self.digest,
            "at": self.at,
            "intents": list(self.intents),
            "dataset": self.dataset,
            "grader": self.grader,
            "n": verdict.n,
            "test": verdict.test,
            "alpha": verdict.alpha,
            "margin": verdict.margin,
            "power": verdict.power,
            "candidate": verdict.candidate,
            "current": verdict.current,
            "current_target": self.current_target,
            "difference": verdict.difference,
            "lower": verdict.lower,
            "upper": verdict.upper,
            "passed": self.outcome == "passed",
            "verdict": self.outcome,
            "reason": self.reason,
            "n_missing": verdict.n_missing if self.outcome == "refused" else 0,
            "slices": [asdict(each) for each in verdict.slices],
            "suites": [each.as_dict() for each in self.suites],
            "costs": {name: dict(found) for name, found in self.costs.items()},
            "looks": self.looks,
            "items": [_item(each) for each in self.items],
        }

    def result(self) -> dict[str, Any]:
        """For the manifest: what routers believe of the version (``adapters.evaluation``)."""
        tallies: dict[str, dict[str, float]] = {}
        for intent in self.intents:
            scores = [i.candidate for i in self.items if f"intent={intent}" in i.slices]
            if scores:
                tallies[intent] = {"good": float(sum(scores)), "judged": float(len(scores))}
        n = self.verdict.n
        whole = {"good": self.verdict.candidate * n, "judged": float(n)} if n else {}
        return {"passed": self.outcome == "passed", **whole, "intents": tallies}


def summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """The same without its items."""
    return {key: value for key, value in report.items() if key != "items"}


def took(answers: Iterable[Answer]) -> dict[str, float | None]:
    """What answers took: means, and the 95th percentile of the time."""
    answers = list(answers)
    seconds = sorted(a.seconds for a in answers if a.seconds is not None)
    costs = [a.cost_usd for a in answers if a.cost_usd is not None]
    tokens = [a.output_tokens for a in answers if a.output_tokens is not None]
    return {
        "seconds": _mean(seconds),
        "p95_seconds": seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))]
        if seconds
        else None,
        "usd": _mean(costs),
        "output_tokens": _mean(tokens),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _item(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "slice": item.slices[0] if item.slices else "",
        "candidate": item.candidate,
        "current": item.current,
        "slices": list(item.slices),
    }
