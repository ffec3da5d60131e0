"""Gates from outside: what is pushed to a gated route passes held-out gold, or is refused."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from adapters.format.manifest import digest_directory
from router.admit.keys import hash_key
from serving.cli.main import app as commands
from tests.contract.client import (
    ADMIN,
    LONG_S,
    archive,
    chat,
    client,
    error_of,
    move,
    post_version,
    said,
)
from tests.contract.conftest import router_args
from tests.fakes.engine_speech import Says
from tests.fakes.frontier import FakeFrontier
from tests.fakes.tiny_adapter import tiny_adapter
from tests.fakes.whole_system import System, whole_system

ANSWER = "You may send it back within 30 days of receipt."
_WORDS = ("lamp", "kettle", "chair", "river", "stamp", "garden", "letter", "window")
_GATE = {"margin": 0.2, "alpha": 0.05, "min_power": 0.8}
_REPORT = {
    "n", "test", "alpha", "margin", "power", "candidate", "current", "current_target", "difference",
    "lower", "passed", "verdict", "reason", "n_missing", "slices", "items",
}  # fmt: skip


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Two gated aliases, one of which climbs, and gold for one of them."""
    keys = [
        {"name": name, "sha256": hash_key(f"key-{name}"), "scopes": scopes}
        for name, scopes in {"ops": ["inference", "admin"], "app": ["inference"]}.items()
    ]
    routes = {
        "returns": {"alias": "returns", "gate": _GATE},
        "climbing": {"alias": "climbing", "gate": _GATE, "ladder": ["canary", "live"]},
        "bare": {"alias": "bare", "gate": _GATE},
        "kept": {"alias": "kept", "gate": _GATE},
        "shown": {"alias": "shown", "gate": _GATE},
    }
    with FakeFrontier() as frontier:
        args = {**router_args(frontier), "auth": {"keys": keys}}
        root = tmp_path_factory.mktemp("gated")
        with whole_system(root, args, flywheel={"routes": routes}, replicas=1) as running:
            with client(running, "ops") as ops:
                for intent in ("returns", "climbing", "kept", "shown"):
                    bring(ops, intent)
            yield running


@pytest.fixture(scope="module")
def ops(system: System) -> Iterator[httpx.Client]:
    """An operator's client."""
    with client(system, "ops") as found:
        yield found


def bring(http: httpx.Client, intent: str, rows: int = 64) -> str:
    """Gold of an intent, half of it held out; its digest."""
    lines = []
    for number in range(rows):
        question = " ".join(_WORDS[(number >> shift) % 8] for shift in (0, 3, 6))
        lines.append(
            {
                "messages": [
                    {"role": "user", "content": f"May I return a {intent} {question}?"},
                    {"role": "assistant", "content": ANSWER},
                ]
            }
        )
    raw = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    answer = http.post(
        f"{ADMIN}/datasets/import",
        params={"format": "messages", "name": intent, "intent": intent, "holdout": "0.5"},
        content=raw,
        headers={"content-type": "application/x-ndjson"},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["digest"])


def teach(system: System, tmp_path: Path, alias: str, seed: int, says: str) -> str:
    """What the engines say with a version that will be pushed; its digest."""
    digest = digest_directory(tiny_adapter(tmp_path / f"{alias}-{seed}", seed))
    for engine in system.engines.values():
        engine.says[f"{alias}@{digest[:12]}"] = Says(says)
    return digest


def until(found: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """Look until it is as wanted."""
    deadline = time.monotonic() + LONG_S
    while not wanted(now := found()):
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    return now


def state(http: httpx.Client, alias: str, digest: str) -> str:
    """Of one version."""
    return str(http.get(f"{ADMIN}/adapters/{alias}/versions/{digest}").json()["state"])


def settled(http: httpx.Client, alias: str, digest: str) -> str:
    """The state in which a version comes to rest."""
    on_the_way = {"received", "checked", "stored", "gating", "preparing", "prepared"}
    return str(until(lambda: state(http, alias, digest), lambda now: now not in on_the_way))


def report(http: httpx.Client, alias: str, digest: str, **headers: str) -> httpx.Response:
    """What the gate found."""
    return http.get(f"{ADMIN}/adapters/{alias}/versions/{digest}/gate", headers=headers)


def test_a_push_by_hand_is_gated_and_serves_when_it_passed(
    system: System, ops: httpx.Client, tmp_path: Path
) -> None:
    """202 and ``gating`` at once, also for who waits; then live, with a report of all fields."""
    digest = teach(system, tmp_path, "returns", 1, ANSWER)
    answer = post_version(ops, "returns", archive(1), "wait=live&stage=live")
    assert (answer.status_code, answer.json()["state"]) == (202, "gating"), answer.text
    assert answer.json()["digest"] == digest
    assert settled(ops, "returns", digest) == "live"
    assert said(chat(ops, "returns")) == ANSWER
    found = report(ops, "returns", digest).json()
    assert found.keys() >= _REPORT
    assert (found["verdict"], found["passed"], found["n_missing"]) == ("passed", True, 0)
    assert (found["candidate"], found["current"]) == (1.0, 0.0)
    assert found["n"] == len(found["items"]) >= 20
    assert found["items"][0].keys() >= {"id", "slice", "candidate", "current"}
    assert {"intent=returns", "length=short"} <= {each["name"] for each in found["slices"]}
    assert all(each.keys() >= {"name", "n", "candidate", "current"} for each in found["slices"])
    gate = ops.get(f"{ADMIN}/adapters/returns/versions/{digest}").json()["manifest"]["evaluation"]
    assert gate["gate"]["passed"] is True
    assert gate["gate"]["intents"]["returns"]["good"] == found["n"]


def test_a_version_that_fails_is_refused_and_never_serves(
    system: System, ops: httpx.Client, tmp_path: Path
) -> None:
    """Every way to a request is closed to it, and the version before goes on."""
    good = teach(system, tmp_path, "returns", 1, ANSWER)
    post_version(ops, "returns", archive(1))
    until(lambda: settled(ops, "returns", good), lambda now: now == "live")
    bad = teach(system, tmp_path, "returns", 2, "You may send it back within 60 days of receipt.")
    assert post_version(ops, "returns", archive(2), "stage=canary&percent=50").status_code == 202
    assert settled(ops, "returns", bad) == "refused"
    found = report(ops, "returns", bad).json()
    assert (found["verdict"], found["passed"]) == ("failed", False)
    assert found["current_target"] == f"adapter:returns@{good[:12]}"
    for way, body in (
        ("promote", {"digest": bad}),
        ("canary", {"digest": bad, "percent": 5}),
        ("shadow", {"digest": bad, "percent": 5}),
    ):
        refused = move(ops, "returns", way, **body)
        assert refused.status_code == 409, refused.text
    assert error_of(move(ops, "returns", "promote", digest=bad))["code"] == "gate_not_passed"
    assert chat(ops, f"returns@{bad[:12]}").status_code in {404, 410}
    assert said(chat(ops, "returns")) == ANSWER
    again = post_version(ops, "returns", archive(2))
    assert (again.status_code, again.json()["state"]) == (202, "gating")
    assert settled(ops, "returns", bad) == "refused"


def test_too_few_items_are_refused_with_those_that_are_missing(
    system: System, ops: httpx.Client, tmp_path: Path
) -> None:
    """There is no gold for this intent at all."""
    digest = teach(system, tmp_path, "bare", 3, ANSWER)
    assert post_version(ops, "bare", archive(3)).status_code == 202
    assert settled(ops, "bare", digest) == "refused"
    found = report(ops, "bare", digest).json()
    assert (found["verdict"], found["n"]) == ("refused", 0)
    assert found["n_missing"] > 0
    assert str(found["n_missing"]) in found["reason"]
    assert chat(ops, "bare").status_code == 404


def test_a_version_that_passed_begins_on_the_ladders_first_step(
    system: System, ops: httpx.Client, tmp_path: Path
) -> None:
    """The stage of a push is a wish."""
    digest = teach(system, tmp_path, "climbing", 4, ANSWER)
    assert post_version(ops, "climbing", archive(4), "stage=live").status_code == 202
    assert settled(ops, "climbing", digest) == "canary"


def test_rollback_leaves_nobody_and_promote_brings_back_what_passed(
    system: System, ops: httpx.Client, tmp_path: Path
) -> None:
    """Without a version before; the gate is not asked again."""
    digest = teach(system, tmp_path, "kept", 5, ANSWER)
    post_version(ops, "kept", archive(5))
    assert settled(ops, "kept", digest) == "live"
    assert move(ops, "kept", "rollback").status_code == 200
    assert ops.get(f"{ADMIN}/adapters/kept").json()["live"] is None
    assert move(ops, "kept", "promote", digest=digest).status_code == 200
    assert said(chat(ops, "kept")) == ANSWER
    assert move(ops, "kept", "retire").status_code == 200
    until(lambda: state(ops, "kept", digest), lambda now: now == "retired")
    back = post_version(ops, "kept", archive(5))
    assert back.json()["state"] == "live", back.text


def test_the_report_is_a_page_too(system: System, ops: httpx.Client, tmp_path: Path) -> None:
    """Self-contained, with a picture; no script and no other host."""
    digest = teach(system, tmp_path, "returns", 1, ANSWER)
    post_version(ops, "returns", archive(1))
    until(lambda: report(ops, "returns", digest).status_code, lambda now: now == 200)
    found = report(ops, "returns", digest, accept="text/html,application/json;q=0.5")
    assert found.headers["content-type"].startswith("text/html")
    assert "<svg" in found.text
    assert "<script" not in found.text
    assert "http" not in found.text.replace("https://", "http").split("<body>")[1]
    assert (
        report(ops, "returns", digest, accept="*/*")
        .headers["content-type"]
        .startswith("application/json")
    )


def test_reports_that_are_not_there(system: System, ops: httpx.Client) -> None:
    """404 for an unknown version; only administrators read them."""
    assert report(ops, "returns", "f" * 64).status_code == 404
    assert report(ops, "nobody", "f" * 64).status_code == 404
    with client(system, "app") as app:
        assert report(app, "returns", "f" * 64).status_code == 403


def test_what_a_pusher_says_of_a_gate_counts_for_nothing(system: System, ops: httpx.Client) -> None:
    """A manifest that claims to have passed is judged like any other."""
    claimed = {"evaluation": {"gate": {"passed": True}}}
    answer = post_version(ops, "bare", archive(6, manifest=claimed))
    assert (answer.status_code, answer.json()["state"]) == (202, "gating")
    assert settled(ops, "bare", answer.json()["digest"]) == "refused"


def test_nothing_of_a_gate_is_captured_and_all_of_it_is_on_record(
    system: System, ops: httpx.Client
) -> None:
    """The export carries the report."""
    live = ops.get(f"{ADMIN}/adapters/returns").json()["live"]
    answer = ops.get(f"{ADMIN}/adapters/returns/versions/{live}/export")
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        names = tar.getnames()
    assert any(name.endswith("graftwork.json") for name in names)
    rows = ops.get(f"{ADMIN}/exchanges").json()["data"]
    assert not [row for row in rows if row["request"]["messages"][0]["content"].startswith("May I")]


def test_the_command_follows_a_push_through_its_gate(
    system: System, ops: httpx.Client, tmp_path: Path
) -> None:
    """It says what came of it; 1 and where to look for one that was refused."""
    run = CliRunner(env={"GRAFTWORK_URL": system.url, "GRAFTWORK_API_KEY": "key-ops"})
    teach(system, tmp_path, "shown", 7, ANSWER)
    good = run.invoke(commands, ["push", "shown", str(tmp_path / "shown-7"), "--wait"])
    assert good.exit_code == 0, good.output
    assert "is live" in good.output
    shown = run.invoke(commands, ["gate", "show", "shown"])
    assert shown.exit_code == 0, shown.output
    assert "passed: " in shown.output
    bad = teach(system, tmp_path, "shown", 8, "Never.")
    refused = run.invoke(commands, ["push", "shown", str(tmp_path / "shown-8"), "--wait"])
    assert refused.exit_code == 1
    assert f"graftwork gate show shown {bad[:12]}" in refused.output
    assert run.invoke(commands, ["gate", "show", "shown", bad]).exit_code == 1
    assert run.invoke(commands, ["gate", "show", "nobody"]).exit_code == 1
