"""`/v1/messages/count_tokens`: counted by who would answer, or said to be an estimate."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import pytest
from aiohttp import web

from adapters.aliases import Replica, RoutingTable
from tests.fakes.asgi_client import ask
from tests.fakes.router_process import router
from tests.fakes.running_router import served

BASE = "tiny"
PATH = "/v1/messages/count_tokens"
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "system": "Be brief."}


@asynccontextmanager
async def counting(counts: Counts) -> AsyncIterator[str]:
    """A server with that one route."""
    app = web.Application()
    app.router.add_post(PATH, counts.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Counts:
    """Answers a number, and keeps what it was asked."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.accepts: str | None = None
        """The only key that it takes; None: any."""
        self.delay_s = 0.0
        self.message = "no such role"
        self.told: object = 21
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        """The route."""
        self.bodies.append(await request.json())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        await asyncio.sleep(self.delay_s)
        if self.accepts not in {None, self.headers[-1].get("x-api-key")}:
            return web.json_response({"error": {"message": "no such key"}}, status=401)
        error = {"type": "invalid_request_error", "message": self.message}
        answer = (
            {"input_tokens": self.told} if self.status == 200 else {"type": "error", "error": error}
        )
        return web.json_response(answer, status=self.status)


def table(*urls: str) -> RoutingTable:
    """The base on engines at these addresses."""
    places = tuple(Replica(id=f"r{n}", url=url, secret="s") for n, url in enumerate(urls))
    return RoutingTable(revision=1, base_id=BASE, replicas=places)


def provider(dialect: str, url: str) -> dict[str, Any]:
    """One frontier."""
    models = [{"id": "big", "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0}]
    return {
        "name": "cloud",
        "dialect": dialect,
        "base_url": url,
        "models": models,
        "api_key_env": "KEY",
    }


async def test_the_engine_counts_for_local_targets(tmp_path: Path) -> None:
    """The official SDK's call, counted by the engine that would answer."""
    counts = Counts()
    async with (
        counting(counts) as url,
        router(tmp_path, {}, table(url)) as (_, process),
        served(process.door) as door,
        anthropic.AsyncAnthropic(base_url=door, api_key="x", max_retries=0) as client,
    ):
        found = await client.messages.count_tokens(
            model=BASE, messages=[{"role": "user", "content": "Hello"}], system="Be brief."
        )
    assert found.input_tokens == 21
    assert counts.bodies == [{**BODY, "model": BASE}]
    assert counts.headers[0]["authorization"] == "Bearer s"


async def test_a_replica_that_fails_is_not_the_end(tmp_path: Path) -> None:
    """Another one counts."""
    broken, counts = Counts(500), Counts()
    async with (
        counting(broken) as first,
        counting(counts) as second,
        router(tmp_path, {}, table(first, second)) as (_, process),
    ):
        reply = await ask(process.door, PATH, {**BODY, "model": BASE})
    assert reply.json() == {"input_tokens": 21}
    assert reply.headers["x-graftwork-target"] == "base"
    assert "x-graftwork-warning" not in reply.headers


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
async def test_a_frontier_counts_or_it_is_an_estimate(tmp_path: Path, dialect: str) -> None:
    """Anthropic's own count; of a provider that has none, an estimate that says so."""
    counts = Counts()
    async with counting(counts) as url:
        config = {"providers": [provider(dialect, url)]}
        async with router(tmp_path, config, table(), {"KEY": "k"}) as (_, process):
            reply = await ask(process.door, PATH, {**BODY, "model": "cloud/big"})
    assert reply.status == 200, reply.body
    if dialect == "anthropic":
        assert reply.json() == {"input_tokens": 21}
        assert counts.bodies == [{**BODY, "model": "big"}]
        assert counts.headers[0]["x-api-key"] == "k"
    else:
        assert reply.json()["input_tokens"] > 0
        assert reply.headers["x-graftwork-warning"].startswith("input_tokens is an estimate")


async def test_another_key_counts_where_one_is_refused(tmp_path: Path) -> None:
    """As for answers; the refused one is set aside, and the next count does not try it."""
    counts = Counts()
    counts.accepts = "good"
    async with counting(counts) as url:
        keys = tmp_path / "keys"
        keys.write_text("good\nbad\n")
        found = {**provider("anthropic", url), "api_key_env": None, "api_key_file": str(keys)}
        async with router(tmp_path, {"providers": [found]}, table()) as (_, process):
            for _ in range(3):
                reply = await ask(process.door, PATH, {**BODY, "model": "cloud/big"})
                assert reply.json() == {"input_tokens": 21}
    used = [headers["x-api-key"] for headers in counts.headers]
    assert used.count("bad") == 1


async def test_a_count_takes_no_longer_than_the_client_waits(tmp_path: Path) -> None:
    """``timeout_ms``, as for answers."""
    counts = Counts()
    counts.delay_s = 5.0
    hasty = {**BODY, "graftwork": {"timeout_ms": 100}}
    async with counting(counts) as url:
        config = {"providers": [provider("anthropic", url)]}
        async with router(tmp_path, config, table(url), {"KEY": "k"}) as (_, process):
            for model in ("cloud/big", BASE):
                reply = await ask(process.door, PATH, {**hasty, "model": model})
                assert (reply.status, reply.json()["error"]["type"]) == (504, "timeout_error")


async def test_a_count_costs_nothing(tmp_path: Path) -> None:
    """So that neither the client's limit nor a route's speaks against who is asked for it."""
    counts = Counts()
    bounds: list[dict[str, Any]] = [{}, {"routing": {"routes": {"*": {"max_cost_usd": 1e-9}}}}]
    async with counting(counts) as url:
        for more in bounds:
            config = {"providers": [provider("anthropic", url)], **more}
            async with router(tmp_path, config, table(), {"KEY": "k"}) as (_, process):
                body = {**BODY, "model": "cloud/big"}
                if not more:
                    body["graftwork"] = {"max_cost_usd": 0}
                reply = await ask(process.door, PATH, body)
                assert reply.json() == {"input_tokens": 21}
                refused = await ask(process.door, "/v1/messages", {**body, "max_tokens": 9})
                assert refused.json()["error"]["code"] == "max_cost_exceeded"


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_not_everybody_who_speaks_the_api_counts(tmp_path: Path, status: int) -> None:
    """Many have Messages without this route: an estimate keeps their clients going."""
    async with counting(Counts(status)) as url:
        config = {"providers": [provider("anthropic", url)]}
        async with router(tmp_path, config, table(), {"KEY": "k"}) as (_, process):
            reply = await ask(process.door, PATH, {**BODY, "model": "cloud/big"})
    assert reply.status == 200, reply.body
    assert reply.json()["input_tokens"] > 0
    assert reply.headers["x-graftwork-warning"].startswith("input_tokens is an estimate")


@pytest.mark.parametrize("status", [200, 400])
async def test_who_counts_sees_no_more_than_who_answers(tmp_path: Path, status: int) -> None:
    """Placeholders, whose errors are put back; a secret is counted by nobody."""
    counts = Counts(status)
    counts.message = "bad [EMAIL_1]"
    body = {"model": "cloud/big", "messages": [{"role": "user", "content": "I am ann@example.org"}]}
    secret = {**body, "system": "ghp_16C7e42F292c6912E7710c838347Ae178B4a is the key"}
    async with counting(counts) as url:
        config = {"providers": [provider("anthropic", url)]}
        async with router(tmp_path, config, table(), {"KEY": "k"}) as (_, process):
            reply = await ask(process.door, PATH, body)
            refused = await ask(process.door, PATH, secret)
    assert [said["messages"][0]["content"] for said in counts.bodies] == ["I am [EMAIL_1]"]
    if status == 400:
        assert reply.json()["error"]["message"] == "bad ann@example.org"
    assert (refused.status, refused.json()["error"]["code"]) == (422, "secret_blocked")


@pytest.mark.parametrize(("status", "expected"), [(400, 400), (503, 503)])
async def test_errors_of_counting_have_anthropics_shape(
    tmp_path: Path, status: int, expected: int
) -> None:
    """What the target finds fault with is the client's; what it cannot do now is 503."""
    async with (
        counting(Counts(status)) as url,
        router(tmp_path, {}, table(url)) as (_, process),
    ):
        reply = await ask(process.door, PATH, {**BODY, "model": BASE})
        nobody = await ask(process.door, PATH, {**BODY, "model": "nobody"})
    assert (reply.status, reply.json()["type"]) == (expected, "error")
    assert (nobody.status, nobody.json()["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize(("model", "status"), [(BASE, 200), ("nobody", 404)])
async def test_a_count_is_on_record(tmp_path: Path, model: str, status: int) -> None:
    """A target saw the text, so the request has its begin and its end like any other (law 8)."""
    async with (
        counting(Counts()) as url,
        router(tmp_path, {}, table(url)) as (_, process),
    ):
        reply = await ask(process.door, PATH, {**BODY, "model": model})
        decision = reply.headers["x-graftwork-decision-id"]
        found = await ask(process.door, f"/admin/v1/decisions/{decision}", None)
    assert (reply.status, found.status) == (status, 200)
    assert found.json()["status"] == status
    assert _recorded(tmp_path, decision) == ["request.begin", "request.end"]


def _recorded(state: Path, decision: str) -> list[str]:
    lines = [
        json.loads(line)
        for path in sorted(state.rglob("segments/*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    return [line["kind"] for line in lines if line["decision_id"] == decision]


async def test_counting_takes_a_place_as_calls_do(tmp_path: Path) -> None:
    """Among those under way here, and among those of its provider; both come back (law 9)."""
    counts = Counts()
    async with counting(counts) as url:
        config = {"providers": [{**provider("anthropic", url), "max_connections": 1}]}
        async with router(tmp_path, config, table(), {"KEY": "k"}) as (_, process):
            big = process.door._counts.catalog.frontiers["cloud/big"]._provider
            admission = process.door._counts.admission
            asked = {**BODY, "model": "cloud/big"}
            assert (await ask(process.door, PATH, asked)).status == 200
            assert (big.in_flight, admission.under_way) == (0, 0)
            big.in_flight = 1
            full = await ask(process.door, PATH, asked)
            assert (full.status, "retry-after" in full.headers) == (503, True)
            big.in_flight, room = 0, admission._room
            admission._room = dict.fromkeys(room, 0.0)
            assert (await ask(process.door, PATH, asked)).status == 503
            admission._room = room
            assert (await ask(process.door, PATH, asked)).status == 200
    assert len(counts.bodies) == 2


@pytest.mark.parametrize("told", [-5, True, "21", 2.5, None])
async def test_a_count_that_is_none(tmp_path: Path, told: object) -> None:
    """Clients size their prompts by it."""
    counts = Counts()
    counts.told = told
    async with counting(counts) as url, router(tmp_path, {}, table(url)) as (_, process):
        reply = await ask(process.door, PATH, {**BODY, "model": BASE})
    assert reply.status == 502
    assert reply.json()["error"]["type"] == "api_error"
