"""`/admin/v1/distillations`, and `graftwork distill`, from outside; a fake process trains."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from serving.cli.main import app as commands
from tests.contract.client import ADMIN, LONG_S, client, error_of, push
from tests.fakes.learning_loop import row
from tests.fakes.trainer_process import FakeTrainer
from tests.fakes.whole_system import System, whole_system

PATH = f"{ADMIN}/distillations"
ENDED = {"live", "refused", "failed", "cancelled"}


@pytest.fixture(scope="module")
def trainer() -> Iterator[FakeTrainer]:
    """Slow enough to be looked at."""
    running = FakeTrainer(steps=4, pause_s=0.05)
    yield running
    running.kill()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, trainer: FakeTrainer) -> Iterator[System]:
    """Without keys, as on a laptop."""
    root = tmp_path_factory.mktemp("distillations")
    flywheel = {"routes": {"cancel order": {"alias": "orders"}}}
    with whole_system(root, replicas=1, trainer=trainer, flywheel=flywheel) as running:
        yield running


@pytest.fixture(scope="module")
def http(system: System) -> Iterator[httpx.Client]:
    """Whoever operates it."""
    with client(system) as found:
        yield found


@pytest.fixture(scope="module")
def dataset(system: System) -> str:
    """The digest of one that was frozen."""
    rows = [row(number) for number in range(12)]
    return system.registry.flywheel.datasets.take_in("gold", rows).digest


def ended(http: httpx.Client, identity: str, within_s: float = LONG_S) -> dict[str, Any]:
    """The distillation when it has ended."""
    until = time.monotonic() + within_s
    while True:
        found: dict[str, Any] = http.get(f"{PATH}/{identity}").json()
        if found["state"] in ENDED:
            return found
        assert time.monotonic() < until, found
        time.sleep(0.05)


def test_a_dataset_becomes_a_version_that_serves(http: httpx.Client, dataset: str) -> None:
    """202 with an id; then its states, steps, losses and what came of it."""
    asked = http.post(PATH, json={"dataset": dataset, "settings": {"seed": 3}})
    assert asked.status_code == 202, asked.text
    identity = asked.json()["id"]
    assert asked.json()["state"] == "queued"
    found = ended(http, identity)
    assert (found["state"], found["reason"]) == ("live", None)
    assert (found["step"], found["steps"], found["dataset"]) == (4, 4, dataset)
    assert found["loss"] == pytest.approx(0.25)
    assert (found["alias"], found["intent"], found["settings"]) == (
        "returns",
        "returns",
        {"seed": 3},
    )
    assert [look["step"] for look in found["curve"]] == [1, 2, 3, 4]
    assert "begun by" in found["log"]
    version = http.get(f"{ADMIN}/adapters/returns/versions/{found['digest']}").json()
    assert (version["state"], version["author"]) == ("live", f"distill:{identity}")
    said = http.post(
        "/v1/chat/completions",
        json={"model": "returns", "messages": [{"role": "user", "content": "Hello"}]},
    )
    assert said.headers["x-graftwork-target"] == f"adapter:returns@{found['digest'][:12]}"
    again = http.post(f"{PATH}/{identity}/cancel")
    assert again.status_code == 409, "it has ended"


def test_what_a_version_was_made_of(http: httpx.Client, dataset: str) -> None:
    """Lineage: of the live version, of a version, of one that was pushed by hand; in exports."""
    body = {"dataset": dataset, "alias": "made"}
    first = ended(http, http.post(PATH, json={**body, "settings": {"seed": 1}}).json()["id"])
    second = ended(http, http.post(PATH, json={**body, "settings": {"seed": 2}}).json()["id"])
    found = http.get(f"{ADMIN}/adapters/made/lineage").json()
    name, before = (f"made@{each['digest'][:12]}" for each in (second, first))
    assert (found["version"], found["distillation"]) == (name, second["id"])
    assert (found["base"], found["dataset"], found["parents"]) == ("tiny", dataset, [before])
    assert (found["settings"]["seed"], found["teacher"]) == (2, "frontier:cloud/big")
    assert (found["reviewers"], found["gate"]) == (["ana"], None)
    assert len(found["rows"]) == 12
    assert {"exc_1", "exc_2"} < {row["exchange"] for row in found["rows"]}
    older = http.get(f"{ADMIN}/adapters/made/lineage", params={"digest": first["digest"]}).json()
    assert (older["version"], older["parents"]) == (before, [])
    assert http.get(f"{ADMIN}/adapters/nowhere/lineage").status_code == 404
    assert http.get(f"{ADMIN}/adapters/made/lineage?digest={'0' * 64}").status_code == 404
    assert http.get(f"{ADMIN}/adapters/made/lineage?digest=abc").status_code == 400
    push(http, "brought", 77)
    brought = http.get(f"{ADMIN}/adapters/brought/lineage").json()
    assert (brought["distillation"], brought["rows"], brought["reviewers"]) == (None, [], [])
    packed = http.get(f"{ADMIN}/adapters/made/export")
    assert packed.content[:2] == b"\x1f\x8b"
    with tarfile.open(fileobj=io.BytesIO(packed.content), mode="r:gz") as tar:
        names = {Path(each).name for each in tar.getnames()}
        said = tar.extractfile(f"{name}/lineage.json")
        assert said is not None
        assert json.loads(said.read())["distillation"] == second["id"]
    assert {"README.md", "graftwork.json", "adapter_model.safetensors"} <= names
    again = http.post(
        f"{ADMIN}/adapters/made/versions?wait=live",
        content=packed.content,
        headers={"content-type": "application/gzip"},
    )
    assert (again.status_code, again.json()["digest"]) == (200, second["digest"]), again.text


def test_what_cannot_be_distilled(http: httpx.Client, dataset: str) -> None:
    """Neither is 422, an unknown dataset 404, settings that make no sense 422 by their name."""
    assert http.post(PATH, json={}).status_code == 422
    assert http.post(PATH, json={"alias": "returns"}).status_code == 422
    assert http.post(PATH, json={"intent": "", "dataset": None}).status_code == 422
    for unknown in ("0" * 64, "nope", dataset[:11], "%"):
        assert http.post(PATH, json={"dataset": unknown}).status_code == 404, unknown
    assert http.post(PATH, json={"intent": 3}).status_code == 400
    odd = http.post(PATH, json={"dataset": dataset, "settings": {"rank": 0}})
    assert odd.status_code == 422
    assert error_of(odd)["param"] == "settings.rank"
    assert http.post(PATH, json={"dataset": dataset, "alias": "Not A Name"}).status_code == 422
    assert http.post(PATH, json={"dataset": dataset, "else": 1}).status_code == 400
    assert http.get(f"{PATH}/dst_none").status_code == 404
    assert http.post(f"{PATH}/dst_none/cancel").status_code == 404


def test_an_intent_without_gold_fails_and_says_so(http: httpx.Client) -> None:
    """And its route names the alias."""
    asked = http.post(PATH, json={"intent": "cancel order"})
    assert (asked.status_code, asked.json()["alias"]) == (202, "orders")
    found = ended(http, asked.json()["id"])
    assert found["state"] == "failed"
    assert "cancel order" in found["reason"]


def test_it_can_be_cancelled_and_is_listed(
    http: httpx.Client, dataset: str, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By pages, the newest first, by state and alias."""
    # However late the cancels come, the training is not over.
    monkeypatch.setattr(trainer, "behaviour", {"steps": 10_000, "pause_s": 0.05})
    body = {"dataset": dataset, "alias": "slow"}
    first, second = (http.post(PATH, json=body).json()["id"] for _ in range(2))
    stopped = http.post(f"{PATH}/{second}/cancel")
    assert stopped.status_code == 200
    assert stopped.json()["state"] == "cancelled"
    assert http.post(f"{PATH}/{first}/cancel").json()["state"] == "cancelled"
    listed = http.get(PATH, params={"alias": "slow"}).json()
    assert [each["id"] for each in listed["data"]] == [second, first]
    page = http.get(PATH, params={"alias": "slow", "limit": 1}).json()
    assert [each["id"] for each in page["data"]] == [second]
    rest = http.get(PATH, params={"alias": "slow", "limit": 1, "cursor": page["next"]}).json()
    assert ([each["id"] for each in rest["data"]], rest["next"]) == ([first], None)
    by_state = http.get(PATH, params={"alias": "slow", "state": "live"}).json()
    assert by_state["data"] == []
    assert http.get(PATH, params={"state": "odd"}).status_code == 400
    assert http.get(PATH, params={"cursor": "bm8="}).status_code == 400


def test_its_states_are_events(http: httpx.Client, dataset: str) -> None:
    """`distillation`, with id and state."""
    identity = http.post(PATH, json={"dataset": dataset, "alias": "told"}).json()["id"]
    ended(http, identity)
    seen: list[str] = []
    with http.stream("GET", f"{ADMIN}/events", params={"after": 0}) as stream:
        kind = ""
        for line in stream.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: ") and kind == "distillation":
                said = json.loads(line.removeprefix("data: "))
                if said["id"] == identity:
                    seen.append(said["state"])
                    if said["state"] in ENDED:
                        break
    assert [*dict.fromkeys(seen)] == ["queued", "training", "packaging", "gating", "live"]


def command(system: System, *words: str) -> Result:
    """What a person would type."""
    return CliRunner(env={"GRAFTWORK_URL": system.url, "COLUMNS": "200"}).invoke(
        commands, ["distill", *words]
    )


def test_the_commands(system: System, dataset: str) -> None:
    """`distill --dataset … --wait`, `list`, `show`, `cancel`; a remedy on errors."""
    done = command(
        system, "--dataset", dataset, "--alias", "typed", "--set", "seed=5", "--wait", "60",
        "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["state"], found["settings"]) == ("live", {"seed": 5})
    shown = command(system, "show", found["id"])
    assert "begun by" in shown.stdout
    listed = command(system, "list", "--alias", "typed")
    assert found["id"] in listed.stdout
    again = command(system, "cancel", found["id"])
    assert (again.exit_code, "has ended" in again.stderr or "live" in again.stderr) == (1, True)
    failed = command(system, "--intent", "nothing", "--wait", "60")
    assert failed.exit_code == 1
    assert "review some exchanges" in failed.stderr
    nothing = command(system)
    assert nothing.exit_code == 2
    assert "--intent" in nothing.output
    assert command(system, "--dataset", dataset, "--set", "rank").exit_code == 2
