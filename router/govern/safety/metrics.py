"""What safety checks found, as metrics. Labels are bounded: a guard's own words are one label."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from router.govern.safety.checks import HARM, INJECTION, Finding
from router.govern.safety.guard_formats import GUIDELINES, LLAMA_CATEGORIES

_OTHER: Final = "other"


class SafetyMetrics:
    """Counts findings.

    Args:
        registry: where the metric is.
        topics: the names of what is off limits.
    """

    def __init__(self, registry: CollectorRegistry, topics: Iterable[str] = ()) -> None:
        known = (HARM, INJECTION, "unsafe", *LLAMA_CATEGORIES.values(), *GUIDELINES, *topics)
        self._known = frozenset(known)
        self._found = Counter(
            "graftwork_safety_findings",
            "What safety checks found in prompts, in what tools brought and in answers.",
            ("check", "category", "source", "effect"),
            registry=registry,
        )

    def found(self, finding: Finding, *, refused: bool) -> None:
        """Count one."""
        category = finding.category if finding.category in self._known else _OTHER
        effect = "blocked" if refused else "flagged"
        self._found.labels(finding.check, category, finding.source.value, effect).inc()
