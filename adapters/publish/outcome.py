"""What a push, a promotion or a rollback came to, and what may be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapters.errors import CheckResult, Conflict, ManifestError
from adapters.format.preflight import Report
from adapters.registry import Stage, VersionRecord
from adapters.registry.lifecycle import UNFINISHED, State


@dataclass(frozen=True)
class Outcome:
    """Where a version stands after a request about it."""

    alias: str
    digest: str
    """Empty when the bytes were too broken to have one."""
    state: State
    checks: tuple[dict[str, Any], ...] = ()
    known: bool = False
    """The bytes were there already; it is where it was asked to be, or on its way."""
    error: str = ""
    epoch: int = 0

    @property
    def finished(self) -> bool:
        """Whether the version rests in this state."""
        return self.state not in UNFINISHED

    @property
    def refused(self) -> bool:
        """Whether the version itself is bad: the same bytes will not do."""
        return self.state in {State.REJECTED, State.QUARANTINED, State.REFUSED}

    @classmethod
    def of(cls, version: VersionRecord, *, known: bool, epoch: int) -> Outcome:
        """Of a version as it is now."""
        return cls(
            alias=version.alias,
            digest=version.digest,
            state=version.state,
            checks=version.checks,
            known=known,
            error=version.error,
            epoch=epoch,
        )

    @classmethod
    def unnamed(cls, alias: str, error: ManifestError, report: Report) -> Outcome:
        """Of bytes too broken to have a digest, with everything that is wrong with them."""
        checks = [*report.checks]
        if report.ok:
            checks.append(CheckResult(name=error.code, ok=False, message=str(error)))
        return cls(
            alias=alias,
            digest="",
            state=State.REJECTED,
            checks=tuple(check.model_dump(mode="json") for check in checks),
            error=str(error),
        )


def require_share(stage: Stage, percent: float) -> None:
    """Raises ``Conflict`` when a stage other than live has no share of the traffic."""
    if stage != "live" and not 0 < percent <= 100:
        raise Conflict(
            f"{stage} needs a share of the traffic above 0 and up to 100, got {percent:g}",
            code="bad-percent",
            remedy="Give percent, for example 5.",
        )
