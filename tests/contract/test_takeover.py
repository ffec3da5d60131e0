"""An intent's traffic moves to the adapter that learned it, and back: seen from outside."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.contract.client import chat, client, move, push
from tests.contract.conftest import router_args
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System, whole_system

REFUND = "Where is my refund?"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """Two intents without an adapter in the router's configuration; routes say who learns them."""
    router = router_args(frontier)
    router["auto"]["intents"] = [
        {"name": "refunds", "keywords": ["refund"]},
        {"name": "parcels", "keywords": ["parcel"]},
    ]
    routes = {"refunds": {"alias": "learner"}, "parcels": {"alias": "carrier"}}
    root = tmp_path_factory.mktemp("takeover")
    with whole_system(root, router, replicas=1, flywheel={"routes": routes}) as running:
        yield running


@pytest.fixture(scope="module")
def http(system: System) -> Iterator[httpx.Client]:
    """Whoever asks."""
    with client(system) as found:
        yield found


def target(http: httpx.Client, text: str, session: str = "") -> str:
    """Who answers it."""
    headers = {"x-graftwork-session": session} if session else {}
    return chat(http, "auto", text, headers=headers).headers["x-graftwork-target"]


def test_a_promoted_adapter_takes_its_intent_over_and_gives_it_back(http: httpx.Client) -> None:
    """Whether its manifest says so or only the route; other intents stay where they are."""
    before = target(http, REFUND)
    assert not before.startswith("adapter:")
    first = push(http, "learner", 1)
    assert target(http, REFUND) == first.target
    assert target(http, "Where is my parcel?") == before
    second = push(http, "learner", 2)
    assert target(http, REFUND) == second.target
    assert move(http, "learner", "rollback").status_code == 200
    assert target(http, REFUND) == first.target
    move(http, "learner", "retire")
    assert target(http, REFUND) == before


def test_without_a_version_before_a_rollback_gives_the_intent_back(http: httpx.Client) -> None:
    """To the target before; promoting takes it again."""
    text = "Where is my parcel?"
    before = target(http, text)
    only = push(http, "carrier", 3)
    assert target(http, text) == only.target
    assert move(http, "carrier", "rollback").status_code == 200
    assert target(http, text) == before
    assert move(http, "carrier", "promote", digest=only.digest).status_code == 200
    assert target(http, text) == only.target
    assert move(http, "carrier", "retire").status_code == 200


def test_the_first_canary_of_an_intent_answers_its_share(http: httpx.Client) -> None:
    """Though nothing of the alias is live yet; the rest stays with the target before."""
    text = "Where is my parcel?"
    before = target(http, text)
    tried = push(http, "carrier", 4, "wait=live&stage=canary&percent=50")
    seen = {target(http, text, f"session-{number}") for number in range(40)}
    assert seen == {before, tried.target}
    assert move(http, "carrier", "retire", digest=tried.digest).status_code == 200
    assert target(http, text) == before


def test_the_first_shadow_of_an_intent_is_compared_with_who_answers_it(
    system: System, http: httpx.Client
) -> None:
    """In secret."""
    text = "Where is my parcel?"
    before = target(http, text)
    tried = push(http, "carrier", 5, "wait=live&stage=shadow&percent=100")
    system.forget()
    assert target(http, text) == before
    for _ in range(100):
        if tried.name in system.asked():
            break
        http.get("/healthz")
    assert tried.name in system.asked()
    move(http, "carrier", "retire", digest=tried.digest)
