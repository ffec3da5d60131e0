"""What each intent's traffic came to: who answers it now, how much of it, and what that saved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from adapters.aliases import engine_name
from adapters.flywheel.config import FlywheelConfig
from adapters.records.line import iso
from adapters.registry import AliasRecord, HistoryRecord, Registry
from adapters.traffic import VersionTraffic

_ADAPTER, _FRONTIER, _NONE = "adapter:", "frontier:", "none"
_FLIPS = frozenset({"commit", "promote", "rollback", "retire"})
_LINES = 200


@dataclass(frozen=True, slots=True)
class TargetUsage:
    """What one target answered of one intent."""

    intent: str
    target: str
    requests: int
    input_tokens: int
    output_tokens: int
    usd: float


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """US dollars a token."""

    input: float
    output: float

    def of(self, used: TargetUsage) -> float:
        """What the same tokens would cost at this price."""
        return used.input_tokens * self.input + used.output_tokens * self.output


class UsageByTarget(Protocol):
    """Where it is counted. Blocks."""

    def by_target(self, since: float) -> Sequence[TargetUsage]:
        """By intent and target, from ``since`` on, seconds since the epoch."""
        ...


Prices = Callable[[str], TokenPrice | None]
"""What a frontier target asks for; None: nobody knows."""


class TakeoverBook:
    """Answers who took over what. Methods block.

    Args:
        default: the frontier that answers when nothing local can; None: there is none.
    """

    def __init__(
        self,
        config: FlywheelConfig,
        registry: Registry,
        usage: UsageByTarget,
        prices: Prices,
        evidence: Callable[[str], VersionTraffic],
        default: str | None,
    ) -> None:
        self._config = config
        self._registry = registry
        self._usage = usage
        self._prices = prices
        self._evidence = evidence
        self._default = default

    def rows(self, since: float) -> list[dict[str, Any]]:
        """One row for each intent that was asked, or that an adapter answers or learns."""
        used: dict[str, list[TargetUsage]] = {}
        for each in self._usage.by_target(since):
            used.setdefault(each.intent, []).append(each)
        aliases = {alias.name: alias for alias in self._registry.aliases()}
        learned = self._learned(aliases.values())
        names = sorted({*used, *learned} - {_NONE})
        return [
            self._row(name, used.get(name, []), aliases.get(learned.get(name, "")))
            for name in names
        ]

    def _learned(self, aliases: Iterable[AliasRecord]) -> dict[str, str]:
        """By intent the alias that answers it, or is to learn it."""
        found = {intent: alias.name for alias in aliases for intent in alias.intents}
        return found | {intent: route.alias for intent, route in self._config.routes.items()}

    def _row(
        self, intent: str, used: list[TargetUsage], alias: AliasRecord | None
    ) -> dict[str, Any]:
        live = None if alias is None else alias.live
        name = None if alias is None or live is None else engine_name(alias.name, live)
        requests = sum(each.requests for each in used)
        local = [each for each in used if not each.target.startswith(_FRONTIER)]
        own = [each for each in used if name and each.target == _ADAPTER + name]
        replaced = self._replaced(used)
        counted = VersionTraffic() if name is None else self._evidence(name)
        gate = self._gate(alias, live)
        return {
            "intent": intent,
            "alias": None if alias is None else alias.name,
            "target": _ADAPTER + name if name else _most(used),
            "since": None if name is None or alias is None else self._since(alias.name, live),
            "requests": requests,
            "local_share": _share(sum(each.requests for each in local), requests),
            "coverage": _share(sum(each.requests for each in own), requests),
            "usd": sum(each.usd for each in used),
            "replaced": replaced,
            "saved_usd": self._saved(local, replaced),
            "agreement": counted.mean_agreement,
            "confidence": _share(counted.requests - counted.unsure, counted.requests),
            "quality": counted.good / counted.judged if counted.judged else None,
            "judged": counted.judged,
            "gate": gate,
        }

    def _replaced(self, used: list[TargetUsage]) -> str | None:
        """The frontier that answered most of it, or would answer it."""
        frontiers = [each for each in used if each.target.startswith(_FRONTIER)]
        return _most(frontiers) or self._default

    def _saved(self, local: list[TargetUsage], replaced: str | None) -> float:
        """What the frontier would have asked for what local targets answered, less their cost."""
        price = None if replaced is None else self._prices(replaced)
        if price is None:
            return 0.0
        return sum(max(0.0, price.of(each) - each.usd) for each in local)

    def _gate(self, alias: AliasRecord | None, live: str | None) -> Mapping[str, Any] | None:
        if alias is None or live is None:
            return None
        found = self._registry.version(alias.name, live).manifest.get("evaluation") or {}
        gate = found.get("gate")
        return gate if isinstance(gate, Mapping) else None

    def _since(self, alias: str, live: str | None) -> str | None:
        """When the live version became it."""
        lines: list[HistoryRecord] = self._registry.history(alias, _LINES)
        flips = [line for line in lines if line.action in _FLIPS and line.after == live]
        return iso(flips[-1].at.timestamp()) if flips else None


def _most(used: Sequence[TargetUsage]) -> str | None:
    most = max(used, key=lambda each: each.requests, default=None)
    return None if most is None else most.target


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
