"""A pin is a promise: exactly that version, or an error that says why not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.aliases import Replica, RoutingTable, engine_name
from serving.router.compose import RouterProcess
from tests.fakes.deciding import returns
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.exchanges import BASE_ID, BEFORE, GONE, LIVE
from tests.fakes.router_process import router

CHAT = "/v1/chat/completions"
SAID = [{"role": "user", "content": "hi"}]
NOW, THEN, OLD = (engine_name("returns", digest) for digest in (LIVE, BEFORE, GONE))
CONFIG = {"delivery": {"retry": {"backoff_s": 0.001, "backoff_max_s": 0.002}}}


@asynccontextmanager
async def world(
    state: Path, says: dict[str, Says], *resident: str
) -> AsyncIterator[tuple[httpx.AsyncClient, FakeEngine, RouterProcess]]:
    """A router over an alias with a live version, one before and a retired one."""
    alias = returns(versions=(LIVE, BEFORE), retired=(GONE,))
    async with FakeEngine({BASE_ID: Says(), **says}) as engine:
        places = (Replica(id="r1", url=engine.url, secret="s", resident=frozenset(resident)),)
        table = RoutingTable(
            revision=1, base_id=BASE_ID, aliases={"returns": alias}, replicas=places
        )
        async with router(state, CONFIG, table) as (client, process):
            yield client, engine, process


async def ask(client: httpx.AsyncClient, model: str, **more: Any) -> httpx.Response:
    """One chat."""
    headers = more.pop("headers", {})
    body = {"model": model, "messages": SAID, **more}
    return await client.post(CHAT, json=body, headers=headers)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_broken_version_is_answered_by_nobody_else(tmp_path: Path, stream: bool) -> None:
    """Neither another version nor the base hears of it, and the error is the version's own."""
    says = {NOW: Says(), THEN: Says(status=500)}
    async with world(tmp_path, says, NOW, THEN) as (client, engine, _):
        answer = await ask(client, THEN, stream=stream)
        assert answer.status_code >= 500
        assert set(engine.asked()) == {THEN}


async def test_a_stream_that_breaks_is_continued_by_nobody_else(tmp_path: Path) -> None:
    """It ends with an error event, or goes on with the same version."""
    says = {NOW: Says(), THEN: Says("one two three four", cut_after=2)}
    async with world(tmp_path, says, NOW, THEN) as (client, engine, _):
        answer = await ask(client, THEN, stream=True)
        assert set(engine.asked()) == {THEN}
        assert "upstream_stream_broken" in answer.text


async def test_a_version_that_is_not_loaded(tmp_path: Path) -> None:
    """503, come back soon; and the registry hears that it is wanted."""
    async with world(tmp_path, {NOW: Says()}, NOW) as (client, engine, process):
        answer = await ask(client, THEN)
        assert answer.status_code == 503, answer.text
        assert 1 <= int(answer.headers["retry-after"]) <= 10
        assert engine.asked() == []
        assert process._traffic.snapshot()[THEN].wanted == 1


async def test_a_retired_version(tmp_path: Path) -> None:
    """410, with what can be done about it."""
    async with world(tmp_path, {NOW: Says()}, NOW) as (client, engine, _):
        answer = await ask(client, OLD)
        assert answer.status_code == 410
        assert answer.json()["error"]["code"] == "version_retired"
        assert "x-graftwork-fallback" in answer.json()["error"]["message"]
        assert engine.asked() == []


async def test_an_unknown_version(tmp_path: Path) -> None:
    """404, also where a fallback is allowed: there never was anything to fall back from."""
    async with world(tmp_path, {NOW: Says()}, NOW) as (client, _, __):
        for headers in ({}, {"x-graftwork-fallback": "true"}):
            answer = await ask(client, "returns@000000000000", headers=headers)
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    "allow",
    [
        {"headers": {"x-graftwork-fallback": "true"}},
        {"graftwork": {"fallback": True}},
        {"headers": {"x-graftwork-fallback": "True"}, "graftwork": {"fallback": False}},
    ],
    ids=["header", "extension", "the header counts"],
)
@pytest.mark.parametrize("model", [THEN, OLD], ids=["not loaded", "retired"])
async def test_who_allows_it_gets_another_answer(
    tmp_path: Path, allow: dict[str, Any], model: str
) -> None:
    """And the response says who gave it."""
    async with world(tmp_path, {NOW: Says()}, NOW) as (client, _, __):
        answer = await ask(client, model, **allow)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-graftwork-target"] in {"base", f"adapter:{NOW}"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"headers": {"x-graftwork-fallback": "yes"}},
        {"headers": {"x-graftwork-fallback": ""}},
        {"graftwork": {"fallback": "true"}},
        {"graftwork": {"fallback": 1}},
    ],
)
async def test_a_wish_that_is_not_understood(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """Is not guessed at."""
    async with world(tmp_path, {NOW: Says()}, NOW) as (client, _, __):
        answer = await ask(client, NOW, **wrong)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "graftwork.fallback"
