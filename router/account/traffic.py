"""What this router counts per version, for the registry's ladder and residency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from adapters.traffic import LATENCY_BOUNDS_S, VersionTraffic, bucket
from router.errors import TargetUnavailable
from router.exchange import CANCELLED, ESCALATED, REJECTED, Exchange

_ADAPTER = "adapter:"
_SERVER_ERROR = 500
_NO_FAULT = (REJECTED, CANCELLED, ESCALATED)


@dataclass(slots=True)
class _Counts:
    requests: int = 0
    errors: int = 0
    shadowed: int = 0
    agreement: float = 0.0
    wanted: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))


class Traffic:
    """Counts by engine name; names that leave the table are forgotten (law 9).

    ``known`` says whether a target is still in the table: what began before it left is counted no
    more when it ends.
    """

    def __init__(self, known: Callable[[str], bool] = lambda _: True) -> None:
        self._known = known
        self._counts: dict[str, _Counts] = {}

    def observe(self, exchange: Exchange) -> None:
        """Count one finished exchange."""
        wanted = exchange.decision.wanted
        if wanted is None and exchange.decision.options:
            wanted = exchange.decision.options[0].target
        attempts = exchange.delivery.attempts
        # Nobody was asked when nobody holds it: a pinned version that has to be loaded first.
        missed = bool(attempts) or exchange.account.error == TargetUnavailable.code
        if wanted is not None and wanted.startswith(_ADAPTER) and missed:
            self._of(wanted).wanted += all(each.target != wanted for each in attempts)
        for attempt in attempts:
            if attempt.target.startswith(_ADAPTER):
                self._attempt(exchange, attempt.target, attempt.outcome)

    def _attempt(self, exchange: Exchange, target: str, outcome: str) -> None:
        counts = self._of(target)
        counts.requests += 1
        failed = (
            exchange.account.status >= _SERVER_ERROR
            or exchange.account.error == "upstream_stream_broken"
        )
        if outcome == "ok" and not failed:
            counts.latency[bucket(exchange.account.seconds)] += 1
        elif not outcome.startswith(_NO_FAULT):
            counts.errors += 1

    def shadowed(self, name: str, agreement: float | None) -> None:
        """Count one secret answer; ``agreement`` None: there was none."""
        counts = self._of(_ADAPTER + name)
        counts.shadowed += 1
        if agreement is None:
            counts.errors += 1
            counts.requests += 1
        else:
            counts.agreement += agreement

    def forget(self, name: str) -> None:
        """Drop an engine name."""
        self._counts.pop(name, None)

    def snapshot(self) -> dict[str, VersionTraffic]:
        """Counts since this process began, by engine name."""
        return {
            name: VersionTraffic(
                requests=counts.requests,
                errors=counts.errors,
                latency=tuple(counts.latency),
                shadowed=counts.shadowed,
                agreement=counts.agreement,
                wanted=counts.wanted,
            )
            for name, counts in self._counts.items()
        }

    def _of(self, target: str) -> _Counts:
        if not self._known(target):
            return _Counts()
        return self._counts.setdefault(target.removeprefix(_ADAPTER), _Counts())
