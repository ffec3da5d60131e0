"""Prometheus metrics of the registry, read from its state at each scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters.errors import StoreError

if TYPE_CHECKING:
    from serving.registry.service import RegistryService


class RegistryCollector(Collector):
    """Versions by state, residency per replica, load seconds and effect per version."""

    def __init__(self, service: RegistryService) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        snapshot = self._service.adapters.registry.snapshot()
        yield GaugeMetricFamily(
            "graftwork_registry_epoch", "Committed epoch.", value=snapshot.epoch
        )
        states = GaugeMetricFamily(
            "graftwork_adapter_versions", "Registered versions by state.", labels=["state"]
        )
        for state, number in Counter(str(v.state) for v in snapshot.versions).items():
            states.add_metric([state], number)
        yield states
        yield GaugeMetricFamily(
            "graftwork_registry_superseded",
            "1 when another registry has taken over from this one.",
            value=float(self._service.superseded),
        )
        names = GaugeMetricFamily(
            "graftwork_registry_names",
            "Rows of the registry by table; what never served anybody is bounded, and history is.",
            labels=["table"],
        )
        for table, number in self._service.adapters.registry.sizes().items():
            names.add_metric([table], number)
        yield names
        yield from self._versions(snapshot)
        yield from self._replicas()
        yield from self._staging()
        yield from self._token_times()

    def _token_times(self) -> Iterator[Metric]:
        times = self._service.throughput.times
        seconds = GaugeMetricFamily(
            "graftwork_prompt_token_seconds",
            "Seconds of a replica for one computed prompt token; no sample until it is known.",
            labels=["card"],
        )
        for card, took in times.known().items():
            seconds.add_metric([card], took)
        yield seconds
        ratios = GaugeMetricFamily(
            "graftwork_input_tokens_per_output_token",
            "Prompt tokens that take as long as one generated token, by requests at once.",
            labels=["card", "load"],
        )
        for (card, load), ratio in times.by_load().items():
            ratios.add_metric([card, str(load)], ratio)
        yield ratios

    def _versions(self, snapshot: object) -> Iterator[Metric]:
        seconds = GaugeMetricFamily(
            "graftwork_adapter_load_seconds", "Slowest load of a version.", labels=["version"]
        )
        effect = GaugeMetricFamily(
            "graftwork_adapter_effect_nats",
            "Largest log-probability difference from the base on the probe prompts.",
            labels=["version"],
        )
        for version in snapshot.versions:  # type: ignore[attr-defined]
            if version.load_seconds is not None:
                seconds.add_metric([version.name], version.load_seconds)
            if version.effect is not None:
                effect.add_metric([version.name], version.effect)
        yield seconds
        yield effect

    def _replicas(self) -> Iterator[Metric]:
        ready = GaugeMetricFamily(
            "graftwork_replica_ready",
            "1 when the engine replica is advertised.",
            labels=["replica"],
        )
        resident = GaugeMetricFamily(
            "graftwork_adapter_resident",
            "1 for each version a replica holds.",
            labels=["replica", "version"],
        )
        slots = GaugeMetricFamily(
            "graftwork_adapter_slot",
            "1 for each version in a slot of a replica's batch.",
            labels=["replica", "version"],
        )
        waiting = GaugeMetricFamily(
            "graftwork_replica_waiting_for_slot",
            "Requests that wait for a slot of the batch because others are pinned.",
            labels=["replica"],
        )
        for replica in self._service.replicas():
            ready.add_metric([replica["id"]], float(replica["ready"]))
            for name in replica["resident"]:
                resident.add_metric([replica["id"], name], 1.0)
            waiting.add_metric([replica["id"]], replica["waiting_for_slot"])
            for name in replica["tiers"]["gpu"]:
                slots.add_metric([replica["id"], name], 1.0)
        yield ready
        yield resident
        yield slots
        yield waiting

    def _staging(self) -> Iterator[Metric]:
        """By who told it: replicas of one node tell the same, and the registry's node may be it."""
        size_bytes = GaugeMetricFamily(
            "graftwork_staged_bytes",
            "Copies of versions on a process's node, bytes; bounded by adapters.staging.",
            labels=["replica"],
        )
        versions = GaugeMetricFamily(
            "graftwork_staged_versions",
            "Copies of versions on a process's node; bounded by adapters.staging.",
            labels=["replica"],
        )
        told = {each["id"]: each["staging"] for each in self._service.replicas()}
        with suppress(StoreError):
            told["registry"] = asdict(self._service.adapters.store.staged())
        for name, staging in told.items():
            size_bytes.add_metric([name], staging["size_bytes"])
            versions.add_metric([name], staging["versions"])
        yield size_bytes
        yield versions
