"""A training on a GPU that Ray gives: held by an actor of nobody's, found again, ended for good.

Ray is real, in a cluster of its own; its GPU is one that Ray only counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.training import training
from tests.system.running import ROOT

pytestmark = pytest.mark.system

SCRIPT = """
import json, sys, time
from pathlib import Path
import ray
from adapters.distill.job import last_progress, read_outcome
from adapters.distill.lock import holder
from adapters.flywheel.config import TrainerConfig
from serving.registry.training_on_gpus import GpuTrainer

first, endless, waiting = map(Path, sys.argv[1:4])
ray.init(address="local", num_cpus=1, num_gpus=1, include_dashboard=False, log_to_driver=False)
def until(look, what, seconds=150):
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, what
        time.sleep(0.1)
def free():
    return ray.available_resources().get("GPU", 0)

trainer = GpuTrainer(TrainerConfig(gpus=1))
trainer.start(endless)
until(lambda: last_progress(endless) is not None, "the first steps")
held = free()
successor = GpuTrainer(TrainerConfig(gpus=1))
adopted, pid = successor.alive(endless), holder(endless)
successor.start(endless)
same = holder(endless) == pid
environment = Path(f"/proc/{pid}/environ").read_bytes()
trainer.start(waiting)  # no GPU is free: it waits
waits = trainer.alive(waiting) and last_progress(waiting) is None
trainer.cancel(waiting)
successor.cancel(endless)
until(lambda: not successor.alive(endless), "its end")
until(lambda: free() == 1, "the GPU is free again")
trainer.start(first)
until(lambda: read_outcome(first) is not None, "the outcome")
until(lambda: not trainer.alive(first), "the actor's end")
print(json.dumps({
    "held": held, "adopted": adopted, "same": same, "waits": waits,
    "given": b"CUDA_VISIBLE_DEVICES=0" in environment,
    "waiting": read_outcome(waiting).state, "endless": read_outcome(endless).state,
    "first": read_outcome(first).state,
}))
"""


@pytest.mark.timeout(420)
def test_ray_holds_the_gpu_as_long_as_it_trains(tmp_path: Path) -> None:
    """One GPU, one training; the next waits, and cancelling gives the GPU back."""
    first, endless, waiting = (tmp_path / name for name in ("first", "endless", "waiting"))
    training(first)
    for directory in (endless, waiting):
        training(directory, steps=100_000, patience=1000, validation=0)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, (first, endless, waiting))],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "held": 0.0,
        "adopted": True,
        "same": True,
        "waits": True,
        "given": True,
        "waiting": "cancelled",
        "endless": "cancelled",
        "first": "done",
    }
