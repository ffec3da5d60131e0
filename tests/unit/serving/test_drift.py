"""What drifts: counted by routers, added up by the registry, compared with the week before."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from typer.testing import CliRunner

from adapters.registry import Registry
from router.account.signals import HOUR_S, SIGNALS, SignalRow, Signals, tenth
from router.account.usage import MAX_GROUPS, OTHER, Group, UsageMeter, UsageReport
from router.delivery import Answering, Assurance
from router.learn.drift import DAY_S, MAJOR, compare
from router.request import Intent, Option
from serving.cli.main import app
from serving.registry.accounts.database import open_database
from serving.registry.accounts.signals import DriftBook
from serving.registry.accounts.usage import UsageBook
from tests.fakes.exchanges import exchange, local, put
from tests.fakes.whole_system import System, whole_system

NOW = 1_000 * DAY_S


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The registry's database."""
    Registry.open(database_url).close()
    opened = open_database(database_url)
    yield opened
    opened.dispose()


def signal(hours_ago: float, bucket: str, count: int, **more: Any) -> SignalRow:
    """Counts of one hour."""
    hour = int((NOW - hours_ago * HOUR_S) // HOUR_S * HOUR_S)
    return SignalRow(hour=hour, signal="intent", bucket=bucket, count=count, **more)


def reported(engine: Engine, *rows: SignalRow, holder: str = "router-1") -> DriftBook:
    """The book after a router's report."""
    book = UsageBook(engine, Registry(engine).claim())
    book.report(UsageReport(holder=holder, rows=(), signals=rows))
    return DriftBook(engine, lambda: NOW)


def test_a_mix_that_changed_is_major_and_says_what_moved(engine: Engine) -> None:
    """With decisions of today as examples; what moved most stands first."""
    book = reported(
        engine,
        signal(60, "returns", 900),
        signal(60, "billing", 100),
        signal(2, "returns", 300, examples=("dec_1",)),
        signal(2, "billing", 700, examples=("dec_2", "dec_3")),
    )
    found = {each.signal: each for each in book.ask()}["intent"]
    assert found.level == "major"
    assert found.psi is not None
    assert found.psi > MAJOR
    assert [each.bucket for each in found.buckets] == ["billing", "returns"]
    assert found.buckets[0].examples == ("dec_2", "dec_3")
    assert (found.buckets[0].share, found.buckets[0].reference_share) == (0.7, 0.1)


def test_counts_of_all_routers_are_added_and_told_twice_count_once(engine: Engine) -> None:
    """Absolute counts: the largest of each router's."""
    reported(engine, signal(2, "returns", 40))
    reported(engine, signal(2, "returns", 60), signal(60, "returns", 500))
    book = reported(engine, signal(2, "returns", 50), holder="router-2")
    book.look()
    found = next(each for each in book.newest if each.signal == "intent")
    assert (found.requests, found.reference_requests, found.level) == (110, 500, "none")


def test_too_few_requests_say_nothing(engine: Engine) -> None:
    """A new deployment has no week before."""
    book = reported(engine, signal(2, "returns", 5000))
    assert {each.level for each in book.ask()} == {"unknown"}


def test_what_no_comparison_needs_is_forgotten(engine: Engine) -> None:
    """Nine days are kept."""
    claim = Registry(engine).claim()
    usage = UsageBook(engine, claim)
    usage.report(UsageReport(holder="r", rows=(), signals=(signal(24 * 30, "old", 1),)))
    usage.tidy(NOW)
    assert DriftBook(engine, lambda: NOW - 29.5 * DAY_S)._read()[0] == {}


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), buckets=st.integers(2, 20), n=st.integers(100, 3000))
def test_chance_alone_is_no_drift(seed: int, buckets: int, n: int) -> None:
    """Two samples of one distribution, however few requests there are."""
    draw = random.Random(seed)
    weights = [draw.random() + 0.05 for _ in range(buckets)]
    names = [str(each) for each in range(buckets)]
    now = Counter(draw.choices(names, weights, k=n))
    before = Counter(draw.choices(names, weights, k=7 * n))
    found = compare("intent", now, before, {})
    assert found.psi is not None
    assert found.psi < MAJOR
    assert found.level in ("none", "moderate")


def test_the_index_is_what_its_definition_says() -> None:
    """By hand, for two buckets; the halves that are added are small beside the counts."""
    found = compare("x", {"a": 70_000, "b": 30_000}, {"a": 50_000, "b": 50_000}, {})
    assert found.psi == pytest.approx(0.2 * 0.33647 + 0.2 * 0.51083, rel=1e-3)
    assert found.level == "moderate"


class Guarding:
    """A guard after it masked something."""

    async def outgoing(self, option: Option, body: dict[str, Any]) -> dict[str, Any]:
        """As it is."""
        return body

    async def begun(self, option: Option, said: str) -> str:
        """As it is."""
        return said

    def incoming(self, option: Option, answer: Answering) -> Answering:
        """As it is."""
        return answer

    def restored(self, option: Option, text: str) -> str:
        """As it is."""
        return text

    def redactions(self, option: Option) -> dict[tuple[str, str], int]:
        """Two addresses, and an account."""
        return {("EMAIL", "vault"): 2, ("IBAN", "mask"): 1}


def test_one_exchange_counts_in_each_of_its_signals() -> None:
    """Intent, confidence, quality, and every kind that was redacted."""
    found = put(exchange(), options=(local("returns"),), intent=Intent("returns", 0.42))
    found.delivery.guard = Guarding()
    found.delivery.choose(local("returns"))
    target = local("returns").target
    found.delivery.judge(Assurance(target, 3, -0.1, -0.2, None, 0.97, calibrated=True))
    signals = Signals(lambda: NOW)
    signals.observe(found)
    told = {(row.signal, row.bucket): row.examples for row in signals.take()}
    assert told.keys() == {
        ("intent", "returns"),
        ("confidence", "0.9-1.0"),
        ("quality", "0.9-1.0"),
        ("redactions", "EMAIL"),
        ("redactions", "IBAN"),
    }
    assert set(told.values()) == {("dec_1",)}
    assert signals.take() == ()


def test_what_could_not_be_told_is_told_later_and_old_hours_go() -> None:
    """Memory is bounded by what is not delivered, and by a limit (law 9)."""
    now = [NOW]
    signals = Signals(lambda: now[0])
    found = put(exchange(), options=(local("returns"),))
    signals.observe(found)
    rows = signals.take()
    signals.put_back(rows)
    now[0] += HOUR_S
    signals.tidy()
    assert len(signals) == len(rows)
    assert set(signals.take()) == set(rows)
    signals.tidy()
    assert len(signals) == 0


@pytest.mark.parametrize(
    ("value", "bucket"), [(0.0, "0.0-0.1"), (0.1, "0.1-0.2"), (0.999, "0.9-1.0"), (1.0, "0.9-1.0")]
)
def test_tenths(value: float, bucket: str) -> None:
    """One is in the last."""
    assert tenth(value) == bucket


async def test_totals_are_bounded_and_never_fall() -> None:
    """Also when the hour's rows are gone; what finds no room is counted together."""

    class Keeper:
        async def report(self, report: UsageReport) -> None:
            """Take it."""

    now = [NOW]
    meter = UsageMeter(lambda: now[0])
    for number in range(MAX_GROUPS + 10):
        option = local("returns", f"{number:064d}"[::-1])
        meter.book(put(exchange(), options=(option,)))
    before = meter.totals()
    assert len(before) <= MAX_GROUPS + 1
    assert sum(each.requests for each in before.values()) == MAX_GROUPS + 10
    assert before[Group(OTHER, OTHER, OTHER)].requests == 10
    now[0] += 2 * HOUR_S
    await meter.deliver(Keeper(), "r")
    await meter.deliver(Keeper(), "r")
    assert len(meter) == 0
    assert meter.totals() == before


# From outside


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A whole system without keys."""
    with whole_system(tmp_path_factory.mktemp("drift"), replicas=1) as running:
        yield running


def _asked(system: System, n: int) -> float:
    """So many requests; what they cost together."""
    body = {"model": "base", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    answers = [httpx.post(f"{system.url}/v1/chat/completions", json=body) for _ in range(n)]
    return sum(float(each.headers["x-graftwork-cost-usd"]) for each in answers)


def test_drift_from_outside(system: System) -> None:
    """A list as every other, with its thresholds; a new deployment knows nothing yet."""
    _asked(system, 3)
    deadline = time.monotonic() + 60
    while True:
        answer = httpx.get(f"{system.url}/admin/v1/drift").json()
        rows = {row["signal"]: row for row in answer["data"]}
        if rows["intent"]["requests"] >= 3 or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert answer["object"] == "list"
    assert answer["thresholds"] == {"moderate": 0.1, "major": 0.25}
    assert list(rows) == ["confidence", "intent", "quality", "redactions"]
    assert rows["intent"]["level"] == "unknown"
    bucket = rows["intent"]["buckets"][0]
    assert bucket["bucket"] == "none"
    identity = bucket["examples"][-1]
    assert httpx.get(f"{system.url}/admin/v1/decisions/{identity}").status_code == 200


def test_drift_on_the_command_line(system: System) -> None:
    """As a table, and as JSON."""
    arguments = ["drift", "--url", system.url]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "redactions" in shown.output
    told = CliRunner().invoke(app, [*arguments, "--json"])
    assert [row["signal"] for row in json.loads(told.output)["data"]] == sorted(SIGNALS)


def test_metrics_by_heading_tenant_intent_and_target(system: System) -> None:
    """What usage says is in the metrics too; the headings are the seven and waiting."""
    _asked(system, 2)
    text = httpx.get(f"{system.url}/metrics").text
    rows = [line for line in text.splitlines() if line.startswith("graftwork_usage_seconds_total{")]
    assert len(rows) == 8
    assert all('intent="none"' in row and 'tenant="default"' in row for row in rows)
    assert all('target="base"' in row for row in rows)


def test_usage_equals_what_the_answers_said_they_cost(tmp_path: Path) -> None:
    """To the billionth, also where a single answer costs less than a millionth of a dollar."""
    price = {"replica_hour_usd": 0.4567, "output_tokens_per_s": 913, "input_tokens_per_s": 4771}
    routing = {"local": {"price": price}}
    with whole_system(tmp_path, {"routing": routing}, replicas=1) as system:
        cost = _asked(system, 20)
        assert cost > 0
        deadline = time.monotonic() + 60
        while True:
            rows = httpx.get(f"{system.url}/admin/v1/usage?by=target").json()["data"]
            if sum(row["requests"] for row in rows) == 20 or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        assert sum(row["usd"] for row in rows) == pytest.approx(cost, abs=1e-12)
