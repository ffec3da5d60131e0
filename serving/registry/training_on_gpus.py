"""Starts trainings on GPUs that Ray has to give; without any, beside the registry.

A detached actor asks Ray for its GPUs and runs the same process that the registry would have run
itself: one kind of trainer, one lock, one directory. The actor belongs to nobody, so a registry
that restarts finds it by its name. The directory must be readable where the GPUs are: a state
directory that is on one node only needs GPUs on that node.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ray

from adapters.distill.job import read_outcome
from adapters.flywheel.config import TrainerConfig
from serving.registry.training import ProcessTrainer, environment

_NAMESPACE = "graftwork"


@ray.remote(max_restarts=0, max_task_retries=0)
class _OnGpus:
    """Holds what Ray gave for as long as the training takes."""

    def work(self, directory: str) -> None:
        """Run it to its end, or to the signal that stops it."""
        command = [sys.executable, "-m", "serving.distill_job", directory]
        log = Path(directory) / "log.txt"
        try:
            with log.open("ab") as said:
                subprocess.run(  # noqa: S603 - our own module, no shell
                    command,
                    env=environment(os.environ),
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    check=False,
                )
        finally:
            ray.actor.exit_actor()


class GpuTrainer:
    """Trainings wherever there is most to train with. Implements ``adapters.distill.job.Trainer``.

    Args:
        config: how many GPUs one training takes.
    """

    def __init__(self, config: TrainerConfig) -> None:
        self._config = config
        self._here = ProcessTrainer()

    def start(self, directory: Path) -> None:
        """Run the job there, or go on with it; see ``Trainer``."""
        if self.alive(directory) or read_outcome(directory) is not None:
            return
        gpus = self._gpus()
        if not gpus:
            self._here.start(directory)
            return
        actor = _OnGpus.options(  # type: ignore[attr-defined]
            name=_name(directory),
            namespace=_NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_gpus=gpus,
            num_cpus=0,
        ).remote()
        actor.work.remote(str(directory))

    def alive(self, directory: Path) -> bool:
        """Whether a process works on it, or waits for a GPU to begin."""
        return self._here.alive(directory) or _actor(directory) is not None

    def cancel(self, directory: Path) -> None:
        """End it, wherever it runs; see ``Trainer``."""
        # On another node it sees the mark in its directory between two steps.
        self._here.cancel(directory)
        actor = _actor(directory)
        if actor is not None and not self._here.alive(directory):
            ray.kill(actor, no_restart=True)

    def _gpus(self) -> float:
        """What one training gets: as configured, or a whole GPU if one is free."""
        if self._config.gpus == 0 or not ray.is_initialized():
            return 0
        if self._config.gpus is not None:
            return self._config.gpus if ray.cluster_resources().get("GPU", 0) else 0
        return 1 if ray.available_resources().get("GPU", 0) >= 1 else 0


def _name(directory: Path) -> str:
    return f"train-{directory.name}"


def _actor(directory: Path) -> Any:
    if not ray.is_initialized():
        return None
    with contextlib.suppress(ValueError):
        return ray.get_actor(_name(directory), namespace=_NAMESPACE)
    return None
