"""Several at the same moment, and a process that dies: one wins, nothing that was said is lost."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from adapters.review.errors import ReviewError
from adapters.review.verdicts import Outcome, Verdict
from tests.fakes.postgres import NewDatabase
from tests.fakes.reviewing import Reviewing, reviewing

_AT_ONCE = 8


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reviewing]:
    """One verdict settles."""
    url = f"sqlite:///{tmp_path / 'flywheel.db'}"
    if request.param == "postgresql":
        new: NewDatabase = request.getfixturevalue("postgres")
        url = new()
    with reviewing(url) as opened:
        yield opened


def at_once(act: Callable[[str], object]) -> Counter[str]:
    """So many reviewers do it at the same moment; how each ended."""
    start = Barrier(_AT_ONCE)

    def tried(name: str) -> str:
        start.wait()
        try:
            act(name)
        except ReviewError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return Counter(threads.map(tried, [f"r{number}" for number in range(_AT_ONCE)]))


def test_one_of_many_claims_it(desk: Reviewing) -> None:
    """The others are told so."""
    item = desk.asked("How?")
    ended = at_once(lambda name: desk.reviews.claim(item, name))
    assert ended == {"done": 1, "review-claimed": _AT_ONCE - 1}


def test_each_takes_another_next(desk: Reviewing) -> None:
    """Nobody gets what somebody else was given."""
    items = {desk.asked(f"q{number}") for number in range(_AT_ONCE)}
    taken: list[str | None] = []
    at_once(lambda name: taken.append(desk.reviews.next(name)))
    assert set(taken) == items


def test_all_verdicts_of_one_moment_count(desk: Reviewing) -> None:
    """None overwrites another; the outcome is that of all of them."""
    item = desk.asked("How?")

    def judge(name: str) -> None:
        verdict = Verdict.REJECT if name in {"r0", "r1", "r2"} else Verdict.ACCEPT
        desk.reviews.judge(item, name, verdict)

    assert at_once(judge) == {"done": _AT_ONCE}
    found = desk.reviews.find(item)
    assert len(found.history) == _AT_ONCE
    assert found.outcome is Outcome.GOLD
    assert desk.state(item) == "gold"


def test_one_reviewer_in_two_windows_judges_once(desk: Reviewing) -> None:
    """The second is told that he has judged."""
    item = desk.asked("How?")
    ended = at_once(lambda _: desk.reviews.judge(item, "ann", Verdict.ACCEPT))
    assert ended == {"done": 1, "already-judged": _AT_ONCE - 1}


def test_no_acknowledged_verdict_dies_with_its_process(tmp_path: Path) -> None:
    """After ``kill -9`` each is there, and so is what it did to its exchange."""
    url = f"sqlite:///{tmp_path / 'flywheel.db'}"
    words = [sys.executable, "-m", "tests.fakes.judging_process", url]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(20)]
        process.kill()
        told += process.stdout.read().split("\n")[:-1]
    assert all(each.startswith("rev_") for each in told)
    with reviewing(url) as desk:
        gold = desk.reviews.gold()
        assert len(gold) in {len(told), len(told) + 1}  # one may have died before it was told
        for each in told:
            found = desk.reviews.find(each)
            assert found.outcome is Outcome.GOLD
            assert found.exchange is not None
            assert found.exchange.state.value == "gold"
