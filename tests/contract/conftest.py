"""A whole system with keys, providers and an adapter, and one without keys; both from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from router.admit.keys import hash_key
from tests.contract.client import Pushed, client, push, put_rules
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System, whole_system

SCOPES = {
    "app": ["inference"],
    "other": ["inference"],
    "reviewed": ["inference"],
    "ops": ["inference", "admin"],
    "auditor": ["auditor"],
    "reviewer": ["reviewer"],
}
REVIEWING = {
    "app": ["inference"],
    "late": ["inference"],
    "shop": ["inference"],
    "ops": ["inference", "admin"],
    "auditor": ["auditor"],
    "ann": ["reviewer"],
    "bob": ["reviewer"],
    "cleo": ["reviewer"],
}
_ALL = ["chat", "completions", "responses", "embeddings", "tools", "json_schema", "vision"]


def router_args(frontier: FakeFrontier) -> dict[str, Any]:
    """What an operator writes under ``router``, keys aside."""
    price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
    return {
        "providers": [
            {
                "name": "cloud",
                "base_url": frontier.openai_url,
                "models": [{"id": "big", "capabilities": _ALL, **price}],
            },
            {
                "name": "claude",
                "dialect": "anthropic",
                "base_url": frontier.url,
                "models": [{"id": "opus", "capabilities": ["messages", "tools"], **price}],
            },
        ],
        "auto": {
            "frontier": "cloud/big",
            "intents": [{"name": "returns", "alias": "returns", "keywords": ["refund"]}],
        },
        "delivery": {"retry": {"backoff_s": 0.01, "backoff_max_s": 0.02, "wait_s": 0.01}},
    }


@pytest.fixture(scope="module")
def frontier() -> Iterator[FakeFrontier]:
    """Both providers."""
    with FakeFrontier() as running:
        yield running


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """The system as a company runs it: everybody has a key."""
    keys = [
        {"name": name, "sha256": hash_key(f"key-{name}"), "tenant": name, "scopes": scopes}
        for name, scopes in SCOPES.items()
    ]
    args = {**router_args(frontier), "auth": {"keys": keys}}
    with whole_system(tmp_path_factory.mktemp("keyed"), args) as running:
        yield running


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """The system as a developer starts it on a laptop."""
    with whole_system(tmp_path_factory.mktemp("keyless"), router_args(frontier)) as running:
        yield running


@pytest.fixture(scope="module")
def app(keyed: System) -> Iterator[httpx.Client]:
    """An application's client."""
    with client(keyed, "app") as found:
        yield found


@pytest.fixture(scope="module")
def ops(keyed: System) -> Iterator[httpx.Client]:
    """An operator's client."""
    with client(keyed, "ops") as found:
        yield found


@pytest.fixture(scope="module")
def returns(ops: httpx.Client) -> Pushed:
    """A live adapter, ``returns``."""
    return push(ops, "returns", 1)


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    for name in ("keyed", "keyless"):
        if name in request.fixturenames:
            system: System = request.getfixturevalue(name)
            system.forget()
    if "frontier" in request.fixturenames:
        found: FakeFrontier = request.getfixturevalue("frontier")
        found.forget()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """Three reviewers; rules want reviews of two tenants."""
    keys = [
        {"name": name, "sha256": hash_key(f"key-{name}"), "tenant": name, "scopes": scopes}
        for name, scopes in REVIEWING.items()
    ]
    consent = {"shop": {"consent": True, "share": 1.0}}
    args = {
        **router_args(frontier),
        "auth": {"keys": keys},
        "capture": {"tenants": consent},
    }
    flywheel = {"reviews": {"per_item": 1}}
    with whole_system(tmp_path_factory.mktemp("desk"), args, flywheel=flywheel) as running:
        with client(running, "ops") as ops:
            rules = b"""rules:
  - {id: look-first, when: tenant == 'app', review: before}
  - {id: look-later, when: tenant == 'late', review: after}
"""
            put_rules(ops, rules)
        yield running


@pytest.fixture
def ann(desk: System) -> Iterator[httpx.Client]:
    """A reviewer."""
    with client(desk, "ann") as found:
        yield found


@pytest.fixture
def bob(desk: System) -> Iterator[httpx.Client]:
    """Another one."""
    with client(desk, "bob") as found:
        yield found
