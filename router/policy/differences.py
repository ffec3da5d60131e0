"""What rules in the shadow would have decided otherwise: counted, and the newest listed."""

from __future__ import annotations

from collections import Counter, deque
from datetime import UTC, datetime
from typing import Any, Final

from router.ruling import Ruling

_LISTED: Final = 50
_KINDS_KEPT: Final = 100


def difference(active: Ruling, shadow: Ruling) -> str | None:
    """In which way a request would be treated otherwise, such as ``allow -> deny``; None: not."""
    if active.effect != shadow.effect:
        return f"{active.effect} -> {shadow.effect}"
    for name in ("requirements", "review", "instructions", "obligations"):
        if _content(getattr(active, name)) != _content(getattr(shadow, name)):
            return f"other {name}"
    return None


def _content(part: Any) -> Any:
    """Without the ids of rules, which may have been renamed."""
    if not isinstance(part, tuple):
        return part
    told = [getattr(each, "kind", "") and (each.kind, dict(each.settings)) for each in part]
    if any(told):
        return sorted(map(repr, told))
    if part and isinstance(part[0], tuple):
        return sorted(text for _, text in part)
    return sorted(repr((each.targets, each.regions, each.local)) for each in part)


class Differences:
    """Counts of one router, about one version in the shadow at a time.

    Attributes:
        compared: requests that both were asked about.
        differing: of those, the ones that would be treated otherwise.
    """

    def __init__(self) -> None:
        self._begin("")

    def _begin(self, version: str) -> None:
        self._version = version
        self._since = datetime.now(UTC)
        self.compared = 0
        self.differing = 0
        self._kinds: Counter[str] = Counter()
        self._newest: deque[dict[str, Any]] = deque(maxlen=_LISTED)

    def compare(self, decision_id: str, active: Ruling, shadow: Ruling) -> str | None:
        """Count one request; how it would be treated otherwise."""
        if shadow.version != self._version:
            self._begin(shadow.version)
        self.compared += 1
        kind = difference(active, shadow)
        if kind is None:
            return None
        self.differing += 1
        if kind in self._kinds or len(self._kinds) < _KINDS_KEPT:
            self._kinds[kind] += 1
        self._newest.append(
            {
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "decision_id": decision_id,
                "difference": kind,
                "active": list(active.rules),
                "shadow": list(shadow.rules),
            }
        )
        return kind

    def shown(self) -> dict[str, Any]:
        """For the registry; empty before anything was compared."""
        if not self.compared:
            return {}
        return {
            "version": self._version,
            "since": self._since.isoformat(timespec="milliseconds"),
            "compared": self.compared,
            "differing": dict(self._kinds),
            "newest": list(self._newest),
        }
