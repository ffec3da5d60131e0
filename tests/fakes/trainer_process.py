"""A trainer at the wire: a process that keeps the files of a job as the real one does, and trains
nothing. The weights that it writes depend on the job's seed and dataset.

    python -m tests.fakes.trainer_process distill_job DIR

How it behaves is in the environment: ``FAKE_STEPS``, ``FAKE_PAUSE_S`` between them,
``FAKE_DIES_AT`` (a step, each time), ``FAKE_FAILS`` (a reason).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from adapters.atomic import write_file
from adapters.distill.job import (
    ADAPTER_DIR,
    CANCEL_FILE,
    CHECKPOINT_FILE,
    LOG_FILE,
    Outcome,
    Progress,
    ProgressLog,
    read_job,
    read_outcome,
    write_outcome,
)
from adapters.distill.lock import JobLock, holder
from adapters.format.manifest import digest_directory
from tests.fakes.tiny_adapter import tiny_adapter


class FakeTrainer:
    """Starts such processes; ``started`` holds them all, so that a test can kill them."""

    def __init__(self, **behaviour: object) -> None:
        self.behaviour = behaviour
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, directory: Path) -> None:
        """Run the job there."""
        if self.alive(directory) or read_outcome(directory) is not None:
            return
        environ = {f"FAKE_{name.upper()}": str(value) for name, value in self.behaviour.items()}
        command = [sys.executable, "-m", "tests.fakes.trainer_process", "distill_job"]
        self.started.append(
            subprocess.Popen([*command, str(directory)], env={**os.environ, **environ})
        )
        until = time.monotonic() + 60
        while not self.alive(directory) and read_outcome(directory) is None:
            if self.started[-1].poll() is not None or time.monotonic() > until:
                return
            time.sleep(0.01)

    def alive(self, directory: Path) -> bool:
        """Whether a process holds the lock."""
        for process in self.started:
            process.poll()
        return holder(directory) is not None

    def cancel(self, directory: Path) -> None:
        """End it for good."""
        (directory / CANCEL_FILE).touch()
        self.kill()
        if read_outcome(directory) is None:
            write_outcome(directory, Outcome(state="cancelled", reason="asked to"))

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait(60)


class InstantTrainer(FakeTrainer):
    """The same without a process: done when ``start`` returns."""

    def start(self, directory: Path) -> None:
        """Run the job there to its end."""
        if read_outcome(directory) is None:
            work(directory, {})


def seed_of(dataset: str, seed: int) -> int:
    """Which tiny adapter a training on a dataset makes."""
    return seed + int(dataset[:6], 16)


def work(directory: Path, environ: Mapping[str, str]) -> None:
    """Go on from the last checkpoint to the end."""
    job = read_job(directory)
    with (directory / LOG_FILE).open("a") as said:
        said.write(f"begun by {os.getpid()}\n")
    if reason := environ.get("FAKE_FAILS"):
        write_outcome(directory, Outcome(state="failed", reason=reason))
        return
    steps, dies_at = int(environ.get("FAKE_STEPS", "3")), int(environ.get("FAKE_DIES_AT", "-1"))
    checkpoint = directory / CHECKPOINT_FILE
    first = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
    log = ProgressLog(directory)
    for step in range(first, steps):
        if step == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(float(environ.get("FAKE_PAUSE_S", "0")))
        left_s = float(steps - step - 1)
        log.add(
            Progress(
                at=time.time(),
                phase="training",
                step=step + 1,
                steps=steps,
                loss=1 / (step + 1),
                eta_s=left_s,
            )
        )
        write_file(checkpoint, json.dumps(step + 1))
    result = tiny_adapter(
        directory / ADAPTER_DIR,
        seed_of(job.dataset, job.settings.seed),
        manifest={
            "schema_version": 1,
            "intents": list(job.intents),
            "training_dataset": job.dataset,
            "author": job.author,
        },
    )
    write_outcome(
        directory,
        Outcome(state="done", digest=digest_directory(result), steps=steps, settings={"rank": 2}),
    )


if __name__ == "__main__":
    with JobLock(Path(sys.argv[2])):
        work(Path(sys.argv[2]), os.environ)
