"""The watched store: taken once, never half-written, bad ones marked and left alone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore

from adapters.config import AdaptersConfig, WatchSettings
from adapters.errors import FleetError, StoreError
from adapters.jobs.periodic import JobStatus, PeriodicJobs
from adapters.publish.watch import Watcher
from adapters.registry import Sighting
from adapters.registry.lifecycle import State
from adapters.store.sources import Found, LocalSource, ObjectSource, Source, open_source
from tests.fakes.adapter_path import FAST, AdapterPath
from tests.fakes.fleet import FakeFleet
from tests.fakes.tiny_adapter import BASE, tiny_adapter

QUICK = WatchSettings(settle_s=2.0, poll_s=0.05, retry_s=5.0)


class Clock:
    """A monotonic clock that moves when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def looking(
    watcher: Watcher, on_failure: Callable[[str, Exception], None] | None = None
) -> AsyncIterator[PeriodicJobs]:
    """The watcher's jobs at work, as in the registry's process."""
    jobs = PeriodicJobs(on_failure)
    watcher.add_to(jobs)
    jobs.start()
    async with asyncio.timeout(60):
        yield jobs
    await jobs.aclose()
    await watcher.aclose()


def status(jobs: PeriodicJobs, name: str) -> JobStatus:
    """What became of one job's runs."""
    return next(found for found in jobs.statuses() if found.name == name)


def watcher_of(path: AdapterPath, config: AdaptersConfig, source: Source | None = None) -> Watcher:
    """As the registry's process makes it."""
    taking = path.root / "taking"
    return Watcher(path.rollout, path.registry, config, path.events, scratch=taking, source=source)


class Watched:
    """A watcher over a path of the fake world; ``look`` is one look and all that follows."""

    def __init__(self, path: AdapterPath, source: Source) -> None:
        self.path = path
        self.clock = Clock()
        self.source = source
        self.restart()

    def restart(self) -> None:
        """A new watcher that knows only what the registry knows."""
        config = self.path.config.model_copy(update={"watch": QUICK})
        self.watcher = Watcher(
            self.path.rollout,
            self.path.registry,
            config,
            self.path.events,
            scratch=self.path.root / "taking",
            source=self.source,
            clock=self.clock,
        )

    async def look(self, after_s: float = 0.0) -> float:
        """Let time pass, look, and wait for what was taken."""
        self.clock.now += after_s
        pause = await self.watcher.look()
        await self.watcher.settled()
        await self.path.idle()
        return pause

    def live(self, alias: str = "returns") -> str | None:
        """Digest of the alias's live version."""
        return next((a.live for a in self.path.registry.aliases() if a.name == alias), None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The watched directory."""
    return tmp_path / "watched"


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[AdapterPath]:
    """The adapter path behind the watch."""
    made = AdapterPath(tmp_path, FakeFleet("r0", "r1"), FAST)
    yield made
    await made.aclose()


@pytest.fixture
def watched(path: AdapterPath, root: Path) -> Watched:
    """A watched local directory."""
    return Watched(path, LocalSource(root, max_files=20, max_bytes=10_000, max_entries=50))


def drop(
    root: Path, seed: int, name: str = "v1", alias: str = "returns", broken: bool = False
) -> Path:
    """Put an unfinished adapter into the store."""
    return tiny_adapter(root / alias / name, seed, broken=broken)


def finish(directory: Path) -> None:
    """Say that the directory is complete."""
    (directory / "_SUCCESS").touch()


def kinds(path: AdapterPath) -> list[str]:
    """What the watch said."""
    return [event.kind for event in path.events.since(0) if event.kind.startswith("watch")]


async def test_a_finished_directory_is_published(watched: Watched, root: Path) -> None:
    """With ``_SUCCESS`` in it, at the first look; the file is not part of the content."""
    finish(drop(root, 1))
    await watched.look()
    assert watched.live() == watched.path.digest(1)
    assert kinds(watched.path) == ["watch-taken"]
    assert (root / "returns" / "v1" / "_SUCCESS").exists(), "nothing of the user's is removed"


async def test_a_quiet_directory_is_published(watched: Watched, root: Path) -> None:
    """Without ``_SUCCESS``, when nothing in it has changed for the settle time."""
    directory = drop(root, 1)
    assert await watched.look() == pytest.approx(0.05)
    await watched.look(after_s=1.9)
    (directory / "README.md").write_text("still writing")
    await watched.look(after_s=1.9)
    assert watched.live() is None
    await watched.look(after_s=2.1)
    assert watched.live() == watched.path.digest(1)


async def test_a_success_file_that_came_too_early_does_not_count(
    watched: Watched, root: Path
) -> None:
    """A copy that brings ``_SUCCESS`` along before the weights is still being written."""
    directory = drop(root, 1)
    finish(directory)
    past = (directory / "adapter_config.json").stat().st_mtime - 10
    os.utime(directory / "_SUCCESS", (past, past))
    await watched.look()
    assert watched.live() is None
    await watched.look(after_s=2.1)
    assert watched.live() is not None


async def test_content_is_taken_once(watched: Watched, root: Path) -> None:
    """Looking again, touching, copying under another name and restarting change nothing."""
    directory = drop(root, 1)
    finish(directory)
    await watched.look()
    epoch = watched.path.registry.epoch()
    await watched.look()
    os.utime(directory / "_SUCCESS")
    await watched.look()
    shutil.copytree(directory, root / "returns" / "copy")
    await watched.look(after_s=1)
    await watched.look(after_s=3)
    watched.restart()
    await watched.look(after_s=10)
    assert watched.path.registry.epoch() == epoch
    assert watched.path.fleet.count("probe") == 1


async def test_the_newest_of_several_ends_up_live(watched: Watched, root: Path) -> None:
    """A store that was filled while nobody looked is taken in the order of its files."""
    for age, seed in ((30, 3), (10, 1), (20, 2)):
        directory = drop(root, seed, name=f"v{seed}")
        finish(directory)
        for file in directory.iterdir():
            when = file.stat().st_mtime - age
            os.utime(file, (when, when))
    await watched.look()
    assert watched.live() == watched.path.digest(1)


async def test_a_bad_one_gets_its_reasons_beside_it(watched: Watched, root: Path) -> None:
    """Refused, marked, announced; the directory itself is left alone and not tried again."""
    directory = drop(root, 1, broken=True)
    finish(directory)
    await watched.look()
    marker = json.loads((root / "returns" / "v1.rejected.json").read_text())
    assert [check["name"] for check in marker["checks"]] == ["finite"]
    assert marker["source"] == "returns/v1"
    assert directory.is_dir()
    watched.restart()
    await watched.look(after_s=60)
    assert kinds(watched.path) == ["watch-rejected"]
    assert watched.path.fleet.count("load") == 0


async def test_a_bad_one_is_tried_again_once_it_changes(watched: Watched, root: Path) -> None:
    """The repaired directory is published and the marker goes."""
    finish(drop(root, 1, broken=True))
    await watched.look()
    finish(drop(root, 1))
    await watched.look()
    await watched.look(after_s=3)
    assert watched.live() == watched.path.digest(1)
    assert not (root / "returns" / "v1.rejected.json").exists()


async def test_one_that_an_engine_refuses_is_marked_too(watched: Watched, root: Path) -> None:
    """Quarantine after preflight looks the same to whoever filled the store."""
    watched.path.fleet.delta = 0.0
    finish(drop(root, 1))
    await watched.look()
    marker = json.loads((root / "returns" / "v1.rejected.json").read_text())
    assert [check["name"] for check in marker["checks"]] == ["probe-effect"]


@pytest.mark.parametrize("where", ["entry", "file"])
async def test_links_are_refused(watched: Watched, root: Path, tmp_path: Path, where: str) -> None:
    """Nothing outside the store is read through it."""
    elsewhere = tiny_adapter(tmp_path / "elsewhere", 1)
    (root / "returns").mkdir(parents=True)
    if where == "entry":
        (root / "returns" / "v1").symlink_to(elsewhere)
    else:
        directory = drop(root, 1)
        (directory / "README.md").symlink_to("/etc/passwd")
    await watched.look()
    assert watched.live() is None
    assert "link" in json.loads((root / "returns" / "v1.rejected.json").read_text())["error"]


@pytest.mark.parametrize(
    ("what", "reason"), [("large", "more than 10000 bytes"), ("many", "more than 20 files")]
)
async def test_what_is_too_much_is_not_even_copied(
    watched: Watched, root: Path, what: str, reason: str
) -> None:
    """The limits of preflight hold before the first byte is read."""
    directory = drop(root, 1)
    if what == "large":
        (directory / "extra.bin").write_bytes(b"0" * 10_000)
    for number in range(25 if what == "many" else 0):
        (directory / f"{number}.txt").touch()
    await watched.look()
    assert reason in json.loads((root / "returns" / "v1.rejected.json").read_text())["error"]


async def test_a_bad_alias_is_marked(watched: Watched, root: Path) -> None:
    """A directory that can never be served says why."""
    finish(drop(root, 1, alias="Not An Alias"))
    await watched.look()
    assert "alias" in (root / "Not An Alias" / "v1.rejected.json").read_text()


async def test_hidden_and_loose_things_are_ignored(watched: Watched, root: Path) -> None:
    """Dot names are for drafts and for the content-addressed store; files are not adapters."""
    finish(drop(root, 1, name=".draft"))
    finish(drop(root, 2, alias=".versions"))
    (root / "returns" / "notes.txt").write_text("hello")
    (root / "notes.txt").write_text("hello")
    (root / "returns" / "empty").mkdir()
    await watched.look(after_s=10)
    assert watched.path.registry.versions() == []


async def test_a_directory_that_changes_while_it_is_read_is_left_for_later(
    watched: Watched, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is judged is what was there, whole."""
    directory = drop(root, 1)
    finish(directory)
    fetch = watched.source.fetch

    def interrupted(found: Found, destination: Path) -> bool:
        (directory / "README.md").write_text("one more thing")
        return fetch(found, destination)

    monkeypatch.setattr(watched.source, "fetch", interrupted)
    await watched.look()
    assert watched.path.registry.versions() == []
    monkeypatch.undo()
    await watched.look(after_s=3)
    await watched.look(after_s=3)
    assert watched.live() is not None


async def test_a_passing_failure_is_tried_again_later(watched: Watched, root: Path) -> None:
    """With a pause that doubles, without a marker, until it works."""

    def fails(what: str, *_: object) -> None:
        if what == "load":
            raise FleetError("busy")

    watched.path.fleet.rules.append(fails)
    finish(drop(root, 1))
    await watched.look()
    await watched.look(after_s=1)
    assert kinds(watched.path) == ["watch-retry"]
    await watched.look(after_s=5)
    pauses = [e.data["seconds"] for e in watched.path.events.since(0) if e.kind == "watch-retry"]
    assert pauses == [5.0, 10.0]
    watched.path.fleet.rules.clear()
    await watched.look(after_s=11)
    assert watched.live() == watched.path.digest(1)
    assert not (root / "returns" / "v1.rejected.json").exists()


async def test_a_retired_version_is_not_brought_back(watched: Watched, root: Path) -> None:
    """Its directory still lies in the store; even a copy under a new name stays retired."""
    finish(drop(root, 1))
    await watched.look()
    await watched.path.rollout.retire("returns")
    await watched.path.idle()
    finish(drop(root, 1, name="again"))
    await watched.look()
    version = watched.path.registry.version("returns", watched.path.digest(1))
    assert version.state is State.RETIRED


async def test_a_new_directory_with_an_older_version_makes_it_live_again(
    watched: Watched, root: Path
) -> None:
    """A pipeline rolls back by putting A there once more; an old entry that is touched does not."""
    for seed in (1, 2):
        finish(drop(root, seed, name=f"v{seed}"))
        await watched.look()
    (root / "returns" / "v1" / "_SUCCESS").write_bytes(b"touched")
    os.utime(root / "returns" / "v1" / "adapter_model.safetensors", (1, 1))
    await watched.look()
    assert kinds(watched.path)[-1] == "watch-known"
    assert watched.live() == watched.path.digest(2)
    finish(drop(root, 1, name="v1-again"))
    await watched.look()
    assert watched.live() == watched.path.digest(1)


OTHER_BASE = BASE.model_copy(update={"digest": "c" * 64})
LARGER_BASE = OTHER_BASE.model_copy(
    update={"linears": {"model.layers.0.self_attn.q_proj": (32, 8)}}
)


async def test_another_base_is_another_judgement(watched: Watched, root: Path) -> None:
    """What fits it is published for it; what does not gets its reasons, until the base is back."""
    finish(drop(root, 1))
    await watched.look()
    path = watched.path
    assert path.registry.version("returns", path.digest(1)).base == BASE.digest
    path.base = OTHER_BASE
    await watched.look()
    version = path.registry.version("returns", path.digest(1))
    assert (version.state, version.base) == (State.LIVE, OTHER_BASE.digest)
    path.base = LARGER_BASE.model_copy(update={"digest": "d" * 64})
    await watched.look()
    assert watched.live() is None
    assert (root / "returns" / "v1.rejected.json").exists()
    path.base = BASE
    await watched.look()
    assert watched.live() == path.digest(1)
    assert not (root / "returns" / "v1.rejected.json").exists()


async def test_another_base_brings_nothing_back(watched: Watched, root: Path) -> None:
    """What an operator retired stays retired, whatever is served."""
    finish(drop(root, 1))
    await watched.look()
    await watched.path.rollout.retire("returns")
    await watched.path.idle()
    watched.path.base = OTHER_BASE
    await watched.look()
    version = watched.path.registry.version("returns", watched.path.digest(1))
    assert version.state is State.RETIRED


async def test_a_restart_judges_nothing_anew(watched: Watched, root: Path) -> None:
    """The base is remembered with the verdict, and none is known before the engines are up."""
    finish(drop(root, 1, broken=True))
    await watched.look()
    said = kinds(watched.path)
    watched.restart()
    watched.path.base = None
    await watched.look()
    watched.path.base = BASE
    await watched.look()
    assert kinds(watched.path) == said


async def test_a_store_that_cannot_be_written_still_rejects(
    watched: Watched, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reasons that cannot be put beside it are in the event and in the registry."""

    def read_only(*_: object) -> None:
        raise StoreError("read-only file system")

    monkeypatch.setattr(watched.source, "mark", read_only)
    finish(drop(root, 1, broken=True))
    await watched.look()
    assert kinds(watched.path) == ["watch-failed", "watch-rejected"]
    await watched.look(after_s=60)
    assert kinds(watched.path) == ["watch-failed", "watch-rejected"]


@pytest.mark.parametrize("events_work", [True, False])
async def test_the_loop_notices_a_new_directory(
    path: AdapterPath, root: Path, events_work: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By file events, and by looking now and then where there are none."""
    if not events_work:

        def none(*_: object, **__: object) -> object:
            raise OSError("inotify limit reached")

        monkeypatch.setattr("adapters.publish.watch.awatch", none)
    poll_s = 30.0 if events_work else 0.05
    config = AdaptersConfig(store=str(root), watch=WatchSettings(settle_s=0.1, poll_s=poll_s))
    async with looking(watcher_of(path, config)):
        await asyncio.sleep(0.3)
        drop(root, 1)
        async with asyncio.timeout(60):
            async for event in path.events.follow(0):
                if event.kind == "watch-taken":
                    break
        assert path.registry.alias("returns").live == path.digest(1)
    assert ("watch-polls" in kinds(path)) is not events_work


async def test_a_watch_that_is_off_never_looks(path: AdapterPath, root: Path) -> None:
    """``enabled: false`` means that nobody looks."""
    config = AdaptersConfig(store=str(root), watch=WatchSettings(enabled=False))
    async with looking(watcher_of(path, config)) as jobs:
        assert jobs.statuses() == []


# Object stores


@pytest.fixture
def bucket() -> MemoryStore:
    """A bucket with ETags."""
    return MemoryStore()


@pytest.fixture
def listed(path: AdapterPath, bucket: MemoryStore) -> Watched:
    """A watched bucket."""
    return Watched(path, ObjectSource(bucket, max_files=20, max_bytes=10_000))


def upload(bucket: MemoryStore, directory: Path, key: str, *, success: bool = True) -> None:
    """Put a directory's files under a key, ``_SUCCESS`` last."""
    for file in sorted(directory.iterdir()):
        obstore.put(bucket, f"{key}/{file.name}", file.read_bytes())
    if success:
        obstore.put(bucket, f"{key}/_SUCCESS", b"")


def keys(bucket: MemoryStore) -> set[str]:
    """Every key in the bucket."""
    return {meta["path"] for batch in obstore.list(bucket) for meta in batch}


async def test_a_finished_prefix_is_published(listed: Watched, bucket: MemoryStore) -> None:
    """Taken by one listing and one download, once."""
    upload(bucket, listed.path.adapter(1), "returns/v1")
    await listed.look()
    await listed.look()
    assert listed.live() == listed.path.digest(1)
    assert kinds(listed.path) == ["watch-taken"]


async def test_a_prefix_without_success_has_to_keep_still(
    listed: Watched, bucket: MemoryStore
) -> None:
    """Two listings a settle time apart that agree by ETag."""
    upload(bucket, listed.path.adapter(1), "returns/v1", success=False)
    await listed.look()
    assert listed.live() is None
    await listed.look(after_s=2.1)
    assert listed.live() == listed.path.digest(1)


async def test_a_bad_prefix_is_marked_and_cleared(
    listed: Watched, bucket: MemoryStore, tmp_path: Path
) -> None:
    """The marker is an object beside the prefix; it goes when the repaired one is taken."""
    upload(bucket, tiny_adapter(tmp_path / "bad", 1, broken=True), "returns/v1")
    await listed.look()
    assert "returns/v1.rejected.json" in keys(bucket)
    await listed.look()
    upload(bucket, listed.path.adapter(1), "returns/v1")
    await listed.look()
    await listed.look(after_s=3)
    assert listed.live() == listed.path.digest(1)
    assert "returns/v1.rejected.json" not in keys(bucket)
    assert len([key for key in keys(bucket) if key.startswith("returns/v1/")]) == 3


async def test_a_bucket_out_of_reach_is_an_error_that_passes(path: AdapterPath) -> None:
    """The loop goes on; nothing is forgotten."""

    class Unreachable(LocalSource):
        def scan(self) -> list[Found]:
            raise StoreError("listing: connection refused")

    source = Unreachable(path.root, max_files=1, max_bytes=1, max_entries=1)
    config = path.config.model_copy(update={"watch": QUICK})
    watcher = watcher_of(path, config, source)
    failed = asyncio.Semaphore(0)
    async with looking(watcher, lambda *_: failed.release()) as jobs:
        for _ in range(2):
            await failed.acquire()
        assert status(jobs, "watch").last_error == "listing: connection refused"
        jobs.check()


async def test_a_surprise_while_taking_one_entry_is_told_and_the_others_are_taken(
    watched: Watched, root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that is done in the background fails in silence: a traceback, an event, a retry."""
    bad = drop(root, 1)
    drop(root, 2, name="v2")
    fetch = watched.source.fetch

    def surprising(found: Found, directory: Path) -> bool:
        if Path(found.source).name == bad.name:
            raise LookupError("a bug")
        return fetch(found, directory)

    monkeypatch.setattr(watched.source, "fetch", surprising)
    await watched.look()
    await watched.look(after_s=3)
    assert watched.live() == watched.path.digest(2)
    assert "watch-retry" in kinds(watched.path)
    logged = [record for record in caplog.records if record.message == "watch_failed"]
    assert logged[0].exc_info is not None


def test_a_store_is_opened_by_its_address(tmp_path: Path) -> None:
    """A path is a directory, a URL is a bucket, nonsense is an error."""
    limits = {"max_files": 1, "max_bytes": 1, "max_entries": 1}
    assert isinstance(open_source(str(tmp_path), **limits), LocalSource)
    assert isinstance(open_source("memory:///", **limits), ObjectSource)
    with pytest.raises(StoreError):
        open_source("gopher://x/y", **limits)


async def test_a_full_disk_is_told_and_tried_again(
    watched: Watched, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not somebody who is still at work on the entry."""
    drop(root, 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("adapters.store.sources.copy_file", full)
    await watched.look()
    await watched.look(after_s=3)
    told = [event for event in watched.path.events.since(0) if event.kind == "watch-retry"]
    assert "no room" in told[0].data["error"]
    monkeypatch.undo()
    await watched.look(after_s=600)
    assert watched.live() == watched.path.digest(1)
    assert list((watched.path.root / "taking").iterdir()) == []


async def test_of_too_many_entries_the_newest_count_and_the_rest_is_reported(
    path: AdapterPath, root: Path
) -> None:
    """What is not looked at is not forgotten in silence."""
    for number, name in enumerate(("a", "b", "c")):
        os.utime(drop(root, number + 1, name=name), (number, number))
    watched = Watched(path, LocalSource(root, max_files=20, max_bytes=10_000, max_entries=2))
    for _ in range(2):
        await watched.look(after_s=3)
    assert {each.source for each in watched.source.scan()} == {"returns/b", "returns/c"}
    assert kinds(path).count("watch-left-out") == 1


def test_a_bucket_with_too_many_entries_is_read_in_bounds(bucket: MemoryStore) -> None:
    """Law 9: what a listing says is not kept beyond the limit."""
    for name in ("a", "b", "c", "d"):
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            obstore.put(bucket, f"returns/{name}/{file}", b"{}")
    source = ObjectSource(bucket, max_files=20, max_bytes=10_000, max_entries=2)
    assert [each.name for each in source.scan()] == ["a", "b"]
    assert source.left_out == 2


async def test_entries_that_left_long_ago_are_forgotten(
    watched: Watched, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest of them; what is still there is not taken a second time."""
    monkeypatch.setattr("adapters.publish.watch._MOST_REMEMBERED", 1)
    for name in ("gone", "older"):
        watched.path.registry.remember(Sighting(f"returns/{name}", "print", None, "taken"))
    drop(root, 1)
    for _ in range(3):
        await watched.look(after_s=3)
    known = list(watched.path.registry.sightings())
    assert len(known) == 1
    assert known[0].startswith("returns/")
    assert known[0] not in {"returns/gone", "returns/older"}
