"""`POST /v1/decision`: everything about a decision, and nothing is called or used up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.aliases import Replica, RoutingTable, engine_name
from router.admit.keys import hash_key
from tests.fakes.deciding import model, returns
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.exchanges import BASE_ID, BEFORE, LIVE
from tests.fakes.frontier import FakeFrontier
from tests.fakes.router_process import router

CHAT = "/v1/chat/completions"
SAID = {"model": "auto", "messages": [{"role": "user", "content": "I want a refund"}]}


def config(frontier: FakeFrontier | None = None, **fields: Any) -> dict[str, Any]:
    """An intent with its adapter, and a frontier model that is offered."""
    url = "http://127.0.0.1:9/v1" if frontier is None else frontier.openai_url
    return {
        "auto": {"intents": [{"name": "returns", "alias": "returns", "keywords": ["refund"]}]},
        "routing": {"frontiers": ["*"]},
        "providers": [{"name": "cloud", "base_url": url, "models": [model("big")]}],
        **fields,
    }


def table(url: str, *, held: bool = True) -> RoutingTable:
    """One engine that holds the alias ``returns``, or only the base."""
    names = [engine_name("returns", digest) for digest in (LIVE, BEFORE)] if held else []
    replica = Replica(id="r1", url=url, secret="s", resident=frozenset(names))
    return RoutingTable(
        revision=1,
        base_id=BASE_ID,
        aliases={"returns": returns(versions=(LIVE, BEFORE))},
        replicas=(replica,),
    )


async def dry_run(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """The dry run's answer."""
    response = await client.post("/v1/decision", json={**SAID, **fields})
    assert response.status_code == 200, response.text
    return dict(response.json())


async def test_every_candidate_has_its_reason(tmp_path: Path) -> None:
    """Rank, code, expected cost and quality of each, best first."""
    async with router(tmp_path, config(), table("http://127.0.0.1:9")) as (client, _):
        found = await dry_run(client, max_tokens=100)
    candidates = found["candidates"]
    assert [c["rank"] for c in candidates] == [1, 2, 3, 4]
    assert [c["code"] for c in candidates] == ["intent", "version_before", "base", "frontier"]
    assert all(c["reason"] and 0 <= c["quality"] <= 1 for c in candidates)
    assert candidates[-1]["cost_usd"] > candidates[0]["cost_usd"] == 0
    assert found["target"] == candidates[0]["target"]
    assert found["decided"]["how"] == "ranked"
    assert found["decided"]["claims"] == {"returns": ["returns"]}
    assert found["features"]["max_output_tokens"] == 100
    assert "I want" not in str(found)


async def test_it_counts_as_a_request(tmp_path: Path) -> None:
    """Deciding takes time: who asks for decisions uses up the same limit on requests."""
    limits = {"requests_per_minute": 4}
    async with (
        FakeEngine({BASE_ID: Says(), f"returns@{LIVE[:12]}": Says()}) as engine,
        router(tmp_path, config(limits=limits), table(engine.url)) as (client, _),
    ):
        for _ in range(3):
            await dry_run(client)
        assert engine.requests == []
        statuses = [(await client.post(CHAT, json=SAID)).status_code for _ in range(2)]
        assert statuses == [200, 429]
        assert (await client.post("/v1/decision", json=SAID)).status_code == 429


async def test_a_refusal_is_a_decision_too(tmp_path: Path) -> None:
    """What would be refused says so, with the reasons of all candidates; the real one is 403."""
    rules = {"rules": [{"name": "closed", "effect": "deny"}]}
    async with router(tmp_path, config(policy=rules), table("http://127.0.0.1:9")) as (client, _):
        found = await dry_run(client)
        assert (found["status"], found["error"], found["target"]) == (403, "policy_denied", None)
        assert {c["code"] for c in found["candidates"]} == {"policy_denied"}
        real = await client.post(CHAT, json=SAID)
        assert real.status_code == 403
        assert real.json()["error"]["code"] == "policy_denied"
        assert "'closed'" in real.json()["error"]["message"]
        unknown = await client.post("/v1/decision", json={**SAID, "model": "nobody"})
        assert unknown.status_code == 404


async def test_it_needs_a_key_where_there_are_keys(tmp_path: Path) -> None:
    """Nobody learns about targets without one."""
    auth = {"keys": [{"name": "web", "sha256": hash_key("gw-key"), "tenant": "acme"}]}
    async with router(tmp_path, config(auth=auth), table("http://127.0.0.1:9")) as (client, _):
        assert (await client.post("/v1/decision", json=SAID)).status_code == 401
        headers = {"authorization": "Bearer gw-key"}
        found = await client.post("/v1/decision", json=SAID, headers=headers)
        assert found.json()["tenant"] == "acme"


@pytest.mark.parametrize("name", ["auto", "returns"])
async def test_a_cold_adapter_is_wanted(tmp_path: Path, name: str) -> None:
    """The base answers in its place, and the registry hears whom to load."""
    async with (
        FakeEngine({BASE_ID: Says()}) as engine,
        router(tmp_path, config(), table(engine.url, held=False)) as (client, process),
    ):
        response = await client.post(CHAT, json={**SAID, "model": name})
        assert response.headers["x-graftwork-target"] == "base"
        assert process._traffic.snapshot()[engine_name("returns", LIVE)].wanted == 1


async def test_naming_a_model_is_no_way_around_a_rule_about_intents(tmp_path: Path) -> None:
    """Where a rule is about intents, requests for named models are read for their intent too."""
    denied = {"name": "no refunds", "effect": "deny", "intents": ["returns"]}
    for rules, status in (([denied], 403), ([], 0)):
        async with router(
            tmp_path, config(policy={"rules": rules}), table("http://127.0.0.1:9")
        ) as (client, _):
            for name in ("auto", "base", "returns", "cloud/big"):
                assert (await dry_run(client, model=name))["status"] == status
            other = [{"role": "user", "content": "hello"}]
            assert (await dry_run(client, model="base", messages=other))["target"] == "base"


async def test_what_the_budget_does_not_cover_is_struck_out(tmp_path: Path) -> None:
    """What costs more than the caller has left is no candidate, and the dry run says so."""
    limits = [{"name": "pocket", "key": "*", "window": "total", "usd": 1e-6}]
    budgets = {"authority": "local", "limits": limits}
    settings = config(budgets=budgets)
    async with router(tmp_path, settings, table("http://127.0.0.1:9")) as (client, _):
        found = await dry_run(client, max_tokens=100)
    frontier = found["candidates"][-1]
    assert (frontier["target"], frontier["allowed"]) == ("frontier:cloud/big", False)
    assert frontier["code"] == "budget"
    assert "left" in frontier["reason"]
    assert all(each["allowed"] for each in found["candidates"][:-1])
