"""The verdict on a candidate, and on a version that just went live: promote, roll back, or wait.

Pure. Verdicts are looked for after every few requests, so what takes a version back are e-values
(``adapters.ladder.anytime``): however often one looks, a version that is no worse than is allowed
is taken back with a chance of at most ``max_false_alarm`` for each of its stays in a stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from adapters.config import LadderSettings
from adapters.ladder.anytime import beyond_doubt, log_above, log_below, log_worse
from adapters.traffic import VersionTraffic


class LadderVerdict(StrEnum):
    """What the evidence says."""

    PROMOTE = "promote"
    ROLL_BACK = "roll-back"
    WAIT = "wait"


@dataclass(frozen=True)
class Judgement:
    """A verdict with the reason, in figures."""

    verdict: LadderVerdict
    reason: str


def judge_shadow(candidate: VersionTraffic, settings: LadderSettings) -> Judgement:
    """A candidate that answers in secret: does it answer, and like the live version?"""
    shadowed, errors = candidate.shadowed, min(candidate.errors, candidate.shadowed)
    alpha = settings.max_false_alarm / 2
    if beyond_doubt(log_above(errors, shadowed, settings.max_error_increase), alpha):
        return Judgement(
            LadderVerdict.ROLL_BACK, f"{errors / shadowed:.1%} of its secret answers failed"
        )
    answered = shadowed - errors
    agreement = candidate.agreement / answered if answered else 0.0
    if beyond_doubt(log_below(candidate.agreement, answered, settings.min_agreement), alpha):
        return Judgement(
            LadderVerdict.ROLL_BACK,
            f"agrees with the live version by {agreement:.2f}, below {settings.min_agreement:.2f}",
        )
    if shadowed < settings.min_shadowed:
        return _wait(f"{shadowed} of {settings.min_shadowed} shadowed calls")
    if agreement < settings.min_agreement:
        return _wait(f"agreement {agreement:.2f}, and {settings.min_agreement:.2f} is needed")
    return Judgement(
        LadderVerdict.PROMOTE, f"agreement {agreement:.2f}, {errors / shadowed:.1%} failed"
    )


def judge_canary(
    candidate: VersionTraffic, live: VersionTraffic | None, settings: LadderSettings
) -> Judgement:
    """A candidate that answers a share: fewer errors and as fast as the live version?

    Without a live version (None), whether it fails at all.
    """
    worse = is_worse(candidate, live or VersionTraffic(), settings)
    if worse is not None:
        return Judgement(LadderVerdict.ROLL_BACK, worse)
    if candidate.requests < settings.min_requests:
        return _wait(f"{candidate.requests} of {settings.min_requests} requests")
    if live is None:
        return Judgement(
            LadderVerdict.PROMOTE,
            f"{candidate.error_rate:.1%} errors over {candidate.requests} requests",
        )
    if live.requests < settings.min_requests:
        return _wait(f"the live version has {live.requests} of {settings.min_requests} requests")
    return Judgement(
        LadderVerdict.PROMOTE,
        f"{candidate.error_rate:.1%} errors against {live.error_rate:.1%} "
        f"over {candidate.requests} requests",
    )


def is_worse(new: VersionTraffic, old: VersionTraffic, settings: LadderSettings) -> str | None:
    """Why ``new`` is worse than ``old`` beyond doubt, or None."""
    alpha = settings.max_false_alarm / 2
    if new.requests >= settings.min_requests_to_roll_back:
        found = log_worse(
            new.errors, new.requests, old.errors, old.requests, settings.max_error_increase
        )
        if beyond_doubt(found, alpha):
            return (
                f"{new.error_rate:.1%} errors over {new.requests} requests against "
                f"{old.error_rate:.1%} over {old.requests}"
            )
    return _is_slower(new, old, settings, alpha)


def _is_slower(
    new: VersionTraffic, old: VersionTraffic, settings: LadderSettings, alpha: float
) -> str | None:
    """Whether more of the new one's answers are slow than there may be of any.

    Slow is what takes longer than the old one's quantile, times the ratio that is allowed.
    """
    if sum(old.latency) < settings.min_requests:
        return None
    ours, theirs = (
        new.latency_s(settings.latency_quantile),
        old.latency_s(settings.latency_quantile),
    )
    if ours is None or theirs is None:
        return None
    slow = new.slower_than(theirs * settings.max_latency_ratio)
    found = log_above(slow, sum(new.latency), 1 - settings.latency_quantile)
    if not beyond_doubt(found, alpha):
        return None
    return (
        f"p{settings.latency_quantile * 100:.0f} up to {ours:g} s against {theirs:g} s, "
        f"more than {settings.max_latency_ratio:g} times"
    )


def _wait(reason: str) -> Judgement:
    return Judgement(LadderVerdict.WAIT, reason)
