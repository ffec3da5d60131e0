"""Checks of the numbers: vLLM loads NaN without a word, and zeros as if they were an adapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adapters.format.preflight.report import Finding, failed, passed, verdict
from adapters.format.preflight.subject import Subject


def _finite(subject: Subject) -> Finding:
    return verdict(
        (name for name, stats in subject.stats.items() if not stats.finite),
        "finite numbers",
        "NaN or infinity in the weights: the training run diverged.",
    )


def _magnitude(subject: Subject) -> Finding:
    limit = subject.limits.max_magnitude
    return verdict(
        (
            f"{name} reaches {stats.max_abs:.3g}"
            for name, stats in subject.stats.items()
            if stats.finite and stats.max_abs > limit
        ),
        f"absolute values up to {limit:g}",
        "Such weights do not come from training: the file is damaged, or the run diverged.",
    )


def _effect(subject: Subject) -> Finding:
    stats = subject.stats
    pairs = [
        (sides["A"].name, sides["B"].name)
        for sides in subject.pairs.values()
        if len(sides) == 2 and all(info.name in stats for info in sides.values())
    ]
    live = sum(not stats[a].zero and not stats[b].zero for a, b in pairs)
    expected = "at least one pair in which neither A nor B is zero"
    if live:
        return passed(f"{live} of {len(pairs)} pairs", expected)
    return failed(
        f"0 of {len(pairs)} pairs", expected, "The adapter changes nothing: it was never trained."
    )


CHECKS: Mapping[str, Callable[[Subject], Finding]] = {
    "finite": _finite,
    "magnitude": _magnitude,
    "effect": _effect,
}
