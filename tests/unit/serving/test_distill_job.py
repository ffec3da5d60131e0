"""The trainer's process: it ends with a version that may be served, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from adapters.distill.job import (
    ADAPTER_DIR,
    CHECKPOINT_FILE,
    LOG_FILE,
    Limits,
    last_progress,
    read_outcome,
    read_progress,
)
from adapters.distill.lock import holder
from adapters.flywheel.config import TrainerConfig
from adapters.format.base_model import read_base
from adapters.format.manifest import read_manifest
from adapters.format.preflight import preflight
from serving.distill_job import STOPPED, TAKEN
from serving.registry.training import ProcessTrainer
from serving.registry.training_on_gpus import GpuTrainer
from tests.fakes.training import BASE_ID, training

pytestmark = pytest.mark.timeout(180)
_LONG = 100_000


def _job_process(directory: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "serving.distill_job", *options, str(directory)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=150)
    return process.returncode, said


def _until_step(directory: Path, step: int) -> None:
    end = time.monotonic() + 120
    while (last := last_progress(directory)) is None or last.step < step:
        assert time.monotonic() < end, "it does not get there"
        time.sleep(0.02)


def _weights(directory: Path) -> dict[str, np.ndarray]:
    return load_file(directory / ADAPTER_DIR / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nobody disturbed."""
    directory = tmp_path_factory.mktemp("unbroken") / "job"
    training(directory)
    status, said = _ended(_job_process(directory))
    assert status == 0, said
    return directory


def test_what_it_makes_may_be_pushed(done: Path) -> None:
    """The intake's own checks pass, and the manifest says what it was made of."""
    outcome = read_outcome(done)
    assert outcome is not None
    assert outcome.state == "done"
    base = read_base(done.parent / "base", BASE_ID)
    report = preflight(done / ADAPTER_DIR, base, alias="returns")
    assert report.ok, [check for check in report.checks if not check.ok]
    manifest = read_manifest(done / ADAPTER_DIR)
    assert manifest is not None
    assert manifest.digest == outcome.digest
    assert manifest.base_digest == base.digest
    assert manifest.training_dataset == "d" * 64
    assert manifest.evaluation["training"]["teachers"] == ["frontier:big/one"]  # type: ignore[index,call-overload]
    assert "May the" not in manifest.model_dump_json(), "nobody's question travels in the manifest"
    card = (done / ADAPTER_DIR / "README.md").read_text(encoding="utf-8")
    assert "rows trained on | 27" in card
    assert not any("left out" in note for note in outcome.notes), "calls of tools are trained too"


def test_it_learns_and_tells_how_far_it_is(done: Path) -> None:
    """Loss, held-out loss and time left are there to be drawn."""
    outcome, looks = read_outcome(done), read_progress(done)
    assert outcome is not None
    assert outcome.validation_loss is not None
    assert outcome.first_validation_loss is not None
    assert outcome.validation_loss < outcome.first_validation_loss
    assert [look.step for look in looks] == sorted(look.step for look in looks)
    assert looks[-1].phase == "packaging"
    assert looks[-1].step == looks[-1].steps == 12
    assert all(look.eta_s is not None and look.tokens_per_s for look in looks[:-1])
    assert not (done / CHECKPOINT_FILE).exists(), "what is done does not go on"


def test_a_second_start_changes_nothing(done: Path) -> None:
    """It has ended; its result stays as it is."""
    before = _weights(done)
    status, _ = _ended(_job_process(done))
    assert status == 0
    assert all(np.array_equal(value, before[name]) for name, value in _weights(done).items())


def _killed(root: Path) -> Path:
    """A training that was killed in its midst; on a busy machine one may end before the kill."""
    for number in range(5):
        directory = root / f"job-{number}"
        training(directory, limits=Limits(threads=1, nice=0, checkpoint_s=1e-6))
        process = _job_process(directory)
        try:
            _until_step(directory, 5)
        finally:
            process.kill()
            process.communicate(timeout=30)
        if read_outcome(directory) is None:
            return directory
    raise AssertionError("each of them had ended before it was killed")


def test_killed_it_goes_on_to_the_same_weights(done: Path, tmp_path: Path) -> None:
    """`kill -9` after a checkpoint: steps go back at most to it, the result is the unbroken one."""
    (tmp_path / "base").symlink_to(done.parent / "base")
    directory = _killed(tmp_path)
    reached = last_progress(directory)
    assert reached is not None
    before = len(read_progress(directory))
    status, said = _ended(_job_process(directory))
    assert status == 0, said
    again = read_progress(directory)[before]
    assert again.step > 1, "it did not begin anew"
    for name, value in _weights(done).items():
        np.testing.assert_allclose(_weights(directory)[name], value, atol=1e-5)


def test_sigterm_keeps_what_was_learned(tmp_path: Path) -> None:
    """A node that is drained costs nothing: a checkpoint is made, and the next start goes on."""
    directory = tmp_path / "job"
    training(directory, steps=_LONG, patience=1000, validation=0)
    process = _job_process(directory)
    _until_step(directory, 3)
    process.terminate()
    assert _ended(process)[0] == STOPPED
    assert (directory / CHECKPOINT_FILE).exists()
    assert read_outcome(directory) is None
    reached = last_progress(directory)
    assert reached is not None
    second = _job_process(directory)
    _until_step(directory, reached.step + 1)
    second.terminate()
    assert _ended(second)[0] == STOPPED


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """A training without an end, started as the registry starts it."""
    directory = tmp_path / "job"
    training(directory, steps=_LONG, patience=1000, validation=0)
    trainer = ProcessTrainer()
    trainer.start(directory)
    yield directory
    trainer.cancel(directory)


def test_it_outlives_whoever_started_it(running: Path) -> None:
    """It is nobody's child; a registry that starts anew finds it, and starts no second one."""
    pid = holder(running)
    assert pid
    assert os.getsid(pid) != os.getsid(0)
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    assert f"PPid:\t{os.getpid()}" not in status
    assert b"distill_job" in Path(f"/proc/{pid}/cmdline").read_bytes()
    successor = ProcessTrainer()
    assert successor.alive(running)
    successor.start(running)
    assert holder(running) == pid


def test_of_two_processes_one_acts(running: Path) -> None:
    """The second leaves without touching anything."""
    pid = holder(running)
    status, said = _ended(_job_process(running))
    assert status == TAKEN, said
    assert holder(running) == pid


def test_it_knows_nobodys_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads texts that strangers wrote does not inherit the providers' keys."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    directory = tmp_path / "job"
    training(directory, steps=_LONG, patience=1000, validation=0)
    trainer = ProcessTrainer()
    trainer.start(directory)
    try:
        pid = holder(directory)
        assert b"sk-secret" not in Path(f"/proc/{pid}/environ").read_bytes()
    finally:
        trainer.cancel(directory)


def test_cancelled_it_ends_for_good(running: Path) -> None:
    """Nothing is packaged, and no later start takes it up."""
    _until_step(running, 1)
    trainer = ProcessTrainer()
    trainer.cancel(running)
    outcome = read_outcome(running)
    assert outcome is not None
    assert outcome.state == "cancelled"
    assert not trainer.alive(running)
    trainer.start(running)
    assert not trainer.alive(running)
    assert not (running / ADAPTER_DIR).exists()


def test_cancelled_before_it_began(tmp_path: Path) -> None:
    """Nobody has to run for it to end."""
    directory = tmp_path / "job"
    training(directory)
    ProcessTrainer().cancel(directory)
    outcome = read_outcome(directory)
    assert outcome is not None
    assert outcome.state == "cancelled"


def test_one_that_does_not_hear_is_killed(running: Path) -> None:
    """Stopped by its debugger it cannot answer: cancelling still ends it."""
    pid = holder(running)
    assert pid
    os.kill(pid, signal.SIGSTOP)
    ProcessTrainer().cancel(running)
    outcome = read_outcome(running)
    assert outcome is not None
    assert outcome.state == "cancelled"
    assert holder(running) is None


def test_it_is_polite(running: Path) -> None:
    """Lower priority than serving, and the first to go when memory runs out."""
    pid = holder(running)
    assert pid
    _until_step(running, 1)
    assert int(Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="ascii")) > 0


def test_a_base_that_is_not_there(tmp_path: Path) -> None:
    """It fails with a reason, not with a trace in a log."""
    directory = tmp_path / "job"
    training(directory)
    (tmp_path / "base" / "model.safetensors").unlink()
    status, _ = _ended(_job_process(directory))
    outcome = read_outcome(directory)
    assert status == 1
    assert outcome is not None
    assert outcome.state == "failed"
    assert outcome.reason
    assert str(tmp_path) not in outcome.reason


def test_a_search_and_a_teacher(tmp_path: Path) -> None:
    """The best of the trials is trained to the end; rows that have the teacher's log-probabilities
    in the base's own tokens are counted.
    """
    directory = tmp_path / "job"
    training(directory, teacher=True, search=3, kl=0.5, patience=99)
    process = _job_process(directory)
    _until_step(directory, 12)  # one trial of ten steps is over: its result is kept
    process.kill()
    process.communicate(timeout=30)
    status, said = _ended(_job_process(directory))
    assert status == 0, said
    outcome = read_outcome(directory)
    assert outcome is not None
    assert "distance to the teacher's log-probabilities on 27 rows" in outcome.notes
    looks = read_progress(directory)
    assert looks[-1].steps == 3 * 10 + 12
    searched = [look for look in looks if look.phase == "searching"]
    assert {look.step for look in searched} >= {10, 20, 30}, "each trial was measured at its end"
    tried = {look.step: look.validation_loss for look in searched if look.step in {10, 20, 30}}
    best = min(tried, key=lambda step: tried[step] or 0)
    assert outcome.settings["rate"] == pytest.approx(3e-3 * {10: 1.0, 20: 2.0, 30: 0.5}[best])


def test_memory_is_limited_and_too_little_is_a_reason(tmp_path: Path) -> None:
    """Not even the libraries fit: it says so, and is not begun again and again."""
    directory = tmp_path / "job"
    training(directory, limits=Limits(threads=1, nice=0, memory_mb=256))
    status, _ = _ended(_job_process(directory))
    outcome = read_outcome(directory)
    assert status == 1
    assert outcome is not None
    assert outcome.state == "failed"
    assert "memory" in outcome.reason


def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    """It fails with that as its reason; nothing half-written is left, and no adapter."""
    directory = tmp_path / "job"
    training(directory, limits=Limits(threads=1, nice=0, checkpoint_s=1e-6))
    command = [sys.executable, "-m", "serving.distill_job", str(directory)]
    shell = 'ulimit -f 24; exec "$@"'  # blocks of 1 KiB: less than the checkpoint, more than text
    done = subprocess.run(["bash", "-c", shell, "_", *command], timeout=150, check=False)
    outcome = read_outcome(directory)
    assert done.returncode == 1
    assert outcome is not None
    assert outcome.state == "failed"
    assert "File too large" in outcome.reason
    assert not (directory / ADAPTER_DIR).exists()
    assert not [path for path in directory.iterdir() if path.name.startswith(".")]


def test_what_a_killed_one_left_half_written_goes(tmp_path: Path) -> None:
    """Each kill in the middle of a checkpoint would cost its size otherwise (law 9)."""
    directory = tmp_path / "job"
    training(directory, steps=2)
    for name in (".tmpAbC123", ".checkpoint.safetensors.0123456789abcdef.draft"):
        (directory / name).write_bytes(b"half")
    status, said = _ended(_job_process(directory))
    assert status == 0, said
    assert not [path for path in directory.iterdir() if path.name.startswith(".")]


def test_without_a_gpu_it_trains_beside_the_registry(tmp_path: Path) -> None:
    """No Ray, or none of its GPUs: the process is the same."""
    directory = tmp_path / "job"
    training(directory, steps=2)
    trainer = GpuTrainer(TrainerConfig())
    trainer.start(directory)
    assert trainer.alive(directory)
    end = time.monotonic() + 120
    while trainer.alive(directory):
        assert time.monotonic() < end
        time.sleep(0.1)
    outcome = read_outcome(directory)
    assert outcome is not None
    assert outcome.state == "done", outcome.reason
    trainer.cancel(directory)
    assert read_outcome(directory) == outcome, "what has ended is not cancelled"


def test_what_would_be_trained(tmp_path: Path) -> None:
    """`--dry-run` prints rows, tokens, steps and time, and leaves the directory as it was."""
    directory = tmp_path / "job"
    training(directory)
    before = sorted(path.name for path in directory.iterdir())
    status, said = _ended(_job_process(directory, "--dry-run"))
    assert status == 0, said
    told = json.loads(said)
    assert told["examples"] == 27
    assert told["held_out"] == 3
    assert told["settings"]["steps"] == 12
    assert told["eta_s"] > 0
    assert sorted(path.name for path in directory.iterdir()) == before


def test_no_job_there(tmp_path: Path) -> None:
    """Status 2, and a sentence."""
    status, said = _ended(_job_process(tmp_path))
    assert status == 2
    assert "job.json cannot be read" in said


def test_the_log_is_in_the_directory(running: Path) -> None:
    """What the process says without anybody listening is kept."""
    assert (running / LOG_FILE).exists()
