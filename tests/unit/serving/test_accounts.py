"""The registry's books: usage adds up, leases are kept, old things go without being forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine
from typer.testing import CliRunner

from adapters.registry import Registry
from adapters.registry.claim import Claim
from adapters.registry.database import migration_config
from router.account.usage import OTHER, UsageMeter, UsageReport, UsageRow
from router.admin.usage import UsageQuestion
from router.budgets.authority import LeaseAsk, LeaseWish
from router.config.budgets import Window
from router.stages import Heading
from serving.cli.main import app
from serving.registry.accounts.book import GONE, LeaseBook
from serving.registry.accounts.database import MIGRATIONS, open_database
from serving.registry.accounts.models import Base
from serving.registry.accounts.usage import UsageBook
from tests.fakes.exchanges import exchange, local, put
from tests.fakes.frontier import FakeFrontier
from tests.fakes.running_router import running_books, running_router, settings_with

HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The registry's database, with the adapters' tables in it, as in production."""
    Registry.open(database_url).close()
    opened = open_database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def claim(engine: Engine) -> Claim:
    """The right to write in it."""
    registry = Registry(engine)
    return registry.claim()


def test_migrations_and_models_agree(engine: Engine) -> None:
    """Autogenerate finds nothing left to do after an upgrade, and upgrading again does nothing."""
    open_database(engine.url.render_as_string(hide_password=False)).dispose()
    ours = set(Base.metadata.tables)

    def is_ours(_: Any, name: str | None, kind: str, *__: Any) -> bool:
        return kind != "table" or name in ours

    with engine.connect() as connection:
        options = {"compare_type": True, "include_object": is_ours}
        context = MigrationContext.configure(
            connection, opts={**options, "version_table": "accounts_version"}
        )
        assert compare_metadata(context, Base.metadata) == []


def row(hour: int, tenant: str = "shop", **counts: int) -> UsageRow:
    """Counts of one hour."""
    return UsageRow(hour=hour, key="app", tenant=tenant, route="auto", target="base", **counts)


def reported(book: UsageBook, holder: str, *rows: UsageRow) -> None:
    """A router reports."""
    book.report(UsageReport(holder=holder, rows=rows))


def test_usage_adds_up_over_routers_and_hours(engine: Engine, claim: Claim) -> None:
    """Reports are absolute: told twice, or late, they count once."""
    book = UsageBook(engine, claim)
    reported(book, "one", row(0, requests=3, nano_usd=5), row(HOUR, requests=1))
    reported(book, "one", row(0, requests=3, nano_usd=5))
    reported(book, "one", row(0, requests=2, nano_usd=4))
    reported(book, "two", row(0, requests=10, nano_usd=1), row(0, "bank", requests=7))
    everything = UsageQuestion(0, DAY, by=("tenant",))
    assert [(r["tenant"], r["requests"]) for r in book.ask(everything)] == [
        ("shop", 14),
        ("bank", 7),
    ]
    [total] = book.ask(UsageQuestion(0, DAY, by=()))
    assert (total["requests"], total["usd"]) == (21, 6e-9)
    [later] = book.ask(UsageQuestion(HOUR, 2 * HOUR, by=("tenant",)))
    assert later["requests"] == 1
    [bank] = book.ask(UsageQuestion(0, DAY, only={"tenant": "bank"}))
    assert bank["requests"] == 7
    assert book.ask(UsageQuestion(DAY, 2 * DAY)) == []
    book.tidy(500 * DAY)
    assert book.ask(everything) == []


def test_usage_by_heading_and_by_version(engine: Engine, claim: Claim) -> None:
    """Time is each heading's own; tokens and money stand where targets are called, once."""
    book = UsageBook(engine, claim)
    counts = row(0, requests=2, nano_usd=10**9, target_us=9_000, policy_us=1_500, audit_us=500)
    version = counts.model_copy(update={"target": "adapter:returns@0123456789ab"})
    reported(book, "one", version, row(0, requests=1, routing_us=250))
    rows = {each["heading"]: each for each in book.ask(UsageQuestion(0, DAY, by=("heading",)))}
    assert rows.keys() == {heading.value for heading in Heading}
    assert all(each["requests"] == 3 for each in rows.values())
    assert {name: each["time_ms"] for name, each in rows.items() if each["time_ms"]} == {
        "policy": 1.5,
        "audit": 0.5,
        "routing": 0.25,
    }
    assert sum(each["usd"] for each in rows.values()) == rows["routing"]["usd"] == 1.0
    assert rows["routing"]["target_ms"] == sum(each["target_ms"] for each in rows.values()) == 9.0
    versions = book.ask(UsageQuestion(0, DAY, by=("version",)))
    assert [(r["version"], r["requests"], r["time_ms"]) for r in versions] == [
        ("returns@0123456789ab", 2, 2.0),
        ("none", 1, 0.25),
    ]
    other = version.model_copy(update={"target": "frontier:cloud/big"})
    reported(book, "two", other)
    assert [r["requests"] for r in book.ask(UsageQuestion(0, DAY, by=("version",)))] == [3, 2]


def test_usage_by_intent(engine: Engine, claim: Claim) -> None:
    """Also as a filter; what nobody recognised is ``none``."""
    book = UsageBook(engine, claim)
    refund = row(0, requests=4).model_copy(update={"intent": "refund"})
    reported(book, "one", refund, row(0, requests=1))
    found = book.ask(UsageQuestion(0, DAY, by=("intent",)))
    assert [(r["intent"], r["requests"]) for r in found] == [("refund", 4), ("none", 1)]
    [only] = book.ask(UsageQuestion(0, DAY, by=(), only={"intent": "refund"}))
    assert only["requests"] == 4


def test_what_was_counted_before_headings_stays(engine: Engine) -> None:
    """Down and up again: the same counts, with no time and no intent."""
    insert = (
        "INSERT INTO usage (hour, key, tenant, route, target, intent, holder, requests, refused,"
        " cache_hits, attempts, input_tokens, output_tokens, nano_usd, target_us, routing_us,"
        " governance_us, context_stitching_us, monitoring_us, policy_us, data_prep_us, audit_us)"
        " VALUES (0, 'k', 't', 'r', 'base', '{intent}', 'h', {n}, 0, 0, 0, 0, 0, 0,"
        " 1, 1, 1, 1, 1, 1, 1, 1)"
    )
    with engine.begin() as connection:
        for intent, n in (("a", 2), ("b", 3)):
            connection.exec_driver_sql(insert.format(intent=intent, n=n))
    with migration_config(engine, MIGRATIONS) as config:
        command.downgrade(config, "0002")
        command.upgrade(config, "head")
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT intent, requests, routing_us FROM usage").all()
    assert [tuple(each) for each in found] == [("none", 5, 0)]


def ask(
    number: int, holder: str, *, want: int, spent: int = 0, ends: int | None = None
) -> LeaseAsk:
    """A router's wish about one account."""
    wish = LeaseWish(
        account="a", budget="b", metric="usd", window=Window.DAY, limit=100,
        ends=ends, spent=spent, want=want,
    )  # fmt: skip
    return LeaseAsk(holder=holder, number=number, wishes=(wish,))


def test_what_a_router_owned_that_is_long_gone_stays_spent(engine: Engine, claim: Claim) -> None:
    """Its rows are folded into one, not handed out again."""
    now = [0.0]
    book = LeaseBook(engine, claim, lambda: now[0])
    book.lease(ask(1, "one", want=30, spent=10))
    book.lease(ask(1, "two", want=20, spent=20))
    now[0] = 31.0 * DAY
    book.tidy()
    assert book.committed("a") == 50
    [balance] = book.balances()
    assert (balance.granted, balance.spent) == (50, 30)
    [lease] = book.lease(ask(1, "three", want=100)).leases
    assert (lease.granted, lease.free) == (50, 0)
    # Should it come back after all, it starts from nothing, on top.
    [again] = book.lease(ask(2, "one", want=30, spent=10)).leases
    assert again.granted == 10
    assert GONE != "one"


def test_amounts_are_as_large_as_money_gets(engine: Engine, claim: Claim) -> None:
    """Ten million dollars in billionths; SQLite takes any number, PostgreSQL what its column is."""
    book = LeaseBook(engine, claim)
    millions = 10**7 * 10**9
    wish = LeaseWish(
        account="a", window=Window.TOTAL, limit=millions, spent=millions - 1, want=millions
    )
    [lease] = book.lease(LeaseAsk(holder="one", number=2**40, wishes=(wish,))).leases
    assert (lease.granted, lease.free) == (millions, 0)
    assert book.committed("a") == millions
    assert [(b.limit, b.spent) for b in book.balances()] == [(millions, millions - 1)]
    usage = UsageBook(engine, claim)
    row = UsageRow(hour=0, key="k", tenant="t", route="r", target="x", nano_usd=millions)
    usage.report(UsageReport(holder="one", rows=(row,)))
    [told] = usage.ask(UsageQuestion(-1, 1, by=[]))
    assert told["usd"] == 10**7


def test_windows_that_are_over_go(engine: Engine, claim: Claim) -> None:
    """Some time after their end."""
    now = [0.0]
    book = LeaseBook(engine, claim, lambda: now[0])
    book.lease(ask(1, "one", want=30, ends=DAY))
    assert len(book.balances()) == 1
    now[0] = 2.0 * DAY
    assert book.balances() == []
    assert book.committed("a") == 30
    now[0] = 4.0 * DAY
    book.tidy()
    assert book.committed("a") == 0


class Keeper:
    """Takes reports, or fails to."""

    def __init__(self) -> None:
        self.fails = False
        self.reports: list[UsageReport] = []

    async def report(self, report: UsageReport) -> None:
        """Take one."""
        if self.fails:
            raise OSError("no")
        self.reports.append(report)


async def test_counts_that_could_not_be_delivered_are_told_again() -> None:
    """And those of past hours are forgotten once they were heard (law 9)."""
    now, keeper = [0.0], Keeper()
    meter = UsageMeter(lambda: now[0])
    found = exchange("returns")
    put(found, options=(local("returns"),), status=200)
    meter.book(found)
    keeper.fails = True
    with pytest.raises(OSError, match="no"):
        await meter.deliver(keeper, "one")
    keeper.fails = False
    meter.book(found)
    now[0] = HOUR
    await meter.deliver(keeper, "one")
    assert [r.requests for r in keeper.reports[-1].rows] == [2]
    assert len(meter) == 0
    await meter.deliver(keeper, "one")
    assert len(keeper.reports) == 1


def test_rows_are_bounded() -> None:
    """Whatever clients name, memory stays bounded, and nothing goes uncounted."""
    meter = UsageMeter(lambda: 0.0, max_rows=3)
    for number in range(10):
        found = exchange(f"name-{number}")
        put(found, options=(local("returns"),))
        meter.book(found)
    assert len(meter) <= 4
    assert sum(counts.requests for counts in meter._rows.values()) == 10
    assert any(place.target == OTHER for place in meter._rows)
    unknown = exchange("invented")
    meter.book(unknown)
    assert all(place.route != "invented" for place in meter._rows)


async def test_usage_through_the_door_and_on_the_command_line(tmp_path: Path) -> None:
    """Asked at any router; printed as a table."""
    with FakeFrontier() as frontier:
        card = {"id": "big", "input_usd_per_mtok": 1000.0, "output_usd_per_mtok": 0.0}
        provider = {"name": "cloud", "base_url": frontier.openai_url, "models": [card]}
        budget = {"name": "everything", "window": "total", "tenant": "*", "usd": 500}
        config = settings_with(
            tmp_path, providers=[provider], budgets={"limits": [budget], "grant_timeout_s": 30}
        )
        async with (
            running_books(config) as (registry, _),
            running_router(config, registry=registry) as (url, process),
            aiohttp.ClientSession() as client,
        ):
            body = {"model": "cloud/big", "messages": [{"role": "user", "content": "a b c"}]}
            for _ in range(2):
                async with client.post(f"{url}/v1/chat/completions", json=body) as answer:
                    assert answer.status == 200
            # Settled after the client has its answer, reported once a second, or right now.
            found: dict[str, Any] = {"data": []}
            while sum(each["requests"] for each in found["data"]) < 2:
                await process._accounting.report()
                await process._accounting.budgets._lessee.look_ahead()
                async with client.get(f"{url}/admin/v1/usage?by=tenant,target") as answer:
                    found = await answer.json()
            [only] = found["data"]
            assert only.pop("time_ms") > 0
            assert only.pop("target_ms") > 0
            assert only == {
                "tenant": "default", "target": "frontier:cloud/big", "requests": 2, "refused": 0,
                "cache_hits": 0, "attempts": 2, "input_tokens": 6, "output_tokens": 8,
                "usd": 0.006,
            }  # fmt: skip
            [balance] = found["budgets"]
            assert (balance["tenant"], balance["limit"], balance["spent"]) == (
                "default",
                500,
                0.006,
            )
            for odd in ("?by=colour", "?since=x", "?sinse=1"):
                async with client.get(f"{url}/admin/v1/usage{odd}") as answer:
                    assert answer.status == 400, odd

            def run(*arguments: str) -> str:
                result = CliRunner(env={"GRAFTWORK_URL": url}).invoke(app, ["usage", *arguments])
                assert result.exit_code == 0, result.output
                return result.stdout

            table = await asyncio.to_thread(run, "--by", "target", "--since", "1h")
            assert "frontier:cloud/big" in table
            assert "0.006000" in table
            left = await asyncio.to_thread(run, "--budgets")
            assert "tenant=default" in left
            assert "everything" in left


def test_a_span_of_time_is_written_right() -> None:
    """One line says how."""
    result = CliRunner().invoke(app, ["usage", "--since", "yesterday"])
    assert result.exit_code == 1
    assert "24h" in result.output
