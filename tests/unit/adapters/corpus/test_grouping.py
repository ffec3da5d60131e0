"""Groups of vectors: the same as the greedy algorithm's, under names that last."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.corpus.grouping import Floats, Labels, go_on, grouped, linked


def _greedy(vectors: Floats, height: float) -> list[set[int]]:
    """Average linkage by its definition."""
    groups = [{place} for place in range(len(vectors))]
    alike = vectors @ vectors.T
    while len(groups) > 1:
        best = max(
            ((a, b) for a in range(len(groups)) for b in range(a)),
            key=lambda pair: float(
                alike[np.ix_(list(groups[pair[0]]), list(groups[pair[1]]))].mean()
            ),
        )
        a, b = best
        if alike[np.ix_(list(groups[a]), list(groups[b]))].mean() < height:
            break
        groups[b] |= groups.pop(a)
    return sorted(groups, key=min)


def _sets(labels: Labels) -> list[set[int]]:
    found = [set(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)]
    return sorted(found, key=min)


def _random(seed: int, count: int) -> NDArray[np.float32]:
    made = np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("height", [-0.5, 0.2, 0.5, 0.9, 1.5])
def test_chains_find_what_the_greedy_algorithm_finds(seed: int, height: float) -> None:
    """Also where nothing belongs together, and where all does."""
    vectors = _random(seed, 24)
    assert _sets(linked(vectors, height)) == _greedy(vectors, height)


def test_nothing_and_one() -> None:
    """No vector, and a single one."""
    general = np.zeros(6, np.float32)
    assert len(grouped(np.zeros((0, 6), np.float32), general)[0]) == 0
    assert grouped(_random(1, 1), general)[0].tolist() == [0]


def test_names_go_where_most_members_went() -> None:
    """When two become one the older name stays, when one becomes two the larger part has it."""
    age = {"old": 1, "young": 2}
    assert go_on(["young"] * 5 + ["old"] * 2, np.zeros(7, np.intp), age) == {0: "old"}
    parts = np.array([0, 1, 1, 1, 0])
    assert go_on(["old"] * 5, parts, age) == {1: "old"}
    assert go_on([None, None], np.array([0, 1]), age) == {}
    assert go_on(["old", "old", "young", None], np.array([3, 3, 1, 1]), age) == {
        3: "old",
        1: "young",
    }
