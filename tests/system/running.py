"""The real system as a subprocess, started and stopped exactly as a person does it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from psutil import Process  # type: ignore[import-untyped]

from serving.bringup.edge import free_port
from tests.system import processes

ROOT = Path(__file__).resolve().parents[2]
START_S = 420.0
STOP_S = 40.0
UP = "Graftwork is up"
_GRACE_S = 5.0
_TAIL_CHARACTERS = 6000
_MARKER = "STARTED_BY_TEST"


class NotUp(Exception):
    """The system did not come up; the message holds what it said."""


@dataclass
class Running:
    """One `graftwork serve`.

    Attributes:
        process: the command itself, leader of its own session.
        port: where clients reach it.
        state_dir: database, adapters and logs.
        output: what it says on standard output and error.
        marker: in the environment of everything that it starts.
        start_seconds: how long it took to come up.
    """

    process: subprocess.Popen[bytes]
    port: int
    state_dir: Path
    output: Path
    marker: str
    start_seconds: float = 0.0

    @property
    def url(self) -> str:
        """Base URL of the front door."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def store(self) -> Path:
        """The watched store."""
        return self.state_dir / "adapters"

    @property
    def logs(self) -> Path:
        """Where the processes write their logs."""
        return self.state_dir / "logs"

    def family(self) -> list[Process]:
        """Every process of the system."""
        return processes.family(self.process.pid, self.marker)

    def said(self) -> str:
        """Standard output and error so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def tail(self) -> str:
        """The end of everything that helps to find out what went wrong."""
        texts = [f"--- output\n{self.said()[-_TAIL_CHARACTERS:]}"]
        for path in sorted(self.logs.glob("*.jsonl")):
            text = path.read_text(encoding="utf-8", errors="replace")
            texts.append(f"--- {path.name}\n{text[-_TAIL_CHARACTERS:]}")
        return "\n".join(texts)

    def wait_until_up(self, timeout_s: float = START_S) -> None:
        """Return when it says that it is up and `/readyz` agrees. Raises ``NotUp``."""
        started = time.monotonic()
        while time.monotonic() - started < timeout_s:
            if self.process.poll() is not None:
                raise NotUp(f"it ended with {self.process.returncode}\n{self.tail()}")
            if UP in self.said() and self._is_ready():
                self.start_seconds = time.monotonic() - started
                return
            time.sleep(0.25)
        raise NotUp(f"not up after {timeout_s:.0f} s\n{self.tail()}")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, to_group: signal.Signals | None = None) -> None:
        """End it; fails unless it exits with 0 in time and leaves no process behind.

        ``to_group``: this signal to the whole process group, as a terminal does for Ctrl-C and
        supervisors do with SIGTERM. Default: SIGTERM to the command alone.
        """
        members = self.family()
        if to_group is not None:
            os.killpg(self.process.pid, to_group)
        else:
            self.process.send_signal(signal.SIGTERM)
        try:
            code: int | None = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            code = None
        left = processes.alive([*members, *self.family()], _GRACE_S)
        self.kill()
        assert code == 0, f"exit code {code} (None: not within {STOP_S:.0f} s)\n{self.tail()}"
        assert not left, f"left behind: {left}"

    def kill(self) -> None:
        """Leave nothing behind; for when nothing else helps."""
        processes.kill(self.family())
        self.process.wait(10)


def launch(
    config: Path,
    state_dir: Path,
    environment: Mapping[str, str],
    output: Path,
    wrapper: Sequence[str] = (),
) -> Running:
    """Begin to start a system on a free port. ``wrapper``: replaces itself by its arguments."""
    port, marker = free_port(), uuid.uuid4().hex
    command = [*wrapper, sys.executable, "-m", "serving.cli", "serve"]
    command += ["--config", str(config), "--port", str(port), "--state-dir", str(state_dir)]
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment, _MARKER: marker},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(process, port, state_dir, output, marker)


def start(
    config: Path,
    state_dir: Path,
    environment: Mapping[str, str],
    output: Path,
    wrapper: Sequence[str] = (),
) -> Running:
    """Start a system and wait until it is up. Raises ``NotUp``; then nothing is left of it."""
    running = launch(config, state_dir, environment, output, wrapper)
    try:
        running.wait_until_up()
    except BaseException:
        running.kill()
        raise
    return running
