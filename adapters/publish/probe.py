"""The verdict on a version that an engine holds: does it do anything, and the right thing?

Pure comparisons over what ``Fleet.probe`` returned, round by round.

An engine that does nothing else computes the same numbers each time, and one round decides. Beside
other requests a GPU's log probabilities move with the batch, for the base as well (decision 0034),
so the question becomes whether the adapter moves them in a way that chance does not. Each prompt is
scored with both at the same moment: if the adapter did nothing, the two scores of a pair could as
well be swapped. So the observed statistic, the squared sum over rounds of each token's difference,
is ranked among those of all swaps (a randomisation test: R. A. Fisher, *The Design of Experiments*,
1935, section 21). Whatever the noise looks like, a version without an effect passes with a chance
of at most ``FALSE_ACCEPT``, divided evenly among the looks that are taken.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adapters.errors import CheckResult
from adapters.fleet import ProbeResult, ProbeRound, Scores
from adapters.format.manifest import Golden, Manifest

EFFECT = "probe-effect"
GOLDEN = "probe-golden-logprobs"
FALSE_ACCEPT: Final = 1e-3
"""Chance at most that a version without an effect passes beside other requests."""
LOOKS: Final = (4, 12)
"""Rounds after which a verdict is tried, while the engine is never quiet."""

_EXACT_UP_TO = 1 << 16
_SAMPLED = 1 << 15
_Matrix = NDArray[np.float64]


def rounds_wanted(probe: ProbeResult, min_effect: float) -> int:
    """Rounds that a verdict takes in all; no more than there are when one can be given now."""
    done = len(probe.rounds)
    if _quiet(probe) is not None or not _finite(probe):
        return done
    later = [look for look in LOOKS if look > done]
    if not later or (done in LOOKS and _passes(probe, min_effect)):
        return done
    return later[0]


def judge(probe: ProbeResult, manifest: Manifest, min_effect: float) -> list[CheckResult]:
    """Every check of the probe. ``min_effect`` is in nats; golden prompts must be ``scored``."""
    checks = [_effect(probe, min_effect)]
    if manifest.golden:
        checks.append(_golden(probe, manifest.golden))
    return checks


def effect(probe: ProbeResult) -> float:
    """How far the version is from the base (nats): of each token's mean difference the largest."""
    if not _finite(probe):
        return math.nan
    quiet = _quiet(probe)
    rounds = probe.rounds if quiet is None else (quiet,)
    return max((_largest(each.mean(axis=0)) for each in _differences(rounds)), default=0.0)


def _effect(probe: ProbeResult, min_effect: float) -> CheckResult:
    found = effect(probe)
    ok = _passes(probe, min_effect)
    told = f"{found:.3g} nats"
    if _finite(probe) and _quiet(probe) is None:
        told += f" over {len(probe.rounds)} rounds beside other requests, p = {_chance(probe):.2g}"
    lost = "the engine answers as if the adapter were not there"
    if not ok and found > min_effect:
        lost += ", as far as the noise beside other requests lets one see: push when it has less"
    return CheckResult(
        name=EFFECT,
        ok=ok,
        found=told,
        expected=f"more than {min_effect:.3g} nats",
        message="" if ok else lost,
    )


def _passes(probe: ProbeResult, min_effect: float) -> bool:
    # A NaN compares false with everything, so the test must be the one that NaN fails.
    if not effect(probe) > min_effect:
        return False
    return _quiet(probe) is not None or _chance(probe) <= FALSE_ACCEPT / len(LOOKS)


def _quiet(probe: ProbeResult) -> ProbeRound | None:
    return next((each for each in probe.rounds if each.quiet), None)


def _finite(probe: ProbeResult) -> bool:
    scores = (s for r in probe.rounds for rows in (r.adapter, r.base) for row in rows for s in row)
    return all(map(math.isfinite, scores))


def _differences(rounds: Sequence[ProbeRound]) -> list[_Matrix]:
    """Per prompt, adapter minus base: one row a round, one column a token."""
    prompts = range(len(rounds[0].adapter)) if rounds else ()
    return [
        np.array([np.subtract(each.adapter[n], each.base[n]) for each in rounds]) for n in prompts
    ]


def _largest(values: _Matrix) -> float:
    return float(np.abs(values).max(initial=0.0))


def _chance(probe: ProbeResult) -> float:
    """p: the share of all swaps within pairs whose statistic is at least the observed one."""
    differences = _differences(probe.rounds)
    patterns = 2 ** (len(probe.rounds) - 1)  # a swap of all rounds at once changes nothing
    if patterns ** len(differences) <= _EXACT_UP_TO:
        signs = _every_swap(len(probe.rounds))
        by_prompt = [np.square(signs @ each).sum(axis=1) for each in differences]
        observed = sum(each[0] for each in by_prompt)
        swapped: _Matrix = functools.reduce(np.add.outer, by_prompt).ravel()
        return float(np.mean(swapped >= observed * (1 - 1e-12)))
    chance = np.random.default_rng(0)
    total, observed = np.zeros(_SAMPLED), 0.0
    for each in differences:
        signs = chance.choice((-1.0, 1.0), size=(_SAMPLED, len(each)))
        total += np.square(signs @ each).sum(axis=1)
        observed += float(np.square(each.sum(axis=0)).sum())
    # The observed one counts among the sampled: only so is p never below its true value by luck.
    return float((1 + np.sum(total >= observed * (1 - 1e-12))) / (1 + _SAMPLED))


def _every_swap(rounds: int) -> _Matrix:
    """Every pattern of signs whose first is +1; the first pattern is the observed one."""
    bits = np.arange(2 ** (rounds - 1))[:, None] >> np.arange(rounds - 1) & 1
    return np.hstack([np.ones((len(bits), 1)), 1.0 - 2.0 * bits])


def _golden(probe: ProbeResult, golden: Sequence[Golden]) -> CheckResult:
    quiet = _quiet(probe)
    rounds = probe.rounds if quiet is None else (quiet,)
    noise = 0.0 if quiet is not None else _noise(probe)
    measured = [
        np.median([each.golden[n] for each in rounds], axis=0).tolist() for n in range(len(golden))
    ]
    problem = _first_mismatch(measured, golden, noise)
    beside = f", beside other requests {noise:.3g} nats more" if noise else ""
    return CheckResult(
        name=GOLDEN,
        ok=not problem,
        found=problem or "all within tolerance",
        expected=f"{len(golden)} prompts within tolerance{beside}",
        message="the engine does not compute what the trainer measured" if problem else "",
    )


def _noise(probe: ProbeResult) -> float:
    """How far the base itself strays (nats): from its quiet self, or else from its median."""
    strays = []
    for number in range(len(probe.rounds[0].base)):
        rows = np.array([each.base[number] for each in probe.rounds])
        middle = np.median(rows, axis=0)
        strays.append(_largest(rows - middle))
        if probe.quiet_base is not None:
            strays.append(_largest(rows - np.asarray(probe.quiet_base[number])))
    return max(strays, default=0.0)


def scored(measured: Scores, golden: Sequence[Golden]) -> bool:
    """Whether the engine scored just the golden prompts, token for token."""
    return [len(row) for row in measured] == [len(wanted.logprobs) for wanted in golden]


def _first_mismatch(measured: Scores, golden: Sequence[Golden], noise: float) -> str:
    for number, (row, wanted) in enumerate(zip(measured, golden, strict=True)):
        off = [abs(a - b) for a, b in zip(row, wanted.logprobs, strict=True)]
        # Not `max(off) > tolerance`: a NaN is lost in a maximum, and compares false.
        wrong = [each for each in off if not each <= wanted.tolerance + noise]
        if wrong:
            return f"prompt {number}: off by {wrong[0]:.3g} nats, tolerance {wanted.tolerance:.3g}"
    return ""
