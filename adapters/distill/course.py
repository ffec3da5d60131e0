"""The training itself: steps, looks at the held-out loss, checkpoints, and when it is enough."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from adapters.atomic import without_room
from adapters.distill.batches import Batch, endless, once
from adapters.distill.checkpoint import Arrays, State, as_arrays, part
from adapters.distill.job import Diverged, Progress, ProgressLog
from adapters.distill.lessons import Lessons
from adapters.distill.settings import Plan

_REPORT_S = 1.0
_SAVING_SHARE = 0.05
"""Of the time, at most that much goes into checkpoints."""
_FLOOR = 0.01
_REMEMBERED = 0.9
"""Of the running mean of the loss, at each step."""


class Learner(Protocol):
    """What learns: ``adapters.distill.train.Student``."""

    def step(self, batches: list[Batch], rate: float, kl: float) -> float: ...
    def measure(self, batches: list[Batch]) -> float: ...
    def weights(self) -> Arrays: ...
    def set_weights(self, arrays: Arrays) -> None: ...
    def state(self) -> Arrays: ...
    def set_state(self, arrays: Arrays) -> None: ...


class Stop(Protocol):
    """Whether to end; asked between steps."""

    @property
    def asked(self) -> bool: ...
    @property
    def for_good(self) -> bool: ...


class Stopped(Exception):
    """It was asked to stop, and can go on from its checkpoint."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a course stands in the whole job, for those who watch."""

    phase: Literal["searching", "training"]
    before: int
    """Steps of what came before it."""
    after: int
    """Steps of what comes after it."""


class Course:
    """One plan carried out on one set of lessons.

    Args:
        watched: where looks are written, and where this course stands among others.
        save: makes a checkpoint of state and arrays.
        every_s: seconds between two checkpoints, unless making one takes long.
    """

    def __init__(
        self,
        learner: Learner,
        plan: Plan,
        lessons: Lessons,
        watched: tuple[ProgressLog, Place],
        stop: Stop,
        save: Callable[[State, Arrays], None],
        every_s: float,
    ) -> None:
        self._learner = learner
        self._plan = plan
        self._lessons = lessons
        self._log, self._place = watched
        self._stop = stop
        self._save = save
        self._every_s = every_s
        self._held_out = once(lessons.held_out, plan.batch_tokens) if lessons.held_out else []
        self._best: Arrays = {}
        self._loss: float | None = None

    @property
    def loss(self) -> float | None:
        """The running mean, nats per trained token."""
        return self._loss

    def go(self, state: State, arrays: Arrays | None = None) -> State:
        """Train to the end, from a checkpoint's arrays if given; the best weights stay.

        Raises ``Stopped``, ``Diverged``, and what steps and checkpoints raise. On a full disk
        there are no checkpoints, and it goes on: a kill costs what was learned since the last one.
        """
        if arrays:
            self._learner.set_state(arrays)
            self._best = part("best", arrays)
        state = self._measured_first(state)
        data = endless(
            self._lessons.train,
            self._plan.batch_tokens,
            self._plan.seed,
            packed=self._plan.packing,
            skip=state.step * self._plan.accumulation,
        )
        pace = _Pace(state)
        while state.step < self._plan.steps and state.worse_looks < self._plan.patience:
            if self._stop.asked:
                self._checkpoint(pace.timed(state))
                raise Stopped
            state = self._step(state, list(itertools.islice(data, self._plan.accumulation)), pace)
            state, measured = self._look(state)
            if measured is not None or state.step == self._plan.steps or pace.quiet_s > _REPORT_S:
                self._report(state, pace, measured)
            if pace.unsaved_s > self._every_s:
                self._checkpoint(pace.timed(state))
                pace.saved()
        if self._best:
            self._learner.set_weights(self._best)
        return pace.timed(state)

    def _measured_first(self, state: State) -> State:
        if state.step or not self._held_out:
            return state
        return replace(state, first_loss=self._measured())

    def _step(self, state: State, batches: list[Batch], pace: _Pace) -> State:
        loss = self._learner.step(batches, rate_at(self._plan, state.step), self._plan.kl)
        _require_number(loss)
        before = self._loss
        self._loss = loss if before is None else _REMEMBERED * before + (1 - _REMEMBERED) * loss
        pace.stepped(sum(batch.tokens for batch in batches))
        return replace(state, step=state.step + 1)

    def _look(self, state: State) -> tuple[State, float | None]:
        """Measure the held-out loss where it is time to; keep the weights if it is the best."""
        due = state.step % self._plan.look_every == 0 or state.step == self._plan.steps
        if not due or not self._held_out:
            return state, None
        loss = self._measured()
        if state.best_loss is not None and loss >= state.best_loss:
            return replace(state, worse_looks=state.worse_looks + 1), loss
        self._best = self._learner.weights()
        return replace(state, best_loss=loss, best_step=state.step, worse_looks=0), loss

    def _measured(self) -> float:
        loss = self._learner.measure(self._held_out)
        _require_number(loss)
        return loss

    def _report(self, state: State, pace: _Pace, measured: float | None) -> None:
        left = self._plan.steps - state.step + self._place.after
        self._log.add(
            Progress(
                at=time.time(),
                phase=self._place.phase,
                step=self._place.before + state.step,
                steps=self._place.before + self._plan.steps + self._place.after,
                loss=self._loss,
                validation_loss=measured,
                tokens_per_s=pace.tokens_per_s(),
                eta_s=left * pace.step_s,
            )
        )
        pace.reported()

    def _checkpoint(self, state: State) -> None:
        began = time.monotonic()
        # The one before is still there, and the next one may find room.
        with without_room():
            self._save(state, self._learner.state() | as_arrays("best", self._best))
        self._every_s = max(self._every_s, (time.monotonic() - began) / _SAVING_SHARE)


def _require_number(loss: float) -> None:
    if not math.isfinite(loss):
        raise Diverged("the loss is no number any more: train with a smaller `rate`")


def rate_at(plan: Plan, step: int) -> float:
    """The learning rate of one step: it warms up, holds, and over the second half falls away."""
    warmup = min(50, max(1, plan.steps // 10))
    if step < warmup:
        return plan.rate * (step + 1) / warmup
    left = (plan.steps - step) / max(1.0, plan.steps / 2)
    return plan.rate * max(_FLOOR, math.sin(min(1.0, left) * math.pi / 2) ** 2)


class _Pace:
    """How fast it goes, and what was last told and kept."""

    def __init__(self, state: State) -> None:
        self._before_s = state.seconds
        self._began = self._told = self._kept = time.monotonic()
        self._steps = 0
        self._tokens = 0

    @property
    def quiet_s(self) -> float:
        """Since the last report."""
        return time.monotonic() - self._told

    @property
    def unsaved_s(self) -> float:
        """Since the last checkpoint."""
        return time.monotonic() - self._kept

    @property
    def step_s(self) -> float:
        """Seconds a step, looks and checkpoints included."""
        return (time.monotonic() - self._began) / max(1, self._steps)

    def tokens_per_s(self) -> float:
        """Since the last report."""
        return self._tokens / max(1e-6, self.quiet_s)

    def stepped(self, tokens: int) -> None:
        self._steps += 1
        self._tokens += tokens

    def reported(self) -> None:
        self._told = time.monotonic()
        self._tokens = 0

    def saved(self) -> None:
        self._kept = time.monotonic()

    def timed(self, state: State) -> State:
        """The state with the seconds at work so far."""
        return replace(state, seconds=self._before_s + time.monotonic() - self._began)
