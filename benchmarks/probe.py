"""How often the effect probe errs beside other requests: ``python -m benchmarks.probe``.

Simulates what an engine computes for the probe's prompts: the base's log probabilities, noise that
moves them with the batch, and an adapter that adds a given amount. Prints, for each noise and
effect, the share of versions that pass and the rounds that it takes. With ``--noise FILE`` the
noise is drawn from measured differences (a JSON list of lists, nats, one list a scoring of the
base), as `python -m benchmarks.gpu noise` writes them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapters.fleet import ProbeResult, ProbeRound
from adapters.format.manifest import Manifest
from adapters.publish.probe import judge, rounds_wanted

TOKENS = (11, 15, 12, 9)
MIN_EFFECT = 1e-4
EFFECTS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
Vector = NDArray[np.float64]
Noise = Callable[[np.random.Generator, int], Vector]


def laplace(scale: float) -> Noise:
    """Heavy tails: mean size ``scale``, now and then five times that."""
    return lambda chance, size: chance.laplace(0.0, scale, size)


def bursts(scale: float, share: float) -> Noise:
    """Most scorings are exact, and some are not at all."""

    def drawn(chance: np.random.Generator, size: int) -> Vector:
        return chance.laplace(0.0, scale, size) * (chance.random() < share)

    return drawn


def measured(rows: list[list[float]]) -> Noise:
    """A whole scoring of those that were measured, tokens beside each other as they were."""

    def drawn(chance: np.random.Generator, size: int) -> Vector:
        row = np.asarray(rows[chance.integers(len(rows))])
        begin = chance.integers(len(row))
        return np.take(row, np.arange(begin, begin + size), mode="wrap")

    return drawn


def probed(chance: np.random.Generator, noise: Noise, effect: float) -> ProbeResult:
    """As many rounds as a verdict takes; the effect differs by token, about ``effect``."""
    moved = [chance.normal(0.0, effect, size) for size in TOKENS]
    rounds: list[ProbeRound] = []
    while True:
        base = [(-2.0 + noise(chance, size)).tolist() for size in TOKENS]
        adapter = [(-2.0 + each + noise(chance, len(each))).tolist() for each in moved]
        rounds.append(ProbeRound(adapter, base, quiet=False))
        result = ProbeResult("simulated", tuple(rounds))
        if rounds_wanted(result, MIN_EFFECT) <= len(rounds):
            return result


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.probe")
    parser.add_argument("--trials", type=int, default=2000, help="versions per effect and noise")
    parser.add_argument("--noise", type=Path, help="measured differences, JSON")
    options = parser.parse_args()
    noises: dict[str, Noise] = {
        "Laplace, mean 0.006 nats": laplace(0.006),
        "Laplace, mean 0.05 nats": laplace(0.05),
        "bursts: 0.2 nats in a third": bursts(0.2, 1 / 3),
    }
    if options.noise is not None:
        noises["measured"] = measured(json.loads(options.noise.read_text()))
    print("| noise | effect, nats | passed | rounds, mean |")
    print("| --- | --: | --: | --: |")
    for name, noise in noises.items():
        for effect in EFFECTS:
            chance = np.random.default_rng(7)
            trials = options.trials if effect == 0.0 else max(1, options.trials // 10)
            results = [probed(chance, noise, effect) for _ in range(trials)]
            passed = [judge(each, Manifest(), MIN_EFFECT)[0].ok for each in results]
            rounds = np.mean([len(each.rounds) for each in results])
            print(f"| {name} | {effect:g} | {np.mean(passed):.2%} | {rounds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
