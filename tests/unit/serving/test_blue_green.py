"""An upgrade: two whole systems on one database and one store, while requests and pushes go on."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.contract.client import until
from tests.fakes.tiny_adapter import tiny_adapter
from tests.fakes.whole_system import System, whole_system

ALIAS = "/admin/v1/adapters/returns"
TAR = {"content-type": "application/x-tar"}
CHAT = {"model": "returns", "messages": [{"role": "user", "content": "hi"}]}


def packed(directory: Path) -> bytes:
    """An adapter's directory as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(directory, arcname="adapter")
    return buffer.getvalue()


def push(system: System, archive: bytes) -> httpx.Response:
    """Wait until it is live, or refused."""
    return httpx.post(
        f"{system.url}{ALIAS}/versions",
        params={"wait": "live"},
        content=archive,
        headers=TAR,
        timeout=60,
    )


class Load:
    """Clients and a pipeline that go on through one system's door, whatever happens."""

    def __init__(self, system: System, archives: list[bytes]) -> None:
        self._system = system
        self._archives = archives
        self._stop = threading.Event()
        self.answers: Counter[int] = Counter()
        self.pushes: list[tuple[float, int, str]] = []
        """When each ended, with its status and its code."""

    def ask(self) -> None:
        """Requests by alias."""
        with httpx.Client(timeout=60) as client:
            while not self._stop.is_set():
                answer = client.post(f"{self._system.url}/v1/chat/completions", json=CHAT)
                self.answers[answer.status_code] += 1

    def publish(self) -> None:
        """A, B, A, B …: each push is a flip."""
        number = 0
        while not self._stop.is_set():
            answer = push(self._system, self._archives[number % len(self._archives)])
            code = answer.json().get("error", {}).get("code", "")
            self.pushes.append((time.monotonic(), answer.status_code, code))
            number += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        """Three clients and one pipeline."""
        threads = [threading.Thread(target=work) for work in (self.ask,) * 3 + (self.publish,)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(60)


def flips(system: System) -> list[dict[str, Any]]:
    """What the registry wrote down about the alias, but for versions that drain and leave."""
    history = httpx.get(f"{system.url}{ALIAS}", timeout=60).json()["history"]
    return [line for line in history if line["action"] != "move"]


def test_a_superseded_system_answers_on_and_changes_nothing(
    database_url: str, tmp_path: Path
) -> None:
    """No request fails in the old system; every push through it is refused, and leaves no trace."""
    shared = {
        "database_url": database_url,
        "store": str(tmp_path / "store"),
        "content": str(tmp_path / "store"),
        "watch": {"enabled": False},
    }
    archives = [packed(tiny_adapter(tmp_path / str(seed), seed)) for seed in (1, 2, 3)]
    with whole_system(tmp_path / "blue", adapters=shared, seed_adapters=None) as blue:
        for archive in archives[:2]:
            assert push(blue, archive).status_code == 201
        load = Load(blue, archives[:2])
        with load.running():
            until(lambda: load.pushes and load.answers[200] > 20)
            with whole_system(tmp_path / "green", adapters=shared, seed_adapters=None) as green:
                third = push(green, archives[2])
                assert third.status_code == 201, third.text
                claimed = time.monotonic()
                live = third.json()["digest"]
                after = until(lambda: [entry for entry in load.pushes if entry[0] > claimed])
                assert {entry[1:] for entry in after} == {(503, "superseded")}
                detail = httpx.get(f"{green.url}{ALIAS}", timeout=60).json()
                assert detail["live"] == live, "an old registry's flip came through"
                last = flips(green)
                time.sleep(0.5)
                assert flips(green) == last
                answer = httpx.post(f"{green.url}/v1/chat/completions", json=CHAT, timeout=60)
                assert answer.headers["x-graftwork-target"] == f"adapter:returns@{live[:12]}"
    assert set(load.answers) == {200}
    assert {status for _, status, _ in load.pushes if status != 503} == {200}
