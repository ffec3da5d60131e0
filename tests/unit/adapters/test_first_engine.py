"""Pushes that come before the first engine: kept, shown, in order; through crashes and limits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.atomic import sync_tree
from adapters.config import AdaptersConfig
from adapters.errors import Conflict, NotInStore, StoreFull
from adapters.publish.forgetting import Forgetter
from adapters.publish.waiting import WAITS, QueueFull, WaitingRoom
from adapters.registry.lifecycle import State
from tests.fakes.adapter_path import PUSHES, AdapterPath, Fate, Killed
from tests.fakes.fleet import FakeFleet
from tests.fakes.tiny_adapter import BASE

LIMIT = 3


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[AdapterPath]:
    """A registry that no engine has reported to; two replicas will hold what it publishes."""
    made = AdapterPath(tmp_path, FakeFleet("r0", "r1"), base=None)
    update = {"push": PUSHES.model_copy(update={"waiting": LIMIT, "first_engine_s": 0.0})}
    made.config = made.config.model_copy(update=update)
    made.registry.close()
    made.start()
    yield made
    await made.aclose()


async def asked(path: AdapterPath, seed: int, alias: str = "returns", **options: object) -> State:
    """Push without waiting; where it stands then."""
    return (await path.rollout.push(alias, path.adapter(seed), **options)).state  # type: ignore[arg-type]


async def engine_comes(path: AdapterPath) -> None:
    """The first report, and all that follows from it."""
    path.base = BASE
    await path.rollout.resume()
    await path.idle()


def state(path: AdapterPath, seed: int, alias: str = "returns") -> State:
    """Where the version is."""
    return path.registry.version(alias, path.digest(seed)).state


def room(path: AdapterPath) -> WaitingRoom:
    """Where the files lie."""
    return path.rollout.queue.room


async def test_a_push_waits_says_why_and_goes_live_with_the_first_engine(path: AdapterPath) -> None:
    """Nothing is asked of the base before there is one, and nothing is left afterwards."""
    outcome = await path.rollout.push("returns", path.adapter(1))
    assert (outcome.state, outcome.error, outcome.known) == (State.RECEIVED, WAITS, False)
    assert path.registry.version("returns", path.digest(1)).error == WAITS
    await engine_comes(path)
    version = path.registry.version("returns", path.digest(1))
    assert (version.state, version.error) == (State.LIVE, "")
    assert room(path).entries() == []


async def test_they_are_published_in_the_order_in_which_they_came(path: AdapterPath) -> None:
    """The last one of an alias is live in the end, the one before it can be gone back to."""
    for seed in (3, 1, 2):
        assert await asked(path, seed) is State.RECEIVED
    await engine_comes(path)
    alias = path.registry.alias("returns")
    assert (alias.live, alias.previous) == (path.digest(2), path.digest(1))
    commits = [line.digest for line in path.registry.history() if line.action == "commit"]
    assert commits == [path.digest(seed) for seed in (3, 1, 2)]


async def test_a_push_behind_one_that_waits_does_not_overtake_it(path: AdapterPath) -> None:
    """An engine is up, but an earlier push of the alias has not been taken in yet."""
    await asked(path, 1)
    path.base = BASE
    await asked(path, 2)
    await path.idle()
    alias = path.registry.alias("returns")
    assert (alias.live, alias.previous) == (path.digest(2), path.digest(1))


async def test_who_waits_for_the_end_is_told_of_it(path: AdapterPath) -> None:
    """``wait`` lasts until it serves."""
    pushing = asyncio.create_task(path.rollout.push("returns", path.adapter(1), wait=True))
    async with asyncio.timeout(60):
        while not room(path).entries():  # noqa: ASYNC110 - it comes with a rename
            await asyncio.sleep(0.01)
    await engine_comes(path)
    assert (await pushing).state is State.LIVE


async def test_a_bad_one_ends_where_a_bad_one_ends(tmp_path: Path, path: AdapterPath) -> None:
    """Its checks run when the base is known, and nobody behind it is held up."""
    bad = path.adapter(1)
    (bad / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4}')
    outcome = await path.rollout.push("returns", bad)
    assert outcome.state is State.RECEIVED
    await asked(path, 2)
    await engine_comes(path)
    version = path.registry.version("returns", outcome.digest)
    assert (version.state, bool(version.checks)) == (State.REJECTED, True)
    assert state(path, 2) is State.LIVE


async def test_bytes_without_a_digest_are_refused_at_once(
    tmp_path: Path, path: AdapterPath
) -> None:
    """They would not become better by waiting."""
    (tmp_path / "empty").mkdir()
    outcome = await path.rollout.push("returns", tmp_path / "empty")
    assert (outcome.state, outcome.refused, outcome.digest) == (State.REJECTED, True, "")


async def test_only_so_many_wait(path: AdapterPath) -> None:
    """One too many is told so, and comes in when there is room again (law 9)."""
    for seed in range(1, LIMIT + 1):
        await asked(path, seed, f"alias-{seed}")
    with pytest.raises(QueueFull):
        await asked(path, 9)
    assert state(path, 9) is State.FAILED
    await path.rollout.retire("alias-1")
    assert await asked(path, 9) is State.RECEIVED
    await engine_comes(path)
    assert state(path, 9) is State.LIVE


async def test_the_same_bytes_again_wait_once_and_go_where_they_were_last_wanted(
    path: AdapterPath,
) -> None:
    """A statement of the wanted stage, as always."""
    await asked(path, 1)
    again = await path.rollout.push("returns", path.adapter(1), stage="canary", percent=5)
    assert (again.state, again.known, len(room(path).entries())) == (State.RECEIVED, True, 1)
    await engine_comes(path)
    assert state(path, 1) is State.CANARY


async def test_one_that_waits_may_be_retired_and_pushed_again(path: AdapterPath) -> None:
    """It never served; its files are gone, so promoting it names the remedy."""
    await asked(path, 1)
    (left,) = await path.rollout.retire("returns", path.digest(1))
    assert (left.state, left.known, room(path).entries()) == (State.RETIRED, False, [])
    with pytest.raises(NotInStore, match="push it again"):
        await path.rollout.promote("returns", path.digest(1))
    await engine_comes(path)
    assert state(path, 1) is State.RETIRED
    await path.push("returns", 1)
    assert state(path, 1) is State.LIVE


async def test_one_that_waits_goes_with_the_person_that_it_learned_from(path: AdapterPath) -> None:
    """No engine may come for days: an erasure does not wait for one, and nothing comes back."""
    await asked(path, 1)
    version = path.registry.version("returns", path.digest(1))
    forgetter = Forgetter(path.rollout, path.store)
    assert await forgetter.exists(version)
    await forgetter.forget(version, "erasure", "a person was erased")
    assert (state(path, 1), room(path).entries()) == (State.RETIRED, [])
    assert not await forgetter.exists(path.registry.version("returns", path.digest(1)))
    with pytest.raises(Conflict, match="a person was erased"):
        await asked(path, 1)
    await engine_comes(path)
    assert state(path, 1) is State.RETIRED


async def test_retiring_an_alias_takes_back_all_that_waits_of_it(path: AdapterPath) -> None:
    """And nothing of another alias."""
    for seed in (1, 2):
        await asked(path, seed)
    await asked(path, 3, "other")
    left = await path.rollout.retire("returns")
    assert [each.digest for each in left] == [path.digest(1), path.digest(2)]
    await engine_comes(path)
    assert state(path, 3, "other") is State.LIVE
    assert (state(path, 1), state(path, 2)) == (State.RETIRED, State.RETIRED)


async def test_one_that_waits_cannot_be_promoted(path: AdapterPath) -> None:
    """It says where it stands."""
    await asked(path, 1)
    with pytest.raises(Conflict, match=WAITS):
        await path.rollout.promote("returns", path.digest(1))


@pytest.mark.parametrize("step", ["move_tree", "sync_tree"])
async def test_without_room_on_the_disk_the_push_fails_and_says_so(
    path: AdapterPath, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Nobody is told that bytes are kept which are not, and none of them take up room."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"adapters.publish.waiting.{step}", full)
    with pytest.raises(StoreFull):
        await asked(path, 1)
    assert state(path, 1) is State.FAILED
    assert list((path.root / "waiting").iterdir()) == []


@pytest.mark.parametrize("dies_at", range(1, 7))
async def test_a_registry_that_dies_at_any_commit_of_a_push(
    path: AdapterPath, dies_at: int
) -> None:
    """Who was told that it waits, finds it live; who was not, may push again."""
    path.registry.fate = Fate(dies_at=dies_at)
    acknowledged = False
    with contextlib.suppress(Killed):
        acknowledged = await asked(path, 1) is State.RECEIVED
    await path.restart()
    await engine_comes(path)
    if acknowledged:
        assert state(path, 1) is State.LIVE
    else:
        await path.push("returns", 1)
        assert state(path, 1) is State.LIVE
    assert room(path).entries() == []


class Dead(Fate):
    """Who died does nothing more, whatever else was under way in the process."""

    def step(self, *_: object) -> None:
        """One more step, or none any more."""
        self.steps += 1
        if self.dies_at is not None and self.steps >= self.dies_at:
            raise Killed(f"at step {self.dies_at}")


@pytest.mark.parametrize("dies_at", range(1, 13))
async def test_a_registry_that_dies_while_it_takes_them_in(path: AdapterPath, dies_at: int) -> None:
    """Between any two commits: the next process goes on, in order."""
    for seed in (1, 2):
        await asked(path, seed)
    path.base, path.registry.fate = BASE, Dead(dies_at=dies_at)
    with contextlib.suppress(Killed):
        await path.rollout.queue.advance()
        await path.idle()
    assert path.registry.fate.steps >= dies_at
    await path.restart()
    await engine_comes(path)
    alias = path.registry.alias("returns")
    assert (alias.live, alias.previous) == (path.digest(2), path.digest(1))
    assert room(path).entries() == []


_PROCESS = """
import asyncio, sys, time
from pathlib import Path
from tests.fakes.adapter_path import AdapterPath
from tests.fakes.fleet import FakeFleet

async def main():
    path = AdapterPath(Path(sys.argv[1]), FakeFleet("r0"), base=None)
    for seed in (1, 2):
        outcome = await path.rollout.push("returns", path.adapter(seed))
        print(outcome.state.value, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_what_was_accepted_outlives_kill_9(tmp_path: Path) -> None:
    """A real process, really killed; another one publishes what it had taken."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROCESS, str(tmp_path), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        said = [(await process.stdout.readline()).decode().strip() for _ in range(2)]
    process.kill()
    await process.wait()
    assert said == ["received", "received"]
    path = AdapterPath(tmp_path, FakeFleet("r0"), base=None)
    try:
        assert [entry.digest for entry in room(path).entries()] == [path.digest(1), path.digest(2)]
        await engine_comes(path)
        assert path.registry.alias("returns").live == path.digest(2)
    finally:
        await path.aclose()


def test_the_defaults_are_bounded() -> None:
    """A number that a disk can hold."""
    assert 1 <= AdaptersConfig().push.waiting <= 1000


def test_what_is_being_moved_in_is_not_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that somebody made long ago keeps its time while it becomes durable."""
    waiting = WaitingRoom(tmp_path / "waiting", 5)
    pushed = tmp_path / "pushed"
    pushed.mkdir()
    (pushed / "adapter_config.json").write_text("{}")
    for each in (pushed / "adapter_config.json", pushed):
        os.utime(each, (0, 0))

    def swept_meanwhile(path: Path) -> None:
        waiting.sweep()
        sync_tree(path)

    monkeypatch.setattr("adapters.publish.waiting.sync_tree", swept_meanwhile)
    waiting.take(pushed, "returns", "a" * 64)
    (entry,) = waiting.entries()
    assert (entry.path / "adapter_config.json").read_text() == "{}"
    left = tmp_path / "waiting" / f".draft-returns@{'b' * 64}"
    left.mkdir()
    os.utime(left, (0, 0))
    waiting.sweep()
    assert not left.exists()
