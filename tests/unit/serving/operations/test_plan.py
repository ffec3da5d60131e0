"""The sizing's arithmetic: what must hold for any demand, and some figures by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.operations.plan import (
    EngineCapacity,
    Impossible,
    PeakDemand,
    Site,
    expected_distinct,
    plan,
    popularity,
    resident_share,
)

rates = st.floats(min_value=0.1, max_value=50_000)
demands = st.builds(
    PeakDemand,
    requests_per_s=rates,
    seconds_per_request=st.floats(min_value=0.01, max_value=120),
    adapters=st.integers(0, 3000),
    zipf=st.floats(min_value=0, max_value=2),
    copies=st.none() | st.integers(1, 8),
)
engines = st.builds(
    EngineCapacity,
    requests_per_s=st.floats(min_value=0.5, max_value=500),
    concurrent=st.integers(1, 256),
    max_loras=st.integers(1, 32),
    max_cpu_loras=st.integers(32, 512),
)
sites = st.builds(
    Site,
    utilisation=st.floats(min_value=0.1, max_value=1),
    spare=st.integers(0, 4),
    gpus_per_node=st.integers(1, 8),
)


@given(demand=demands, engine=engines, site=sites)
def test_what_is_planned_suffices(demand: PeakDemand, engine: EngineCapacity, site: Site) -> None:
    """With the spare replicas lost, rate, concurrency and places still suffice."""
    found = plan(demand, engine, site)
    left = found.replicas - site.spare
    slack = 1 + 1e-9
    assert left >= 1
    assert demand.requests_per_s <= left * engine.requests_per_s * site.utilisation * slack
    assert found.in_flight <= left * engine.concurrent * slack
    if demand.copies is not None:
        assert demand.adapters * min(demand.copies, left) <= left * engine.max_cpu_loras
    assert found.gpus <= found.nodes * site.gpus_per_node
    assert demand.requests_per_s <= found.routers * site.router_requests_per_s * slack
    assert 0 <= found.per_replica <= engine.max_cpu_loras
    assert 0 <= found.resident_share <= 1
    assert 0 <= found.distinct_in_batch <= found.per_replica + 1e-6


@given(demand=demands, engine=engines, site=sites)
def test_one_replica_less_would_not_suffice(
    demand: PeakDemand, engine: EngineCapacity, site: Site
) -> None:
    """The plan is the smallest: without one more replica, what it is `because` of fails."""
    found = plan(demand, engine, site)
    less = found.replicas - site.spare - 1
    if less == 0:
        return
    assert {
        "rate": demand.requests_per_s > less * engine.requests_per_s * site.utilisation,
        "concurrency": found.in_flight > less * engine.concurrent,
        "residency": demand.copies is not None
        and (demand.copies > less or demand.adapters * demand.copies > less * engine.max_cpu_loras),
    }[found.because]


@given(demand=demands, engine=engines, more=st.floats(min_value=1, max_value=3))
def test_more_requests_never_need_less(
    demand: PeakDemand, engine: EngineCapacity, more: float
) -> None:
    """Replicas and routers grow with the rate."""
    grown = PeakDemand(
        demand.requests_per_s * more,
        demand.seconds_per_request,
        demand.adapters,
        demand.zipf,
        demand.copies,
    )
    before, after = plan(demand, engine, Site()), plan(grown, engine, Site())
    assert after.replicas >= before.replicas
    assert after.routers >= before.routers


@given(adapters=st.integers(1, 3000), zipf=st.floats(min_value=0, max_value=2))
def test_popularity_is_a_distribution(adapters: int, zipf: float) -> None:
    """Shares sum to one and fall; holding more never answers less."""
    shares = popularity(adapters, zipf)
    assert math.isclose(math.fsum(shares), 1.0)
    assert shares == sorted(shares, reverse=True)
    held = [resident_share(shares, places) for places in (0, 1, 1 + adapters // 2, 10_000)]
    assert held == sorted(held)
    assert held[0] == 0
    assert math.isclose(held[-1], 1.0)


def test_figures_by_hand() -> None:
    """Ten requests/s of 4 s are 40 under way; 0.7 of 2 requests/s ask for 8 replicas."""
    found = plan(PeakDemand(10, 4), EngineCapacity(2, concurrent=16), Site(spare=1))
    assert (found.replicas, found.because, found.in_flight) == (9, "rate", 40)
    assert (found.routers, found.resident_share, found.publish_s) == (2, 1.0, 0)
    # Two coins: one sort for sure, the second with one half.
    assert expected_distinct([0.5, 0.5], 2) == pytest.approx(1.5)
    assert popularity(3, 1) == pytest.approx([6 / 11, 3 / 11, 2 / 11])


def test_thousands_of_adapters_on_hundreds_of_replicas() -> None:
    """On paper: 5000 adapters in two copies, 4000 requests/s; and what will be tight is said."""
    demand = PeakDemand(4000, 3, adapters=5000, copies=2)
    found = plan(demand, EngineCapacity(20, concurrent=48, max_cpu_loras=64), Site(gpus_per_node=8))
    assert found.because == "rate"
    assert found.replicas == math.ceil(4000 / 14) + 1
    assert found.nodes == math.ceil(found.gpus / 8)
    assert found.resident_share == pytest.approx(1.0)
    everywhere = plan(
        PeakDemand(4000, 3, adapters=5000),
        EngineCapacity(20, max_cpu_loras=64),
        Site(gpus_per_node=8),
    )
    assert everywhere.publish_s > 60
    assert any("cold" in warning for warning in everywhere.warnings)
    assert any("publish" in warning for warning in everywhere.warnings)


@pytest.mark.parametrize(
    ("demand", "engine", "site", "said"),
    [
        (PeakDemand(0, 1), EngineCapacity(1), Site(), "requests/s must be"),
        (PeakDemand(1, math.inf), EngineCapacity(1), Site(), "seconds per request"),
        (PeakDemand(1, 1), EngineCapacity(0), Site(), "of a replica"),
        (PeakDemand(1, 1), EngineCapacity(1), Site(utilisation=1.5), "utilisation"),
        (PeakDemand(1, 1), EngineCapacity(1, gpus=4), Site(gpus_per_node=2), "does not fit a node"),
    ],
)
def test_nonsense_is_refused(
    demand: PeakDemand, engine: EngineCapacity, site: Site, said: str
) -> None:
    """In one line that names the figure."""
    with pytest.raises(Impossible, match=said):
        plan(demand, engine, site)
