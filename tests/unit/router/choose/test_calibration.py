"""From token probabilities to P(correct): against known results, and honest without data."""

from __future__ import annotations

import asyncio
import copy
import math
import random
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.judge import scorer
from router.judge.calibration import MIN_JUDGED, Calibration, pooled
from router.judge.logprobs import Features, TokenLogprobs, entropy
from router.learn import isotonic
from router.wire.dialects.vllm import DIALECT
from router.wire.endpoint import Endpoint
from router.wire.formats import FORMATS

TARGET = "adapter:returns@111111111111"
NEXT = "adapter:returns@222222222222"
PAIRS = st.lists(
    st.tuples(st.floats(-5, 5), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=40
)


def features(mean: float, tokens: int = 10) -> Features:
    """An answer whose tokens are all equally likely."""
    return Features(tokens, mean, mean, 0.0)


# Isotonic regression


def test_pool_adjacent_violators_by_hand() -> None:
    """The textbook example: 1 3 2 4 3 5 becomes 1 2.5 2.5 3.5 3.5 5."""
    fitted = isotonic.fit([1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 3, 5])
    assert [fitted(x) for x in range(1, 7)] == [1, 2.5, 2.5, 3.5, 3.5, 5]
    assert fitted(0) == 1
    assert fitted(9) == 5
    assert fitted(1.5) == pytest.approx(1.75)  # half way between two blocks


def test_equal_scores_share_one_value() -> None:
    """A map cannot tell them apart."""
    fitted = isotonic.fit([1, 1, 1, 2], [0, 1, 1, 1])
    assert fitted(1) == pytest.approx(2 / 3)
    assert fitted(2) == 1


@given(PAIRS)
def test_a_fit_never_falls_and_keeps_the_mean(pairs: list[tuple[float, float]]) -> None:
    """Whatever the data: non-decreasing, within the labels, with their mean."""
    scores, labels = [p[0] for p in pairs], [p[1] for p in pairs]
    fitted = isotonic.fit(scores, labels)
    values = [fitted(score) for score in sorted(scores)]
    assert values == sorted(values)
    assert min(labels) - 1e-9 <= min(values)
    assert max(values) <= max(labels) + 1e-9
    assert sum(values) == pytest.approx(sum(labels))


@given(PAIRS, st.floats(-6, 6))
def test_no_other_monotone_map_is_closer(
    pairs: list[tuple[float, float]], threshold: float
) -> None:
    """Least squares among non-decreasing maps: no step function beats it."""
    scores, labels = [p[0] for p in pairs], [p[1] for p in pairs]
    fitted = isotonic.fit(scores, labels)
    error = sum((fitted(x) - y) ** 2 for x, y in pairs)
    for low, high in ((0.0, 1.0), (0.25, 0.75), (0.5, 0.5)):
        step = sum(((high if x >= threshold else low) - y) ** 2 for x, y in pairs)
        assert error <= step + 1e-9


def test_nothing_to_fit() -> None:
    """No data, no map."""
    with pytest.raises(ValueError, match="at least one"):
        isotonic.fit([], [])


# Logistic regression


def test_logistic_finds_the_true_weights() -> None:
    """From 20 000 draws of a known model, within what sampling allows."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(20_000, 2))
    odds = 0.5 + 2.0 * rows[:, 0] - 1.0 * rows[:, 1]
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-odds))).astype(float)
    fitted = scorer.fit(rows, labels, ridge=1e-6)
    assert fitted.score((0.0, 0.0)) == pytest.approx(0.5, abs=0.08)
    assert fitted.score((1.0, 0.0)) - fitted.score((0.0, 0.0)) == pytest.approx(2.0, abs=0.1)
    assert fitted.score((0.0, 1.0)) - fitted.score((0.0, 0.0)) == pytest.approx(-1.0, abs=0.1)


def test_logistic_at_its_optimum_has_no_gradient() -> None:
    """With only a bias the fit is the log-odds of the mean."""
    rows = np.zeros((10, 1))
    labels = np.array([1.0] * 7 + [0.0] * 3)
    assert scorer.fit(rows, labels).score((0.0,)) == pytest.approx(math.log(7 / 3), abs=1e-4)


def test_separable_data_stay_finite() -> None:
    """The ridge keeps weights finite where the data alone would not."""
    rows = np.array([[-1.0], [1.0]] * 30)
    labels = np.array([0.0, 1.0] * 30)
    assert math.isfinite(scorer.fit(rows, labels).score((1.0,)))


# Log-probabilities


def test_features_of_a_chat_answer() -> None:
    """Mean, minimum and entropy by hand; other choices do not count."""
    half = math.log(0.5)
    tops = [{"logprob": half}, {"logprob": half}]
    content = [
        {"token": "a", "logprob": half, "top_logprobs": tops},
        {"token": "b", "logprob": -0.1, "top_logprobs": [{"logprob": 0.0}]},
    ]
    other = {"index": 1, "logprobs": {"content": [{"logprob": -9.0}]}}
    tokens = TokenLogprobs(FORMATS[Endpoint.CHAT])
    answer = {"choices": [{"index": 0, "logprobs": {"content": content}}, other]}
    assert not tokens.read(answer, strip=False)
    found = tokens.features()
    assert found is not None
    assert found.tokens == 2
    assert found.mean == pytest.approx((half - 0.1) / 2)
    assert found.minimum == pytest.approx(half)
    assert found.entropy == pytest.approx(math.log(2) / 2)
    assert tokens.read(answer, strip=True)
    assert [choice["logprobs"] for choice in answer["choices"]] == [None, None]


def test_entropy_of_what_is_told() -> None:
    """What is not told counts as one more alternative."""
    assert entropy([math.log(0.25)] * 4) == pytest.approx(math.log(4))
    assert entropy([math.log(0.5)]) == pytest.approx(math.log(2))


def test_minus_infinity_is_floored() -> None:
    """vLLM writes -9999 for a token that it thought impossible."""
    tokens = TokenLogprobs(FORMATS[Endpoint.CHAT])
    told = {"token_logprobs": [None, -9999.0, 0.5], "top_logprobs": None}
    tokens.read({"choices": [{"index": 0, "logprobs": told}]}, strip=False)
    found = tokens.features()
    assert found is not None
    assert (found.tokens, found.minimum, found.mean) == (2, -30.0, -15.0)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["content", "logprob", "top_logprobs", "token_logprobs", "logprobs"]),
            inner,
        )
    ),
    max_leaves=10,
)


@pytest.mark.parametrize("endpoint", Endpoint)
@given(value=JSON)
def test_any_answer(endpoint: Endpoint, value: object) -> None:
    """Whatever an engine says, reading it does not fail."""
    tokens = TokenLogprobs(FORMATS[endpoint])
    tokens.read({"choices": [{"index": 0, "logprobs": value}, value]}, strip=True)
    tokens.read(value, strip=True)
    found = tokens.features()
    assert found is None or -30.0 <= found.minimum <= found.mean <= 0.0


def test_only_what_the_client_did_not_ask_for_is_added() -> None:
    """A client's own wish is left alone."""
    probe = DIALECT.probe
    assert probe(Endpoint.CHAT, {}) == {"logprobs": True, "top_logprobs": 5}
    assert probe(Endpoint.COMPLETIONS, {"logprobs": None}) == {"logprobs": 5}
    assert probe(Endpoint.CHAT, {"logprobs": True}) is None
    assert probe(Endpoint.COMPLETIONS, {"logprobs": 0}) is None
    wish = "message.output_text.logprobs"
    assert probe(Endpoint.RESPONSES, {"include": None}) == {"include": [wish], "top_logprobs": 5}
    assert probe(Endpoint.RESPONSES, {"include": [wish]}) is None
    assert probe(Endpoint.MESSAGES, {"logprobs": True}) == {"logprobs": True, "top_logprobs": 5}


def test_what_responses_repeat_counts_once() -> None:
    """Each token is told in its delta, and again in part, item and response: only removed there."""
    told = [{"token": "a", "logprob": -1.0, "top_logprobs": []}]
    part = {"type": "output_text", "text": "a", "logprobs": told}
    item = {"type": "message", "content": [part]}
    found: list[dict[str, Any]] = [
        {"type": "response.output_text.delta", "delta": "a", "logprobs": told},
        {"type": "response.output_text.done", "text": "a", "logprobs": []},
        {"type": "response.content_part.done", "part": part},
        {"type": "response.output_item.done", "item": item},
        {"type": "response.completed", "response": {"output": [item], "top_logprobs": 5}},
    ]
    tokens = TokenLogprobs(FORMATS[Endpoint.RESPONSES])
    changed = [tokens.read(copy.deepcopy(event), strip=True) for event in found]
    assert tokens.count == 1
    assert changed == [True, False, True, True, True]
    for event in found:
        tokens.read(event, strip=True)
        assert b'logprob"' not in orjson.dumps(event)


# Calibration


def truth(mean: float) -> float:
    """How often answers with this mean are really good, in the tests' world."""
    return 0.95 if mean > -0.3 else 0.4 if mean > -1.0 else 0.1


def judged(calibration: Calibration, count: int, target: str = TARGET, seed: int = 3) -> None:
    """Answers of that world, judged."""
    rng = random.Random(seed)
    for _ in range(count):
        mean = rng.uniform(-2.0, 0.0)
        good = float(rng.random() < truth(mean))
        calibration.judge("returns", target, features(mean), good)
    calibration.refit_now()


def test_without_judgements_the_default_is_honest() -> None:
    """The geometric mean of the tokens' probabilities, said to be no calibration."""
    assert Calibration().probability("returns", TARGET, features(-0.5)) == (math.exp(-0.5), False)


def test_too_few_or_one_sided_judgements_change_nothing() -> None:
    """What cannot be told apart is not fitted."""
    calibration = Calibration()
    judged(calibration, MIN_JUDGED - 1)
    assert not calibration.probability("returns", TARGET, features(-0.5))[1]
    calibration = Calibration()
    for _ in range(MIN_JUDGED * 2):
        calibration.judge("returns", TARGET, features(-0.1), 1.0)
    calibration.refit_now()
    assert not calibration.probability("returns", TARGET, features(-0.5))[1]


def test_calibrated_probabilities_are_frequencies() -> None:
    """Expected calibration error on fresh answers of the same world is small."""
    calibration = Calibration()
    judged(calibration, 500)
    rng, error, count = random.Random(11), 0.0, 400
    for _ in range(count):
        mean = rng.uniform(-2.0, 0.0)
        probability, calibrated = calibration.probability("returns", TARGET, features(mean))
        assert calibrated
        error += abs(probability - truth(mean))
    assert error / count < 0.12
    low, high = (
        calibration.probability("returns", TARGET, features(mean))[0] for mean in (-1.9, -0.05)
    )
    assert low < 0.3
    assert high > 0.8


async def test_answers_are_fitted_beside_the_event_loop() -> None:
    """Judging wakes who fits, and costs the loop no fit; what comes meanwhile is fitted as well."""
    calibration, woken = Calibration(), []
    calibration.wake = lambda: woken.append(True)
    rng = random.Random(3)

    def judge(count: int) -> None:
        for _ in range(count):
            mean = rng.uniform(-2.0, 0.0)
            good = float(rng.random() < truth(mean))
            calibration.judge("returns", TARGET, features(mean), good)

    judge(MIN_JUDGED - 1)
    assert not woken
    judge(1)
    assert woken
    assert not calibration.probability("returns", TARGET, features(-0.5))[1]
    fitting = asyncio.create_task(calibration.refit())
    await asyncio.sleep(0)
    judge(MIN_JUDGED)
    await fitting
    found, calibrated = calibration.probability("returns", TARGET, features(-0.5))
    assert calibrated
    calibration.refit_now()
    assert calibration.probability("returns", TARGET, features(-0.5)) == (found, True)


def test_what_was_learned_carries_over() -> None:
    """To other intents of the target and to the adapter's next version, not to other adapters."""
    calibration = Calibration()
    judged(calibration, 100)
    for intent, target, known in (
        ("other", TARGET, True),
        ("returns", NEXT, True),
        ("returns", "base", False),
        ("returns", "adapter:extract@1", False),
    ):
        assert calibration.probability(intent, target, features(-0.1))[1] is known


def test_what_was_expected_before_is_evidence_too() -> None:
    """Of two answers with the same tokens, that of the harder request is less likely right."""
    calibration, rng = Calibration(), random.Random(5)
    for _ in range(400):
        expected, mean = rng.uniform(0.1, 0.9), rng.uniform(-2.0, 0.0)
        good = float(rng.random() < expected)
        calibration.judge("returns", TARGET, features(mean), good, expected)
    calibration.refit_now()
    hard, easy = (
        calibration.probability("returns", TARGET, features(-0.5), expected)[0]
        for expected in (0.15, 0.85)
    )
    assert hard < 0.35
    assert easy > 0.65


def test_what_nobody_expected_changes_nothing() -> None:
    """Judgements from before expectations were recorded teach as they did, beside those with."""
    plain, mixed = Calibration(), Calibration()
    judged(plain, 200)
    judged(mixed, 200)
    for mean in (-1.5, -0.5, -0.1):
        known = plain.probability("returns", TARGET, features(mean))
        assert mixed.probability("returns", TARGET, features(mean), 0.3) == known
    mixed.judge("returns", TARGET, features(-0.1), 1.0, 0.9)
    for _ in range(20):
        mixed.judge("returns", TARGET, features(-0.1), 1.0)
    mixed.refit_now()
    probability, calibrated = mixed.probability("returns", TARGET, features(-0.1))
    assert calibrated
    assert probability > 0.8


def test_two_opinions() -> None:
    """Pooled they are between both; one alone stands."""
    assert pooled(0.3, None) == 0.3
    assert pooled(0.3, 0.3) == pytest.approx(0.3)
    assert pooled(0.2, 0.8) == pytest.approx(0.5)
    assert 0.0 < pooled(0.0, 0.9) < 0.1
    assert 0.9 < pooled(1.0, 0.2) < 1.0


@given(st.lists(st.tuples(st.floats(-30, 0), st.sampled_from([0.0, 1.0])), max_size=120))
def test_always_a_probability(pairs: list[tuple[float, float]]) -> None:
    """Whatever was judged, P stays strictly between 0 and 1 once it is calibrated."""
    calibration = Calibration()
    for mean, label in pairs:
        calibration.judge("i", TARGET, features(mean), label)
    calibration.refit_now()
    for mean in (-30.0, -1.0, 0.0):
        probability, calibrated = calibration.probability("i", TARGET, features(mean))
        assert 0.0 <= probability <= 1.0
        assert not calibrated or 0.0 < probability < 1.0
