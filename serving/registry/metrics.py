"""Prometheus metrics of the registry, read from its state at each scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

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
        yield from self._versions(snapshot)
        yield from self._replicas()

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
        staged_bytes = GaugeMetricFamily(
            "graftwork_staged_bytes",
            "Copies of versions on a replica's node, bytes; bounded by adapters.staging.",
            labels=["replica"],
        )
        staged_versions = GaugeMetricFamily(
            "graftwork_staged_versions",
            "Copies of versions on a replica's node; bounded by adapters.staging.",
            labels=["replica"],
        )
        for replica in self._service.replicas():
            staged_bytes.add_metric([replica["id"]], replica["staging"]["size_bytes"])
            staged_versions.add_metric([replica["id"]], replica["staging"]["versions"])
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
        yield staged_bytes
        yield staged_versions
