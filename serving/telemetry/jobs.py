"""Prometheus metrics of a process's periodic work, read at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters.jobs.periodic import JobStatus

_LABELS = ["job"]


class JobsCollector(Collector):
    """When each job last went well, and how often it did not.

    Args:
        statuses: the jobs as they are now.
    """

    def __init__(self, statuses: Callable[[], Iterable[JobStatus]]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        success = GaugeMetricFamily(
            "graftwork_job_last_success_seconds",
            "When a run of the job last went well, seconds since the epoch; 0: never.",
            labels=_LABELS,
        )
        runs = CounterMetricFamily("graftwork_job_runs", "Runs of the job.", labels=_LABELS)
        failures = CounterMetricFamily(
            "graftwork_job_failures", "Runs that failed or took too long.", labels=_LABELS
        )
        failure = GaugeMetricFamily(
            "graftwork_job_last_failure_seconds",
            "When a run last failed, seconds since the epoch, and with what kind of error.",
            labels=[*_LABELS, "error"],
        )
        duration = GaugeMetricFamily(
            "graftwork_job_last_run_seconds", "How long the last run took.", labels=_LABELS
        )
        for status in self._statuses():
            success.add_metric([status.name], status.last_success)
            runs.add_metric([status.name], status.runs)
            failures.add_metric([status.name], status.failures)
            duration.add_metric([status.name], status.last_run_s)
            if status.failures:
                failure.add_metric([status.name, status.last_error_type], status.last_failure)
        yield from (success, runs, failures, failure, duration)


def expose_jobs(statuses: Callable[[], Iterable[JobStatus]]) -> None:
    """Add them to this process's global metrics, which are what vLLM's ``/metrics`` shows."""
    REGISTRY.register(JobsCollector(statuses))
