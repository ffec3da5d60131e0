"""Pushes that come before the first engine, from outside: accepted, shown, published in order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from serving.cli.main import app
from tests.contract.client import (
    ADMIN,
    LONG_S,
    archive,
    chat,
    client,
    error_of,
    post_version,
    said,
    until,
)
from tests.fakes.tiny_adapter import tiny_adapter
from tests.fakes.whole_system import System, whole_system

LIMIT = 2
PUSH = {"waiting": LIMIT, "first_engine_s": 0.0, "wait_timeout_s": LONG_S}


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """Registry and router, and no engine yet."""
    with whole_system(tmp_path, replicas=0, adapters={"push": PUSH}) as system:
        yield system


@pytest.fixture
def http(system: System) -> Iterator[httpx.Client]:
    """Without keys, on loopback."""
    with client(system) as http:
        until(lambda: http.get(f"{ADMIN}/adapters").status_code == 200)
        yield http


def version(http: httpx.Client, alias: str, digest: str) -> dict[str, Any]:
    """As the admin plane shows it."""
    answer = http.get(f"{ADMIN}/adapters/{alias}/versions/{digest}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def graftwork(system: System, *words: object) -> Result:
    """What the command line says."""
    environment = {"GRAFTWORK_URL": system.url, "COLUMNS": "200"}
    return CliRunner(env=environment).invoke(app, [str(word) for word in words])


def test_a_pin_of_a_version_that_is_on_its_way_is_told_to_come_back(
    system: System, http: httpx.Client
) -> None:
    """503 with ``Retry-After``, not 404: it is known, and will answer. Other digests are not."""
    digest = post_version(http, "early", archive(1), "stage=live").json()["digest"]
    pin = f"early@{digest[:12]}"
    until(lambda: chat(http, pin).status_code != 404)
    for name in (pin, f"early@{digest}"):
        answer = chat(http, name)
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert "on its way" in error_of(answer)["message"]
    messages = {"model": pin, "max_tokens": 8, "messages": [{"role": "user", "content": "x"}]}
    refused = http.post("/v1/messages", json=messages)
    assert (refused.status_code, error_of(refused)["type"]) == (503, "overloaded_error")
    assert chat(http, "early@000000000000").status_code == 404
    assert chat(http, "early").status_code == 404
    system.starts("engine-1")
    until(lambda: chat(http, pin).status_code == 200)
    assert said(chat(http, pin)) == f"I am {pin}"


def test_a_push_is_accepted_shown_and_live_with_the_first_engine(
    system: System, http: httpx.Client
) -> None:
    """202 with its state and why; the same in every list; nothing has gone wrong with it."""
    answer = post_version(http, "early", archive(1), "stage=live")
    assert answer.status_code == 202, answer.text
    pushed = answer.json()
    assert (pushed["state"], pushed["checks"]) == ("received", [])
    assert "first engine" in pushed["reason"]
    (row,) = http.get(f"{ADMIN}/adapters").json()["data"]
    (listed,) = row["versions"]
    for shown in (listed, version(http, "early", pushed["digest"])):
        assert (shown["state"], shown["error"]) == ("received", "")
        assert "first engine" in shown["reason"]
    assert "waits for the first engine" in http.get("/console/adapters/early").text
    system.starts("engine-1")
    until(lambda: version(http, "early", pushed["digest"])["state"] == "live")
    found = version(http, "early", pushed["digest"])
    assert (found["reason"], all(check["ok"] for check in found["checks"])) == ("", True)
    until(lambda: chat(http, "early").status_code == 200)
    assert said(chat(http, "early")) == f"I am early@{pushed['digest'][:12]}"


def test_the_order_of_the_pushes_is_the_order_of_the_publishes(
    system: System, http: httpx.Client
) -> None:
    """The second one is live, the first is what a rollback brings back."""
    first, second = (
        post_version(http, "early", archive(seed), "stage=live").json()["digest"] for seed in (1, 2)
    )
    system.starts("engine-1")
    until(lambda: version(http, "early", second)["state"] == "live")
    alias = http.get(f"{ADMIN}/adapters/early").json()
    assert (alias["live"], alias["previous"]) == (second, first)


def test_one_too_many_hears_so(http: httpx.Client) -> None:
    """503 with ``Retry-After``; known bytes that wait are no second place."""
    for seed in range(LIMIT):
        assert post_version(http, f"early-{seed}", archive(seed), "").status_code == 202
    refused = post_version(http, "late", archive(9), "")
    assert (refused.status_code, error_of(refused)["code"]) == (503, "waiting_full")
    assert "retry-after" in refused.headers
    again = post_version(http, "early-0", archive(0), "")
    # 200 would say that it is where it was asked to be.
    assert (again.status_code, again.json()["known"]) == (202, True)
    rows = http.get(f"{ADMIN}/adapters").json()["data"]
    states = [each["state"] for row in rows for each in row["versions"]]
    assert states.count("received") == LIMIT


def test_one_that_waits_can_be_retired(system: System, http: httpx.Client) -> None:
    """It leaves the queue, and the first engine does not bring it back."""
    gone = post_version(http, "early", archive(1), "").json()["digest"]
    stays = post_version(http, "other", archive(2), "").json()["digest"]
    answer = http.post(f"{ADMIN}/adapters/early/retire", json={"digest": gone})
    assert answer.status_code == 200, answer.text
    assert [each["state"] for each in answer.json()["versions"]] == ["retired"]
    system.starts("engine-1")
    until(lambda: version(http, "other", stays)["state"] == "live")
    assert version(http, "early", gone)["state"] == "retired"
    pinned = chat(http, f"early@{gone[:12]}")
    assert pinned.status_code == 404, pinned.text


def test_a_bad_one_is_refused_when_the_base_is_known(system: System, http: httpx.Client) -> None:
    """Accepted as bytes, then judged; every failed check is on its record."""
    pushed = post_version(http, "early", archive(1, broken=True), "").json()
    assert pushed["state"] == "received"
    system.starts("engine-1")
    until(lambda: version(http, "early", pushed["digest"])["state"] == "rejected")
    found = version(http, "early", pushed["digest"])
    assert any(not check["ok"] for check in found["checks"])
    assert found["error"]


def test_who_asks_to_wait_waits_for_the_engine(system: System, http: httpx.Client) -> None:
    """``wait=live``: 201 when it serves."""
    starting = threading.Timer(0.5, system.starts, ["engine-1"])
    starting.start()
    try:
        answer = post_version(http, "early", archive(1))
    finally:
        starting.join()
    assert (answer.status_code, answer.json()["state"]) == (201, "live")


def test_the_command_line_says_what_it_waits_for(
    system: System, http: httpx.Client, tmp_path: Path
) -> None:
    """``graftwork push`` tells that no engine is up; ``--no-wait`` comes back at once."""
    source = tiny_adapter(tmp_path / "adapter", 1)
    result = graftwork(system, "push", "early", source, "--no-wait")
    assert result.exit_code == 0, result.output
    assert "received" in result.output
    assert "first engine" in result.output
    assert "first engine" in graftwork(system, "adapters").output

    def start_when_it_waits() -> None:
        def waits() -> bool:
            answer = http.get(f"{ADMIN}/adapters/later")
            versions = answer.json().get("versions", [])
            return any("first engine" in each["reason"] for each in versions)

        until(waits)
        system.starts("engine-1")

    starting = threading.Thread(target=start_when_it_waits)
    starting.start()
    try:
        other = tiny_adapter(tmp_path / "other", 2)
        result = graftwork(system, "push", "later", other)
    finally:
        starting.join()
    assert result.exit_code == 0, result.output
    assert "waits for the first engine" in result.output
    assert "is live" in result.output
