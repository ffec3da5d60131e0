"""The whole loop over public interfaces: traffic that only a frontier answers well is captured,
reviewed, distilled, published, taken over, and given back. The trainer is a fake process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from serving.cli.main import app as commands
from tests.contract.client import ADMIN, chat, client, move, until
from tests.contract.conftest import router_args
from tests.contract.test_distillations import PATH, ended
from tests.fakes.frontier import FakeFrontier
from tests.fakes.trainer_process import FakeTrainer
from tests.fakes.whole_system import System, whole_system

THINGS = ("lamp", "chair", "coat", "kettle", "phone", "bag", "book", "watch", "tent", "bike")
FRONTIER = "frontier:cloud/big"


@pytest.fixture(scope="module")
def trainer() -> Iterator[FakeTrainer]:
    """Its processes end with the tests."""
    running = FakeTrainer(pause_s=0.02)
    yield running
    running.kill()


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier, trainer: FakeTrainer
) -> Iterator[System]:
    """An intent for which the base is not good enough; enough gold starts its distillation."""
    router = router_args(frontier)
    router["auto"]["intents"] = [{"name": "refunds", "keywords": ["refund"]}]
    router["routing"] = {"routes": {"refunds": {"risk": 0.15}}}
    router["capture"] = {"tenants": {"default": {"consent": True, "share": 1.0}}}
    route = {"alias": "learner", "triggers": {"new_gold": len(THINGS), "cooldown_s": 0}}
    root = tmp_path_factory.mktemp("loop")
    flywheel = {"routes": {"refunds": route}}
    with whole_system(root, router, replicas=1, trainer=trainer, flywheel=flywheel) as running:
        yield running


@pytest.fixture(scope="module")
def http(system: System) -> Iterator[httpx.Client]:
    """Everybody: without keys each may do all."""
    with client(system) as found:
        yield found


def question(thing: str) -> str:
    """What a customer asks."""
    return f"Do I get a refund for my {thing}?"


def target(http: httpx.Client, thing: str) -> str:
    """Who answers it."""
    return chat(http, "auto", question(thing)).headers["x-graftwork-target"]


def told(system: System, *words: str) -> dict[str, Any]:
    """What a command says as JSON."""
    result = CliRunner(env={"GRAFTWORK_URL": system.url, "COLUMNS": "200"}).invoke(
        commands, [*words, "--json"]
    )
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_traffic_becomes_an_adapter_that_takes_it_over_and_gives_it_back(
    system: System, http: httpx.Client, trainer: FakeTrainer
) -> None:
    """Nobody asks for the distillation: ten gold answers do."""
    asked = {}
    for thing in THINGS:
        answer = chat(http, "auto", question(thing), user=f"customer of the {thing}")
        assert answer.headers["x-graftwork-target"] == FRONTIER
        asked[thing] = answer.headers["x-request-id"]

    def waiting() -> list[dict[str, Any]]:
        query = {"state": "open", "intent": "refunds"}
        rows = http.get(f"{ADMIN}/reviews", params=query).json()["data"]
        return list(rows) if len(rows) == len(THINGS) else []

    for number, review in enumerate(until(waiting)):
        verdict = {"verdict": "edit", "answer": f"Yes, number {number}."}
        judged = http.post(f"{ADMIN}/reviews/{review['id']}", json=verdict)
        assert judged.status_code == 200, judged.text
    [started] = until(lambda: http.get(PATH).json()["data"])
    assert (started["cause"], started["alias"]) == ("new_gold", "learner")
    trainer.kill()
    made = ended(http, started["id"])
    assert made["state"] == "live", made["reason"]
    version = f"adapter:learner@{made['digest'][:12]}"
    until(lambda: target(http, "lamp") == version)
    assert {target(http, thing) for thing in THINGS} == {version}

    became = told(system, "trace", asked["lamp"])
    assert (became["decision"]["target"], became["exchange"]["state"]) == (FRONTIER, "gold")
    assert became["review"]["state"] == "done"
    [place] = became["datasets"]
    assert place["digest"] == made["dataset"]
    [learned] = became["adapters"]
    assert learned["version"] == version.removeprefix("adapter:")
    assert learned["how"] == {"train": "trained", "test": "tested"}[place["split"]]
    why = told(system, "why", "learner")
    assert why["lineage"]["distillation"] == made["id"]
    assert [row["intent"] for row in why["takeover"]] == ["refunds"]
    assert {line["action"] for line in why["history"]} >= {"receive", "commit"}

    assert move(http, "learner", "rollback").status_code == 200
    assert {target(http, thing) for thing in THINGS} == {FRONTIER}
    assert move(http, "learner", "promote", digest=made["digest"]).status_code == 200
    assert {target(http, thing) for thing in THINGS} == {version}


def test_what_the_commands_say_to_people(system: System, http: httpx.Client) -> None:
    """A story, not JSON; and a remedy where there is none to tell."""
    runner = CliRunner(env={"GRAFTWORK_URL": system.url, "COLUMNS": "200"})
    answer = chat(http, "auto", question("lamp"))
    traced = runner.invoke(commands, ["trace", answer.headers["x-graftwork-decision-id"]])
    assert traced.exit_code == 0, traced.output
    assert "target    adapter:learner@" in traced.stdout
    why = runner.invoke(commands, ["why", "learner"])
    assert why.exit_code == 0, why.output
    assert "reviewers" in why.stdout
    assert "USD saved" in why.stdout
    assert runner.invoke(commands, ["trace", "nothing"]).exit_code == 1
    assert runner.invoke(commands, ["why", "nobody"]).exit_code == 1
