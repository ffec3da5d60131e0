"""A real training beside a real engine: all but the engine die, and a version goes live."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from adapters.distill.lock import holder
from tests.system.client import chat, eventually, move, resident, target
from tests.system.running import Running

pytestmark = pytest.mark.system

PATH = "/admin/v1/distillations"
ENDED = {"live", "refused", "failed", "cancelled"}
SHELVES = {"lamp": 1, "chair": 2, "coat": 3, "kettle": 4, "phone": 5, "bag": 6, "book": 7}
ASKED = (
    "where is the {}", "on which shelf is the {}", "which shelf has the {}", "i look for the {}",
    "can you find the {}", "where do you keep the {}", "is the {} here", "show me the {}",
)  # fmt: skip
KEPT = ("door handles", "slate roofs", "copper gutters", "brick arches")
"""Asked about just before the registry is gone, and then the router."""
TRAINING_S = 420.0


def examples() -> bytes:
    """What an expert wrote: another way of asking is another row."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": ask.format(thing)},
                {"role": "assistant", "content": f"It is on shelf {shelf}."},
            ]
        }
        for thing, shelf in SHELVES.items()
        for ask in ASKED
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


def trainer(system: Running, identity: str) -> psutil.Process | None:
    """The process that works on the training now."""
    pid = holder(system.state_dir / "distillations" / identity)
    with suppress(psutil.Error):  # it has just ended
        return psutil.Process(pid) if pid else None
    return None


def shown(http: httpx.Client, identity: str) -> dict[str, Any]:
    """The distillation; empty while nobody answers."""
    try:
        answer = http.get(f"{PATH}/{identity}")
    except httpx.TransportError:
        return {}
    return dict(answer.json()) if answer.status_code == 200 else {}


def kill_replica(system: Running, name: str) -> None:
    """`kill -9` of a process of Ray Serve's."""
    killed = 0
    for process in system.family():
        with suppress(psutil.Error):  # one that has just ended has no command line
            if f"ServeReplica:graftwork:{name}" in " ".join([process.name(), *process.cmdline()]):
                process.kill()
                killed += 1
    assert killed == 1


def spooled(system: Running) -> set[str]:
    """Which of them a router has on its disk."""
    found: set[str] = set()
    for path in (system.state_dir / "capture").glob("*/*.jsonl"):
        with suppress(FileNotFoundError):  # it has just been delivered
            text = path.read_text()
            found |= {thing for thing in KEPT if thing in text}
    return found


def kept(http: httpx.Client) -> set[str]:
    """Which of the things that were asked about meanwhile are in the corpus."""
    try:
        answer = http.get("/admin/v1/exchanges", params={"limit": 1000})
    except httpx.TransportError:
        return set()
    rows = answer.json()["data"] if answer.status_code == 200 else []
    said = [str(row["request"]["messages"]) for row in rows]
    return {thing for thing in KEPT if any(thing in text for text in said)}


@pytest.mark.timeout(900)
def test_a_distillation_survives_the_death_of_trainer_registry_and_router(
    system: Running, http: httpx.Client
) -> None:
    """`step` goes back at most to the last checkpoint; what comes out answers on the engine."""
    taken = http.post(
        "/admin/v1/datasets/import",
        params={"name": "shelves", "format": "messages", "intent": "shelves"},
        content=examples(),
        headers={"content-type": "application/x-ndjson"},
    )
    assert taken.status_code in {200, 201}, taken.text
    dataset = taken.json()["digest"]
    began = time.monotonic()
    body = {"dataset": dataset, "alias": "shelves", "settings": {"steps": 300, "patience": 1000}}
    asked = http.post(PATH, json=body)
    assert asked.status_code == 202, asked.text
    identity = asked.json()["id"]
    eventually(lambda: shown(http, identity).get("step", 0) >= 5, "the first steps", TRAINING_S)
    victim = trainer(system, identity)
    assert victim is not None
    assert any("distill_job" in word for word in victim.cmdline())
    victim.kill()
    eventually(lambda: trainer(system, identity) not in {None, victim}, "another trainer", 60)
    before = shown(http, identity)
    assert before["state"] == "training"
    for thing in KEPT:
        chat(http, "base", f"please tell me about {thing}")
    eventually(lambda: kept(http) | spooled(system) >= set(KEPT), "what is promised", 60)
    kill_replica(system, "registry")
    running = trainer(system, identity)
    kill_replica(system, "router")
    eventually(lambda: bool(shown(http, identity)), "registry and router are back", 240)
    eventually(lambda: kept(http) >= set(KEPT), "what a dead router kept for a dead registry", 90)
    assert trainer(system, identity) in {running, None}, "nobody starts a second one"
    eventually(lambda: shown(http, identity).get("state") in ENDED, "its end", TRAINING_S)
    done = shown(http, identity)
    assert done["state"] == "live", (done["reason"], done["log"])
    print(f"label to live: {time.monotonic() - began:.0f} s with three deaths")  # noqa: T201
    steps = [look["step"] for look in done["curve"]]
    assert steps == sorted(steps)
    losses = [look["loss"] for look in done["curve"] if "loss" in look]
    assert losses[-1] < losses[0]
    answer = chat(http, "shelves", "where is the lamp")
    assert target(answer) == f"adapter:shelves@{done['digest'][:12]}"
    lineage = http.get("/admin/v1/adapters/shelves/lineage").json()
    assert (lineage["distillation"], len(lineage["rows"])) == (identity, len(SHELVES) * len(ASKED))
    logs = [path.read_text(errors="replace") for path in Path(system.logs).glob("*.jsonl")]
    assert not any("shelf 3" in text for text in logs), "no text of a person is logged"
    move(http, "shelves", "retire")
    name = f"shelves@{done['digest'][:12]}"
    eventually(lambda: name not in resident(http), "the system as the other tests know it", 60)
