"""Which metrics exist, from who makes them: our own collectors, installed vLLM, installed Ray."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from serving.config.settings import Settings
from serving.registry.compose import RegistryProcess
from serving.router.compose import RouterProcess

_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
# What the joined exposition, Prometheus and the PodMonitors add.
ADDED_LABELS = frozenset({"process", "instance", "job", "namespace", "pod", "le"})


def own(database: Path) -> dict[str, frozenset[str]]:
    """Label names of every series of routers and registry, by the series' name."""
    # As a router process composes them, whoever contributes.
    router = RouterProcess(Settings(state_dir=database.parent), "router-1", {})
    found = dict(_series(router._registry))
    registry = RegistryProcess(Settings(state_dir=database.parent))
    found |= _series(registry._metrics)
    asyncio.run(registry.aclose())
    return found


def _series(registry: CollectorRegistry) -> Iterable[tuple[str, frozenset[str]]]:
    for collector in set(registry._collector_to_names):
        labels = getattr(collector, "_labelnames", None)
        families: Iterable[Metric] = collector.collect()
        for family in families:
            names = getattr(family, "_labelnames", ()) if labels is None else labels
            yield from _names(family.name, family.type, names).items()


def _names(name: str, kind: str, labels: Iterable[str]) -> dict[str, frozenset[str]]:
    return {name + suffix: frozenset(labels) for suffix in _SUFFIXES[kind]}


def _source(package: str, *parts: str) -> str:
    """The text of an installed package's modules; importing them would take seconds."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]).joinpath(*parts)
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))


@cache
def vllm() -> frozenset[str]:
    """Every series that installed vLLM declares."""
    kinds = {"counter": _SUFFIXES["counter"], "gauge": ("",), "histogram": _SUFFIXES["histogram"]}
    pattern = re.compile(r'_?(counter|gauge|histogram)_cls\(\s*name="(vllm:\w+)"', re.IGNORECASE)
    rows = pattern.findall(_source("vllm", "v1", "metrics"))
    # vLLM's counters carry the suffix once, with or without it in their own name.
    return frozenset(
        name.removesuffix("_total") + suffix if kind.lower() == "counter" else name + suffix
        for kind, name in rows
        for suffix in kinds[kind.lower()]
    )


@cache
def ray() -> frozenset[str]:
    """Every gauge that installed Ray Serve declares, as Ray exports it."""
    pattern = re.compile(r'metrics\.Gauge\(\s*"(serve_\w+)"')
    return frozenset("ray_" + name for name in pattern.findall(_source("ray", "serve", "_private")))
