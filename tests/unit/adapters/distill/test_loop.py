"""Distillations from the wish to the version that serves, and whoever dies on the way."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from adapters.dataset.datasets import Datasets
from adapters.distill import job
from adapters.distill.briefing import AUTHOR
from adapters.distill.clearing import AGAIN
from adapters.distill.directories import JobDirectories
from adapters.distill.distillations import MAX_OPEN, Ended, TooManyOpen, UnknownDistillation
from adapters.distill.erasing import TrainedVersions
from adapters.distill.states import ENDED, DistillState
from adapters.errors import Conflict, NotAsked, Superseded
from adapters.flywheel.config import FlywheelConfig
from adapters.publish.forgetting import Forgetter
from adapters.publish.gating import Finding, Gate
from adapters.registry import Plan, Registry, VersionRecord
from adapters.registry.lifecycle import State
from tests.fakes.adapter_path import AdapterPath, Fate, Killed
from tests.fakes.fleet import FakeFleet
from tests.fakes.learning_loop import LearningLoop, row
from tests.fakes.trainer_process import FakeTrainer, InstantTrainer

Make = Callable[..., LearningLoop]
IDENTITY = "dst_" + "0" * 24


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Builds loops; closes them and their trainers afterwards."""
    made: list[LearningLoop] = []

    def build(gate: Gate | None = None, **fields: Any) -> LearningLoop:
        root = tmp_path / str(len(made))
        root.mkdir()
        made.append(LearningLoop(AdapterPath(root, FakeFleet("r0"), gate=gate), **fields))
        return made[-1]

    yield build
    for each in made:
        await each.aclose()


async def test_an_intents_gold_becomes_a_version_that_serves(make: Make) -> None:
    """Trained on the train split alone, pushed as its distillation, live, and written down."""
    world = make()
    events = world.path.events
    asked = world.ask(settings={"seed": 4})
    assert (asked.state, asked.cause) == (DistillState.QUEUED, "request")
    done = await world.run(asked.id, "live", "failed")
    assert done.state is DistillState.LIVE, done.reason
    assert (done.step, done.steps) == (3, 3)
    assert done.loss == pytest.approx(1 / 3)
    assert done.ended_at is not None
    version = world.path.registry.version("returns", done.digest)
    assert (version.state, version.author) == (State.LIVE, f"{AUTHOR}{asked.id}")
    assert world.path.registry.alias("returns").intents == ("returns",)
    origin = world.lineage.of("returns", done.digest)
    assert origin is not None
    assert (origin.distillation, origin.dataset) == (asked.id, done.dataset)
    assert origin.splits == {"train": 2, "test": 1}
    assert origin.reviewers == {"ana": 3}
    assert origin.teacher == "frontier:cloud/big"
    assert origin.settings["seed"] == 4
    told = [e.data["state"] for e in events.since(0) if e.kind == "distillation"]
    order = [*dict.fromkeys(told)]
    assert order == ["queued", "training", "packaging", "gating", "live"]


async def test_it_is_live_when_the_routers_know(make: Make) -> None:
    """Who is told so, and asks at once, is answered by it."""
    world = make(trainer=InstantTrainer())
    fleet, may_know, asked_for = world.path.fleet, asyncio.Event(), asyncio.Semaphore(0)
    applied = fleet.routers_applied

    async def late(epoch: int, timeout_s: float) -> bool:
        asked_for.release()
        await may_know.wait()
        return await applied(epoch, timeout_s)

    fleet.routers_applied = late  # type: ignore[method-assign]
    asked = world.ask()
    ending = asyncio.create_task(world.run(asked.id, "live", "failed"))
    async with asyncio.timeout(60):
        for _ in ("the publish", "the distillation"):
            await asked_for.acquire()
    found = world.distillations.find(asked.id)
    assert world.path.registry.version("returns", found.digest).state is State.LIVE
    assert found.state is DistillState.GATING
    may_know.set()
    assert (await ending).state is DistillState.LIVE


async def test_held_out_rows_do_not_reach_the_trainer(make: Make) -> None:
    """Not even as a file; and of a training that ended no person's text stays."""
    world = make(trainer=FakeTrainer(pause_s=0.3))
    asked = world.ask()
    await world.run(asked.id, "training")
    path = world.directories.path(asked.id)
    kept = [example.digest for example in job.read_examples(path)]
    assert kept == [row(1).digest, row(2).digest]
    await world.run(asked.id, "live")
    await world.loop.tick()
    assert not (path / job.EXAMPLES_FILE).exists()
    assert not (path / job.ADAPTER_DIR).exists()
    assert [look["step"] for look in world.directories.curve(asked.id)] == [1, 2, 3]


async def test_without_gold_it_fails_and_says_so(make: Make) -> None:
    """No dataset, no training."""
    world = make()
    done = await world.run(world.ask(alias="other", intent="other").id, "failed")
    assert "no gold answers" in done.reason
    world.data.gold["held"] = [row(9, intent="held", split="test")]
    done = await world.run(world.ask(alias="held", intent="held").id, "failed")
    assert "no rows to train on" in done.reason


async def test_a_trainer_that_fails_says_why(make: Make) -> None:
    """Its reason is the distillation's."""
    world = make(trainer=FakeTrainer(fails="the disk is full"))
    done = await world.run(world.ask().id, "failed")
    assert done.reason == "the disk is full"


async def test_a_trainer_that_dies_goes_on_from_its_checkpoint(make: Make) -> None:
    """It is started again, and the alias's version is what it would have been."""
    world = make(trainer=(trainer := FakeTrainer(pause_s=0.05, steps=1000)))
    asked = world.ask()
    await world.run(asked.id, "training")
    while world.distillations.find(asked.id).step < 4:
        await world.loop.tick()
        await asyncio.sleep(0.02)
    trainer.behaviour = {"steps": world.distillations.find(asked.id).step + 20}
    world.trainer.kill()
    done = await world.run(asked.id, "live", "failed")
    assert done.state is DistillState.LIVE
    steps = [look["step"] for look in world.directories.curve(asked.id)]
    assert steps == sorted(steps), "no step is done twice"
    assert len(world.trainer.started) == 2


def test_a_curve_tells_each_step_once(tmp_path: Path) -> None:
    """What was done again after a death is told as it went the last time."""
    directories = JobDirectories(tmp_path)
    identity = f"dst_{'0' * 24}"
    directories.path(identity).mkdir()
    log = job.ProgressLog(directories.path(identity))
    for step, loss in ((3, 9.0), (6, 8.0), (9, 7.0), (6, 8.5), (9, 7.5)):
        log.add(job.Progress(at=0.0, phase="training", step=step, steps=9, loss=loss))
    log.add(job.Progress(at=0.0, phase="packaging", step=9, steps=9))
    seen = [(look["phase"], look["step"], look.get("loss")) for look in directories.curve(identity)]
    assert seen == [
        ("training", 3, 9.0),
        ("training", 6, 8.5),
        ("training", 9, 7.5),
        ("packaging", 9, None),
    ]


async def test_a_trainer_that_gets_no_further_is_given_up(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many starts, with what it said last."""
    monkeypatch.setattr("adapters.distill.loop._BUSY_S", 0.001)
    monkeypatch.setattr("adapters.distill.loop.MAX_STARTS", 3)
    world = make(trainer=FakeTrainer(dies_at=0))
    asked = world.ask()
    done = await world.run(asked.id, "failed")
    assert "died 3 times" in done.reason
    assert "begun by" in done.reason
    assert len(world.trainer.started) == 3


async def test_one_trainer_at_a_time(make: Make) -> None:
    """The second waits for the first one's lease, and is trained then."""
    world = make(trainer=FakeTrainer(pause_s=0.1))
    first, second = world.ask(settings={"seed": 1}), world.ask(settings={"seed": 2})
    await world.run(first.id, "training")
    for _ in range(3):
        await world.loop.tick()
    assert world.distillations.find(second.id).state is DistillState.QUEUED
    assert world.distillations.begin(second.id, dataset="d" * 64) is None, "the lease is taken"
    await world.run(second.id, "live")
    assert world.distillations.find(first.id).state is DistillState.LIVE
    assert world.path.registry.alias("returns").live == world.distillations.find(second.id).digest


async def test_cancelling(make: Make) -> None:
    """Waiting or training: it ends, its process too; what has ended cannot be cancelled."""
    world = make(trainer=FakeTrainer(pause_s=0.2, steps=100))
    first, second = world.ask(), world.ask()
    await world.run(first.id, "training")
    for each in (second, first):
        stopped = await world.loop.cancel(each.id, "ops")
        assert (stopped.state, stopped.reason) == (DistillState.CANCELLED, "cancelled by ops")
        with pytest.raises(Ended):
            await world.loop.cancel(each.id, "ops")
    assert not world.trainer.alive(world.directories.path(first.id))
    with pytest.raises(UnknownDistillation):
        await world.loop.cancel("dst_none", "ops")
    third = world.ask()
    await world.run(third.id, "training")


class SlowToCancel(FakeTrainer):
    """Waits, once it has asked the process to end, until it may go on."""

    def __init__(self, **behaviour: object) -> None:
        super().__init__(**behaviour)
        self.asked, self.may_go_on = threading.Event(), threading.Event()

    def cancel(self, directory: Path) -> None:
        """As every trainer, but with a pause where others only are lucky."""
        (directory / job.CANCEL_FILE).touch()
        self.asked.set()
        assert self.may_go_on.wait(60)
        super().cancel(directory)


async def test_a_look_beside_a_cancel_leaves_its_files_alone(make: Make) -> None:
    """What it writes is not tidied away under it: the mark reaches the trainer, the end the log."""
    trainer = SlowToCancel(pause_s=0.2, steps=100)
    world = make(trainer=trainer)
    asked = world.ask()
    await world.run(asked.id, "training")
    path = world.directories.path(asked.id)
    cancelling = asyncio.create_task(world.loop.cancel(asked.id, "ops"))
    assert await asyncio.to_thread(trainer.asked.wait, 60)
    await world.loop.tick()
    assert (path / job.CANCEL_FILE).exists()
    assert (path / job.EXAMPLES_FILE).exists()
    trainer.may_go_on.set()
    assert (await cancelling).state is DistillState.CANCELLED
    await world.loop.tick()
    outcome = job.read_outcome(path)
    assert outcome is not None
    assert outcome.state == "cancelled"
    assert not (path / job.EXAMPLES_FILE).exists(), "persons' texts"


async def test_a_death_between_a_cancel_and_its_trainer(make: Make) -> None:
    """The next look ends the process: it would train on, and hold the machine."""
    world = make(trainer=FakeTrainer(pause_s=0.2, steps=1000))
    asked = world.ask()
    await world.run(asked.id, "training")
    world.distillations.move(asked.id, DistillState.CANCELLED, "cancelled by ops")
    assert world.trainer.alive(world.directories.path(asked.id))
    await world.loop.tick()
    assert not world.trainer.alive(world.directories.path(asked.id))
    assert not (world.directories.path(asked.id) / job.EXAMPLES_FILE).exists()


async def test_what_is_cancelled_while_it_is_published_does_not_stay_live(make: Make) -> None:
    """However far its version got meanwhile."""
    world = make()
    asked = world.ask()
    done = await world.run(asked.id, "gating", "live")
    if done.state is DistillState.GATING:
        await world.loop.cancel(asked.id, "ops")
        await world.path.idle()
        await world.loop.tick()
        assert world.path.registry.alias("returns").live is None


async def test_the_queue_is_bounded(make: Make) -> None:
    """So many, and no more."""
    world = make()
    for _ in range(MAX_OPEN):
        world.ask()
    with pytest.raises(TooManyOpen):
        world.ask()


async def test_a_route_whose_ladder_begins_with_a_canary(make: Make) -> None:
    """Publishing until it is live; withdrawn, it is refused."""
    config = FlywheelConfig.model_validate(
        {"routes": {"returns": {"alias": "returns", "ladder": ["canary", "live"]}}}
    )
    world = make(config=config)
    first = await world.run(world.ask(settings={"seed": 1}).id, "publishing")
    assert world.path.registry.version("returns", first.digest).state is State.CANARY
    await world.path.rollout.promote("returns", first.digest)
    await world.run(first.id, "live")
    second = await world.run(world.ask(settings={"seed": 2}).id, "publishing")
    await world.path.rollout.retire("returns", second.digest)
    refused = await world.run(second.id, "refused")
    assert "withdrawn" in refused.reason


async def test_a_dataset_that_was_erased_is_trained_as_what_is_left_of_it(make: Make) -> None:
    """The chain of rebuilds is followed."""
    world = make()
    before, left = world.data.freeze([row(1), row(2)]), world.data.freeze([row(2)])
    world.data.rebuilt[before.digest] = left.digest
    done = await world.run(world.ask(dataset=before.digest).id, "live")
    assert done.dataset == left.digest


async def test_what_climbs_is_made_again_when_a_person_goes(make: Make) -> None:
    """Its distillation ends, and one waits until the dataset is rebuilt without the person."""
    config = FlywheelConfig.model_validate(
        {"routes": {"returns": {"alias": "returns", "ladder": ["canary", "live"]}}}
    )
    world = make(config=config, trainer=InstantTrainer())
    first = await world.run(world.ask().id, "publishing")
    await world.loop.drop([first.dataset])
    assert world.distillations.find(first.id).state is DistillState.CANCELLED
    [again] = world.distillations.under_way()
    assert (again.cause, again.dataset) == ("erasure", first.dataset)
    for _ in range(3):
        await world.loop.tick()
    assert world.distillations.find(again.id).state is DistillState.QUEUED
    left = world.data.freeze([row(2)])
    world.data.rebuilt[first.dataset] = left.digest
    done = await world.run(again.id, "publishing")
    assert done.dataset == left.digest


async def test_a_registry_that_was_superseded_starts_no_trainer(make: Make) -> None:
    """Law 13: its lease cannot be taken, and nothing that it trains can be published."""
    world = make()
    asked = world.ask()
    successor = Registry.open(f"sqlite:///{world.root / 'registry.db'}")
    successor.claim()
    try:
        with pytest.raises(Superseded):
            await world.loop.tick()
    finally:
        successor.close()
    assert world.trainer.started == []
    assert world.distillations.find(asked.id).state is DistillState.QUEUED


async def test_the_registry_dies_at_each_step(make: Make) -> None:
    """Whatever it was about to write down: the next process goes on, and one version is live."""
    counted = Fate()
    world = make(trainer=InstantTrainer())
    world.path.registry.fate = counted
    done = await world.run(world.ask().id, "live")
    await world.path.idle()
    expected = done.digest
    # Before and after commits in turn, as an odd stride goes over both.
    for step in range(2, counted.steps + 1, 3):
        world = make(trainer=InstantTrainer())
        asked = world.ask()
        world.path.registry.fate = fate = Fate(dies_at=step)
        with contextlib.suppress(Killed):
            while not world.distillations.find(asked.id).ended and fate.steps < step:
                await world.loop.tick()
                await asyncio.sleep(0.01)
        await world.restart()
        again = await world.run(asked.id, *(state.value for state in ENDED))
        assert again.state is DistillState.LIVE, (step, again.reason)
        assert again.digest == expected
        versions = world.path.registry.versions("returns")
        assert [version.state for version in versions] == [State.LIVE], step
        await world.aclose()


class Verdict:
    """A gate of every alias that says one thing; what it wrote down outlives a registry."""

    def __init__(self, *, passes: bool) -> None:
        self._passes = passes
        self.judged: list[str] = []

    def demands(self, alias: str) -> bool:
        """Of everybody."""
        return True

    async def has_passed(self, alias: str, digest: str) -> bool:
        """By what was judged alone."""
        return self._passes and digest in self.judged

    def first(self, alias: str, wish: Plan) -> Plan:
        """Where it was to go."""
        return wish

    async def judge(self, version: VersionRecord, replica: str) -> Finding:
        """Says it, and remembers whom it saw."""
        self.judged.append(version.digest)
        return Finding(self._passes, "as it was told", {"passed": self._passes})

    def stop(self, alias: str, digest: str) -> None:
        """It has said it already."""


@pytest.mark.parametrize("passes", [False, True])
async def test_the_registry_dies_at_each_step_behind_a_gate(make: Make, passes: bool) -> None:
    """What did not pass serves in no life; it is judged once, and once more where a death fell
    between the verdict and its note.
    """
    counted = Fate()
    world = make(Verdict(passes=passes), trainer=InstantTrainer())
    world.path.registry.fate = counted
    end = DistillState.LIVE if passes else DistillState.REFUSED
    await world.run(world.ask().id, end.value)
    await world.path.idle()
    for step in range(3, counted.steps + 1, 5):
        gate = Verdict(passes=passes)
        world = make(gate, trainer=InstantTrainer())
        asked = world.ask()
        world.path.registry.fate = fate = Fate(dies_at=step)
        with contextlib.suppress(Killed):
            while not world.distillations.find(asked.id).ended and fate.steps < step:
                await world.loop.tick()
                await asyncio.sleep(0.01)
        await world.restart()
        again = await world.run(asked.id, *(state.value for state in ENDED))
        assert again.state is end, (step, again.reason)
        assert 1 <= len(gate.judged) <= 2, step
        tables = [t.aliases["returns"] for t in world.path.tables if t.aliases]
        callable_ever = {digest for alias in tables for digest in alias.versions}
        assert callable_ever == ({again.digest} if passes else set()), step
        await world.aclose()


async def test_what_is_cancelled_while_it_is_pushed_does_not_stay_live(make: Make) -> None:
    """Whoever cancelled knew of no version yet; after a restart nobody remembers the push."""
    for restarts in (False, True):
        world = make(trainer=InstantTrainer())
        asked = world.ask()
        push = world.path.rollout.push

        async def cancelled(*given: Any, **more: Any) -> Any:
            await world.loop.cancel(asked.id, "ops")  # noqa: B023 - called within the turn
            done = await push(*given, **more)  # noqa: B023
            if restarts:  # noqa: B023
                raise Killed
            return done

        world.path.rollout.push = cancelled  # type: ignore[method-assign]
        with contextlib.suppress(Killed):
            await world.run(asked.id, "cancelled")
            await world.loop.tick()
        if restarts:
            await world.restart()
        await world.path.idle()
        await world.loop.tick()
        await world.path.idle()
        [version] = world.path.registry.versions("returns")
        assert version.author == f"{AUTHOR}{asked.id}"
        assert version.state is not State.LIVE
        assert world.path.registry.alias("returns").live is None


async def test_a_job_on_data_that_had_to_go_is_never_trained(make: Make) -> None:
    """Though its directory could not be removed: it is written anew, of what is left."""
    world = make(trainer=FakeTrainer(pause_s=0.2, steps=50))
    first = await world.run(world.ask().id, "training")
    path = world.directories.path(first.id)
    await asyncio.to_thread(world.trainer.cancel, path)
    left = world.data.freeze([row(2)])
    world.data.rebuilt[first.dataset] = left.digest
    world.distillations.move(first.id, DistillState.QUEUED, AGAIN, starts=0)
    await world.run(first.id, "training")
    assert job.read_job(path).dataset == left.digest
    assert [each.digest for each in job.read_examples(path)] == [row(2).digest]


async def test_a_person_is_not_gone_while_a_trainer_works_on_her_data(make: Make) -> None:
    """One on another machine ends when it sees the mark: until then its directory stays."""
    world = make(trainer=Elsewhere(pause_s=0.2, steps=50))
    first = await world.run(world.ask().id, "training")
    with pytest.raises(job.JobError, match="has not ended"):
        await world.loop.drop([first.dataset])
    assert (world.directories.path(first.id) / job.CANCEL_FILE).exists()
    assert world.distillations.find(first.id).state is DistillState.QUEUED
    world.trainer.kill()
    await world.loop.drop([first.dataset])
    assert not world.directories.path(first.id).exists()
    assert world.distillations.find(first.id).state is DistillState.QUEUED


class Elsewhere(FakeTrainer):
    """On a machine that no signal reaches."""

    def cancel(self, directory: Path) -> None:
        """Only the mark."""
        (directory / job.CANCEL_FILE).touch()


def test_a_directory_that_cannot_be_removed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's texts are in it: nobody may believe that they are gone."""
    directories = JobDirectories(tmp_path)
    directories.path(IDENTITY).mkdir()

    def refuses(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuses)
    with pytest.raises(PermissionError):
        directories.remove(IDENTITY)
    monkeypatch.undo()
    directories.remove(IDENTITY)
    directories.remove(IDENTITY)
    assert list(tmp_path.iterdir()) == []


class Endless(Verdict):
    """A gate that takes as long as nobody stops it."""

    def __init__(self) -> None:
        super().__init__(passes=True)
        self.asked, self._stopped = asyncio.Event(), asyncio.Event()

    async def judge(self, version: VersionRecord, replica: str) -> Finding:
        """Says nothing."""
        self.asked.set()
        await self._stopped.wait()
        raise NotAsked("stopped")

    def stop(self, alias: str, digest: str) -> None:
        """Now."""
        self._stopped.set()


class Touched(Datasets):
    """Some datasets have a row of the person's."""

    def __init__(self, *digests: str) -> None:
        self._digests = list(digests)

    def touched(self, subjects: Iterable[str]) -> list[str]:
        """Those."""
        return self._digests


async def test_a_version_in_its_gate_goes_with_the_person(make: Make) -> None:
    """Its test is ended: a person does not wait for it."""
    gate = Endless()
    world = make(gate, trainer=InstantTrainer())
    made = await world.run(world.ask().id, "gating")
    await gate.asked.wait()
    registry, rollout = world.path.registry, world.path.rollout
    versions = TrainedVersions(
        Touched(made.dataset),
        world.distillations,
        world.lineage,
        world.loop,
        registry,
        Forgetter(rollout, world.path.store),
        str,
    )
    assert await versions.found("Jane") == 1
    assert await versions.erase("Jane") == 1
    version = registry.version("returns", made.digest)
    assert version.state is State.RETIRED
    assert not world.path.store.exists("returns", made.digest)
    assert await versions.found("Jane") == 0


async def test_what_was_trained_to_the_same_bytes_is_live_already(make: Make) -> None:
    """A ladder that begins with a canary does not keep the second distillation for ever."""
    config = FlywheelConfig.model_validate(
        {"routes": {"returns": {"alias": "returns", "ladder": ["canary", "live"]}}}
    )
    world = make(trainer=InstantTrainer(), config=config)
    first = await world.run(world.ask().id, "publishing")
    await world.path.rollout.promote("returns", first.digest)
    await world.run(first.id, "live")
    again = await world.run(world.ask().id, *(state.value for state in ENDED))
    assert (again.state, again.digest) == (DistillState.LIVE, first.digest), again.reason


async def test_bytes_that_may_not_come_back_end_their_distillation(make: Make) -> None:
    """Another push of what was forgotten with a person changes nothing, and holds up the others."""
    world = make(trainer=InstantTrainer())
    first = await world.run(world.ask().id, "live")
    version = world.path.registry.version("returns", first.digest)
    await Forgetter(world.path.rollout, world.path.store).forget(version, "erasure", "a person")
    again = await world.run(world.ask().id, *(state.value for state in ENDED))
    assert again.state is DistillState.FAILED
    assert "may not come back" in again.reason


async def test_a_version_that_nobody_wants_is_looked_at_until_it_is_gone(make: Make) -> None:
    """Soon, and whoever moves it meanwhile stops nothing else."""
    gate = Endless()
    world = make(gate, trainer=InstantTrainer())
    made = await world.run(world.ask().id, "gating")
    await gate.asked.wait()
    await world.loop.cancel(made.id, "ops")
    retire = world.path.rollout.retire

    async def moved(*_: Any, **__: Any) -> Any:
        raise Conflict("somebody moves it")

    world.path.rollout.retire = moved  # type: ignore[method-assign]
    assert (await world.loop.tick()).seconds < 1, "though no distillation is under way"
    world.path.rollout.retire = retire  # type: ignore[method-assign]
    await world.loop.tick()
    await world.path.idle()
    assert world.path.registry.version("returns", made.digest).state is State.RETIRED
    served = [table.aliases["returns"].versions for table in world.path.tables if table.aliases]
    assert all(made.digest not in versions for versions in served)
    assert (await world.loop.tick()).seconds > 1
