"""What takes its time runs off the loop, is remembered within bounds, and says when it cannot."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from router.govern.detect import DetectorUnavailable, Span, TextTooLong
from router.govern.detect.awaited import _ANY_TEXT, MAX_CHARS, Awaited


class Words:
    """Finds each ``x``; knows what it was asked, and in which thread."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.thread = threading.get_ident()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.warm = False

    def find(self, text: str) -> list[Span]:
        """Raises for a text that says so."""
        if text == _ANY_TEXT:
            self.warm = True
            return []
        self.asked.append(text)
        self.thread = threading.get_ident()
        assert self.may_go_on.wait(60)
        if text == "raise":
            raise RuntimeError("the text was: raise")
        return [Span(i, i + 1, "X") for i, letter in enumerate(text) if letter == "x"]


@pytest.fixture
def words() -> Words:
    """The detector that is waited for."""
    return Words()


@pytest.fixture
def awaited(words: Words) -> Iterator[Awaited]:
    """With room for three texts."""
    detector = Awaited("words", lambda: words, kept=3)
    yield detector
    detector.close()


async def test_it_runs_in_another_thread_and_loads_with_the_first_text(
    awaited: Awaited, words: Words
) -> None:
    """The event loop has other things to do."""
    assert not awaited.ready
    assert await awaited.find(["axb", ""]) == [[Span(1, 2, "X")], []]
    assert awaited.ready
    assert words.thread != threading.get_ident()


async def test_it_was_used_once_before_it_counts_as_loaded(awaited: Awaited, words: Words) -> None:
    """What a model loads with its first text, no request waits for."""
    await awaited.start()
    assert words.warm
    assert words.asked == []


async def test_the_loop_goes_on_while_it_works(words: Words, awaited: Awaited) -> None:
    """Others are answered meanwhile."""
    words.may_go_on.clear()
    looking = asyncio.ensure_future(awaited.find(["x"]))
    async with asyncio.timeout(60):
        while not words.asked:  # noqa: ASYNC110 - it is in another thread
            await asyncio.sleep(0.005)
    for _ in range(10):
        await asyncio.sleep(0.005)
    assert not looking.done()
    words.may_go_on.set()
    assert await looking == [[Span(0, 1, "X")]]


async def test_texts_that_come_again_are_not_read_again(awaited: Awaited, words: Words) -> None:
    """The turns of a conversation; the oldest is forgotten first."""
    for turn in range(3):
        await awaited.find([f"turn {n}" for n in range(turn + 1)])
    assert words.asked == ["turn 0", "turn 1", "turn 2"]
    await awaited.find(["turn 0", "turn 3", "turn 0", "turn 1"])
    assert words.asked == ["turn 0", "turn 1", "turn 2", "turn 3", "turn 1"]


async def test_what_is_remembered_is_bounded_by_findings_too(
    awaited: Awaited, words: Words
) -> None:
    """A text full of names takes as much room as many texts."""
    await awaited.find(["xxxxx", "xxxxx"])
    assert words.asked == ["xxxxx", "xxxxx"]


async def test_it_keeps_no_text(awaited: Awaited) -> None:
    """Only keyed digests and places."""
    await awaited.find(["Anna x Schmidt"])
    assert "Anna" not in repr(awaited._known)


async def test_what_cannot_be_loaded_is_said_and_tried_again_by_start() -> None:
    """But not by every request."""
    tries = []

    def load() -> Words:
        tries.append(1)
        if len(tries) < 2:
            raise OSError("no such model; install it")
        return Words()

    awaited = Awaited("names", load)
    for _ in range(3):
        with pytest.raises(DetectorUnavailable, match="install it"):
            await awaited.find(["x"])
    assert len(tries) == 1
    await awaited.start()
    assert await awaited.find(["x"]) == [[Span(0, 1, "X")]]
    awaited.close()


async def test_a_failure_does_not_repeat_the_text(awaited: Awaited) -> None:
    """It may stand in a log."""
    with pytest.raises(DetectorUnavailable) as caught:
        await awaited.find(["raise"])
    assert "the text was" not in str(caught.value)


async def test_longer_texts_than_it_reads_are_refused(awaited: Awaited, words: Words) -> None:
    """Before anything is read."""
    with pytest.raises(TextTooLong):
        await awaited.find(["x", "x" * (MAX_CHARS + 1)])
    assert words.asked == []


async def test_more_texts_than_may_wait_are_refused(words: Words, awaited: Awaited) -> None:
    """Rather than let all wait ever longer."""
    words.may_go_on.clear()
    asked = [asyncio.ensure_future(awaited.find([f"text {n}"])) for n in range(600)]
    await asyncio.sleep(0)  # each has asked for its place
    words.may_go_on.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    refused = [one for one in results if isinstance(one, DetectorUnavailable)]
    assert 0 < len(refused) < 600
