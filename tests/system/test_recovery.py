"""Three nodes with two engines, and `kill -9`: an engine, the registry, the router and a whole node
die under load.

The committed set comes back, nothing is left half-published, and whoever tries again gets the right
answer; the engine on the node that takes a lost one's place holds everything before it takes
traffic. A system of its own, because what is killed here others still need.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from serving.embedded import ADAPTERS_DIR
from tests.fakes.frontier import FakeFrontier
from tests.system import processes
from tests.system.client import chat, eventually, move, push, target
from tests.system.config import write_config
from tests.system.load import load, problems
from tests.system.nodes import Cluster
from tests.system.running import START_S

pytestmark = pytest.mark.system

ALIAS, LATER = "steady", "published-meanwhile"
RECOVERY_S = 240.0
STOP_S = 90.0


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory,
    frontier_server: FakeFrontier,
    environment: dict[str, str],
) -> Iterator[Cluster]:
    """Three nodes with two engines and one published alias; nothing is left of them at the end."""
    home = tmp_path_factory.mktemp("nodes")
    found = Cluster(write_config(home / "config.yaml", frontier_server), home, environment)
    try:
        found.heard("deployed", START_S)
        with httpx.Client(base_url=found.url, timeout=60, trust_env=False) as client:
            eventually(lambda: len(ready(client)) == 2, "two ready replicas", START_S)
            push(client, ALIAS, ADAPTERS_DIR / "returns")
        yield found
        members = found.family()
        found.tell("stop")
        assert found.process.wait(STOP_S) == 0, found.errors.read_text()
        assert not processes.alive([*members, *found.family()], 10.0)
    finally:
        found.close()


@pytest.fixture
def front(cluster: Cluster) -> Iterator[httpx.Client]:
    """Plain HTTP to the front door, with two engines behind it."""
    with httpx.Client(base_url=cluster.url, timeout=60, trust_env=False) as client:
        eventually(lambda: len(ready(client)) == 2, "two ready replicas", RECOVERY_S)
        yield client


def ready(client: httpx.Client) -> list[dict[str, Any]]:
    """The engine replicas that take traffic; empty while nobody answers."""
    try:
        answer = client.get("/admin/v1/replicas")
    except httpx.TransportError:
        return []
    found = answer.json()["data"] if answer.status_code == 200 else []
    return [replica for replica in found if replica["ready"]]


def titled(cluster: Cluster, title: str) -> list[psutil.Process]:
    """The system's processes whose title contains a text."""
    return [p for p in cluster.family() if title in " ".join(_title(p))]


def _title(process: psutil.Process) -> list[str]:
    try:
        return [process.name(), *process.cmdline()]
    except psutil.Error:
        return []


@pytest.mark.timeout(300)
def test_an_engine_replica_dies(cluster: Cluster, front: httpx.Client) -> None:
    """Nobody notices: the other replica answers, the dead one's engine processes go, and its
    successor holds the committed set before it takes traffic.
    """
    before = {replica["id"] for replica in ready(front)}
    victim = titled(cluster, "ServeReplica:graftwork:engine")[0]
    children = victim.children(recursive=True)
    assert children, "the engine has processes of its own"
    with load(cluster.url, front, ALIAS) as clients:
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
def test_the_registry_dies(cluster: Cluster, front: httpx.Client) -> None:
    """Requests go on without it; its successor knows every alias, and publishes again."""
    before = front.get(f"/admin/v1/adapters/{ALIAS}").json()
    with load(cluster.url, front, ALIAS) as clients:
        began = time.monotonic()
        titled(cluster, "ServeReplica:graftwork:registry")[0].kill()
        eventually(lambda: len(ready(front)) == 2, "the registry is back", RECOVERY_S)
        seconds = time.monotonic() - began
    print(f"registry back after {seconds:.1f} s")  # noqa: T201 - seen with `pytest -rP`
    assert not problems(clients)
    after = front.get(f"/admin/v1/adapters/{ALIAS}").json()
    assert (after["live"], after["versions"]) == (before["live"], before["versions"])
    push(front, "after-the-crash", ADAPTERS_DIR / "extract")
    move(front, "after-the-crash", "retire")


@pytest.mark.timeout(300)
def test_the_router_dies(cluster: Cluster, front: httpx.Client) -> None:
    """With the only router gone, clients get errors that they can try again, never a wrong answer;
    its successor has the whole table before it answers.
    """
    with load(cluster.url, front, ALIAS) as clients:
        began = time.monotonic()
        titled(cluster, "ServeReplica:graftwork:router")[0].kill()
        time.sleep(0.5)
        eventually(lambda: len(ready(front)) == 2, "the router is back", RECOVERY_S)
        seconds = time.monotonic() - began
    print(f"router back after {seconds:.1f} s")  # noqa: T201 - seen with `pytest -rP`
    assert not [problem for problem in problems(clients) if problem.startswith("WRONG")]
    answer = chat(front, ALIAS)
    assert target(answer).startswith(f"adapter:{ALIAS}@")


def test_state_is_on_the_disk_that_was_named(cluster: Cluster) -> None:
    """Everything durable is under the state directory."""
    assert (cluster.state_dir / "registry.db").is_file()
    assert (cluster.state_dir / "adapters" / ".versions").is_dir()


def running(cluster: Cluster) -> dict[str, str]:
    """The nodes of both engines.

    Ray Serve counts a replica as running a moment after the registry advertises it.
    """
    eventually(lambda: len(cluster.engines()) == 2, "two running engines", RECOVERY_S)
    return cluster.engines()


@pytest.mark.timeout(900)
def test_a_node_is_lost_under_load(cluster: Cluster, front: httpx.Client) -> None:
    """Nobody notices; a publish goes through on the one engine that is left; the next node's engine
    has both adapters before anybody is sent to it.
    """
    before = running(cluster)
    assert len(set(before.values())) == 2, f"not on different nodes: {before}"
    known = {replica["id"] for replica in ready(front)}
    with load(cluster.url, front, ALIAS) as clients:
        cluster.tell("kill-node")
        lost = cluster.heard("killed", 60)
        eventually(lambda: len(ready(front)) == 1, "the lost engine is forgotten", RECOVERY_S)
        push(front, LATER, ADAPTERS_DIR / "extract")
        assert target(chat(front, LATER)).startswith(f"adapter:{LATER}@")
        cluster.tell("add-node")
        cluster.heard("added", 120)
        eventually(lambda: len(ready(front)) == 2, "an engine on the new node", RECOVERY_S)
    assert not problems(clients)
    after = running(cluster)
    assert lost in before.values()
    assert lost not in after.values()
    assert len(set(after.values())) == 2
    fresh = [replica for replica in ready(front) if replica["id"] not in known]
    names = {
        alias: front.get(f"/admin/v1/adapters/{alias}").json()["live"] for alias in (ALIAS, LATER)
    }
    wanted = {f"{alias}@{digest[:12]}" for alias, digest in names.items()}
    assert len(fresh) == 1
    assert all(wanted <= set(replica["resident"]) for replica in ready(front))
