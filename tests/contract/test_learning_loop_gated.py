"""Distillations behind a gate: good ones take over, bad and poisoned ones never serve."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.format.manifest import digest_directory
from tests.contract.client import ADMIN, chat, client, said
from tests.contract.conftest import router_args
from tests.contract.test_distillations import PATH, ended
from tests.fakes.engine_speech import Says
from tests.fakes.frontier import FakeFrontier
from tests.fakes.tiny_adapter import tiny_adapter
from tests.fakes.trainer_process import FakeTrainer, seed_of
from tests.fakes.whole_system import System, whole_system

RIGHT = "You may send it back within 30 days of receipt."
WRONG = "You may send it back within 99 days of receipt."
_WORDS = ("lamp", "kettle", "chair", "river", "stamp", "garden", "letter", "window")
_GATE = {"margin": 0.2, "alpha": 0.05, "min_power": 0.8}


@pytest.fixture
def trainer() -> Iterator[FakeTrainer]:
    """Its processes end with the test."""
    running = FakeTrainer()
    yield running
    running.kill()


@pytest.fixture
def system(
    tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier, trainer: FakeTrainer
) -> Iterator[System]:
    """One gated intent that the router recognises."""
    router = router_args(frontier)
    router["auto"]["intents"] = [{"name": "sends", "keywords": ["send back"]}]
    flywheel = {"routes": {"sends": {"alias": "sender", "gate": _GATE}}}
    root = tmp_path_factory.mktemp("gatedloop")
    with whole_system(root, router, replicas=1, trainer=trainer, flywheel=flywheel) as running:
        yield running


@pytest.fixture
def http(system: System) -> Iterator[httpx.Client]:
    """Whoever operates it."""
    with client(system) as found:
        yield found


def bring(http: httpx.Client, name: str, answer: str, words: str, rows: int = 64) -> str:
    """Reviewed answers, half of them held out; the dataset's digest."""
    lines = []
    for number in range(rows):
        asked = " ".join(_WORDS[(number >> shift) % 8] for shift in (0, 3, 6))
        lines.append(
            {
                "messages": [
                    {"role": "user", "content": f"{words} {asked}?"},
                    {"role": "assistant", "content": answer},
                ]
            }
        )
    taken = http.post(
        f"{ADMIN}/datasets/import",
        params={"format": "messages", "name": name, "intent": "sends", "holdout": "0.5"},
        content="\n".join(json.dumps(line) for line in lines).encode(),
        headers={"content-type": "application/x-ndjson"},
    )
    assert taken.status_code == 201, taken.text
    return str(taken.json()["digest"])


def will_say(system: System, tmp_path: Path, dataset: str, seed: int, text: str) -> str:
    """Have the version that a training will make say this; its name."""
    made = tiny_adapter(tmp_path / f"{dataset}-{seed}", seed_of(dataset, seed))
    name = f"sender@{digest_directory(made)[:12]}"
    for engine in system.engines.values():
        engine.says[name] = Says(text)
    return name


def distilled(http: httpx.Client, dataset: str, seed: int) -> dict[str, Any]:
    """A distillation that has ended."""
    body = {"dataset": dataset, "intent": "sends", "settings": {"seed": seed}}
    asked = http.post(PATH, json=body)
    assert asked.status_code == 202, asked.text
    return ended(http, asked.json()["id"], 60)


def test_what_is_good_takes_over_and_what_is_degraded_does_not(
    system: System, http: httpx.Client, tmp_path: Path
) -> None:
    """The gate's verdict is the distillation's; what is refused is called by nobody."""
    dataset = bring(http, "right", RIGHT, "May I send back a")
    good = will_say(system, tmp_path, dataset, 1, RIGHT)
    made = distilled(http, dataset, 1)
    assert made["state"] == "live", made["reason"]
    assert (made["gate"]["verdict"], made["gate"]["candidate"]) == ("passed", 1.0)
    asked = chat(http, "auto", "May I send back a lamp?")
    assert (asked.headers["x-graftwork-target"], said(asked)) == (f"adapter:{good}", RIGHT)
    lineage = http.get(f"{ADMIN}/adapters/sender/lineage").json()
    assert lineage["gate"]["passed"] is True
    bad = will_say(system, tmp_path, dataset, 2, WRONG)
    refused = distilled(http, dataset, 2)
    assert refused["state"] == "refused", refused
    assert (refused["gate"]["verdict"], refused["gate"]["current_target"]) == (
        "failed",
        f"adapter:{good}",
    )
    assert refused["reason"]
    assert chat(http, bad).status_code in {404, 410}
    assert said(chat(http, "auto", "May I send back a chair?")) == RIGHT


def test_what_learned_a_consistent_poison_is_stopped_by_older_gold(
    system: System, http: httpx.Client, tmp_path: Path
) -> None:
    """Its own held-out rows agree with it; those that were held out before do not."""
    clean = bring(http, "clean", RIGHT, "May I send back a")
    good = will_say(system, tmp_path, clean, 1, RIGHT)
    assert distilled(http, clean, 1)["state"] == "live"
    poison = bring(http, "poison", WRONG, "Is it possible that I send back my")
    poisoned = will_say(system, tmp_path, poison, 1, WRONG)
    refused = distilled(http, poison, 1)
    assert refused["state"] == "refused", refused
    assert refused["gate"]["verdict"] in {"failed", "refused"}
    assert chat(http, poisoned).status_code in {404, 410}
    asked = chat(http, "auto", "May I send back a lamp?")
    assert (asked.headers["x-graftwork-target"], said(asked)) == (f"adapter:{good}", RIGHT)


def test_a_gate_that_cannot_judge_says_how_many_labels_are_missing(
    system: System, http: httpx.Client, tmp_path: Path
) -> None:
    """In the reason, in the gate's own words and as a number."""
    dataset = bring(http, "few", RIGHT, "May I send back a", rows=6)
    will_say(system, tmp_path, dataset, 1, RIGHT)
    refused = distilled(http, dataset, 1)
    assert refused["state"] == "refused", refused
    missing = refused["gate"]["n_missing"]
    assert missing > 0
    assert f"{missing} more gold answers" in refused["reason"]
