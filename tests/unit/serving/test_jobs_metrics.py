"""Periodic work as Prometheus sees it."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry

from adapters.jobs.periodic import Every, PeriodicJobs
from serving.telemetry.jobs import JobsCollector
from tests.fakes.clock import run_in_fake_time


async def _well() -> None:
    return


async def _badly() -> None:
    raise OSError("the disk is full")


def test_last_success_and_failures_are_told_for_each_job() -> None:
    """An alert needs nothing but the time since a job last went well."""
    registry = CollectorRegistry()

    async def scene() -> None:
        jobs = PeriodicJobs()
        registry.register(JobsCollector(jobs.statuses))
        jobs.add("well", _well, Every(1))
        jobs.add("badly", _badly, Every(1))
        jobs.start()
        await asyncio.sleep(3.5)
        await jobs.aclose()

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"graftwork_job_{name}", labels)

    run_in_fake_time(scene())
    assert (value("last_success_seconds", job="well") or 0) > 1.7e9
    assert value("last_success_seconds", job="badly") == 0
    assert value("failures_total", job="well") == 0
    assert (value("failures_total", job="badly") or 0) >= 2
    assert (value("runs_total", job="badly") or 0) >= 2
    assert (value("last_failure_seconds", job="badly", error="OSError") or 0) > 1.7e9
    assert value("last_run_seconds", job="well") == 0
