"""Times are ISO 8601 wherever the admin plane answers, also deep inside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.client import ADMIN, archive, client, post_version
from tests.contract.conftest import router_args
from tests.contract.test_distillations import ended
from tests.fakes.frontier import FakeFrontier
from tests.fakes.trainer_process import FakeTrainer
from tests.fakes.whole_system import whole_system

_WORDS = ("lamp", "kettle", "chair", "river", "stamp", "garden", "letter", "window")
_EPOCH = (1.5e9, 3e9)


@pytest.fixture
def http(tmp_path: Path, frontier: FakeFrontier) -> Iterator[httpx.Client]:
    """In front of a gated intent."""
    router = router_args(frontier)
    router["auto"]["intents"] = [{"name": "sends", "keywords": ["send back"]}]
    flywheel = {"routes": {"sends": {"alias": "sender", "gate": {"margin": 0.2}}}}
    trainer = FakeTrainer()
    try:
        with (
            whole_system(
                tmp_path, router, replicas=1, trainer=trainer, flywheel=flywheel
            ) as system,
            client(system) as found,
        ):
            yield found
    finally:
        trainer.kill()


def epochs(value: Any, path: str = "") -> Iterator[str]:
    """Where a number stands that can only be a time."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from epochs(each, f"{path}.{name}")
    elif isinstance(value, list):
        for each in value:
            yield from epochs(each, f"{path}[]")
    elif isinstance(value, int | float) and _EPOCH[0] < value < _EPOCH[1]:
        yield path


def test_no_answer_has_seconds_since_the_epoch(http: httpx.Client) -> None:
    """A dataset with its rows, a training with its curve, a gate's report, and their lists."""
    lines = "\n".join(
        json.dumps({"prompt": f"May I send back the {one} and the {two}?", "completion": "Yes."})
        for one in _WORDS
        for two in _WORDS
    )
    query = "name=times&format=prompt_completion&intent=sends"
    brought = http.post(f"{ADMIN}/datasets/import?{query}", content=lines.encode())
    assert brought.status_code == 201, brought.text
    digest = brought.json()["digest"]
    frozen = http.post(f"{ADMIN}/distillations", json={"dataset": digest}).json()["id"]
    assert ended(http, frozen)["gate"] is not None
    pushed = post_version(http, "sender", archive(5), "stage=live").json()["digest"]
    made = http.get(f"{ADMIN}/distillations/{frozen}").json()["digest"]
    for path in (
        f"datasets/{digest}",
        f"datasets/{digest}/rows",
        "datasets",
        f"distillations/{frozen}",
        "distillations",
        f"adapters/sender/versions/{made}/gate",
        f"adapters/sender/versions/{pushed}",
        "adapters/sender",
        "adapters/sender/lineage",
        f"adapters/sender/lineage?digest={made}",
        "audit",
        "decisions",
        "usage",
    ):
        answer = http.get(f"{ADMIN}/{path}")
        assert answer.status_code == 200, answer.text
        assert not list(epochs(answer.json())), path
