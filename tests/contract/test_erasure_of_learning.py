"""What was learned from a person goes with the person: versions, datasets, trainings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from adapters.dataset.frozen import row_digest
from adapters.records.sealing import AUDIT
from adapters.records.subjects import Subjects
from tests.contract.client import ADMIN, chat, client, until
from tests.contract.test_distillations import PATH, ended
from tests.contract.test_erasures import erase, holding
from tests.fakes.learning_loop import row
from tests.fakes.trainer_process import FakeTrainer
from tests.fakes.whole_system import System, whole_system

NAME = "Quirinius Vandermolen"
SECRET = "Xyloband Nine"


@pytest.fixture
def trainer() -> Iterator[FakeTrainer]:
    """Its processes end with the test."""
    running = FakeTrainer()
    yield running
    running.kill()


@pytest.fixture
def system(tmp_path_factory: pytest.TempPathFactory, trainer: FakeTrainer) -> Iterator[System]:
    """A system of its own for each test."""
    root = tmp_path_factory.mktemp("learning")
    with whole_system(root, replicas=1, trainer=trainer) as running:
        yield running


@pytest.fixture
def http(system: System) -> Iterator[httpx.Client]:
    """Whoever operates it."""
    with client(system) as found:
        yield found


def frozen(system: System) -> str:
    """A dataset of which one row is the person's."""
    person = Subjects(system.root / AUDIT).hash(NAME)
    mine = row(30, subjects=(person,), intent="returns", answer=f"Yes, the {SECRET}.")
    mine = replace(mine, digest=row_digest(mine.messages, mine.answer, mine.intent))
    rows = [*(row(number) for number in range(12)), mine]
    return system.registry.flywheel.datasets.take_in("gold", rows).digest


def newest(http: httpx.Client, cause: str) -> dict[str, Any]:
    """The newest distillation that something caused, once there is one."""

    def found() -> dict[str, Any]:
        rows = http.get(PATH).json()["data"]
        return next((dict(each) for each in rows if each["cause"] == cause), {})

    return dict(until(found, cause))


def test_a_version_that_learned_from_a_person_goes(system: System, http: httpx.Client) -> None:
    """Retired, its files deleted, the dataset rebuilt, the retraining live on what is left."""
    dataset = frozen(system)
    assert holding(system.root, SECRET)
    made = ended(http, http.post(PATH, json={"dataset": dataset}).json()["id"])
    assert made["state"] == "live"
    pinned = f"returns@{made['digest'][:12]}"
    kept = http.get(f"{ADMIN}/adapters/returns/export").content
    done = erase(http, NAME)
    assert (done["found"]["adapters"], done["found"]["datasets"]) == (1, 1)
    gone = http.get(f"{ADMIN}/datasets/{dataset}")
    assert gone.status_code == 410
    version = http.get(f"{ADMIN}/adapters/returns/versions/{made['digest']}").json()
    assert version["state"] == "retired"
    exported = http.get(f"{ADMIN}/adapters/returns/versions/{made['digest']}/export")
    assert exported.status_code == 409, "its files are gone"
    assert chat(http, pinned).status_code == 410
    again = ended(http, newest(http, "erasure")["id"])
    assert (again["state"], again["author"]) == ("live", "erasure"), again["reason"]
    assert again["dataset"] not in {dataset, None}
    assert again["digest"] != made["digest"]
    assert holding(system.root, SECRET) == []
    target = chat(http, "returns").headers["x-graftwork-target"]
    assert target == f"adapter:returns@{again['digest'][:12]}"
    assert erase(http, NAME)["found"]["adapters"] == 0
    brought = http.post(
        f"{ADMIN}/adapters/returns/versions?wait=live",
        content=kept,
        headers={"content-type": "application/gzip"},
    )
    assert brought.status_code == 409, "somebody kept a copy: it does not come back"
    assert brought.json()["error"]["code"] == "version_forgotten"


def test_a_training_on_a_persons_data_begins_again_without_it(
    system: System, http: httpx.Client, trainer: FakeTrainer
) -> None:
    """Its process ends, its directory goes, and what comes out has never seen the person."""
    trainer.behaviour = {"steps": 1000, "pause_s": 0.05}
    dataset = frozen(system)
    identity = http.post(PATH, json={"dataset": dataset}).json()["id"]
    until(lambda: http.get(f"{PATH}/{identity}").json()["step"] >= 1)
    assert holding(system.root / "distillations", SECRET) == ["train.jsonl"]
    trainer.behaviour = {"steps": 2}
    done = erase(http, NAME)
    assert (done["found"]["adapters"], done["found"]["datasets"]) == (0, 1)
    again = ended(http, identity)
    assert again["state"] == "live", again["reason"]
    assert again["dataset"] != dataset
    assert holding(system.root, SECRET) == []
