"""What the tracer counts as a file, a function and a jump."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.walk import tracer
from tests.walk.tracer import Tracer, Walk

ONE = """
import asyncio

async def waits(other):
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return [each for each in other.counts(2)]

async def loops():
    while True:
        await asyncio.sleep(0)
"""
OTHER = """
def counts(n):
    for number in range(n):
        yield helped(number)

def helped(number):
    return (lambda: number)()
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """Two files of a room below a repository."""
    monkeypatch.setattr(tracer, "ROOT", tmp_path)
    return _module(tmp_path, "one", ONE), _module(tmp_path, "other", OTHER)


def _module(root: Path, name: str, source: str) -> ModuleType:
    module = ModuleType(name)
    exec(compile(source, str(root / "room" / f"{name}.py"), "exec"), module.__dict__)
    return module


def noted(work: Callable[[], Awaitable[object]]) -> Walk:
    """What a piece of work touched."""
    found = Tracer(["room"])

    async def run() -> Walk:
        with found.noting() as walk:
            await work()
        return walk

    with found.installed():
        return asyncio.run(run())


def test_a_coroutine_or_generator_that_goes_on_is_not_called_again(
    modules: tuple[ModuleType, ModuleType],
) -> None:
    """One entry each, however often they pause; comprehensions and lambdas are no functions."""
    one, other = modules
    walk = noted(lambda: one.waits(other))
    assert walk.files == ["room/one.py", "room/other.py"]
    assert walk.functions == [
        "room/one.py:waits",
        "room/other.py:counts",
        "room/other.py:helped",
    ]
    assert walk.jumps == {("room/one.py", "room/other.py"): 1}


def test_threads_of_the_work_are_followed(modules: tuple[ModuleType, ModuleType]) -> None:
    """Those that stand alone, and those that the work waits for."""
    _, other = modules

    async def work() -> None:
        alone = threading.Thread(target=lambda: list(other.counts(1)))
        alone.start()
        alone.join()
        await asyncio.to_thread(other.helped, 1)

    walk = noted(work)
    assert walk.functions == ["room/other.py:counts", "room/other.py:helped"]
    assert walk.jumped == 0


def test_what_only_threads_on_their_own_visit_comes_last(
    modules: tuple[ModuleType, ModuleType],
) -> None:
    """Also when they were first."""
    one, other = modules

    async def work() -> None:
        alone = threading.Thread(target=other.helped, args=(1,))
        alone.start()
        alone.join()
        later = asyncio.create_task(one.loops())
        await asyncio.sleep(0)
        later.cancel()

    assert noted(work).files == ["room/one.py", "room/other.py"]


def test_what_ran_before_is_left_out(modules: tuple[ModuleType, ModuleType]) -> None:
    """Periodic work has no part in the walk."""
    one, other = modules
    found = Tracer(["room"])

    async def run() -> Walk:
        before = asyncio.create_task(one.loops())
        with found.noting() as walk:
            await asyncio.sleep(0.01)
            other.helped(1)
        before.cancel()
        return walk

    with found.installed():
        assert asyncio.run(run()).files == ["room/other.py"]


def test_a_part_of_a_walk_has_the_jumps_within_it() -> None:
    """Figures of one folder do not hold those of its neighbours."""
    walk = Walk(["a/x", "b/y"], ["a/x:f", "b/y:g"], {("a/x", "b/y"): 2, ("a/x", "a/z"): 3})
    assert walk.within("a/") == Walk(["a/x"], ["a/x:f"], {("a/x", "a/z"): 3})
