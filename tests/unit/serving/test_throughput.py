"""From an engine's busy seconds and counters to what routers price local tokens by."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter

from adapters.aliases import Peer
from router.config.routing import LocalPrice
from router.prices import LocalPricing, Work
from serving.config.settings import Settings
from serving.engine.work import CACHED, GENERATED, PROMPT, BusyTime, Processed, processed
from serving.internal.reports import EngineReport, RouterReply, RouterReport
from serving.registry.compose import RegistryProcess
from serving.registry.throughput import ENOUGH_BUSY_S, Throughput
from tests.fakes.replica_engine import FakeEngine, surface_of
from tests.fakes.tiny_adapter import BASE
from tests.k8s import metrics

WINDOW_S = 600.0


def work(busy_s: float, input_tokens: float = 0, output_tokens: float = 0) -> Work:
    """What a replica did since its start."""
    return Work(busy_s=busy_s, input_tokens=input_tokens, output_tokens=output_tokens)


def rate(found: Work | None) -> float:
    """Generated tokens per busy second."""
    assert found is not None
    return found.output_tokens / found.busy_s


# In the engine's process


def test_a_stopwatch_counts_overlapping_requests_once() -> None:
    """Busy is the time in which anything was under way."""
    now = 0.0
    busy = BusyTime(lambda: now)
    with busy:
        now = 1.0
        with busy:
            now = 3.0
        assert busy.seconds() == 3.0
    now = 10.0
    assert (busy.seconds(), busy.each_s()) == (3.0, 5.0)
    with pytest.raises(ZeroDivisionError), busy:
        now = 10.0 + 2.0 + 0 * (1 // 0)
    with busy:
        now = 12.0
    assert busy.seconds() == 5.0


def test_tokens_are_read_from_vllms_counters() -> None:
    """Over all of its engines; a prompt's cached part was not computed."""
    registry = CollectorRegistry()
    assert processed(registry) is None
    for name, counts in ((PROMPT, (100, 20)), (CACHED, (30, 0)), (GENERATED, (7, 1))):
        counter = Counter(name.removesuffix("_total"), "x", ["engine"], registry=registry)
        for engine, count in enumerate(counts):
            counter.labels(str(engine)).inc(count)
    assert processed(registry) == Processed(90, 8)


def test_the_counters_are_those_of_the_installed_vllm() -> None:
    """A new vLLM that calls them otherwise is noticed here."""
    assert {PROMPT, CACHED, GENERATED} <= metrics.vllm()


async def test_a_replica_is_busy_while_a_request_is_under_way(tmp_path: Path) -> None:
    """Looks at metrics and models do not count; who leaves in the middle stops the watch."""
    engine = FakeEngine()
    surface = surface_of(engine, tmp_path)
    assert surface.work() is None  # it counts no tokens
    engine.tokens = Processed(5, 3)
    transport = httpx.ASGITransport(surface)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as http:
        await http.get("/metrics")
        assert surface.work() == work(0, 5, 3)
        engine.let.clear()
        request = asyncio.create_task(http.post("/v1/chat/completions"))
        await asyncio.sleep(0.05)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
    first, second = surface.work(), surface.work()
    assert first is not None
    assert 0.03 <= first.busy_s < 5
    assert first == second


# In the registry


def test_nothing_is_told_before_enough_was_measured() -> None:
    """A few requests say little."""
    found = Throughput(WINDOW_S)
    found.heard("one", work(0))
    found.heard("one", work(ENOUGH_BUSY_S - 1, 0, 10))
    assert found.told is None
    found.heard("one", work(ENOUGH_BUSY_S + 1, 0, 1000))
    assert found.told is not None


def test_a_replica_without_counts_adds_nothing() -> None:
    """An engine that keeps no statistics leaves the price to the others."""
    found = Throughput(WINDOW_S)
    found.heard("one", None)
    found.heard("two", work(20, 0, 2000))
    assert rate(found.told) == pytest.approx(100)


def test_replicas_add_up() -> None:
    """The price of a token is that of all replicas together: a slow one makes it dearer."""
    found = Throughput(WINDOW_S)
    for name in ("one", "two"):
        found.heard(name, work(0))
    found.heard("one", work(10, 100, 900))
    found.heard("two", work(10, 100, 100))
    assert rate(found.told) == pytest.approx(50, rel=0.02)


def test_old_work_fades_with_busy_time_and_idle_time_changes_nothing() -> None:
    """After a window of other work the old one counts for 1/e."""
    found = Throughput(WINDOW_S)
    found.heard("one", work(0))
    found.heard("one", work(WINDOW_S, 0, WINDOW_S * 100))
    for _ in range(100):
        found.heard("one", work(WINDOW_S, 0, WINDOW_S * 100))
    assert rate(found.told) == pytest.approx(100)
    tokens, steps = WINDOW_S * 100, 600
    for step in range(1, steps + 1):
        found.heard("one", work(WINDOW_S + step, 0, tokens + step * 200))
    # exp(-1) / (exp(-1) + 1 - exp(-1)) of the old rate.
    assert rate(found.told) == pytest.approx(200 - 100 * 0.3679, rel=0.01)


def test_a_restarted_engine_begins_anew() -> None:
    """Counters that fell are those of a new process; nothing negative, nothing twice."""
    found = Throughput(WINDOW_S)
    found.heard("one", work(0))
    found.heard("one", work(100, 0, 10_000))
    found.heard("one", work(1, 0, 100))
    found.heard("one", work(20, 0, 2000))
    assert rate(found.told) == pytest.approx(100)
    assert found.told is not None
    assert found.told.busy_s <= 120


def test_a_replica_that_was_out_of_sight_is_not_counted_twice() -> None:
    """It comes back with all that it ever did; only what follows is new."""
    found = Throughput(WINDOW_S)
    found.heard("one", work(20, 0, 2000))
    found.keep(set())
    found.heard("one", work(1000, 0, 1_000_000))
    assert rate(found.told) == pytest.approx(100)
    found.heard("one", work(1020, 0, 1_020_000))
    assert rate(found.told) > 500


def test_a_restarted_registry_knows_at_once() -> None:
    """The first replica that it hears tells of its past, as a window's worth at most."""
    found = Throughput(WINDOW_S)
    found.heard("one", work(1e6, 0, 1e8))
    assert rate(found.told) == pytest.approx(100)
    assert found.told is not None
    assert found.told.busy_s == pytest.approx(WINDOW_S)


def test_a_small_change_is_no_news() -> None:
    """Routers make no new cards for less than a hundredth."""
    found = Throughput(WINDOW_S)
    found.heard("one", work(100, 0, 10_000))
    told = found.told
    found.heard("one", work(101, 0, 10_101))
    assert found.told is told
    found.heard("one", work(200, 0, 40_000))
    assert found.told is not told


STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.floats(0, 1e4), st.floats(0, 1e6), st.booleans()),
    max_size=40,
)


@given(STEPS)
def test_a_rate_is_between_the_slowest_and_the_fastest(
    steps: list[tuple[str, float, float, bool]],
) -> None:
    """Whoever reports, restarts, or is lost from sight; and sums stay bounded."""
    found, counts, rates = Throughput(WINDOW_S), dict.fromkeys("abc", (0.0, 0.0)), []
    for name in counts:
        found.heard(name, work(0))
    for name, seconds, per_s, restarts in steps:
        busy_s, tokens = (0.0, 0.0) if restarts else counts[name]
        counts[name] = (busy_s + seconds, tokens + seconds * per_s)
        if restarts:
            found.keep(set(counts) - {name})
            found.heard(name, work(0))
        rates.append(per_s)
        found.heard(name, work(counts[name][0], 0, counts[name][1]))
    if found.told is not None:
        assert min(rates) * 0.99 - 1e-3 <= rate(found.told) <= max(rates) * 1.01 + 1e-3
        assert found.told.busy_s <= 2 * WINDOW_S


# Over the wire to a router


def test_what_engines_report_becomes_a_routers_price(tmp_path: Path) -> None:
    """Report, reply and price, as JSON on the way; the table's revision stays."""
    settings = Settings(state_dir=tmp_path)
    service = RegistryProcess(settings).service
    peer = Peer(id="e1", url="http://e1", secret="s")
    pricing = LocalPricing(LocalPrice(replica_hour_usd=3.6))

    def engine_says(done: Work) -> None:
        report = EngineReport(peer=peer, base=BASE, max_model_len=64, work=done)
        wired = json.loads(json.dumps(report.model_dump(mode="json")))
        service.engine_reported(EngineReport.model_validate(wired))

    def router_hears() -> RouterReply:
        report = RouterReport(peer=Peer(id="r1", url="http://r1", secret="s"))
        reply = service.router_reported(report).model_dump(mode="json")
        found = RouterReply.model_validate(json.loads(json.dumps(reply)))
        pricing.heard(found.work)
        return found

    try:
        engine_says(work(0))
        before = router_hears()
        assert before.work is None
        assert before.table is not None
        engine_says(work(20, 10_000, 8000))
        after = router_hears()
    finally:
        service.adapters.registry.close()
    assert after.table is not None
    assert after.table.revision == before.table.revision
    assert pricing.current.price.output_usd == pytest.approx(0.001 / 500)
