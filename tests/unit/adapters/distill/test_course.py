"""The course of a training: the best weights stay, and a stop costs nothing."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from adapters.distill import checkpoint
from adapters.distill.batches import Batch
from adapters.distill.checkpoint import Arrays, State, as_arrays, part
from adapters.distill.course import Course, Place, Stopped, rate_at
from adapters.distill.encode import Encoded
from adapters.distill.job import Diverged, JobError, ProgressLog, read_progress
from adapters.distill.lessons import Lessons
from adapters.distill.settings import Plan


class Walker:
    """A learner whose one weight counts steps, and whose held-out loss is a function of it.

    Args:
        held_out: the loss by step.
    """

    def __init__(self, held_out: dict[int, float]) -> None:
        self._held_out = held_out
        self.weight = 0
        self.seen: list[int] = []

    def step(self, batches: list[Batch], rate: float, kl: float) -> float:
        assert rate > 0
        assert kl == 0
        self.weight += 1
        self.seen += [int(batch.ids.sum()) for batch in batches]
        return 10.0 / self.weight

    def measure(self, batches: list[Batch]) -> float:
        assert batches
        return self._held_out.get(self.weight, 5.0)

    def weights(self) -> Arrays:
        return {"w": np.array([self.weight])}

    def set_weights(self, arrays: Arrays) -> None:
        self.weight = int(arrays["w"][0])

    def state(self) -> Arrays:
        return as_arrays("weights", self.weights())

    def set_state(self, arrays: Arrays) -> None:
        self.set_weights(part("weights", arrays))


class Never:
    """Nobody asks it to stop."""

    asked = False
    for_good = False


class After:
    """Asks after so many steps."""

    for_good = False

    def __init__(self, walker: Walker, steps: int) -> None:
        self._walker = walker
        self._steps = steps

    @property
    def asked(self) -> bool:
        return self._walker.weight >= self._steps


def _plan(**more: int) -> Plan:
    settings = {"steps": 40, "patience": 3, "look_every": 5, "accumulation": 1} | more
    return Plan(
        rank=4, alpha=8.0, rate=1e-3, batch_tokens=16, target_modules="all-linear",
        max_length=64, kl=0.0, packing=False, seed=7, **settings,
    )  # fmt: skip


def _lessons() -> Lessons:
    rows = [Encoded((n + 1, n + 2, n + 3), 1, f"g{n}", f"{n}") for n in range(30)]
    return Lessons(tuple(rows[:25]), tuple(rows[25:]))


def _course(
    walker: Walker, plan: Plan, directory: Path, stop: After | type[Never] = Never
) -> Course:
    def save(state: State, arrays: Arrays) -> None:
        checkpoint.save(directory, state, arrays)

    watched = (ProgressLog(directory), Place("training", 0, 0))
    return Course(walker, plan, _lessons(), watched, stop, save, every_s=1e-9)


def _beside(directory: Path) -> Path:
    other = directory / "other"
    other.mkdir()
    return other


def test_it_stops_when_it_gets_worse_and_keeps_the_best(tmp_path: Path) -> None:
    """The held-out loss is lowest at step 10; three looks later it is enough."""
    walker = Walker({0: 9.0, 5: 3.0, 10: 1.0, 15: 2.0, 20: 2.0, 25: 2.0, 30: 0.1})
    state = _course(walker, _plan(), tmp_path).go(State("f"))
    assert state.step == 25
    assert (state.first_loss, state.best_loss, state.best_step) == (9.0, 1.0, 10)
    assert walker.weight == 10, "the best weights were put back"
    measured = [look.validation_loss for look in read_progress(tmp_path) if look.validation_loss]
    assert measured == [3.0, 1.0, 2.0, 2.0, 2.0]


def test_a_stopped_course_goes_on_where_it_was(tmp_path: Path) -> None:
    """With the batches that the unbroken one would have seen, and the best weights so far."""
    held_out = {0: 9.0, 5: 1.0, 40: 2.0}
    whole = Walker(held_out)
    _course(whole, _plan(patience=99), _beside(tmp_path)).go(State("f"))
    first = Walker(held_out)
    with pytest.raises(Stopped):
        _course(first, _plan(patience=99), tmp_path, After(first, 13)).go(State("f"))
    kept = checkpoint.load(tmp_path, "f")
    assert kept is not None
    assert kept[0].step == 13
    second = Walker(held_out)
    state = _course(second, _plan(patience=99), tmp_path).go(*kept)
    assert first.seen + second.seen == whole.seen
    assert state.best_step == 5
    assert second.weight == whole.weight == 5


def test_several_batches_make_one_update(tmp_path: Path) -> None:
    """Accumulation: as many batches a step as asked for."""
    walker = Walker({})
    _course(walker, _plan(steps=3, accumulation=4), tmp_path).go(State("f"))
    assert len(walker.seen) == 12


def test_a_loss_that_is_no_number_ends_it(tmp_path: Path) -> None:
    """With what to do about it."""

    class Diverging(Walker):
        def step(self, batches: list[Batch], rate: float, kl: float) -> float:
            super().step(batches, rate, kl)
            return math.nan

    with pytest.raises(JobError, match="smaller `rate`"):
        _course(Diverging({}), _plan(), tmp_path).go(State("f"))


@pytest.mark.parametrize("stops", [False, True])
def test_a_full_disk_costs_checkpoints_and_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    """It goes on without; what was kept before is still whole, and so is what comes with room."""
    checkpoint.save(tmp_path, State("f", step=0), {"w": np.ones(1)})
    walker = Walker({})
    fsync, looks = os.fsync, list[int]()

    def full(handle: int) -> None:
        looks.append(walker.weight)
        if walker.weight <= 20:
            raise OSError(28, "No space left on device")
        fsync(handle)

    monkeypatch.setattr("adapters.atomic.os.fsync", full)
    monkeypatch.setattr("adapters.distill.course._SAVING_SHARE", 1e9)
    plan = _plan(patience=99)
    if stops:
        with pytest.raises(Stopped):
            _course(walker, plan, tmp_path, After(walker, 15)).go(State("f"))
    else:
        assert _course(walker, plan, tmp_path).go(State("f")).step == 40
    assert looks[0] < 20
    kept = checkpoint.load(tmp_path, "f")
    assert kept is not None
    assert kept[0].step == (0 if stops else 40)
    assert not list(tmp_path.glob("*.draft"))


def test_a_disk_that_fails_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is not for want of room: nobody may believe in what lies there."""

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("adapters.atomic.os.fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        _course(Walker({}), _plan(), tmp_path).go(State("f"))


def test_a_held_out_loss_that_is_no_number_is_never_the_best(tmp_path: Path) -> None:
    """Weights that are no numbers may be found by the look alone: it is the last thing done."""
    walker = Walker({0: 9.0, 5: 3.0, 10: math.nan})
    with pytest.raises(Diverged):
        _course(walker, _plan(steps=10), tmp_path).go(State("f"))


def test_a_checkpoint_of_another_training_is_none(tmp_path: Path) -> None:
    """Other rows, other settings: it begins anew. So does one whose file is damaged."""
    checkpoint.save(tmp_path, State("one", step=3), {"w": np.ones(1)})
    assert checkpoint.load(tmp_path, "other") is None
    (tmp_path / "checkpoint.safetensors").write_bytes(b"\xff" * 100)
    assert checkpoint.load(tmp_path, "one") is None


def test_the_rate_warms_up_holds_and_falls() -> None:
    """Never zero, never above what was asked."""
    rates = [rate_at(_plan(), step) for step in range(40)]
    assert rates[0] < rates[3] == pytest.approx(1e-3)
    assert rates[20] == pytest.approx(1e-3)
    assert all(0 < rate <= 1e-3 + 1e-12 for rate in rates)
    assert rates[-1] < 1e-4
