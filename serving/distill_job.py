"""The process of one training: ``python -m serving.distill_job DIR``.

``--detach`` answers when the training has begun and leaves it running on its own; ``--dry-run``
prints what would be trained. SIGTERM makes a checkpoint and ends: the next start goes on from it.

Exit statuses: 0 done or cancelled (with ``--detach``: begun), 1 failed, as ``outcome.json`` says,
2 nothing could be begun, 3 another process works on it, 4 stopped, to be continued.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from adapters.distill.job import (
    CANCEL_FILE,
    LOG_FILE,
    Job,
    JobError,
    Outcome,
    read_job,
    read_outcome,
    write_outcome,
)
from adapters.distill.lock import JobLock, Taken

_BEGUN = b"+"
_MAX_LOG_BYTES = 8 << 20
_FIRST_TO_DIE = 700
DONE, FAILED, NOT_BEGUN, TAKEN, STOPPED = range(5)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m serving.distill_job", description=__doc__)
    parser.add_argument("directory", type=Path, help="holds job.json and train.jsonl")
    parser.add_argument("--detach", action="store_true", help="leave it running on its own")
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one training to its end, or to the signal that stops it."""
    args = parse(argv)
    directory: Path = args.directory.resolve()
    try:
        job = read_job(directory)
    except JobError as error:
        sys.stderr.write(f"{error}\n")
        return NOT_BEGUN
    if args.dry_run:
        return _dry_run(directory, job)
    return _detached(directory, job) if args.detach else _held(directory, job)


def _dry_run(directory: Path, job: Job) -> int:
    _take_little(job)
    from adapters.distill.run import outlook

    try:
        sys.stdout.write(json.dumps(outlook(directory, job), indent=2) + "\n")
    except JobError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    return DONE


def _detached(directory: Path, job: Job) -> int:
    """Two forks away from whoever asked; answers once the training holds its lock."""
    heard, said = os.pipe()
    if os.fork() == 0:
        os.close(heard)
        os.setsid()
        if os.fork() == 0:
            os._exit(_on_its_own(directory, job, said))
        os._exit(0)
    os.close(said)
    with os.fdopen(heard, "rb") as answer:
        message = answer.read()
    if message == _BEGUN:
        return DONE
    sys.stderr.write(message.decode(errors="replace") or "the process ended before it began")
    return TAKEN


def _on_its_own(directory: Path, job: Job, said: int) -> int:
    try:
        lock = JobLock(directory)
        _into_log(directory)
    except Taken:
        os.write(said, b"another process works on it")
        return TAKEN
    except OSError as error:
        os.write(said, f"{directory.name}: {error.strerror}".encode())
        return NOT_BEGUN
    os.write(said, _BEGUN)
    os.close(said)
    with lock:
        return _work(directory, job)


def _held(directory: Path, job: Job) -> int:
    try:
        with JobLock(directory):
            return _work(directory, job)
    except Taken:
        sys.stderr.write("another process works on it\n")
        return TAKEN


def _work(directory: Path, job: Job) -> int:
    if read_outcome(directory) is not None:
        return DONE
    _take_little(job)
    try:
        # Imported now: torch counts its threads when it is imported.
        from adapters.distill.run import run
    except (ImportError, MemoryError) as error:
        why = f"the trainer's libraries cannot be loaded: {error}. Is memory_mb too small?"
        write_outcome(directory, Outcome(state="failed", reason=why))
        return FAILED
    stopping = _Stop(directory)
    outcome = run(directory, job, stopping)
    sys.stdout.flush()
    if outcome is None:
        return STOPPED
    return FAILED if outcome.state == "failed" else DONE


class _Stop:
    """Whether to end, and for how long: asked between steps."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True

    @property
    def asked(self) -> bool:
        """Whether to stop at the next checkpoint."""
        return self._asked or self.for_good

    @property
    def for_good(self) -> bool:
        """Whether nobody wants the result any more."""
        return (self._directory / CANCEL_FILE).exists()


def _into_log(directory: Path) -> None:
    """What was standard output and error goes into a file that does not grow without bound."""
    path = directory / LOG_FILE
    if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
        path.replace(path.with_suffix(".old.txt"))
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)


def _take_little(job: Job) -> None:
    """Serving comes first: low priority, few threads, and first to go when memory runs out."""
    limits = job.limits
    cores = len(os.sched_getaffinity(0))
    threads = str(limits.threads or max(1, cores - 1))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = threads
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.nice(max(0, limits.nice - os.nice(0)))
    try:
        Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_DIE), encoding="ascii")
    except OSError as error:  # not on this system: the limit below still holds
        sys.stderr.write(f"oom_score_adj: {error.strerror}\n")
    if limits.memory_mb is not None:
        most = limits.memory_mb << 20
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    sys.exit(main())
