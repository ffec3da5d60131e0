"""Two engine replicas and `kill -9`: an engine, the registry and the router die under load.

The committed set comes back, nothing is left half-published, and whoever tries again gets the right
answer. A system of its own, because what is killed here others still need.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
import yaml

from serving.embedded import ADAPTERS_DIR
from tests.fakes.frontier import FakeFrontier
from tests.system import running
from tests.system.client import chat, eventually, move, push, target
from tests.system.config import write_config
from tests.system.load import load, problems
from tests.system.running import Running

pytestmark = pytest.mark.system

ALIAS = "steady"
RECOVERY_S = 150.0


@pytest.fixture(scope="module")
def two(
    tmp_path_factory: pytest.TempPathFactory,
    frontier_server: FakeFrontier,
    environment: dict[str, str],
) -> Iterator[Running]:
    """A system with two engine replicas and one published alias."""
    home = tmp_path_factory.mktemp("two")
    config = write_config(home / "config.yaml", frontier_server)
    raw = yaml.safe_load(config.read_text(encoding="utf-8"))
    for deployment in raw["applications"][0]["deployments"]:
        if deployment["name"] == "engine":
            deployment["num_replicas"] = 2
    config.write_text(yaml.safe_dump(raw), encoding="utf-8")
    found = running.start(config, home / "state", environment, home / "output.txt")
    with httpx.Client(base_url=found.url, timeout=60, trust_env=False) as client:
        eventually(lambda: len(ready(client)) == 2, "two ready replicas", RECOVERY_S)
        push(client, ALIAS, ADAPTERS_DIR / "returns")
    yield found
    found.stop()


@pytest.fixture
def front(two: Running) -> Iterator[httpx.Client]:
    """Plain HTTP to the front door of that system."""
    with httpx.Client(base_url=two.url, timeout=60, trust_env=False) as client:
        yield client


def ready(client: httpx.Client) -> list[dict[str, Any]]:
    """The engine replicas that take traffic; empty while nobody answers."""
    try:
        answer = client.get("/admin/v1/replicas")
    except httpx.TransportError:
        return []
    found = answer.json()["replicas"] if answer.status_code == 200 else []
    return [replica for replica in found if replica["ready"]]


def processes(two: Running, title: str) -> list[psutil.Process]:
    """The system's processes whose title contains a text."""
    return [p for p in two.family() if title in " ".join(_title(p))]


def _title(process: psutil.Process) -> list[str]:
    try:
        return [process.name(), *process.cmdline()]
    except psutil.Error:
        return []


@pytest.mark.timeout(300)
def test_an_engine_replica_dies(two: Running, front: httpx.Client) -> None:
    """Nobody notices: the other replica answers, the dead one's engine processes go, and its
    successor holds the committed set before it takes traffic.
    """
    before = {replica["id"] for replica in ready(front)}
    victim = processes(two, "ServeReplica:graftwork:engine")[0]
    children = victim.children(recursive=True)
    assert children, "the engine has processes of its own"
    with load(two.url, front, ALIAS) as clients:
        began = time.monotonic()
        victim.kill()
        # It is still listed: the publish waits until that is settled, and does not fail.
        push(front, "meanwhile", ADAPTERS_DIR / "extract")
        print(f"published after {time.monotonic() - began:.1f} s")  # noqa: T201
        gone = psutil.wait_procs(children, timeout=30)[1]
        eventually(
            lambda: len({r["id"] for r in ready(front)} - before) == 1, "a successor", RECOVERY_S
        )
        seconds = time.monotonic() - began
    print(f"engine replica back after {seconds:.1f} s")  # noqa: T201 - seen with `pytest -rP`
    assert not gone, f"left behind: {gone}"
    assert not problems(clients)
    move(front, "meanwhile", "retire")
    live = front.get(f"/admin/v1/adapters/{ALIAS}").json()["live"]
    assert all(f"{ALIAS}@{live[:12]}" in replica["resident"] for replica in ready(front))


@pytest.mark.timeout(300)
def test_the_registry_dies(two: Running, front: httpx.Client) -> None:
    """Requests go on without it; its successor knows every alias, and publishes again."""
    before = front.get(f"/admin/v1/adapters/{ALIAS}").json()
    with load(two.url, front, ALIAS) as clients:
        began = time.monotonic()
        processes(two, "ServeReplica:graftwork:registry")[0].kill()
        eventually(lambda: len(ready(front)) == 2, "the registry is back", RECOVERY_S)
        seconds = time.monotonic() - began
    print(f"registry back after {seconds:.1f} s")  # noqa: T201 - seen with `pytest -rP`
    assert not problems(clients)
    after = front.get(f"/admin/v1/adapters/{ALIAS}").json()
    assert (after["live"], after["versions"]) == (before["live"], before["versions"])
    push(front, "after-the-crash", ADAPTERS_DIR / "extract")
    move(front, "after-the-crash", "retire")


@pytest.mark.timeout(300)
def test_the_router_dies(two: Running, front: httpx.Client) -> None:
    """With the only router gone, clients get errors that they can try again, never a wrong answer;
    its successor has the whole table before it answers.
    """
    with load(two.url, front, ALIAS) as clients:
        began = time.monotonic()
        processes(two, "ServeReplica:graftwork:router")[0].kill()
        time.sleep(0.5)
        eventually(lambda: len(ready(front)) == 2, "the router is back", RECOVERY_S)
        seconds = time.monotonic() - began
    print(f"router back after {seconds:.1f} s")  # noqa: T201 - seen with `pytest -rP`
    assert not [problem for problem in problems(clients) if problem.startswith("WRONG")]
    answer = chat(front, ALIAS)
    assert target(answer).startswith(f"adapter:{ALIAS}@")


def test_state_is_on_the_disk_that_was_named(two: Running) -> None:
    """Everything durable is under the state directory."""
    assert (two.state_dir / "registry.db").is_file()
    assert Path(two.store, ".versions").is_dir()
