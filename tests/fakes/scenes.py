"""Random worlds of policies, cards, needs, residency and faults, and one request to each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from adapters.aliases import Replica, RoutingTable, engine_name
from router.admit.keys import hash_key
from router.policy.book import Rules
from router.policy.source import InUse
from tests.fakes.deciding import returns
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.exchanges import BASE_ID, BEFORE, LIVE
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.router_process import router

KEYS = {"acme": "key-of-acme", "other": "key-of-other"}
MODELS = ("m0", "m1", "m2")
ADAPTERS = tuple(engine_name("returns", digest) for digest in (LIVE, BEFORE))
SMALL, LARGE = 2_000, 1_000_000
LONG_TOKENS = 10_000
FEATURES = ("tools", "json_schema", "vision")
GLOBS = ("*", "base", "adapter:*", "frontier:*", "frontier:cloud/m0", "frontier:*/m1", "*@1*")
QUICK = {
    "timeouts": {"first_token_s": 2.0, "whole_answer_s": 2.0, "idle_s": 2.0},
    "retry": {"backoff_s": 0.001, "backoff_max_s": 0.002, "wait_s": 0.001},
}

FAULTS = (
    Fault(Kind.STATUS, status=500),
    Fault(Kind.STATUS, status=429),
    Fault(Kind.STATUS, status=400),
    Fault(Kind.STATUS, status=401),
    Fault(Kind.RESET),
    Fault(Kind.CUT, after=1),
    Fault(Kind.ERROR_IN_200),
    Fault(Kind.EMPTY),
    Fault(Kind.NO_END),
)


@dataclass(frozen=True)
class Scene:
    """One random world and one request to it."""

    rules: list[dict[str, Any]]
    default: str
    cards: dict[str, dict[str, Any]]
    local_features: set[str]
    local_regions: list[str]
    local_window: int
    offered: list[str]
    last_resort: str | None
    risk: float | None
    threshold: float | None
    explore: float
    resident: set[str]
    logprobs: dict[str, float]
    broken: set[str]
    faults: list[Fault]
    hedge: bool
    model: str
    intent: bool
    tenant: str
    endpoint: str
    stream: bool
    needs: set[str]
    long: bool
    max_cost_usd: float | None
    session: bool
    worth_usd: float | None = None
    """Of a good answer; judged by it where there is no threshold."""


def _rule(rng: random.Random) -> dict[str, Any]:
    rule: dict[str, Any] = {"effect": rng.choice(["allow", "deny", "deny"])}
    if rng.random() < 0.9:
        rule["targets"] = rng.sample(GLOBS[1:], rng.randint(1, 2))
    if rng.random() < 0.4:
        rule["tenants"] = rng.choice([["acme"], ["other"], ["*"]])
    if rng.random() < 0.3:
        rule[rng.choice(["regions", "outside_regions"])] = [rng.choice(["eu", "us"])]
    return rule


def _features(rng: random.Random) -> set[str]:
    return {each for each in FEATURES if rng.random() < 0.8}


def _card(rng: random.Random) -> dict[str, Any]:
    return {
        "price": rng.choice([0.0, 1.0, 50.0]),
        "window": rng.choice([SMALL, LARGE]),
        "features": _features(rng),
        "endpoints": rng.choice([["chat"], ["chat", "completions"], ["chat", "completions"]]),
        "regions": rng.choice([[], ["eu"], ["us"], ["eu", "us"]]),
        "tenants": rng.choice([["*"], ["*"], ["*"], ["acme"]]),
    }


def drawn(seed: int) -> Scene:
    """A scene by its number. Mild enough that most requests can be answered by somebody."""
    rng = random.Random(seed)
    return Scene(
        rules=[_rule(rng) for _ in range(rng.choice([0, 1, 1, 2]))],
        default=rng.choice(["allow"] * 9 + ["deny"]),
        cards={name: _card(rng) for name in MODELS},
        local_features=_features(rng),
        local_regions=rng.choice([[], ["eu"], ["us"]]),
        local_window=rng.choice([SMALL, LARGE]),
        offered=rng.choice([[], ["*"], ["*"], ["*"], ["*/m1", "*/m2"]]),
        last_resort=rng.choice([None, *MODELS]),
        risk=rng.choice([None, 0.05, 0.15, 0.25]),
        threshold=rng.choice([None, 0.5, 0.99]),
        explore=rng.choice([0.0, 0.5]),
        resident={name for name in ADAPTERS if rng.random() < 0.6},
        logprobs={name: rng.choice([-0.01, -2.0]) for name in (BASE_ID, *ADAPTERS)},
        broken={name for name in (BASE_ID, *ADAPTERS) if rng.random() < 0.6},
        faults=rng.choices(FAULTS, k=rng.choice([0, 0, 2, 4])),
        hedge=rng.random() < 0.3,
        model=rng.choice(["auto"] * 8 + ["returns", "returns", "base", "cloud/m0", "cloud/m1"]),
        intent=rng.random() < 0.6,
        tenant=rng.choice(list(KEYS)),
        endpoint=rng.choice(["chat", "chat", "completions"]),
        stream=rng.random() < 0.5,
        needs=set(rng.sample(FEATURES, rng.choice([0, 0, 0, 1, 2]))),
        long=rng.random() < 0.15,
        max_cost_usd=rng.choice([None] * 5 + [1e-6]),
        session=rng.random() < 0.5,
        worth_usd=rng.choice([None, 1e-5, 0.01]),
    )


# The world


def config_of(scene: Scene, frontier: FakeFrontier) -> dict[str, Any]:
    """The router's configuration."""
    models = [
        {
            "id": name,
            "context_window": card["window"],
            "input_usd_per_mtok": card["price"],
            "output_usd_per_mtok": card["price"],
            "capabilities": [*card["endpoints"], *sorted(card["features"])],
            "regions": card["regions"],
            "tenants": card["tenants"],
        }
        for name, card in scene.cards.items()
    ]
    route: dict[str, Any] = {"risk": scene.risk, "worth_usd": scene.worth_usd}
    if scene.threshold is not None or scene.worth_usd is not None:
        route["confidence"] = {"threshold": scene.threshold, "first_tokens": 2}
    return {
        "auth": {
            "keys": [
                {"name": tenant, "tenant": tenant, "sha256": hash_key(key)}
                for tenant, key in KEYS.items()
            ]
        },
        "auto": {
            "frontier": scene.last_resort and f"cloud/{scene.last_resort}",
            "intents": [{"name": "returns", "alias": "returns", "keywords": ["refund"]}],
        },
        "policy": {
            "default": scene.default,
            "rules": [{**rule, "name": f"r{n}"} for n, rule in enumerate(scene.rules)],
        },
        "routing": {
            "frontiers": scene.offered,
            "routes": {"*": route},
            "explore": scene.explore,
            "local": {
                "capabilities": sorted(scene.local_features),
                "regions": scene.local_regions,
            },
        },
        "delivery": {**QUICK, "hedge": {"enabled": scene.hedge, "min_samples": 1}},
        "providers": [
            {
                "name": "cloud",
                "base_url": frontier.openai_url,
                "models": models,
                "connect_timeout_s": 5,
            }
        ],
    }


def body_of(scene: Scene) -> dict[str, Any]:
    """The request."""
    text = "x " * (LONG_TOKENS * 2) if scene.long else ""
    text += "refund please" if scene.intent else "hello there"
    body: dict[str, Any] = {"model": scene.model, "stream": scene.stream, "max_tokens": 5}
    if scene.endpoint == "completions":
        body["prompt"] = text
    else:
        body["messages"] = [{"role": "user", "content": [{"type": "text", "text": text}]}]
        if "vision" in scene.needs:
            picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
            body["messages"][0]["content"].append(picture)
    if "tools" in scene.needs:
        body["tools"] = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    if "json_schema" in scene.needs:
        body["response_format"] = {"type": "json_object"}
    return body


def headers_of(scene: Scene) -> dict[str, str]:
    """Who asks, and what they wish."""
    headers = {"authorization": f"Bearer {KEYS[scene.tenant]}"}
    if scene.max_cost_usd is not None:
        headers["x-graftwork-max-cost-usd"] = str(scene.max_cost_usd)
    if scene.session:
        headers["x-graftwork-session"] = "s"
    return headers


@dataclass(frozen=True)
class Played:
    """What came of a scene: the dry run, the same request twice, and the records of both."""

    told: dict[str, Any]
    responses: list[httpx.Response]
    records: list[dict[str, Any]]


async def played(
    scene: Scene,
    state: Path,
    frontier: FakeFrontier,
    engine: FakeEngine,
    rules: Rules | None = None,
) -> Played:
    """Let a scene happen; ``rules``: of a rules file, beside those of the configuration."""
    engine.requests.clear()
    frontier.forget()
    engine.models = {
        name: Says("a b c d", scene.logprobs[name], 500 if name in scene.broken else 200)
        for name in (BASE_ID, *sorted(scene.resident))
    }
    frontier.misbehave(*scene.faults)
    replica = Replica(id="r1", url=engine.url, secret="s", resident=frozenset(scene.resident))
    table = RoutingTable(
        revision=1,
        base_id=BASE_ID,
        max_model_len=scene.local_window,
        aliases={"returns": returns(versions=(LIVE, BEFORE))},
        replicas=(replica,),
    )
    path = f"/v1/{'chat/completions' if scene.endpoint == 'chat' else 'completions'}"
    body, headers = body_of(scene), headers_of(scene)
    async with router(state, config_of(scene, frontier), table) as (client, process):
        if rules is not None:
            process._policies._current = InUse(rules)
        told = (await client.post("/v1/decision", json=body, headers=headers)).json()
        assert not engine.requests
        assert not frontier.requests
        responses = [await client.post(path, json=body, headers=headers) for _ in range(2)]
        found = await process.records.newest("limit=2")
        return Played(told, responses, found)


@contextmanager
def stage() -> Iterator[tuple[asyncio.Runner, FakeFrontier, FakeEngine]]:
    """A loop, a provider and an engine that serve all examples."""
    with asyncio.Runner() as runner, FakeFrontier() as frontier:
        engine = runner.run(FakeEngine({}).__aenter__())
        try:
            yield runner, frontier, engine
        finally:
            runner.run(engine.__aexit__(None, None, None))
