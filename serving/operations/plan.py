"""How large a system has to be: pure arithmetic over a demand and over measured figures.

Nothing here is measured by itself: how many requests a replica answers depends on the model, the
GPU and the prompts (`make bench`, or a load test of your own). Sources: in flight = rate x time
(Little's law); popularity of adapters is Zipf's (share of the i-th is proportional to 1/i^s), which
fits traffic where few adapters are busy and most are not; requests fall on adapters independently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate

HOURS_PER_MONTH = 730


class Impossible(Exception):
    """No number of replicas would do; the message says why, and what to change."""


@dataclass(frozen=True)
class PeakDemand:
    """What is asked of the system at its peak."""

    requests_per_s: float
    seconds_per_request: float
    """Mean, from first byte in to last byte out."""
    adapters: int = 0
    """Published versions that callers use."""
    zipf: float = 1.0
    """0: all adapters are as popular; 1: as words in a text; more: fewer take all."""
    copies: int | None = None
    """Replicas that hold each adapter (``rollout.copies``); None: all."""


@dataclass(frozen=True)
class EngineCapacity:
    """What one engine replica can do."""

    requests_per_s: float
    """Measured at the latency that is wanted."""
    concurrent: int = 32
    """Requests under way that it is meant to have (``target_ongoing_requests``)."""
    gpus: int = 1
    max_loras: int = 8
    max_cpu_loras: int = 64
    adapter_mib: float = 80.0
    """Weights of one adapter at ``max_lora_rank``, MiB."""
    load_s: float = 0.3
    """One adapter into one replica, seconds."""


@dataclass(frozen=True)
class Site:
    """How much is kept in reserve, and what machines there are."""

    utilisation: float = 0.7
    """Share of the measured rate that is planned with."""
    spare: int = 1
    """Replicas that may be lost at the peak."""
    router_requests_per_s: float = 500.0
    """One router replica on one core; measured, see benchmarks/RESULTS.md."""
    gpus_per_node: int = 1
    gpu_usd_per_hour: float = 0.0
    stagger_s: float = 0.05
    """Pause between two loads of a publish (``rollout.stagger_s``)."""


@dataclass(frozen=True)
class CapacityPlan:
    """The answer."""

    replicas: int
    because: str
    """What asked for the most replicas: rate, concurrency, residency or availability."""
    gpus: int
    nodes: int
    routers: int
    in_flight: float
    per_replica: int
    """Adapters that one replica holds, at most ``max_cpu_loras``."""
    resident_share: float
    """Share of adapter requests whose adapter is on a GPU; the base answers the others at first."""
    distinct_in_batch: float
    """Adapters that one replica is expected to have under way; ``max_loras`` fit a batch."""
    slots_mib: float
    """GPU memory of one replica for ``max_loras`` slots."""
    host_mib: float
    """Host memory of one replica for the adapters that it holds."""
    publish_s: float
    """One publish: a replica after the other."""
    usd_per_month: float
    warnings: tuple[str, ...]


def plan(demand: PeakDemand, engine: EngineCapacity, site: Site) -> CapacityPlan:
    """The smallest system for a demand. Raises ``Impossible``."""
    _check(demand, engine, site)
    in_flight = demand.requests_per_s * demand.seconds_per_request
    needs = {
        "rate": math.ceil(demand.requests_per_s / (engine.requests_per_s * site.utilisation)),
        "concurrency": math.ceil(in_flight / engine.concurrent),
        "residency": _for_residency(demand, engine),
    }
    busiest = max(needs, key=lambda name: needs[name])
    replicas = max(needs[busiest], 1) + site.spare
    copies = min(demand.copies or replicas, replicas)
    shares = popularity(demand.adapters, demand.zipf)
    held = _held(demand.adapters, replicas, copies, engine.max_cpu_loras)
    # Of the adapters that a replica holds, it gets one of `copies` shares of the requests.
    here = [share / copies for share in shares]
    distinct = expected_distinct(here, in_flight) * copies / replicas
    gpus = replicas * engine.gpus
    found = CapacityPlan(
        replicas=replicas,
        because=busiest,
        gpus=gpus,
        nodes=math.ceil(gpus / site.gpus_per_node),
        routers=max(
            2, math.ceil(demand.requests_per_s / (site.router_requests_per_s * site.utilisation))
        ),
        in_flight=in_flight,
        per_replica=held,
        resident_share=resident_share(shares, replicas * engine.max_cpu_loras // max(copies, 1)),
        distinct_in_batch=min(distinct, float(held)),
        slots_mib=engine.max_loras * engine.adapter_mib,
        host_mib=held * engine.adapter_mib,
        publish_s=copies * (engine.load_s + site.stagger_s) if demand.adapters else 0.0,
        usd_per_month=gpus * site.gpu_usd_per_hour * HOURS_PER_MONTH,
        warnings=(),
    )
    return _with_warnings(found, demand, engine)


def popularity(adapters: int, zipf: float) -> list[float]:
    """Share of each adapter in the adapter traffic, the most popular first; they sum to 1."""
    weights = [rank**-zipf for rank in range(1, adapters + 1)]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def resident_share(shares: list[float], places: int) -> float:
    """Share of requests whose adapter is held when the most popular ones hold all places."""
    if not shares:
        return 1.0
    return min(1.0, list(accumulate(shares))[min(places, len(shares)) - 1]) if places > 0 else 0.0


def expected_distinct(shares: list[float], requests: float) -> float:
    """Expected number of different adapters among independent requests: sum of 1 - (1 - p)^n."""
    return math.fsum(1.0 - (1.0 - share) ** requests for share in shares)


def _for_residency(demand: PeakDemand, engine: EngineCapacity) -> int:
    """Replicas that hold every adapter ``copies`` times; with all on all, more do not help."""
    if demand.copies is None or not demand.adapters:
        return 1
    return max(demand.copies, math.ceil(demand.adapters * demand.copies / engine.max_cpu_loras))


def _held(adapters: int, replicas: int, copies: int, places: int) -> int:
    return min(math.ceil(adapters * copies / replicas), places)


def _check(demand: PeakDemand, engine: EngineCapacity, site: Site) -> None:
    positive = {
        "requests/s": demand.requests_per_s,
        "seconds per request": demand.seconds_per_request,
        "requests/s of a replica": engine.requests_per_s,
        "requests/s of a router": site.router_requests_per_s,
    }
    for name, value in positive.items():
        if not 0 < value < math.inf:
            raise Impossible(f"{name} must be a number above 0, got {value}")
    if not 0 < site.utilisation <= 1:
        raise Impossible(f"utilisation must be above 0 and at most 1, got {site.utilisation}")
    if engine.gpus > site.gpus_per_node:
        raise Impossible(
            f"a replica of {engine.gpus} GPUs does not fit a node of {site.gpus_per_node}: "
            "raise the GPUs of a node, or lower tensor_parallel_size"
        )


def _with_warnings(found: CapacityPlan, demand: PeakDemand, engine: EngineCapacity) -> CapacityPlan:
    warnings = []
    if found.distinct_in_batch > engine.max_loras:
        warnings.append(
            f"about {found.distinct_in_batch:.0f} adapters are under way at once on a replica and "
            f"a batch holds {engine.max_loras}: requests wait for a slot; raise max_loras"
        )
    if found.resident_share < 0.99:
        warnings.append(
            f"{1 - found.resident_share:.0%} of adapter requests find their adapter cold and are "
            "answered by the base at first; set copies, or raise max_cpu_loras"
        )
    if found.publish_s > 60:
        warnings.append(
            f"a publish takes about {found.publish_s:.0f} s, one replica after the other: "
            "lower copies"
        )
    if demand.copies == 1:
        warnings.append("with one copy, a lost replica leaves its adapters cold for a while")
    return replace(found, warnings=tuple(warnings))
