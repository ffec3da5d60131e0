"""Starts trainings as processes of their own, which outlive the registry that started them.

A registry that restarts, or one that takes over, finds them by the lock of their directory and goes
on watching; nobody starts a second one on the same directory. The process leaves the session and
the family of whoever started it, gets the lowest priority that still moves, few threads and no
environment but what it needs: the providers' keys stay here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import serving
from adapters.distill.job import (
    CANCEL_FILE,
    JobError,
    Outcome,
    last_progress,
    read_outcome,
    write_outcome,
)
from adapters.distill.lock import JobLock, Taken, holder

_START_S = 120.0
_TERM_S = 5.0
_KILL_S = 5.0
_KEPT = (
    "CUDA_VISIBLE_DEVICES", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "NVIDIA_VISIBLE_DEVICES",
    "PATH", "TMPDIR", "TZ", "VIRTUAL_ENV",
)  # fmt: skip


class ProcessTrainer:
    """Trainings on the machine of the registry. Implements ``adapters.distill.job.Trainer``."""

    def start(self, directory: Path) -> None:
        """Run the job there, or go on with it; see ``Trainer``."""
        if self.alive(directory) or read_outcome(directory) is not None:
            return
        command = [sys.executable, "-m", "serving.distill_job", "--detach", str(directory)]
        try:
            started = subprocess.run(  # noqa: S603 - our own module, no shell
                command,
                env=environment(os.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_START_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise JobError(f"the trainer could not be started: {error}") from error
        if started.returncode != 0 and not self.alive(directory):
            said = started.stderr.decode(errors="replace").strip()[-500:]
            raise JobError(f"the trainer did not start: {said or started.returncode}")

    def alive(self, directory: Path) -> bool:
        """Whether a process works on it."""
        return holder(directory) is not None

    def cancel(self, directory: Path) -> None:
        """End it: asked first, then killed; see ``Trainer``."""
        try:
            (directory / CANCEL_FILE).touch()
        except FileNotFoundError:
            return  # An erasure has removed it all just now, which ended the process first.
        self._signal(directory, signal.SIGTERM, _TERM_S)
        self._signal(directory, signal.SIGKILL, _KILL_S)
        with contextlib.suppress(Taken), JobLock(directory):
            if read_outcome(directory) is None:
                last = last_progress(directory)
                steps = last.step if last else 0
                write_outcome(directory, Outcome(state="cancelled", reason="asked to", steps=steps))

    def _signal(self, directory: Path, number: signal.Signals, patience_s: float) -> None:
        pid = holder(directory)
        if not pid:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        until = time.monotonic() + patience_s
        while time.monotonic() < until and holder(directory) is not None:
            time.sleep(0.05)


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What a trainer may know: where things are, and nobody's keys."""
    kept = {name: given[name] for name in _KEPT if name in given}
    root = str(Path(serving.__file__).parents[1])
    return kept | {"PYTHONPATH": root, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
