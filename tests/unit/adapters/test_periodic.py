"""Periodic work: runs again and again, one at a time, whatever happens in it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.jobs.periodic import (
    After,
    Every,
    JobOverdue,
    JobStopped,
    Periodic,
    PeriodicJobs,
    in_thread,
)
from tests.fakes.clock import run_in_fake_time


class Worker:
    """Notes when each run began; fails as often as told, then takes ``seconds``."""

    def __init__(self, failures: int = 0, seconds: float = 0.0, result: object = None) -> None:
        self.began: list[float] = []
        self.ended = 0
        self.failures = failures
        self.seconds = seconds
        self.result = result
        self.under_way = 0

    async def __call__(self) -> object:
        assert self.under_way == 0
        self.under_way += 1
        self.began.append(asyncio.get_running_loop().time())
        try:
            await asyncio.sleep(self.seconds)
            if len(self.began) <= self.failures:
                raise ValueError(f"run {len(self.began)}")
        finally:
            self.under_way -= 1
        self.ended += 1
        return self.result

    @property
    def pauses(self) -> list[float]:
        return [round(after - before, 3) for before, after in pairwise(self.began)]


def steady(name: str, work: Worker, every: Every) -> Periodic:
    """A job without jitter."""
    return Periodic(name, work, every, chance=lambda: 0.5)


def observed(
    every: Every, seconds: float, work: Worker, also: Callable[[Periodic], None] | None = None
) -> Periodic:
    """The job after it ran for so long."""

    async def scene() -> Periodic:
        job = steady("j", work, every)
        job.start()
        if also is not None:
            also(job)
        await asyncio.sleep(seconds)
        await job.aclose()
        return job

    return run_in_fake_time(scene())


def test_the_first_run_waits_for_the_interval_unless_at_once() -> None:
    """What was just started by hand needs no second run at once; what must be fresh has one."""
    late, early = Worker(), Worker()
    observed(Every(10), 35, late)
    observed(Every(10, at_once=True), 35, early)
    assert (len(late.began), len(early.began)) == (3, 4)
    assert set(late.pauses + early.pauses) == {10.0}


@given(interval=st.floats(0.05, 1e5), jitter=st.floats(0, 0.9), seed=st.floats(0, 1))
def test_every_pause_stays_within_the_jitter(interval: float, jitter: float, seed: float) -> None:
    """Whatever chance says, no pause is longer or shorter by more than the share."""
    work = Worker()

    async def scene() -> None:
        job = Periodic("j", work, Every(interval, jitter=jitter), chance=lambda: seed)
        job.start()
        await asyncio.sleep(interval * 8)
        await job.aclose()

    run_in_fake_time(scene())
    assert len(work.began) >= 4
    for pause in work.pauses:
        assert interval * (1 - jitter) - 0.002 <= pause <= interval * (1 + jitter) + 0.002


def test_failures_are_tried_again_ever_later_until_one_run_goes_well() -> None:
    """Twice as long each time, never longer than the interval."""
    work = Worker(failures=6)
    job = observed(Every(20), 200, work)
    assert work.pauses[:8] == [1, 2, 4, 8, 16, 20, 20, 20]
    assert job.status.failures == 6
    assert job.status.in_a_row == 0
    assert job.status.runs == len(work.began)


@given(failures=st.integers(1, 5000), first=st.floats(0.01, 10), longest=st.floats(0.01, 1e4))
def test_backoff_grows_and_never_passes_its_limit(
    failures: int, first: float, longest: float
) -> None:
    """For any number of failures and any settings, without an overflow."""
    every = Every(5, retry_s=first, max_retry_s=longest)
    pause = every.backoff_s(failures)
    assert first <= pause <= max(first, longest)
    assert every.backoff_s(failures + 1) >= pause


def test_a_run_over_its_limit_is_cancelled_and_the_next_one_comes() -> None:
    """Work that hangs does not hang the job."""
    work = Worker(seconds=100)
    job = observed(Every(10, limit_s=5), 60, work)
    assert len(work.began) >= 3
    assert work.ended == 0
    assert job.status.last_error_type == JobOverdue.__name__
    assert "5 s" in job.status.last_error


def test_a_timeout_of_the_work_itself_is_told_as_its_own() -> None:
    """Who reads the log must not look for our limit."""

    async def work() -> None:
        raise TimeoutError("the database")

    async def scene() -> Periodic:
        job = Periodic("j", work, Every(10, at_once=True))
        job.start()
        await asyncio.sleep(1)
        await job.aclose()
        return job

    assert run_in_fake_time(scene()).status.last_error == "the database"


def test_a_cancellation_from_within_does_not_end_the_job() -> None:
    """A future that somebody else cancelled is a failure of the run, no order to stop."""
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    async def scene() -> Periodic:
        job = Periodic("j", work, Every(1))
        job.start()
        await asyncio.sleep(10)
        assert job.alive
        await job.aclose()
        return job

    job = run_in_fake_time(scene())
    assert runs >= 5
    assert job.status.failures == runs


def test_a_job_without_an_interval_runs_only_when_woken_and_wakes_do_not_add_up() -> None:
    """Five wakes before a run begins are one run."""
    work = Worker()

    async def scene() -> None:
        job = steady("j", work, Every(None))
        job.start()
        await asyncio.sleep(1000)
        assert work.began == []
        for _ in range(5):
            job.wake()
        await asyncio.sleep(1000)
        assert len(work.began) == 1
        await job.aclose()

    run_in_fake_time(scene())


def test_a_wake_during_a_run_brings_one_more_run_and_never_two_at_a_time() -> None:
    """What the run under way has read may be old."""
    work = Worker(seconds=10)

    async def scene() -> None:
        job = steady("j", work, Every(None))
        job.start()
        job.wake()
        await asyncio.sleep(5)
        job.wake()
        job.wake()
        await asyncio.sleep(100)
        await job.aclose()

    run_in_fake_time(scene())
    assert work.pauses == [10]


def test_wakes_do_not_turn_a_failing_job_into_a_busy_loop() -> None:
    """A hundred wakes a second, one attempt each two seconds."""
    work = Worker(failures=1000)

    async def scene() -> None:
        job = steady("j", work, Every(None, retry_s=2.0))
        job.start()
        for _ in range(1000):
            job.wake()
            await asyncio.sleep(0.01)
        await job.aclose()

    run_in_fake_time(scene())
    assert 4 <= len(work.began) <= 6


def test_a_failed_run_without_an_interval_is_tried_again_unasked() -> None:
    """What it was woken for is still to be done."""
    work = Worker(failures=2)
    observed(Every(None), 1000, work, lambda job: job.wake())
    assert work.pauses == [1, 2]


def test_a_run_may_choose_when_the_next_one_comes() -> None:
    """The interval is for those who know nothing better."""
    work = Worker(result=After(3))
    observed(Every(50, at_once=True), 31, work)
    assert set(work.pauses) == {3.0}


def test_run_now_waits_for_a_whole_run_that_began_after_the_call() -> None:
    """The run under way does not count, and three callers share one."""
    work = Worker(seconds=10)

    async def scene() -> None:
        job = steady("j", work, Every(1000, at_once=True))
        job.start()
        await asyncio.sleep(5)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(job.run_now(), job.run_now(), job.run_now())
        assert asyncio.get_running_loop().time() - began == pytest.approx(15)
        assert work.ended == 2
        await job.aclose()

    run_in_fake_time(scene())


def test_run_now_raises_what_made_the_run_fail_and_the_job_lives_on() -> None:
    """The caller hears the error itself."""
    work = Worker(failures=1)

    async def scene() -> None:
        job = steady("j", work, Every(100))
        job.start()
        with pytest.raises(ValueError, match="run 1"):
            await job.run_now()
        await job.run_now()
        await job.aclose()

    run_in_fake_time(scene())


def test_run_now_never_waits_for_a_job_that_was_stopped_or_never_started() -> None:
    """Nobody waits for a run that will not come."""

    async def scene() -> None:
        job = steady("j", Worker(seconds=1000), Every(10))
        with pytest.raises(JobStopped):
            await job.run_now()
        job.start()
        waiting = [asyncio.create_task(job.run_now()) for _ in range(2)]
        await asyncio.sleep(1)
        late = asyncio.create_task(job.run_now())
        await asyncio.sleep(1)
        await job.aclose()
        for task in (*waiting, late):
            with pytest.raises(JobStopped):
                await task
        with pytest.raises(JobStopped):
            await job.run_now()

    run_in_fake_time(scene())


def test_one_caller_of_run_now_who_leaves_does_not_cut_off_the_others() -> None:
    """The run is shared, the wait is not."""

    async def scene() -> None:
        job = steady("j", Worker(seconds=10), Every(1000))
        job.start()
        leaves = asyncio.create_task(job.run_now())
        stays = asyncio.create_task(job.run_now())
        await asyncio.sleep(1)
        leaves.cancel()
        await stays
        await job.aclose()

    run_in_fake_time(scene())


def test_closing_ends_a_run_under_way_and_starts_no_other() -> None:
    """A stop is clean, and no failure."""
    work = Worker(seconds=1000)
    job = observed(Every(1, at_once=True, limit_s=None), 5, work)
    assert (work.ended, work.under_way, len(work.began)) == (0, 0, 1)
    assert not job.alive
    assert job.status.failures == 0


def test_a_failure_is_logged_with_its_traceback_and_the_log_stays_bounded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A thousand failures in a row are ten entries, and the recovery one."""
    caplog.set_level(logging.INFO, "graftwork.jobs")
    observed(Every(1), 1100, Worker(failures=1000))
    failed = [record for record in caplog.records if record.message == "job_failed"]
    assert len(failed) == 10
    assert failed[0].exc_info is not None
    assert "run 1" in str(failed[0].exc_info[1])
    assert vars(failed[-1])["failures"] == 512
    assert [record.message for record in caplog.records][-1] == "job_recovered"


def test_the_status_says_when_it_went_well_and_what_went_wrong() -> None:
    """What the metrics are made of."""

    async def scene() -> None:
        job = Periodic("j", Worker(failures=1), Every(10, at_once=True), clock=lambda: 42.0)
        job.start()
        await asyncio.sleep(0.5)
        assert (job.status.last_success, job.status.last_failure) == (0.0, 42.0)
        assert (job.status.last_error_type, job.status.last_error) == ("ValueError", "run 1")
        await asyncio.sleep(5)
        assert job.status.last_success == 42.0
        await job.aclose()

    run_in_fake_time(scene())


def test_jobs_are_started_told_of_and_stopped_together() -> None:
    """A loop that does not run is told to the health check."""
    failed: list[str] = []

    async def scene() -> None:
        jobs = PeriodicJobs(lambda name, error: failed.append(f"{name}: {error}"))
        jobs.add("good", Worker(), Every(1))
        jobs.add("bad", Worker(failures=1), Every(1))
        with pytest.raises(ValueError, match="good"):
            jobs.add("good", Worker(), Every(1))
        with pytest.raises(JobStopped, match="good"):
            jobs.check()
        jobs.start()
        await asyncio.sleep(5)
        jobs.check()
        assert [(s.name, s.failures) for s in jobs.statuses()] == [("bad", 1), ("good", 0)]
        await jobs.aclose()

    run_in_fake_time(scene())
    assert failed == ["bad: run 1"]


def test_a_listener_that_breaks_ends_no_job(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever is told of failures may fail himself; that is told, too."""
    work = Worker(failures=2)

    def breaks(*_: object) -> None:
        raise LookupError("a bug")

    async def scene() -> None:
        jobs = PeriodicJobs(breaks)
        jobs.add("j", work, Every(1))
        jobs.start()
        await asyncio.sleep(10)
        jobs.check()
        await jobs.aclose()

    run_in_fake_time(scene())
    assert work.ended >= 3
    assert "job_failure_unheard" in [record.message for record in caplog.records]


async def test_a_blocking_run_is_waited_for_when_it_is_stopped() -> None:
    """The thread goes on: who closes the database next must know when it has ended."""
    began, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        may_end.wait(60)
        ended.set()

    job = Periodic("j", in_thread(work), Every(1, at_once=True))
    job.start()
    await asyncio.to_thread(began.wait, 5)
    asyncio.get_running_loop().call_later(0.02, may_end.set)
    await job.aclose()
    assert ended.is_set()


async def test_two_blocking_runs_never_overlap_even_when_one_is_overdue() -> None:
    """The limit is told, the thread is waited for."""
    under_way, most, runs = 0, 0, 0
    enough = threading.Event()

    def work() -> None:
        nonlocal under_way, most, runs
        under_way += 1
        most = max(most, under_way)
        threading.Event().wait(0.02)
        under_way -= 1
        runs += 1
        if runs == 3:
            enough.set()

    job = Periodic("j", in_thread(work), Every(0.001, limit_s=0.005))
    job.start()
    assert await asyncio.to_thread(enough.wait, 5)
    await job.aclose()
    assert most == 1
    assert job.status.last_error_type == JobOverdue.__name__
