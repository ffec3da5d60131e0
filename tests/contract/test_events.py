"""Events: what happens to which object, as it happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx

from tests.contract.client import ADMIN, chat, error_of, post_version, push, until
from tests.contract.client import archive as archived
from tests.fakes.whole_system import System

EVENTS = f"{ADMIN}/events"
OBJECTS = {
    "exchange",
    "review",
    "dataset",
    "distillation",
    "version",
    "decision",
    "policy",
    "erasure",
}


def followed(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and data of each event."""
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            yield name, json.loads(line.removeprefix("data:"))


def test_every_event_names_an_object_and_its_state(keyed: System, ops: httpx.Client) -> None:
    """A push, a replacement, a rollback, rules, an erasure: never another word than these."""
    first, second = push(ops, "told", 71), push(ops, "told", 72)
    assert ops.post(f"{ADMIN}/adapters/told/rollback", json={}).status_code == 200
    assert post_version(ops, "told", archived(73, broken=True)).status_code == 422
    rules = {"content-type": "application/yaml"}
    assert ops.put(f"{ADMIN}/policy", content=b"rules: []\n", headers=rules).status_code == 200
    asked = ops.post(f"{ADMIN}/erasures", json={"subject": "nobody@example.com"}).json()["id"]
    versions, seen = [], set()
    with ops.stream("GET", EVENTS, params={"after": 0}) as answer:
        for name, data in followed(answer):
            assert name in OBJECTS, (name, data)
            assert data.get("id") or data.get("digest"), (name, data)
            assert data["state"], (name, data)
            seen.add(name)
            if name == "version" and data["alias"] == "told":
                versions.append((data["digest"], data["state"]))
            if name == "erasure" and data["id"] == asked and data["state"] == "done":
                break
    assert {"version", "policy", "erasure"} <= seen
    assert (first.digest, "live") in versions
    assert (second.digest, "live") in versions
    assert versions.index((first.digest, "superseded")) > versions.index((first.digest, "live"))


def test_a_decision_is_told_of(ops: httpx.Client, app: httpx.Client) -> None:
    """Of a request that was answered, and of one that was not."""
    with ops.stream("GET", EVENTS) as answer:
        events = followed(answer)
        told = chat(app, "base").headers["x-graftwork-decision-id"]
        failed = chat(app, "cloud/big", max_tokens=1).headers["x-graftwork-decision-id"]
        states: dict[str, str] = {}
        for name, data in events:
            if name == "decision":
                states[data["id"]] = data["state"]
            if {told, failed} <= states.keys():
                break
    assert states[told] == states[failed] == "answered"


def test_what_happens_to_no_object_is_told_to_who_asks(ops: httpx.Client) -> None:
    """``detail=true``: an alias that points elsewhere, for example."""
    push(ops, "detailed", 74)
    with ops.stream("GET", EVENTS, params={"after": 0, "detail": "true"}) as answer:
        for name, data in followed(answer):
            if name == "alias-changed" and data["alias"] == "detailed":
                break
    wrong = ops.get(EVENTS, params={"detail": "yes please"})
    assert wrong.status_code == 400
    assert "detail" in error_of(wrong)["message"]


def test_who_left_is_followed_by_nobody(keyed: System, ops: httpx.Client) -> None:
    """However quiet it is: nothing of a client that hung up stays behind."""
    bus = keyed.registry.adapters.events
    until(lambda: not bus.followers, "those of the tests before have left")
    with ops.stream("GET", EVENTS) as answer:
        told = answer.iter_lines()
        assert next(told) == ": connected"
        until(lambda: bus.followers == 1)
    until(lambda: not bus.followers)
