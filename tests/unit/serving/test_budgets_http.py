"""Budgets over real HTTP: many requests at once against a small budget never overspend (law 7).

What was spent is counted at the provider: what reached it, and what that costs at most.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router.admit.keys import hash_key
from router.budgets.accounts import Metric
from router.config.budgets import Window
from router.config.providers import ModelCard
from router.wire.endpoint import Usage
from serving.config.settings import Settings
from serving.router.compose import RouterProcess
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.running_router import running_books, running_router, settings_with

AT_ONCE = 200
BUDGET = 0.05
CARD = ModelCard(
    id="big",
    context_window=4096,
    max_output_tokens=64,
    input_usd_per_mtok=10.0,
    output_usd_per_mtok=100.0,
    cached_input_usd_per_mtok=1.0,
)
KEYS = [
    {"name": name, "sha256": hash_key(name), "tenant": tenant}
    for name, tenant in (("app", "shop"), ("other", "bank"))
]
TEXT = "Hello from the frontier."
PROMPT = "How do I return a lamp?"
CALL = CARD.cost_usd(Usage(len(PROMPT.split()), len(TEXT.split()), 0)) or 0.0
"""What the provider charges for one call, as it counts tokens: words."""


@pytest.fixture
def frontier() -> Iterator[FakeFrontier]:
    """The provider."""
    with FakeFrontier(text=TEXT) as running:
        yield running


def settings(root: Path, frontier: FakeFrontier, *budgets: dict[str, Any], **more: Any) -> Settings:
    """A router with one priced model and these budgets."""
    provider = {
        "name": "cloud",
        "base_url": frontier.openai_url,
        "models": [CARD.model_dump(mode="json")],
    }
    section = {"limits": budgets, "authority": "local", "grant_timeout_s": 30, **more}
    return settings_with(root, providers=[provider], budgets=section, auth={"keys": KEYS})


def on_database(config: Settings, url: str) -> Settings:
    """The same with the registry's books there."""
    adapters = config.adapters.model_copy(update={"database_url": url})
    return config.model_copy(update={"adapters": adapters})


async def ask(
    client: aiohttp.ClientSession, url: str, key: str = "app", **body: Any
) -> tuple[int, Any, Any]:
    """One chat; status, headers and decoded body (text of a stream)."""
    sent = {
        "model": "cloud/big",
        "max_tokens": 8,
        "messages": [{"role": "user", "content": PROMPT}],
        **body,
    }
    async with client.post(
        f"{url}/v1/chat/completions", json=sent, headers={"x-api-key": key}
    ) as answer:
        found = await (answer.text() if sent.get("stream") and answer.ok else answer.json())
        return answer.status, answer.headers, found


def session() -> aiohttp.ClientSession:
    """A client that opens as many connections as it has requests."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE))


def booked(process: RouterProcess) -> float:
    """What a router believes that it spent, US dollars."""
    leased_limits = process._accounting.leased_limits.all()
    return sum(p.spent for p in leased_limits if p.account.metric is Metric.MONEY) / 1e9


async def test_two_hundred_at_once_do_not_overspend(tmp_path: Path, frontier: FakeFrontier) -> None:
    """Some are answered, the rest is told 429; the provider never charges more than the budget."""
    config = settings(tmp_path, frontier, {"name": "small", "window": "total", "usd": BUDGET})
    async with running_router(config) as (url, process), session() as client:
        answers = await asyncio.gather(*(ask(client, url) for _ in range(AT_ONCE)))
        statuses = Counter(status for status, _, _ in answers)
        assert set(statuses) == {200, 429}
        assert statuses[200] == len(frontier.requests)
        assert len(frontier.requests) * CALL <= BUDGET
        # One by one, everything that is left can be used.
        while (await ask(client, url))[0] == 200:
            assert len(frontier.requests) * CALL <= BUDGET
        assert len(frontier.requests) * CALL > BUDGET * 0.9
        assert booked(process) == pytest.approx(len(frontier.requests) * CALL)
        _, _, refusal = await ask(client, url)
    error = refusal["error"]
    assert error["code"] == "insufficient_quota"
    assert "'small'" in error["message"]
    assert "0.05 US dollars" in error["message"]


async def test_who_is_refused_is_told_whether_waiting_helps(tmp_path: Path) -> None:
    """What requests under way hold comes back soon; what is used up, when the window ends."""
    with FakeFrontier(text=TEXT, delay_s=30) as frontier:
        tight = {"name": "tight", "window": "month", "usd": 0.004}
        async with (
            running_router(settings(tmp_path, frontier, tight)) as (url, process),
            session() as client,
        ):
            slow = asyncio.create_task(ask(client, url))
            while not frontier.requests:  # noqa: ASYNC110 - another thread's list
                await asyncio.sleep(0.01)
            status, headers, answer = await ask(client, url)
            assert (status, headers["retry-after"]) == (429, "1")
            assert "under way" in answer["error"]["message"]
            slow.cancel()
            await asyncio.gather(slow, return_exceptions=True)
            [leased] = process._accounting.leased_limits.all()
            while leased.held:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            leased.spent = leased.account.limit
            status, headers, answer = await ask(client, url)
            assert (status, answer["error"]["code"]) == (429, "budget_exceeded")
            assert "starts anew in" in answer["error"]["message"]
            assert int(headers["retry-after"]) >= 1


async def test_two_routers_share_one_budget(
    tmp_path: Path, frontier: FakeFrontier, database_url: str
) -> None:
    """The registry leases parts of the budget to both; together they stay within it."""
    config = settings(
        tmp_path,
        frontier,
        {"name": "small", "window": "total", "tenant": "*", "usd": BUDGET},
        authority="registry",
    )
    config = on_database(config, database_url)
    async with AsyncExitStack() as stack:
        registry, books = await stack.enter_async_context(running_books(config))
        urls = []
        for name in ("one", "two"):
            running = running_router(config, name, registry=registry)
            urls.append((await stack.enter_async_context(running))[0])
        client = await stack.enter_async_context(session())
        calls = [ask(client, urls[n % 2]) for n in range(AT_ONCE)]
        statuses = Counter(status for status, _, _ in await asyncio.gather(*calls))
        assert statuses[200] == len(frontier.requests) > 0
        assert len(frontier.requests) * CALL <= BUDGET
        [balance] = books.leases.balances()
        assert balance.granted <= balance.limit
        assert balance.spent / 1e9 <= BUDGET
        # Another tenant has a budget of its own.
        assert (await ask(client, urls[0], key="other"))[0] == 200
    # Drained routers gave back what they did not use: nothing but the spent part is still owned.
    async with running_books(config) as (_, books):
        for balance in books.leases.balances():
            assert balance.granted == balance.spent
        total = sum(balance.spent for balance in books.leases.balances())
    assert total / 1e9 == pytest.approx(len(frontier.requests) * CALL)


async def test_a_restarted_router_does_not_start_anew(
    tmp_path: Path, frontier: FakeFrontier, database_url: str
) -> None:
    """What was spent before the restart is still spent."""
    config = settings(
        tmp_path,
        frontier,
        {"name": "small", "window": "total", "usd": BUDGET / 2},
        authority="registry",
    )
    config = on_database(config, database_url)
    async with running_books(config) as (registry, _), session() as client:
        for name in ("first life", "second life"):
            async with running_router(config, name, registry=registry) as (url, _):
                while (await ask(client, url))[0] == 200:
                    pass
    assert BUDGET * 0.4 < len(frontier.requests) * CALL <= BUDGET / 2


async def test_without_the_registry_money_is_refused(
    tmp_path: Path, frontier: FakeFrontier
) -> None:
    """Fail closed: 503 that says why, and nobody is called. Requests may be let through."""
    config = settings(
        tmp_path,
        frontier,
        {"name": "count", "window": "minute", "requests": 5},
        {"name": "money", "window": "day", "key": "app", "usd": BUDGET},
        authority="registry",
        when_unreachable={"requests": "allow"},
    )
    async with running_router(config) as (url, _), session() as client:
        status, headers, answer = await ask(client, url)
        assert (status, answer["error"]["code"]) == (503, "budget_unreachable")
        assert int(headers["retry-after"]) >= 1
        assert frontier.requests == []
        assert (await ask(client, url, key="other"))[0] == 200


async def test_what_was_refused_upstream_is_not_paid(
    tmp_path: Path, frontier: FakeFrontier
) -> None:
    """A provider's 500 costs nothing, and what was set aside for it comes back."""
    config = settings(tmp_path, frontier, {"name": "small", "window": "day", "usd": BUDGET})
    frontier.misbehave(Fault(Kind.STATUS, status=500))
    async with running_router(config) as (url, process), session() as client:
        assert (await ask(client, url))[0] == 200
        assert len(frontier.requests) == 2
        assert booked(process) == pytest.approx(CALL)
        assert all(leased.held == 0 for leased in process._accounting.leased_limits.all())


async def test_retries_are_paid_and_set_aside(tmp_path: Path, frontier: FakeFrontier) -> None:
    """Answers that were cut were paid for: with them, too, the provider stays within the budget."""
    config = settings(tmp_path, frontier, {"name": "small", "window": "total", "usd": BUDGET})
    frontier.misbehave(*[Fault(Kind.CUT)] * 60)
    async with running_router(config) as (url, process), session() as client:
        streams = [ask(client, url, stream=n % 2 == 0) for n in range(AT_ONCE)]
        statuses = Counter(status for status, _, _ in await asyncio.gather(*streams))
        assert statuses[200] > 0
        assert len(frontier.requests) > statuses[200]
        assert len(frontier.requests) * CALL <= booked(process) + 1e-9 <= BUDGET
        assert all(leased.held == 0 for leased in process._accounting.leased_limits.all())


async def test_nothing_stays_set_aside(tmp_path: Path) -> None:
    """Whatever goes wrong at the provider, and whoever leaves when: all holds come back."""
    kinds = [Kind.CUT, Kind.STATUS, Kind.ERROR_IN_200, Kind.RESET, Kind.NO_END, Kind.HANG_MIDWAY]
    with FakeFrontier(text=TEXT, delay_s=0.01) as frontier:
        frontier.misbehave(*(Fault(kinds[n % 6]) for n in range(60)))
        config = settings(
            tmp_path,
            frontier,
            {"name": "large", "window": "total", "usd": 100, "tokens": 10**9, "requests": 10**6},
        )
        async with running_router(config) as (url, process), session() as client:

            async def hasty(number: int) -> None:
                patience_s = 2.0 if number % 3 else 0.002 * number
                with suppress(TimeoutError, aiohttp.ClientError, ValueError):
                    async with asyncio.timeout(patience_s):
                        await ask(client, url, stream=number % 2 == 0)

            await asyncio.gather(*(hasty(number) for number in range(90)))
            frontier.forget()
            assert (await ask(client, url))[0] == 200  # whoever was too hasty on a busy machine
            leased_limits = list(process._accounting.leased_limits.all())
            while any(leased.held for leased in leased_limits):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert {leased.account.metric for leased in leased_limits} == set(Metric)
            assert all(leased.held == 0 < leased.spent for leased in leased_limits)


async def test_a_cancelled_stream_is_billed(tmp_path: Path) -> None:
    """Who leaves half-way pays the prompt and what was streamed, as far as that is known."""
    with FakeFrontier(text="one two three four five six seven eight", delay_s=0.05) as frontier:
        config = settings(tmp_path, frontier, {"name": "small", "window": "day", "usd": BUDGET})
        async with running_router(config) as (url, process), session() as client:
            prompt = [{"role": "user", "content": PROMPT}]
            body = {"model": "cloud/big", "stream": True, "messages": prompt}
            async with client.post(
                f"{url}/v1/chat/completions", json=body, headers={"x-api-key": "app"}
            ) as answer:
                await answer.content.readline()
                answer.close()
            while any(p.held for p in process._accounting.leased_limits.all()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert booked(process) >= (CARD.cost_usd(Usage(len(PROMPT.split()), 1, 0)) or 0)
            assert booked(process) < BUDGET


async def test_cached_prompt_tokens_cost_what_the_card_says(tmp_path: Path) -> None:
    """Settlement replaces the worst case by the true price, cached part included."""
    with FakeFrontier(text=TEXT, cached_tokens=100) as frontier:
        config = settings(tmp_path, frontier, {"name": "small", "window": "day", "usd": BUDGET})
        async with running_router(config) as (url, process), session() as client:
            assert (await ask(client, url))[0] == 200
            assert booked(process) == pytest.approx(CARD.cost_usd(Usage(100, 4, 100)))


@pytest.mark.parametrize("window", [Window.MINUTE, Window.HOUR, Window.DAY, Window.MONTH])
async def test_requests_and_tokens_are_limited_with_headers(
    tmp_path: Path, frontier: FakeFrontier, window: Window
) -> None:
    """429 says which limit, how much is left and when it starts anew, in OpenAI's shape."""
    config = settings(
        tmp_path,
        frontier,
        {"name": "calls", "window": window.value, "key": "*", "requests": 2},
        {"name": "words", "window": window.value, "route": "cloud/big", "tokens": 5000},
    )
    async with running_router(config) as (url, process), session() as client:
        now = time.time()  # from here on it stands still: no window may end in between
        process._accounting.leased_limits._clock = process._accounting.budgets._clock = lambda: now
        status, headers, _ = await ask(client, url)
        assert status == 200
        assert headers["x-ratelimit-limit-requests"] == "2"
        assert headers["x-ratelimit-remaining-requests"] == "1"
        assert headers["x-ratelimit-limit-tokens"] == "5000"
        assert 0 < int(headers["x-ratelimit-remaining-tokens"]) <= 5000
        assert headers["x-ratelimit-reset-tokens"].endswith("s")
        await ask(client, url)
        status, headers, answer = await ask(client, url)
        assert (status, answer["error"]["code"]) == (429, "rate_limit_exceeded")
        assert answer["error"]["type"] == "rate_limit_error"
        assert headers["x-ratelimit-remaining-requests"] == "0"
        assert int(headers["retry-after"]) >= 1
        assert window.value in answer["error"]["message"]
        assert (await ask(client, url, key="other"))[0] == 200


async def test_what_can_never_fit_is_told_apart(tmp_path: Path, frontier: FakeFrontier) -> None:
    """A request that is larger than the whole budget is told to ask for less."""
    config = settings(tmp_path, frontier, {"name": "tiny", "window": "day", "usd": 0.0001})
    async with running_router(config) as (url, _), session() as client:
        status, _, answer = await ask(client, url)
    assert (status, answer["error"]["code"]) == (429, "budget_exceeded")
    assert "max_tokens" in answer["error"]["message"]


async def test_names_that_fit_a_glob_are_one_route(tmp_path: Path, frontier: FakeFrontier) -> None:
    """Invented ones get no budget of their own; one that a budget names has that, too."""
    each = {"name": "each", "window": "total", "route": "*", "requests": 3}
    own = {"name": "own", "window": "total", "route": "gpt-4o-mini", "requests": 1}
    config = settings(tmp_path, frontier, each, own)
    models = {"gpt-4o*": {"targets": ["cloud/big"]}}
    router = type(config.router).model_validate({**config.router.model_dump(), "models": models})
    config = config.model_copy(update={"router": router})
    async with running_router(config) as (url, process), session() as client:
        names = ["gpt-4o-a", "gpt-4o-mini", "gpt-4o-mini", "gpt-4o-b", "gpt-4o-c", "cloud/big"]
        statuses = [(await ask(client, url, model=name))[0] for name in names]
        assert statuses == [200, 200, 429, 200, 429, 200]
        assert len(list(process._accounting.leased_limits.all())) == 3
        routes = {place.route for place in process._accounting.usage._rows}
        assert routes == {"gpt-4o*", "cloud/big"}
