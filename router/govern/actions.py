"""What becomes of a kind of data on its way to a target: the rules, read once for each pair."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from router.config.governance import SECRETS, PiiAction, PiiConfig, PiiRule
from router.request import Option

_KEPT: Final = 4096


class Actions:
    """What holds between one tenant and one target.

    Attributes:
        default: for personal data that no rule is about.
        changes_personal: whether anything but secrets can be kept from the target.
    """

    __slots__ = ("_known", "_personal", "_rules", "changes_personal", "default")

    def __init__(self, rules: tuple[PiiRule, ...], personal: tuple[str, ...], default: PiiAction):
        self._rules = rules
        self._personal = personal
        self.default = default
        self._known: dict[str, PiiAction] = {}
        self.changes_personal = default is not PiiAction.ALLOW or any(
            rule.action is not PiiAction.ALLOW
            and not (rule.entities and {*rule.entities} <= SECRETS)
            for rule in rules
        )

    def of(self, entity: str) -> PiiAction:
        """What becomes of it."""
        found = self._known.get(entity)
        if found is None:
            found = self._known[entity] = self._decide(entity)
        return found

    def _decide(self, entity: str) -> PiiAction:
        is_secret = entity in SECRETS
        for rule in self._rules:
            if is_secret:
                if entity in rule.entities:
                    return rule.action
            elif _matches(rule.entities or self._personal, entity):
                return rule.action
        if is_secret:
            return PiiAction.BLOCK
        return self.default if _matches(self._personal, entity) else PiiAction.ALLOW

    def change(self, entities: Iterable[str]) -> bool:
        """Whether any of these is not simply sent."""
        return any(self.of(entity) is not PiiAction.ALLOW for entity in entities)

    def blocked(self, found: Iterable[str]) -> list[str]:
        """Those for whose sake the target may not be asked."""
        return [entity for entity in found if self.of(entity) is PiiAction.BLOCK]


class PiiPolicy:
    """The configured rules."""

    def __init__(self, config: PiiConfig) -> None:
        self._config = config
        self._of = lru_cache(_KEPT)(self._read)

    def towards(self, tenant: str, option: Option) -> Actions:
        """What holds for a tenant's data on its way to a target."""
        return self._of(tenant, option.target, option.is_local)

    @property
    def kept(self) -> Actions:
        """What holds for what outlives its request."""
        return Actions((), self._config.personal, PiiAction.MASK)

    @property
    def learned_from(self) -> Actions:
        """What holds for what is learned from: it can be told that two values are the same."""
        return Actions((), self._config.personal, PiiAction.VAULT)

    def always_blocks(self, tenant: str, secret: str) -> bool:
        """Whether a secret leaves for no target at all."""
        return not any(
            secret in rule.entities and rule.action is not PiiAction.BLOCK
            for rule in self._config.rules
            if _matches(rule.tenants, tenant)
        )

    def _read(self, tenant: str, target: str, is_local: bool) -> Actions:
        config = self._config
        names = (target, "local" if is_local else "frontier", target.partition(":")[2])
        rules = tuple(
            rule
            for rule in config.rules
            if _matches(rule.tenants, tenant) and any(_matches(rule.targets, n) for n in names)
        )
        default = config.default.local if is_local else config.default.frontier
        return Actions(rules, config.personal, default)


def _matches(globs: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)
