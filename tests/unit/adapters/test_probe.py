"""The verdict on a probe: exact on a quiet engine, and with a known error rate beside others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.fleet import ProbeResult, ProbeRound, Scores
from adapters.format.manifest import Golden, Manifest
from adapters.publish.probe import FALSE_ACCEPT, LOOKS, effect, judge, rounds_wanted

TOKENS = (11, 15, 12, 9)
MIN_EFFECT = 1e-4
QUIET_BASE = [[-2.0] * tokens for tokens in TOKENS]


class NoisyEngine:
    """Log probabilities that move with the batch, as those of bf16 on a GPU do.

    Args:
        noise: mean size of what the batch adds, nats, Laplace distributed.
        moved: what the adapter adds to each token, nats.
        shared: of the noise, the share that a pair has in common.
    """

    def __init__(self, seed: int, noise: float, moved: float = 0.0, shared: float = 0.0) -> None:
        self._chance = np.random.default_rng(seed)
        self._noise = noise
        self._moved = moved
        self._shared = shared

    def _strays(self) -> list[np.ndarray]:
        return [self._chance.laplace(0.0, self._noise, tokens) for tokens in TOKENS]

    def round(self, *, quiet: bool = False) -> ProbeRound:
        """Score each prompt with both."""
        common, ours, theirs = self._strays(), self._strays(), self._strays()
        base, adapter = [], []
        for n in range(len(TOKENS)):
            together = common[n] * self._shared
            alone = 1.0 - self._shared
            base.append((-2.0 + together + alone * theirs[n]).tolist())
            adapter.append((-2.0 + self._moved + together + alone * ours[n]).tolist())
        return ProbeRound(adapter, base, quiet=quiet)

    def probed(self) -> ProbeResult:
        """As many rounds as a verdict takes."""
        rounds: list[ProbeRound] = []
        while True:
            rounds.append(self.round())
            result = ProbeResult("one", tuple(rounds))
            if rounds_wanted(result, MIN_EFFECT) <= len(rounds):
                return result


def passes(result: ProbeResult, manifest: Manifest | None = None) -> list[bool]:
    """Each check's verdict."""
    return [check.ok for check in judge(result, manifest or Manifest(), MIN_EFFECT)]


def one_round(adapter: Scores, base: Scores, *, quiet: bool = True) -> ProbeResult:
    """A probe of a single round."""
    return ProbeResult("one", (ProbeRound(adapter, base, quiet=quiet),))


@pytest.mark.parametrize(("moved", "ok"), [(0.0, False), (5e-5, False), (2e-4, True), (3.0, True)])
def test_a_quiet_engine_decides_at_once(moved: float, ok: bool) -> None:
    """Alone it computes the same each time: one round, and the threshold."""
    moved_scores = [[score + moved for score in row] for row in QUIET_BASE]
    result = one_round(moved_scores, QUIET_BASE)
    assert rounds_wanted(result, MIN_EFFECT) == 1
    assert passes(result) == [ok]


def test_one_quiet_round_among_noisy_ones_decides() -> None:
    """Whatever the others look like."""
    engine = NoisyEngine(1, noise=0.3)
    quiet = ProbeRound(QUIET_BASE, QUIET_BASE)
    result = ProbeResult("one", (engine.round(), engine.round(), quiet))
    assert rounds_wanted(result, MIN_EFFECT) == 3
    assert (effect(result), passes(result)) == (0.0, [False])


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_not_taken_for_an_effect(seed: int) -> None:
    """What the fixed threshold let through: bf16 noise of up to 0.3 nats, no effect at all."""
    result = NoisyEngine(seed, noise=0.05).probed()
    assert effect(result) > 100 * MIN_EFFECT
    assert len(result.rounds) == LOOKS[-1]
    assert passes(result) == [False]


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_real_adapters_are_seen_at_the_first_look(shared: float) -> None:
    """They moved log probabilities by 3 nats and more; a tenth of that is enough."""
    for seed in range(20):
        result = NoisyEngine(seed, noise=0.05, moved=0.3, shared=shared).probed()
        assert len(result.rounds) == LOOKS[0]
        assert passes(result) == [True]


def test_a_small_effect_takes_the_second_look() -> None:
    """Averaging tells it from noise of its own size."""
    found = [NoisyEngine(seed, noise=0.05, moved=0.05).probed() for seed in range(20)]
    assert [passes(result) for result in found] == [[True]] * 20


def test_false_accepts_are_as_rare_as_stated() -> None:
    """Over heavy-tailed noise, with the number of trials at which luck cannot hide twice the rate.

    Expected at most 2 among 2,000; 9 or more have a chance of 0.0003.
    """
    accepted = 0
    for seed in range(2_000):
        engine = NoisyEngine(seed, noise=0.05)
        result = ProbeResult("one", tuple(engine.round() for _ in range(LOOKS[0])))
        accepted += passes(result) == [True]
    assert accepted < 9
    assert FALSE_ACCEPT <= 1e-3


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=4), st.permutations(range(4)))
def test_the_order_of_rounds_does_not_matter(moves: Sequence[float], order: list[int]) -> None:
    """The same evidence is the same verdict."""
    rounds = [ProbeRound([[m] * 3] * 4, [[m / 3, 0.0, m]] * 4, quiet=False) for m in moves]
    first = ProbeResult("one", tuple(rounds))
    second = ProbeResult("one", tuple(rounds[n] for n in order))
    assert passes(first) == passes(second)


@pytest.mark.parametrize("where", ["adapter", "base"])
def test_no_number_is_a_verdict(where: str) -> None:
    """A NaN on either side refuses, without further rounds."""
    broken = [[math.nan, -1.0], *QUIET_BASE[1:]]
    fine = [[-1.0, -1.0], *QUIET_BASE[1:]]
    sides = {"adapter": fine, "base": fine} | {where: broken}
    result = one_round(sides["adapter"], sides["base"], quiet=False)
    assert rounds_wanted(result, MIN_EFFECT) == 1
    assert passes(result) == [False]


def golden_rounds(
    strays: Sequence[float], base_strays: Sequence[float], quiet_base: float | None = None
) -> ProbeResult:
    """Noisy rounds in which the golden prompt and the base were off by so much."""
    rounds = tuple(
        ProbeRound([[3.0]], [[-2.0 + b]], golden=[[-1.0 + s]], quiet=False)
        for s, b in zip(strays, base_strays, strict=True)
    )
    remembered = None if quiet_base is None else [[quiet_base]]
    return ProbeResult("one", rounds, remembered)


GOLDEN = Manifest(golden=[Golden(prompt="hello", logprobs=[-1.0], tolerance=0.01)])


@pytest.mark.parametrize(
    ("result", "ok"),
    [
        # As noisy as the base is.
        (golden_rounds([0.1, -0.1, 0.05, 0.0], [0.1, -0.1, 0.1, 0.0]), True),
        # Off by more than the base strays.
        (golden_rounds([0.5, 0.4, 0.6, 0.5], [0.1, -0.1, 0.1, 0.0]), False),
        # The whole batch shifts both alike: the base's quiet self tells.
        (golden_rounds([0.2] * 4, [0.2] * 4), False),
        (golden_rounds([0.2] * 4, [0.2] * 4, quiet_base=-2.0), True),
    ],
)
def test_golden_scores_are_judged_against_the_bases_own_scatter(
    result: ProbeResult,
    ok: bool,
) -> None:
    """An honest adapter is not condemned for its neighbours in the batch."""
    assert passes(result, GOLDEN)[1] is ok
