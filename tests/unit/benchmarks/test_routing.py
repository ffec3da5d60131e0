"""The routing benchmark's own arithmetic, on cases whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.routing.after import table as after
from benchmarks.routing.data import DataMissing, Problem, banking77
from benchmarks.routing.intents import auroc
from benchmarks.routing.prehoc import BY_RISK, BY_WORTH, accuracies, as_decided, table
from benchmarks.routing.pretend import BY_AUTHORS, BY_CHANCE, bots
from benchmarks.routing.tracer import AGREEMENT, threshold


def test_auroc() -> None:
    """One when all scores inside are higher, a half when they are the same in law."""
    assert auroc(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 1
    assert auroc(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 0
    rng = np.random.default_rng(0)
    assert auroc(rng.normal(size=4000), rng.normal(size=4000)) == pytest.approx(0.5, abs=0.02)


def test_the_threshold_keeps_the_agreement() -> None:
    """Above it the agreement is at least the target; who always agrees handles everything."""
    rng = np.random.default_rng(1)
    confidence = rng.uniform(size=20_000)
    agrees = rng.uniform(size=20_000) < 0.8 + 0.2 * confidence
    line = threshold(confidence, agrees)
    assert 0.4 < line < 0.9
    assert agrees[confidence >= line].mean() >= AGREEMENT
    assert threshold(confidence, np.ones(20_000, np.bool_)) == confidence.min()
    assert threshold(confidence, np.zeros(20_000, np.bool_)) == 2


def test_routers_are_between_random_and_the_oracle() -> None:
    """Outcomes that follow from the vector are learned; the oracle bounds everybody."""
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(400, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    problems = [
        Problem(f"how much is {index}", bool(vector[0] > 0), bool(index % 10))
        for index, vector in enumerate(vectors)
    ]
    assert accuracies(problems)[1] == pytest.approx(0.9)
    rows = {row.name: row for row in table(problems, vectors)}
    shares = {name: row.share for name, row in rows.items()}
    assert shares["oracle"] <= min(shares.values())
    assert shares[BY_RISK] < 0.8 * shares["random"]
    assert rows["random"].apgr == pytest.approx(0.5)
    assert all(row.low - 0.05 <= row.share <= row.high + 0.05 for row in rows.values())


def test_the_gain_leaves_what_neither_solves_to_the_weak_model() -> None:
    """Where half of what the weak model fails the strong one fails too, failure alone misleads."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(600, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    problems = [
        Problem(f"how much is {index}", bool(vector[0] > 0), bool(vector[0] > 0 or vector[1] > 0))
        for index, vector in enumerate(vectors)
    ]
    rows = {row.name: row for row in table(problems, vectors)}
    assert rows[BY_WORTH].share < 0.8 * rows[BY_RISK].share
    low, high = rows[BY_WORTH].against_knn
    assert low <= high
    assert rows["random"].against_knn == ()
    done = as_decided(problems, vectors)
    assert done.share == pytest.approx(rows[BY_WORTH].share, abs=2 / len(problems))
    assert done.quality >= 0.95 - 1e-9


def test_evidence_after_generation_saves_calls() -> None:
    """The more it tells, the fewer; what tells nothing does no harm worth a word."""
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(500, 8)).astype(np.float32)
    right = rng.random(500) < 1 / (1 + np.exp(-vectors[:, 0]))
    problems = [
        Problem(f"how much is {index}", bool(right[index]), rng.random() < 0.9, "so much")
        for index in range(500)
    ]
    confidence = rng.normal(size=(500, 3)) + 2.0 * right[:, np.newaxis]
    rows = {each.name: each for each in after(problems, vectors, vectors, confidence)}
    before = rows["none: before generation alone"]
    assert before.at_once == pytest.approx(before.with_at_once, abs=1e-6)
    assert before.at_once == pytest.approx(before.share, abs=0.02)
    assert all(each.decided == pytest.approx(each.share, abs=0.01) for each in rows.values())
    assert rows["SmolLM2's, of the answer"].share < 0.7 * before.share
    assert rows["SmolLM2's, of the answer"].auroc > 0.9
    simulated = [rows[f"simulated, AUROC {area}"] for area in (0.65, 0.75, 0.85)]
    assert simulated[2].share < simulated[0].share < before.share + 0.05
    assert all(each.low - 0.05 <= each.share <= each.high + 0.05 for each in rows.values())


def test_pretended_bots_are_asked_what_they_were_not_told() -> None:
    """The same each time; as many texts without an intent as is said."""
    sets = {
        name: {f"{name} {n}": [f"{name} {n} {m}" for m in range(60)] for n in range(70)}
        for name in ("CLINC150", "Bitext", "BANKING77")
    }

    def encode(texts: list[str]) -> np.ndarray:
        return np.ones((len(texts), 2), np.float32)

    made, again = ([*bots(sets, encode, 30)] for _ in range(2))
    assert made == again
    assert {each.style for each in made} == {BY_CHANCE, BY_AUTHORS}
    for bot in made:
        known = {each.intent for each in bot.known}
        assert not {each.text for each in bot.known} & {each.text for each in bot.asked}
        assert {each.intent for each in bot.asked} - {None} <= known
        without = sum(each.intent is None for each in bot.asked)
        assert without == round(400 * bot.share)


def test_missing_data_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark can say which file is not there."""
    monkeypatch.setenv("GRAFTWORK_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match=r"banking77_test\.csv is not there"):
        banking77("test")
