"""Allow and deny rules: who may be answered by what, in which region, for which intent."""

from __future__ import annotations

import fnmatch
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from router.config.policy import EVERYTHING, Effect, Globs, PolicyConfig, PolicyRule
from router.errors import Forbidden
from router.policy.situation import Governed
from router.request import NO_INTENT, Caller

_PERMISSIONS_KEPT = 1024
_TARGETS_KEPT = 512


class Permits(Protocol):
    """What a request may be answered by."""

    @property
    def tenant(self) -> str: ...
    @property
    def version(self) -> str:
        """Of all rules that were asked."""
        ...

    @property
    def applied(self) -> tuple[str, ...]:
        """Ids of rules of the rules file that applied so far."""
        ...

    def why_not(self, card: Governed, cost_usd: float | None = None) -> str | None:
        """The reason why a target, at an expected cost, is forbidden; None: it is permitted."""
        ...


@dataclass(slots=True)
class Permission:
    """What one caller may be answered by, for one intent. Remembers its reasons, bounded."""

    applied: ClassVar[tuple[str, ...]] = ()

    tenant: str
    rules: tuple[PolicyRule, ...]
    default: Effect
    version: str = ""
    """Of the policy that gave it."""
    _reasons: dict[str, str | None] = field(default_factory=dict)

    def why_not(self, card: Governed, _cost_usd: float | None = None) -> str | None:
        """The reason why the card's target is forbidden; None when it is permitted."""
        try:
            return self._reasons[card.target]
        except KeyError:
            if len(self._reasons) >= _TARGETS_KEPT:
                self._reasons.clear()
            reason = self._reasons[card.target] = self._judge(card)
            return reason

    def _judge(self, card: Governed) -> str | None:
        applying = [rule for rule in self.rules if _concerns(rule, card)]
        for rule in applying:
            if rule.effect is Effect.DENY:
                return f"rule {rule.name!r} denies it"
        if applying or self.default is Effect.ALLOW:
            return None
        return "no rule allows it"


class PolicyBook:
    """All rules; gives each caller and intent its permission."""

    def __init__(self, config: PolicyConfig) -> None:
        self.version = config.version
        self.reads_intents = any(rule.intents != EVERYTHING for rule in config.rules)
        """Whether a rule is about intents: then requests for named models are read as well."""
        self._config = config
        self._kept: OrderedDict[tuple[str, str, str], Permission] = OrderedDict()

    def permission(self, caller: Caller | None, intent: str | None) -> Permission:
        """What the caller may be answered by, for this intent.

        Raises ``Forbidden`` when nobody was identified.
        """
        if caller is None:
            raise Forbidden("Nobody is authenticated.", code="policy_denied")
        key = (caller.tenant, caller.name, intent or NO_INTENT)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = self._make(*key)
            if len(self._kept) > _PERMISSIONS_KEPT:
                self._kept.popitem(last=False)
        return found

    def _make(self, tenant: str, name: str, intent: str) -> Permission:
        rules = tuple(
            rule
            for rule in self._config.rules
            if matches(rule.tenants, tenant)
            and matches(rule.keys, name)
            and matches(rule.intents, intent)
        )
        return Permission(tenant, rules, self._config.default, self.version)


def matches(patterns: Globs, name: str) -> bool:
    """Whether any glob covers the name, case included."""
    return patterns == EVERYTHING or any(fnmatch.fnmatchcase(name, each) for each in patterns)


def _concerns(rule: PolicyRule, card: Governed) -> bool:
    if not matches(rule.targets, card.target):
        return False
    return _inside(rule, card) and _outside(rule, card)


def _inside(rule: PolicyRule, card: Governed) -> bool:
    """Who does not say where it processes data might do so anywhere: denied, and not allowed."""
    if not rule.regions:
        return True
    hits = [matches(rule.regions, region) for region in card.regions]
    if rule.effect is Effect.DENY:
        return any(hits) or not hits
    return bool(hits) and all(hits)


def _outside(rule: PolicyRule, card: Governed) -> bool:
    if not rule.outside_regions:
        return True
    hits = [not matches(rule.outside_regions, region) for region in card.regions]
    if rule.effect is Effect.DENY:
        return any(hits) or not hits
    return bool(hits) and all(hits)
