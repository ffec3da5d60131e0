"""Fits and their calibration, against what is known about them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from router.intent.calibrate import calibration_error, temperature, tempered
from router.learn.logistic import fit, one_hot, softmax

PROBABILITIES = arrays(np.float64, (4, 5), elements=st.floats(0.01, 1)).map(
    lambda rows: rows / rows.sum(axis=1, keepdims=True)
)


@given(PROBABILITIES, st.floats(0.2, 5))
def test_tempering_keeps_the_order(rows: np.ndarray, t: float) -> None:
    """Rows still sum to 1, and what was likelier still is."""
    after = tempered(rows, t)
    assert after.sum(axis=1) == pytest.approx(np.ones(4))
    for before, now in zip(rows, after, strict=True):
        assert (np.diff(now[np.argsort(before)]) >= -1e-12).all()


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_is_found(true: float) -> None:
    """Labels drawn from tempered probabilities give the temperature back."""
    rng = np.random.default_rng(3)
    rows = softmax(rng.normal(0, 1.5, (20_000, 4)))
    below = tempered(rows, true).cumsum(axis=1) < rng.uniform(size=(20_000, 1))
    labels = below[:, :3].sum(axis=1)
    assert temperature(rows, labels) == pytest.approx(true, rel=0.1)


def test_calibration_error() -> None:
    """Nothing for the calibrated, the distance for those who are sure and wrong."""
    rng = np.random.default_rng(1)
    confidence = rng.uniform(size=50_000)
    assert calibration_error(confidence, rng.uniform(size=50_000) < confidence) < 0.02
    assert calibration_error(np.full(10, 0.9), np.zeros(10, np.bool_)) == pytest.approx(0.9)


def test_a_fit_is_where_the_gradient_vanishes() -> None:
    """The optimum of penalised logistic regression: mean error times features equals the decay."""
    rng = np.random.default_rng(2)
    features = rng.normal(size=(300, 6)).astype(np.float32)
    classes = (features @ rng.normal(size=(6, 3)) + rng.gumbel(size=(300, 3))).argmax(axis=1)
    share = rng.uniform(0.5, 2, 300).astype(np.float32)
    weights, bias = fit(features, one_hot(classes, 3), decay=0.01, weights=share, iterations=400)
    error = softmax(features @ weights + bias) - np.eye(3)[classes]
    error *= (share / share.sum())[:, np.newaxis]
    assert features.T @ error + 0.01 * weights == pytest.approx(np.zeros((6, 3)), abs=3e-3)
    assert error.sum(axis=0) == pytest.approx(np.zeros(3), abs=3e-3)
