"""What a local token costs: configured, measured or assumed, and one price a request (law 7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.aliases import Replica, RoutingTable
from router.audit.decision import record_of
from router.budgets.holds import Bounds, to_nano
from router.choose.replay import replay
from router.config.budgets import BudgetsConfig
from router.config.routing import LocalPrice
from router.prices import FREE, Basis, LocalPricing, Price, Work, tariff_of
from router.targets.directory import Catalog
from router.targets.http_client import HttpClient
from router.wire.endpoint import Usage
from serving.router.compose import RouterProcess
from tests.fakes.deciding import chooser, config, decide, world
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.exchanges import BASE_ID, exchange, put
from tests.fakes.router_process import router

HOUR_USD = 3.6
"""A second costs 0.001 USD."""
TOKENS = st.floats(0, 1e7)
WORKS = st.builds(Work, busy_s=st.floats(1, 1e5), input_tokens=TOKENS, output_tokens=TOKENS)


def measured(**fields: Any) -> LocalPrice:
    """A price whose throughput is measured."""
    return LocalPrice(replica_hour_usd=HOUR_USD, **fields)


def assert_price(price: Price, input_usd: float, output_usd: float) -> None:
    """Per token; what is cached costs nothing."""
    assert price.input_usd == pytest.approx(input_usd)
    assert price.output_usd == pytest.approx(output_usd)
    assert price.cached_usd == 0.0


def test_a_configured_throughput_holds() -> None:
    """An hour at 3.60 USD, 1000 tokens a second out, 10 000 in: 1e-6 and 1e-7 USD a token."""
    configured = measured(output_tokens_per_s=1000, input_tokens_per_s=10_000)
    found = tariff_of(configured, Work(busy_s=100, output_tokens=7))
    assert found.basis is Basis.CONFIGURED
    assert found.price.output_usd == pytest.approx(1e-6)
    assert found.price.input_usd == pytest.approx(1e-7)
    assert found.price.paid(Usage(1000, 100, 400)) == pytest.approx(600 * 1e-7 + 100 * 1e-6)
    assert found.price.paid(Usage()) == 0.0


@pytest.mark.parametrize(
    "given_rate", [{"output_tokens_per_s": 1000}, {"input_tokens_per_s": 4000}]
)
def test_of_one_configured_rate_the_other_follows(given_rate: dict[str, float]) -> None:
    """By the weight; nothing is measured, since the operator said something."""
    configured = measured(input_tokens_per_output_token=4, **given_rate)
    found = tariff_of(configured, Work(busy_s=100, output_tokens=7))
    assert found.basis is Basis.CONFIGURED
    assert_price(found.price, 0.25e-6, 1e-6)


def test_without_a_price_tokens_are_free_and_throughput_is_still_known() -> None:
    """The metric shows it, so that an operator can decide on a price."""
    work = Work(busy_s=100, output_tokens=7)
    found = tariff_of(None, work)
    assert found.price is FREE
    assert (found.basis, found.work) == (Basis.NONE, work)


def test_before_enough_was_measured_the_starting_throughput_is_assumed() -> None:
    """100 generated tokens a second: what one request alone gets."""
    found = LocalPricing(measured()).current
    assert found.basis is Basis.STARTING
    assert_price(found.price, 2e-6, 1e-5)


@given(WORKS, st.floats(1, 50), st.floats(1e-3, 1e3))
def test_the_tokens_cost_what_the_time_costs(work: Work, weight: float, hour_usd: float) -> None:
    """Price times tokens is the money for the busy time, while the throughput is within bounds."""
    price = LocalPrice(replica_hour_usd=hour_usd, input_tokens_per_output_token=weight)
    found = tariff_of(price, work)
    assert found.basis is Basis.MEASURED
    assert found.price.output_usd == pytest.approx(weight * found.price.input_usd)
    start = price.starting_output_tokens_per_s
    output_per_s = (work.input_tokens / weight + work.output_tokens) / work.busy_s
    if start / 10 <= output_per_s <= start * 1000:
        paid = found.price.expected(work.input_tokens, work.output_tokens)
        assert paid == pytest.approx(work.busy_s * hour_usd / 3600)


@given(WORKS, st.floats(1, 1e4))
def test_a_measured_price_is_bounded(work: Work, start: float) -> None:
    """Whatever is counted: an engine that hangs, counters that jump."""
    price = measured(starting_output_tokens_per_s=start)
    assumed = tariff_of(price).price.output_usd
    found = tariff_of(price, work).price.output_usd
    assert assumed / 1000 * 0.999 <= found <= assumed * 10 * 1.001


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_what_cannot_be_counted_is_refused(bad: float) -> None:
    """A report with such a number is no report."""
    with pytest.raises(ValidationError):
        Work(busy_s=bad)


def test_the_newest_work_counts_and_silence_changes_nothing() -> None:
    """A registry that was restarted knows nothing yet; the router keeps what it knew."""
    pricing = LocalPricing(measured())
    pricing.heard(Work(busy_s=10, input_tokens=5000, output_tokens=4000))
    known = pricing.current
    assert known.price.output_usd == pytest.approx(0.001 / 500)
    pricing.heard(None)
    pricing.heard(Work(busy_s=10, input_tokens=5000, output_tokens=4000))
    assert pricing.current is known


def test_a_deck_has_one_price_and_the_next_decision_the_next() -> None:
    """An option keeps the price that it was decided with; the record tells it."""
    by = chooser(routing={"local": {"price": {"replica_hour_usd": HOUR_USD}}})
    table = world()
    first, second = exchange(table=table), exchange(table=table)
    before = decide(first, by)[0]
    by.pricing.heard(Work(busy_s=10, output_tokens=10_000))
    after = decide(second, by)[0]
    assert before.price.output_usd == pytest.approx(1e-5)
    assert after.price.output_usd == pytest.approx(1e-6)
    assert before.cost_usd is not None
    assert after.cost_usd == pytest.approx(before.cost_usd / 10)
    told = [record_of(each)["features"]["local_price"] for each in (first, second)]
    assert [each["basis"] for each in told] == ["starting", "measured"]
    assert [each["output_usd_per_mtok"] for each in told] == [pytest.approx(10), pytest.approx(1)]
    assert told[1]["work"]["output_tokens"] == 10_000


@given(
    before=WORKS,
    after=WORKS,
    prompt=st.integers(0, 4000),
    output=st.integers(0, 500),
    cached=st.booleans(),
)
def test_what_is_set_aside_covers_what_is_booked(
    before: Work, after: Work, prompt: int, output: int, *, cached: bool
) -> None:
    """Law 7, however the measured price moves between the reservation and the settlement."""
    by = chooser(routing={"local": {"price": {"replica_hour_usd": HOUR_USD}}})
    catalog = Catalog(HttpClient(), {})
    by.pricing.heard(before)
    asked = exchange(table=world())
    put(asked, body={"max_tokens": 500})
    option = decide(asked, by)[0]
    held = Bounds(catalog, BudgetsConfig()).attempt(asked, option, prompt)
    by.pricing.heard(after)
    usage = Usage(prompt, output, prompt if cached else 0)
    assert held.nano >= to_nano(catalog.cost_usd(option, usage))


@asynccontextmanager
async def priced(
    state: Path, says: Says
) -> AsyncIterator[tuple[httpx.AsyncClient, RouterProcess, FakeEngine]]:
    """A router whose local price is measured, with a budget in money."""
    limit = {"name": "all", "window": "total", "usd": 100}
    settings = {
        "routing": {"local": {"price": {"replica_hour_usd": HOUR_USD}}},
        "budgets": {"limits": [limit], "authority": "local"},
    }
    async with FakeEngine({BASE_ID: says}) as engine:
        replica = Replica(id="r1", url=engine.url, secret="s")
        table = RoutingTable(revision=1, base_id=BASE_ID, max_model_len=4096, replicas=(replica,))
        async with router(state, settings, table) as (client, process):
            yield client, process, engine


def asked(**fields: Any) -> dict[str, Any]:
    """A request for the base."""
    messages = [{"role": "user", "content": "hello"}]
    return {"model": BASE_ID, "messages": messages, "max_tokens": 8, **fields}


async def test_a_price_that_rises_under_way_is_not_charged(tmp_path: Path) -> None:
    """A stream is settled at the price of its decision; the next request has the new one."""
    says = Says("one two three four", pause_after=2)
    async with priced(tmp_path, says) as (client, process, engine):
        sending = asyncio.create_task(client.post("/v1/chat/completions", json=asked(stream=True)))
        while not engine.requests:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.005)
        # Eight times as dear: an engine that hardly generates.
        process.pricing.heard(Work(busy_s=80, output_tokens=1000))
        says.go.set()
        await sending
        await client.post("/v1/chat/completions", json=asked())
        second, first = (await client.get("/admin/v1/decisions")).json()["data"]
        scraped = (await client.get("/metrics")).text
    assert first["features"]["local_price"]["basis"] == "starting"
    assert second["features"]["local_price"]["basis"] == "measured"
    assert first["cost_usd"] == pytest.approx(7 * 2e-6 + 4 * 1e-5)
    assert second["cost_usd"] == pytest.approx(7 * 1.6e-5 + 4 * 8e-5)
    values = dict(line.rsplit(" ", 1) for line in scraped.splitlines() if line[:1] not in ("", "#"))
    process_label = 'process="router-1"'
    assert float(values[f"graftwork_budget_overrun_usd{{{process_label}}}"]) == 0.0
    price = f'graftwork_local_price_usd_per_mtok{{{process_label},kind="output"}}'
    assert float(values[price]) == pytest.approx(80)
    assert float(values[f"graftwork_local_price_measured{{{process_label}}}"]) == 1.0
    rate = f'graftwork_local_tokens_per_busy_second{{{process_label},kind="output"}}'
    assert float(values[rate]) == pytest.approx(12.5)


def test_a_replay_prices_by_what_was_measured_then() -> None:
    """With another price of the hour; a configured throughput goes before the measured one."""
    routing = {"local": {"price": {"replica_hour_usd": HOUR_USD}}}
    by = chooser(routing=routing)
    by.pricing.heard(Work(busy_s=10, output_tokens=10_000))
    found = exchange(table=world())
    decide(found, by)
    put(found, status=200, usage=Usage(1000, 100, 0))
    attempt = {"target": "base", "outcome": "ok", "input_tokens": 1000, "output_tokens": 100}
    record = {**record_of(found), "attempts": [attempt]}

    def again(**price: float) -> float:
        changed = {"local": {"price": {"replica_hour_usd": 2 * HOUR_USD, **price}}}
        return replay([record], config(routing=changed))[0].after_usd

    assert again() == pytest.approx(2 * (1000 * 2e-7 + 100 * 1e-6))
    assert again(output_tokens_per_s=10, input_tokens_per_s=10) == pytest.approx(1100 * 2e-4)


def test_a_replay_forgets_between_records() -> None:
    """A decision at the starting price is repeated at it, also after one at a measured price."""
    routing = {"local": {"price": {"replica_hour_usd": HOUR_USD}}}
    records = []
    for at, work in ((1.0, Work(busy_s=10, output_tokens=10_000)), (2.0, None)):
        by = chooser(routing=routing)
        by.pricing.heard(work)
        found = exchange(table=world())
        decide(found, by)
        put(found, at=at, status=200, usage=Usage(0, 100, 0))
        attempt = {"target": "base", "outcome": "ok", "input_tokens": 0, "output_tokens": 100}
        records.append({**record_of(found), "attempts": [attempt]})
    costs = [each.after_usd for each in replay(records, config(routing=routing))]
    assert costs == [pytest.approx(100 * 1e-6), pytest.approx(100 * 1e-5)]
