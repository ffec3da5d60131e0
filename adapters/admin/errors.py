"""One table from what can go wrong with an adapter to what the client is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from adapters import errors
from adapters.corpus.cluster import UnknownCluster
from adapters.errors import AdapterError, CheckResult
from adapters.publish.outcome import Outcome
from adapters.registry.policies import UnknownPolicy
from adapters.review import errors as review

REJECTED = "adapter_rejected"
_RETRY_AFTER_S = 2.0

# The first class that fits decides, so the special come before the general.
_STATUS: tuple[tuple[type[AdapterError], int], ...] = (
    (errors.ArchiveError, 422),
    (errors.HeaderError, 422),
    (errors.ManifestError, 422),
    (errors.RejectedError, 422),
    (errors.BadName, 400),
    (errors.UnknownAlias, 404),
    (errors.UnknownVersion, 404),
    (errors.NotInStore, 409),
    (errors.StoreFull, 507),
    (errors.StoreError, 503),
    (errors.IllegalMove, 409),
    (errors.Conflict, 409),
    (errors.NothingToRollBack, 409),
    (errors.ProbeFailed, 422),
    (UnknownPolicy, 404),
    (UnknownCluster, 404),
    (review.UnknownReview, 404),
    (review.UnknownExchange, 404),
    (review.BadAnswer, 400),
    (review.TooMany, 429),
    (review.ReviewError, 409),
    (errors.RegistryError, 503),
    (errors.FleetError, 503),
)
_STATUS_BY_CODE = {
    "archive-too-large": 413,
    "bad-percent": 400,
    "no-gate-report": 404,
    "too-many-pushes": 429,
    "upload-too-slow": 408,
}


class VersionRefused(AdapterError):
    """A version that was stored, judged and not taken."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.error)
        self.outcome = outcome


class PublishFailed(VersionRefused):
    """A version that is well, and that the engines could not take now."""


@dataclass(frozen=True)
class Explanation:
    """What the client is told of an error."""

    status: int
    message: str
    code: str
    param: str | None = None
    retry_after_s: float | None = None
    more: dict[str, Any] = field(default_factory=dict)
    """Beside the error itself."""


def explain(error: AdapterError) -> Explanation:
    """What an error of this package means over HTTP; 500 where the table has nothing."""
    if isinstance(error, VersionRefused):
        return _outcome(error)
    status = status_of(error)
    message = error.advice if status < 500 else str(error)
    if status == 422:
        more = {"alias": "", "digest": "", "state": "rejected", "checks": _checks(error)}
        return Explanation(422, message, REJECTED, more=more)
    wait = _RETRY_AFTER_S if status in {429, 503} else None
    param = "alias" if error.code == "bad-alias" else None
    return Explanation(status, message, error.code.replace("-", "_"), param, wait)


def status_of(error: AdapterError) -> int:
    """The status that an error is answered with."""
    if error.code in _STATUS_BY_CODE:
        return _STATUS_BY_CODE[error.code]
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def _outcome(error: VersionRefused) -> Explanation:
    outcome = error.outcome
    more = {
        "alias": outcome.alias,
        "digest": outcome.digest,
        "state": outcome.state.value,
        "checks": [dict(check) for check in outcome.checks],
    }
    if isinstance(error, PublishFailed):
        return Explanation(
            503, error.message, "publish_failed", retry_after_s=_RETRY_AFTER_S, more=more
        )
    return Explanation(422, error.message, REJECTED, more=more)


def _checks(error: AdapterError) -> list[dict[str, Any]]:
    if isinstance(error, errors.RejectedError):
        return [check.model_dump(mode="json") for check in error.checks]
    check = CheckResult(name=error.code, ok=False, message=str(error))
    return [check.model_dump(mode="json")]
