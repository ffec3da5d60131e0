"""The verdict on a version that an engine holds: does it do anything, and the right thing?

Pure comparisons over what ``Fleet.probe`` returned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from adapters.errors import CheckResult
from adapters.fleet import ProbeResult
from adapters.format.manifest import Golden, Manifest

EFFECT = "probe-effect"
GOLDEN = "probe-golden-logprobs"


def judge(probe: ProbeResult, manifest: Manifest, min_effect: float) -> list[CheckResult]:
    """Every check of the probe. ``min_effect`` is in nats; golden prompts must be ``scored``."""
    checks = [_effect(probe, min_effect)]
    if manifest.golden:
        checks.append(_golden(probe.logprobs, manifest.golden))
    return checks


def _effect(probe: ProbeResult, min_effect: float) -> CheckResult:
    # A NaN compares false with everything, so the test must be the one that NaN fails.
    ok = math.isfinite(probe.max_delta) and probe.max_delta > min_effect
    return CheckResult(
        name=EFFECT,
        ok=ok,
        found=f"{probe.max_delta:.3g} nats",
        expected=f"more than {min_effect:.3g} nats",
        message="" if ok else "the engine answers as if the adapter were not there",
    )


def _golden(measured: Sequence[Sequence[float]], golden: Sequence[Golden]) -> CheckResult:
    problem = _first_mismatch(measured, golden)
    return CheckResult(
        name=GOLDEN,
        ok=not problem,
        found=problem or "all within tolerance",
        expected=f"{len(golden)} prompts within tolerance",
        message="the engine does not compute what the trainer measured" if problem else "",
    )


def scored(measured: Sequence[Sequence[float]], golden: Sequence[Golden]) -> bool:
    """Whether the engine scored just the golden prompts, token for token."""
    return [len(row) for row in measured] == [len(wanted.logprobs) for wanted in golden]


def _first_mismatch(measured: Sequence[Sequence[float]], golden: Sequence[Golden]) -> str:
    for number, (row, wanted) in enumerate(zip(measured, golden, strict=True)):
        off = [abs(a - b) for a, b in zip(row, wanted.logprobs, strict=True)]
        # Not `max(off) > tolerance`: a NaN is lost in a maximum, and compares false.
        wrong = [each for each in off if not each <= wanted.tolerance]
        if wrong:
            return f"prompt {number}: off by {wrong[0]:.3g} nats, tolerance {wanted.tolerance:.3g}"
    return ""
