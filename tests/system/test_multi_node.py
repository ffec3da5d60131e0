"""A Ray cluster of three nodes: one engine on each worker node, and a worker node loses power.

Answers go on, what is published meanwhile is published, and the engine on the node that takes its
place holds everything before it takes traffic.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from psutil import Process  # type: ignore[import-untyped]

from serving.bringup.edge import free_port
from serving.embedded import ADAPTERS_DIR
from tests.fakes.frontier import FakeFrontier
from tests.system import processes
from tests.system.client import chat, eventually, push, target
from tests.system.config import write_config
from tests.system.load import load, problems
from tests.system.running import ROOT, START_S

pytestmark = pytest.mark.system

ALIAS, LATER = "steady", "published-meanwhile"
RECOVERY_S = 240.0
STOP_S = 90.0


class Cluster:
    """The program in ``tests/system/cluster.py``, spoken to line by line."""

    def __init__(self, config: Path, home: Path, environment: dict[str, str]) -> None:
        self.port = free_port()
        self.errors = home / "errors.txt"
        self._marker = uuid.uuid4().hex
        self._lines: queue.Queue[str] = queue.Queue()
        command = [sys.executable, "-m", "tests.system.cluster", str(config), str(home / "state")]
        with self.errors.open("wb") as sink:
            self.process = subprocess.Popen(
                [*command, str(self.port)],
                cwd=ROOT,
                env={**os.environ, **environment, "STARTED_BY_TEST": self._marker},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())

    @property
    def url(self) -> str:
        """Base URL of the front door."""
        return f"http://127.0.0.1:{self.port}"

    def heard(self, word: str, timeout_s: float) -> str:
        """The rest of the next line that begins with a word; Ray's own lines are passed over."""
        while True:
            try:
                line = self._lines.get(timeout=timeout_s)
            except queue.Empty:
                pytest.fail(f"not within {timeout_s:.0f} s: {word}\n{self.errors.read_text()}")
            if line.partition(" ")[0] == word:
                return line.partition(" ")[2]

    def tell(self, command: str) -> None:
        """Give one command."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def engines(self) -> dict[str, str]:
        """Node of each running engine replica."""
        self.tell("where")
        return dict(json.loads(self.heard("engines", 30)))

    def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        processes.kill(self.family())
        self.process.wait(10)
        self._reader.join(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def family(self) -> list[Process]:
        """Every process of the cluster."""
        return processes.family(self.process.pid, self._marker)


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory,
    frontier_server: FakeFrontier,
    environment: dict[str, str],
) -> Iterator[Cluster]:
    """Three nodes with two engines; nothing of them is left at the end."""
    home = tmp_path_factory.mktemp("nodes")
    found = Cluster(write_config(home / "config.yaml", frontier_server), home, environment)
    try:
        found.heard("deployed", START_S)
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
        eventually(lambda: len(ready(client)) == 2, "two ready replicas", START_S)
        yield client


def ready(client: httpx.Client) -> list[dict[str, Any]]:
    """The engine replicas that take traffic; empty while nobody answers."""
    try:
        answer = client.get("/admin/v1/replicas")
    except httpx.TransportError:
        return []
    found = answer.json()["replicas"] if answer.status_code == 200 else []
    return [replica for replica in found if replica["ready"]]


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
    push(front, ALIAS, ADAPTERS_DIR / "returns")
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
