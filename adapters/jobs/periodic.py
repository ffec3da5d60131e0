"""Periodic work: one supervised loop for everything that a process does again and again.

A run that fails is logged with its traceback, counted, and tried again, each time later; nothing
but ``aclose`` ends a job. One run is under way at a time, and it has a time limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_FIRST_RETRY_S = 1.0
_RARE_RETRY_S = 60.0
_log = logging.getLogger("graftwork.jobs")

Work = Callable[[], Awaitable[object]]
"""One run. It may return ``After`` to choose the pause before the next one."""


class JobStopped(Exception):
    """The job was closed, or never started: the run that was asked for will not happen."""


class JobOverdue(Exception):
    """A run took longer than its limit and was cancelled."""


@dataclass(frozen=True, slots=True)
class After:
    """What a run returns when it knows better than the interval when it should run again."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Every:
    """When a job runs; all times in seconds.

    Attributes:
        interval_s: from the end of a run to the next; None: only when it is woken.
        at_once: whether the first run does not wait for the interval or the first wake.
        limit_s: a longer run is cancelled and counts as failed; None: it may take for ever, which
            is for runs that listen.
        retry_s: the pause after a failure, doubled with each further one; no wake shortens the
            first of them. Default: a second, or the interval if that is shorter.
        max_retry_s: the longest such pause. Default: the interval, or a minute without one.
        jitter: every pause is longer or shorter by up to this share of it, so that processes that
            started together do not stay in step.
    """

    interval_s: float | None
    at_once: bool = False
    limit_s: float | None = 60.0
    retry_s: float | None = None
    max_retry_s: float | None = None
    jitter: float = 0.1

    def first_retry_s(self) -> float:
        """The pause after the first failure in a row."""
        if self.retry_s is not None:
            return self.retry_s
        return _FIRST_RETRY_S if self.interval_s is None else min(_FIRST_RETRY_S, self.interval_s)

    def backoff_s(self, failures: int) -> float:
        """The pause after so many failures in a row, without jitter."""
        first = self.first_retry_s()
        longest = self.max_retry_s
        if longest is None:
            longest = _RARE_RETRY_S if self.interval_s is None else self.interval_s
        # The exponent is bounded: a float overflows after a thousand failures.
        return float(min(first * 2 ** min(failures - 1, 30), max(longest, first)))


@dataclass
class JobStatus:
    """What became of a job's runs. Moments are seconds since the epoch, 0 when there was none.

    Attributes:
        failures: failed runs since the start.
        in_a_row: failed runs since the last that went well.
        last_run_s: how long the last run took.
        last_error: the last failure in one line, and ``last_error_type`` its class.
    """

    name: str
    runs: int = 0
    failures: int = 0
    in_a_row: int = 0
    last_success: float = 0.0
    last_failure: float = 0.0
    last_run_s: float = 0.0
    last_error: str = ""
    last_error_type: str = ""


class Periodic:
    """One job. Belongs to the event loop that ``start`` is called on.

    Args:
        name: short and fixed; it is a metric's label.
        work: one run.
        every: when.
        on_failure: told of each failure, beside the log.
        clock: seconds since the epoch.
        chance: a number from 0 to 1, for the jitter.
    """

    def __init__(
        self,
        name: str,
        work: Work,
        every: Every,
        *,
        on_failure: Callable[[str, Exception], None] | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.status = JobStatus(name)
        self._work = work
        self._every = every
        self._on_failure = on_failure
        self._clock = clock
        self._chance = chance
        self._woken = asyncio.Event()
        self._joined: asyncio.Future[Exception | None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def alive(self) -> bool:
        """Whether the loop runs, as it does from ``start`` to ``aclose``."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin; a second call changes nothing."""
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._loop(), name=f"job:{self.status.name}")

    def wake(self) -> None:
        """Have a run soon: now, or after the one that is under way. Wakes do not add up."""
        self._woken.set()

    async def run_now(self) -> None:
        """Have a whole run that begins from here on, and wait for it; raises what made it fail.

        Who calls meanwhile shares the run. Raises ``JobStopped`` when there will be none.
        """
        if not self.alive:
            raise JobStopped(f"the job {self.status.name} does not run")
        if self._joined is None:
            self._joined = asyncio.get_running_loop().create_future()
        self._woken.set()
        # Shielded: one caller who leaves must not cut the others off.
        error = await asyncio.shield(self._joined)
        if error is not None:
            raise error

    async def aclose(self) -> None:
        """Stop: cancel a run that is under way and wait until it has ended."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _loop(self) -> None:
        pause = 0.0 if self._every.at_once else self._spread(self._every.interval_s)
        try:
            while True:
                await self._wait(pause)
                pause = await self._run()
        finally:
            _answer(self._joined, JobStopped(f"the job {self.status.name} was stopped"))

    async def _wait(self, pause_s: float | None) -> None:
        if self.status.in_a_row and pause_s is not None:
            # Work that fails and is woken all the time must not turn into a busy loop.
            asleep_s = min(self._every.first_retry_s(), pause_s)
            await asyncio.sleep(asleep_s)
            pause_s -= asleep_s
        # Not `wait_for`: before Python 3.12 it loses a cancellation that comes with a wake.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._woken.wait()
        self._woken.clear()

    async def _run(self) -> float | None:
        """One run; returns the pause after it, None for "until woken"."""
        joined, self._joined = self._joined, None
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.status.runs += 1
        try:
            result = await self._limited()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next run is due all the same
            self._failed(error)
            _answer(joined, error)
            return self._spread(self._every.backoff_s(self.status.in_a_row))
        except BaseException:
            _answer(joined, JobStopped(f"the job {self.status.name} was stopped"))
            raise
        finally:
            self.status.last_run_s = loop.time() - began
        self._succeeded()
        _answer(joined, None)
        if isinstance(result, After):
            return result.seconds
        return self._spread(self._every.interval_s)

    async def _limited(self) -> object:
        limit = asyncio.timeout(self._every.limit_s)
        try:
            async with limit:
                return await self._work()
        except TimeoutError as error:
            if limit.expired():
                raise JobOverdue(f"a run took longer than {self._every.limit_s} s") from error
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Something that the work waited for was cancelled, not the job.
            raise RuntimeError("the run was cancelled from within") from error

    def _succeeded(self) -> None:
        status = self.status
        status.last_success = self._clock()
        if status.in_a_row:
            _log.info("job_recovered", extra={"job": status.name, "failures": status.in_a_row})
            status.in_a_row = 0

    def _failed(self, error: Exception) -> None:
        status = self.status
        status.failures += 1
        status.in_a_row += 1
        status.last_failure = self._clock()
        status.last_error, status.last_error_type = str(error), type(error).__name__
        if status.in_a_row.bit_count() == 1:  # the 1st, 2nd, 4th, 8th … : a log has an end
            about = {"job": status.name, "failures": status.in_a_row}
            _log.error("job_failed", extra=about, exc_info=error)
        if self._on_failure is not None:
            try:
                self._on_failure(status.name, error)
            except Exception:  # noqa: BLE001 - who listens must not end what he listens to
                _log.exception("job_failure_unheard", extra={"job": status.name})

    def _spread(self, pause_s: float | None) -> float | None:
        if pause_s is None:
            return None
        return pause_s * (1 + self._every.jitter * (2 * self._chance() - 1))


class PeriodicJobs:
    """The jobs of one process or room, started and stopped together.

    Args:
        on_failure: told the name and the error of each failed run.
    """

    def __init__(self, on_failure: Callable[[str, Exception], None] | None = None) -> None:
        self._on_failure = on_failure
        self._jobs: dict[str, Periodic] = {}

    def add(self, name: str, work: Work, every: Every) -> Periodic:
        """A new job, for ``start`` to begin. Raises ``ValueError`` when the name is taken."""
        if name in self._jobs:
            raise ValueError(f"there is a job named {name} already")
        job = self._jobs[name] = Periodic(name, work, every, on_failure=self._on_failure)
        return job

    def start(self) -> None:
        """Begin every job that has not begun."""
        for job in self._jobs.values():
            job.start()

    def check(self) -> None:
        """For health checks. Raises ``JobStopped`` when a loop ended that nobody closed."""
        for job in self._jobs.values():
            if not job.alive:
                raise JobStopped(f"the job {job.status.name} does not run")

    def statuses(self) -> list[JobStatus]:
        """What became of each job's runs, by name."""
        return [self._jobs[name].status for name in sorted(self._jobs)]

    async def aclose(self) -> None:
        """Stop every job."""
        await asyncio.gather(*(job.aclose() for job in self._jobs.values()))


def in_thread(function: Callable[[], object]) -> Work:
    """A run that blocks, in a thread beside the event loop.

    A thread cannot be interrupted: a cancelled run is waited for, so that two never overlap.
    """

    async def work() -> object:
        running = asyncio.ensure_future(asyncio.to_thread(function))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.gather(running, return_exceptions=True)
            raise

    return work


def _answer(joined: asyncio.Future[Exception | None] | None, error: Exception | None) -> None:
    if joined is not None and not joined.done():
        joined.set_result(error)
