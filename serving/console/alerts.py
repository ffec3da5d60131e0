"""What somebody should look at now, from what the API tells. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlencode

_FEW: Final = 20
"""Of fewer requests a share says nothing."""
_FAILING: Final = 0.05
_SPENT: Final = 0.9
_ENDED_BADLY: Final = frozenset({"failed", "refused"})
_UNFIT: Final = frozenset({"quarantined", "failed"})
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alert:
    """One of them.

    Attributes:
        level: how much.
        text: what is the matter.
        link: below ``/console``, where more is seen.
    """

    level: Literal["warning", "problem"]
    text: str
    link: str


def of_decisions(recent: Iterable[Row]) -> Iterator[Alert]:
    """Answers that failed within the last minutes."""
    statuses = [each.get("status") for each in recent]
    failed = sum(isinstance(status, int) and status >= 500 for status in statuses)
    if len(statuses) >= _FEW and failed / len(statuses) > _FAILING:
        text = f"{failed} of the newest {len(statuses)} requests failed."
        yield Alert("problem", text, "/decisions")


def of_drift(signals: Iterable[Row]) -> Iterator[Alert]:
    """What is unlike the week before."""
    for each in signals:
        if each.get("level") in ("moderate", "major"):
            text = f"{str(each['signal']).capitalize()} moved against the week before."
            yield Alert("problem" if each["level"] == "major" else "warning", text, "#drift")


def of_budgets(budgets: Iterable[Row]) -> Iterator[Alert]:
    """Budgets that are nearly used up."""
    for each in budgets:
        share = each["spent"] / each["limit"] if each["limit"] else 0.0
        if share >= _SPENT:
            whose = each.get("tenant") or each.get("key") or "everybody"
            text = f"The budget {each['budget']} of {whose} is used up to {share:.0%}."
            yield Alert("problem" if share >= 1 else "warning", text, "")


def of_replicas(replicas: Iterable[Row]) -> Iterator[Alert]:
    """No engine that answers."""
    known = list(replicas)
    if known and not any(each.get("ready") for each in known):
        yield Alert("problem", "No engine is ready: frontiers answer, or nobody.", "/adapters")


def of_adapters(adapters: Iterable[Row]) -> Iterator[Alert]:
    """Adapters whose newest version is not fit to serve."""
    for alias in adapters:
        versions = sorted(alias.get("versions") or (), key=lambda each: str(each["created_at"]))
        if versions and versions[-1]["state"] in _UNFIT:
            text = f"The newest version of {alias['alias']} is {versions[-1]['state']}."
            yield Alert("warning", text, f"/adapters/{alias['alias']}")


def of_distillations(distillations: Iterable[Row]) -> Iterator[Alert]:
    """Trainings whose adapter did not come to serve, the newest of each adapter."""
    seen: set[str] = set()
    for each in distillations:
        alias = str(each.get("alias"))
        if alias not in seen and each.get("state") in _ENDED_BADLY:
            text = f"Distilling {alias} was {each['state']}: {each.get('reason') or 'see its log'}"
            yield Alert("warning", text, f"/distillations/{each['id']}")
        seen.add(alias)


def of_reviews(waiting: Iterable[Row], limit: int) -> Iterator[Alert]:
    """A queue that grows long."""
    number = len(list(waiting))
    if number >= limit:
        link = f"/reviews?{urlencode({'state': 'open'})}"
        yield Alert("warning", f"{limit} or more reviews wait.", link)
