"""A cluster of three nodes as a subprocess: ``tests/system/cluster.py``, spoken to line by line."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest
from psutil import Process  # type: ignore[import-untyped]

from serving.bringup.edge import free_port
from tests.system import processes
from tests.system.running import ROOT


class Cluster:
    """The program in ``tests/system/cluster.py``, spoken to line by line."""

    def __init__(self, config: Path, home: Path, environment: dict[str, str]) -> None:
        self.port = free_port()
        self.state_dir = home / "state"
        self.errors = home / "errors.txt"
        self._marker = uuid.uuid4().hex
        self._lines: queue.Queue[str] = queue.Queue()
        command = [sys.executable, "-m", "tests.system.cluster", str(config), str(self.state_dir)]
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
