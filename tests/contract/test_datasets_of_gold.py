"""From captured exchanges over reviews to a dataset, and a person out of it again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from router.admit.keys import hash_key
from tests.contract.client import ADMIN, client, until
from tests.contract.conftest import router_args
from tests.contract.test_datasets import DATASETS, exported, question
from tests.contract.test_erasures import erase
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System, whole_system

SUBJECT = "customer-4711"


@pytest.fixture(scope="module")
def learning(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """A tenant that consents, an operator and a reviewer."""
    scopes = {"shop": ["inference"], "ops": ["inference", "admin"], "ann": ["reviewer"]}
    keys = [
        {"name": name, "sha256": hash_key(f"key-{name}"), "tenant": name, "scopes": each}
        for name, each in scopes.items()
    ]
    consent = {"tenants": {"shop": {"consent": True}, "ops": {"consent": True}}}
    args = {**router_args(frontier), "auth": {"keys": keys}, "capture": consent}
    with whole_system(tmp_path_factory.mktemp("gold"), args, replicas=1) as running:
        yield running


@pytest.fixture(scope="module")
def ops(learning: System) -> Iterator[httpx.Client]:
    """The operator."""
    with client(learning, "ops") as found:
        yield found


@pytest.fixture(scope="module")
def ann(learning: System) -> Iterator[httpx.Client]:
    """The reviewer."""
    with client(learning, "ann") as found:
        yield found


def reviewed(ops: httpx.Client, ann: httpx.Client, intent: str, *numbers: int) -> None:
    """Exchanges that a reviewer judged: even ones accepted, odd ones corrected, 13 rejected."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{intent} {question(number)}"},
                {"role": "assistant", "content": f"answer {number}"},
            ],
            **({"user": SUBJECT} if number == 2 else {}),
        }
        for number in numbers
    ]
    answer = ops.post(
        f"{ADMIN}/exchanges/import",
        params={"format": "messages", "intent": intent},
        content="\n".join(json.dumps(row) for row in rows),
        headers={"content-type": "application/x-ndjson"},
    )
    assert answer.json()["imported"] == len(numbers), answer.text

    def opened() -> list[dict[str, Any]]:
        found = ann.get(f"{ADMIN}/reviews", params={"state": "open", "intent": intent})
        listed: list[dict[str, Any]] = found.json()["data"]
        return listed if len(listed) == len(numbers) else []

    for row in until(opened):
        path = f"{ADMIN}/reviews/{row['id']}"
        number = int(ann.get(path).json()["exchange"]["response"].split()[1])
        ann.post(f"{path}/claim")
        verdict: dict[str, str] = {"verdict": "accept"}
        if number == 13:
            verdict = {"verdict": "reject"}
        elif number % 2:
            verdict = {"verdict": "edit", "answer": f"better {number}"}
        assert ann.post(path, json=verdict).is_success


def frozen(ops: httpx.Client, **body: Any) -> dict[str, Any]:
    """A dataset that was made."""
    answer = ops.post(DATASETS, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_what_reviews_settled_on_is_frozen(ops: httpx.Client, ann: httpx.Client) -> None:
    """Corrected answers as the expert wrote them, rejected ones not at all; names do not count."""
    reviewed(ops, ann, "swaps", *range(8, 20))
    made = frozen(ops, name="one", intents=["swaps"], holdout=0.3)
    assert made["counts"] == {"swaps": 11}
    assert made["splits"] == {"train": 8, "test": 3}
    rows = exported(ops, made["digest"], metadata="true")
    by_number = {int(row["messages"][-1]["content"].split()[1]): row for row in rows}
    assert sorted(by_number) == [8, 9, 10, 11, 12, 14, 15, 16, 17, 18, 19]
    assert by_number[9]["messages"][-1]["content"] == "better 9"
    assert by_number[9]["provenance"] == "human"
    assert by_number[8]["provenance"] == "teacher"
    assert by_number[8]["reviewers"] == ["ann"]
    assert frozen(ops, name="two", intents=["swaps"], holdout=0.3)["digest"] == made["digest"]
    later = ops.post(DATASETS, json={"name": "x", "intents": ["swaps"], "since": time.time() + 60})
    assert later.status_code == 422
    everything = frozen(ops, name="since", intents=["swaps"], since="2020-01-01T00:00:00Z")
    assert everything["counts"] == made["counts"]
    elsewhere = ops.post(DATASETS, json={"name": "x", "tenants": ["nobody"]})
    assert elsewhere.status_code == 422


def test_an_erasure_leaves_a_dataset_without_the_person(
    learning: System, ops: httpx.Client, ann: httpx.Client
) -> None:
    """The old one is 410 and names the new one; no file has its rows."""
    reviewed(ops, ann, "gone", *range(8))
    made = frozen(ops, name="persons", intents=["gone"], holdout=0.25)
    result = erase(ops, SUBJECT)
    assert result["state"] == "done", result
    answer = ops.get(f"{DATASETS}/{made['digest']}")
    assert answer.status_code == 410
    body = answer.json()
    assert body["error"]["code"] == "erased"
    new = ops.get(f"{DATASETS}/{body['rebuilt_as']}").json()
    assert new["rebuilt_from"] == made["digest"]
    assert new["name"] == "persons"
    assert sum(new["splits"].values()) == sum(made["splits"].values()) - 1
    for row in exported(ops, new["digest"]):
        assert "answer 2" not in json.dumps(row)
    assert ops.get(f"{DATASETS}/{made['digest']}/export").status_code == 410
    states = {row["digest"]: row["state"] for row in ops.get(DATASETS).json()["data"]}
    assert states[made["digest"]] == "erased"
    assert states[new["digest"]] == "frozen"
    assert not (learning.root / "datasets" / made["digest"]).exists()
