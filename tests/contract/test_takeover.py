"""An intent's traffic moves to the adapter that learned it, and back: seen from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.client import ADMIN, archive, chat, client, move, post_version, push, until
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
        {"name": "invoices", "keywords": ["invoice"]},
    ]
    routes = {
        "refunds": {"alias": "learner"},
        "parcels": {"alias": "carrier"},
        "invoices": {"alias": "biller", "triggers": {"quality_drop": 0.1}},
    }
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
    until(lambda: tried.name in system.asked())
    move(http, "carrier", "retire", digest=tried.digest)


def test_a_version_that_people_find_bad_is_taken_back_by_itself(http: httpx.Client) -> None:
    """Its gate found it good; people do not: the intent goes back to the target before."""
    text = "Where is my invoice?"
    before = target(http, text)
    gate = {"passed": True, "good": 95, "judged": 100}
    manifest = {"schema_version": 1, "evaluation": {"gate": gate}}
    answer = post_version(http, "biller", archive(8, manifest=manifest))
    assert answer.status_code == 201, answer.text
    name = f"adapter:biller@{answer.json()['digest'][:12]}"
    row = takeover(http)["invoices"]
    assert (row["target"], row["quality"], row["gate"]["good"]) == (name, None, 95)
    for _ in range(12):
        asked = chat(http, "auto", text)
        if asked.headers["x-graftwork-target"] != name:
            break
        said = {"kind": "boolean", "value": False}
        decision = asked.headers["x-graftwork-decision-id"]
        assert http.post("/v1/feedback", json={"decision_id": decision, **said}).status_code == 200
    until(lambda: target(http, text) == before)
    detail = http.get(f"{ADMIN}/adapters/biller").json()
    assert detail["live"] is None
    [version] = detail["versions"]
    assert version["state"] == "quarantined"
    assert any("were good" in line["detail"] for line in detail["history"])


def test_what_was_taken_over_is_told(http: httpx.Client, frontier: FakeFrontier) -> None:
    """Per intent: who answers it, since when, the share that stays here, and what that saves."""
    del frontier
    text = "How long does a refund take?"
    asked = chat(http, "cloud/big", text)
    assert asked.headers["x-graftwork-target"] == "frontier:cloud/big"
    version = push(http, "learner", 9)
    for _ in range(3):
        assert target(http, text) == version.target

    def counted() -> dict[str, Any]:
        """The row, once both are heard: what was used, and what became of the version's answers."""
        found = takeover(http)["refunds"]
        used = found["requests"] >= 4 and found["coverage"]
        return found if used and found["confidence"] is not None else {}

    row = until(counted)
    assert (row["alias"], row["target"], row["replaced"]) == (
        "learner",
        version.target,
        "frontier:cloud/big",
    )
    assert 0 < row["coverage"] <= row["local_share"] <= 1
    assert row["saved_usd"] > 0
    assert row["confidence"] == 1.0
    assert row["since"] is not None
    assert http.get(f"{ADMIN}/takeover?since=tomorrow").status_code == 400
    later = http.get(f"{ADMIN}/takeover", params={"since": time.time() + 7200}).json()["data"]
    assert {row["requests"] for row in later} == {0}


def takeover(http: httpx.Client) -> dict[str, dict[str, Any]]:
    """The rows by their intent."""
    answer = http.get(f"{ADMIN}/takeover")
    assert answer.status_code == 200, answer.text
    return {row["intent"]: row for row in answer.json()["data"]}
