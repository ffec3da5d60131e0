"""A version against the frontier that answers its intent now: asked as a request is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.client import ADMIN, archive, chat, client, post_version, put_rules, until
from tests.contract.conftest import router_args
from tests.contract.test_gates import ANSWER, bring, report, settled, teach
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System, whole_system

TARGET = "frontier:cloud/big"
_GATE = {"margin": 0.2, "alpha": 0.05, "min_power": 0.8}


@pytest.fixture(scope="module")
def frontier() -> Iterator[FakeFrontier]:
    """It knows the answer."""
    with FakeFrontier(text=ANSWER) as running:
        yield running


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """Intents for which the base is not good enough, and one whose gate is short of patience."""
    names = ("returns", "refunds", "stalled")
    router: dict[str, Any] = router_args(frontier)
    router["auto"]["intents"] = [{"name": name, "keywords": [name]} for name in names]
    router["routing"] = {"routes": {name: {"risk": 0.1} for name in names}}
    router["capture"] = {"tenants": {"default": {"consent": True, "share": 1.0}}}
    routes: dict[str, Any] = {name: {"alias": name, "gate": _GATE} for name in names}
    routes["stalled"]["gate"] = {**_GATE, "stall_s": 1.0}
    root = tmp_path_factory.mktemp("against")
    with whole_system(root, router, flywheel={"routes": routes}, replicas=1) as running:
        with client(running) as http:
            for name in names:
                bring(http, name)
        yield running


@pytest.fixture(scope="module")
def http(system: System) -> Iterator[httpx.Client]:
    """Everybody."""
    with client(system) as found:
        yield found


def test_the_frontier_is_asked_within_the_request_path(
    system: System, http: httpx.Client, frontier: FakeFrontier, tmp_path: Path
) -> None:
    """Once for each question; on record, paid, and not captured."""
    digest = teach(system, tmp_path, "returns", 1, ANSWER)
    assert post_version(http, "returns", archive(1)).status_code == 202
    assert settled(http, "returns", digest) == "live"
    found = report(http, "returns", digest).json()
    assert (found["current_target"], found["current"]) == (TARGET, 1.0)
    assert len(frontier.requests) == found["n"]
    assert found["costs"]["current"]["usd"] > 0
    assert found["costs"]["candidate"]["seconds"] > 0
    decisions = http.get(f"{ADMIN}/decisions", params={"limit": 1000}).json()["data"]
    assert sum(each["target"] == TARGET for each in decisions) == found["n"]
    assert http.get(f"{ADMIN}/exchanges").json()["data"] == []


def test_a_version_that_answers_otherwise_is_refused_and_the_frontier_goes_on(
    system: System, http: httpx.Client, tmp_path: Path
) -> None:
    """The intent's traffic stays where it was."""
    digest = teach(system, tmp_path, "refunds", 2, "Never.")
    assert post_version(http, "refunds", archive(2)).status_code == 202
    assert settled(http, "refunds", digest) == "refused"
    assert report(http, "refunds", digest).json()["current_target"] == TARGET
    answer = chat(http, "auto", "May I return a refunds lamp?")
    assert answer.headers["x-graftwork-target"] == TARGET


def test_answers_that_break_a_rule_stop_a_version(
    system: System, http: httpx.Client, tmp_path: Path
) -> None:
    """They are right as far as anybody grades, and say what a rule forbids."""
    rules = "rules:\n  - {id: silence, oblige: {kind: must_not_say, phrases: [receipt]}}\n"
    put_rules(http, rules)
    digest = teach(system, tmp_path, "returns", 3, ANSWER)
    try:
        assert post_version(http, "returns", archive(3)).status_code == 202
        assert settled(http, "returns", digest) == "live"  # as the live one does, so it is no worse
        worse = teach(system, tmp_path, "returns", 4, ANSWER)
        live = next(iter(system.engines.values())).says[f"returns@{digest[:12]}"]
        live.text = ANSWER.replace(" of receipt", "")
        assert post_version(http, "returns", archive(4)).status_code == 202
        assert settled(http, "returns", worse) == "refused"
    finally:
        http.post(f"{ADMIN}/policy/rollback")
    found = report(http, "returns", worse).json()
    assert "policy" in found["reason"]
    assert {each["name"]: each["blocks"] for each in found["suites"]}["policy"] is True


def test_a_frontier_that_stalls_holds_no_version_up_for_ever(
    system: System, http: httpx.Client, frontier: FakeFrontier, tmp_path: Path
) -> None:
    """The version waits to be tested again, and says why; it can be taken back meanwhile."""
    digest = teach(system, tmp_path, "stalled", 5, ANSWER)

    def why() -> str:
        version = http.get(f"{ADMIN}/adapters/stalled/versions/{digest}").json()
        found = [each["found"] for each in version["checks"] if each["name"] == "gate"]
        return str(found[0]) if found and version["state"] == "gating" else ""

    frontier.delay_s = 600.0
    try:
        answer = post_version(http, "stalled", archive(5))
        assert (answer.status_code, answer.json()["state"]) == (202, "gating")
        assert "stood still for 1 s" in until(why)
    finally:
        frontier.delay_s = 0.0
    retired = http.post(f"{ADMIN}/adapters/stalled/retire", json={"digest": digest})
    assert retired.status_code < 300, retired.text
    assert settled(http, "stalled", digest) in {"draining", "retired"}
