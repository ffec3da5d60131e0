"""A client that leaves is gone everywhere at once: at the provider, in a pause, in a hedge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.aliases import RoutingTable
from serving.config.settings import Settings
from serving.router.compose import RouterProcess
from tests.fakes.asgi_client import Reply, ask
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.sending import until

PATH = "/v1/chat/completions"


async def _leave_when(
    state: Path, server: FakeFrontier, fact: Callable[[Reply], bool], *, stream: bool, hedge: bool
) -> dict[str, Any]:
    """Ask, leave when ``fact`` is true, and return the decision record."""
    model = {"id": "m", "input_usd_per_mtok": 1, "output_usd_per_mtok": 1}
    providers = [
        {"name": name, "base_url": server.openai_url, "models": [model]} for name in ("a", "b")
    ]
    router = {
        "providers": providers,
        "routing": {"frontiers": ["*"]},
        "delivery": {"hedge": {"enabled": hedge, "min_samples": 1}},
    }
    settings = Settings.model_validate({"state_dir": state, "router": router})
    process = RouterProcess(settings, "router-1", {})
    process.holder.apply(RoutingTable(revision=1, base_id="base"))  # there are no rules
    process.start()
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    leave, reply = asyncio.Event(), Reply()
    try:
        if hedge:
            await ask(process.door, PATH, body)
            server.misbehave(*[Kind.HANG_BEFORE_HEADERS] * 2)
        task = asyncio.create_task(ask(process.door, PATH, body, leave=leave, reply=reply))
        await until(lambda: fact(reply))
        leave.set()
        await asyncio.wait_for(task, 60)
        return await _newest(process)
    finally:
        await process.aclose()


async def _newest(process: RouterProcess) -> dict[str, Any]:
    """The record of who left, as the admin plane shows it once it is written."""
    async with asyncio.timeout(60):
        while True:
            reply = await ask(process.door, "/admin/v1/decisions", None)
            for record in reply.json()["data"]:
                if record["error"] == "client_left":
                    return dict(record)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "kind", [Kind.HANG_BEFORE_HEADERS, Kind.HANG_BEFORE_FIRST_BYTE, Kind.HANG_MIDWAY]
)
async def test_the_provider_is_let_go(tmp_path: Path, kind: Kind, stream: bool) -> None:
    """Wherever its answer is, its connection is closed while the router still has minutes."""
    with FakeFrontier() as server:
        server.misbehave(Fault(kind, after=4))
        streaming = stream and kind is Kind.HANG_MIDWAY
        record = await _leave_when(
            tmp_path,
            server,
            lambda reply: bool(reply.body if streaming else server.requests),
            stream=stream,
            hedge=False,
        )
        await until(lambda: server.left == 1)
    assert (record["status"], record["error"]) == (499, "client_left")
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["cancelled"]


async def test_a_pause_is_given_up(tmp_path: Path) -> None:
    """The router was waiting until a retry made sense."""
    with FakeFrontier() as server:
        server.misbehave(*[Fault(Kind.STATUS, status=429, retry_after="15")] * 2)
        record = await _leave_when(
            tmp_path, server, lambda _: len(server.requests) == 2, stream=False, hedge=False
        )
        assert len(server.requests) == 2
    assert record["status"] == 499


async def test_both_of_a_hedge_are_let_go(tmp_path: Path) -> None:
    """Two calls are under way, and both connections are closed."""
    with FakeFrontier() as server:
        record = await _leave_when(
            tmp_path, server, lambda _: len(server.requests) == 3, stream=False, hedge=True
        )
        await until(lambda: server.left == 2)
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["cancelled"] * 2
    assert any("hedged" in note for note in record["delivery"])
