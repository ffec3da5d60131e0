"""What rules know of one request: the values of their variables, made only as far as they read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, Protocol

from router.policy.conditions import MAX_LISTED

_DAYS: Final = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
_NO_TARGET: Final[Mapping[str, Any]] = {
    "name": "",
    "kind": "",
    "local": False,
    "provider": "",
    "model": "",
    "alias": "",
    "regions": [],
    "cost_usd": 0.0,
}
_NO_REQUEST: Final[Mapping[str, Any]] = {
    "model": "auto",
    "endpoint": "/v1/chat/completions",
    "stream": False,
    "tools": False,
    "images": 0,
    "input_tokens": 0,
    "max_output_tokens": 0,
    "priority": "standard",
}


@dataclass(frozen=True, slots=True)
class Situation:
    """One request as rules see it. What is left out is as nobody said anything."""

    caller: str = ""
    tenant: str = "default"
    intents: tuple[str, ...] = ("none",)
    """The recognised one, and one that a trusted key states beside it: rules hold for both."""
    confidence: float = 0.0
    entities: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    subject: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None
    """None: now."""
    request: Mapping[str, Any] = field(default_factory=dict)

    def values(
        self,
        intent: str,
        variables: Collection[str],
        stated: Collection[str],
        zone: tzinfo,
    ) -> dict[str, Any]:
        """The variables' values for one of the intents; ``stated``: facts and claims by name."""
        found: dict[str, Any] = {"intent": intent}
        for name in variables:
            match name:
                case "caller" | "tenant" | "confidence" | "subject":
                    found[name] = getattr(self, name)
                case "entities":
                    found[name] = list(self.entities[:MAX_LISTED])
                case "collections":
                    found[name] = list(self.collections[:MAX_LISTED])
                case "facts" | "claims":
                    found[name] = _open(getattr(self, name), name, stated)
                case "time":
                    found[name] = _time(self.at, zone)
                case "request":
                    found[name] = {**_NO_REQUEST, **self.request}
        return found


def _open(given: Mapping[str, Any], kind: str, stated: Collection[str]) -> dict[str, Any]:
    """What is asked for, null where nobody said it."""
    return {
        name: given.get(name)
        for each in stated
        for head, _, name in (each.partition("."),)
        if head == kind
    }


def _time(at: datetime | None, zone: tzinfo) -> dict[str, Any]:
    moment = datetime.now(UTC) if at is None else at if at.tzinfo else at.replace(tzinfo=zone)
    here = moment.astimezone(zone)
    return {
        "now": moment,
        "date": here.date().isoformat(),
        "weekday": _DAYS[here.weekday()],
        "hour": here.hour,
        "minute": here.minute,
    }


class Governed(Protocol):
    """What rules ask of a target; a ``Card`` is one."""

    @property
    def target(self) -> str: ...
    @property
    def regions(self) -> Collection[str]: ...
    @property
    def is_local(self) -> bool: ...


def target_values(card: Governed, cost_usd: float | None) -> dict[str, Any]:
    """A target as the variable ``target`` has it."""
    kind, _, name = card.target.partition(":")
    provider, _, model = name.partition("/") if kind == "frontier" else ("", "", "")
    return {
        "name": card.target,
        "kind": kind,
        "local": card.is_local,
        "provider": provider,
        "model": model,
        "alias": name.partition("@")[0] if kind == "adapter" else "",
        "regions": list(card.regions),
        "cost_usd": float(cost_usd or 0.0),
    }


def given_target(given: Mapping[str, Any]) -> dict[str, Any]:
    """A target as an example or a question states it."""
    return {**_NO_TARGET, **given}
