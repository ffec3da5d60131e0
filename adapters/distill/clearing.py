"""Nothing stays of a training on data that had to go, and what was under way begins again."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import Final

from adapters.distill import job
from adapters.distill.directories import JobDirectories
from adapters.distill.distillations import Distillation, Distillations, TooManyOpen, Wish
from adapters.distill.states import LEASED, DistillState

AGAIN: Final = "a person whose data it learned from was erased"


def begin_again(record: Distillations, row: Distillation) -> None:
    """Put what was under way back into the queue; what a version was made of already is asked for
    anew.
    """
    if row.state in LEASED:
        record.move(row.id, DistillState.QUEUED, AGAIN, starts=0)
    elif not row.ended and row.state is not DistillState.QUEUED:
        record.move(row.id, DistillState.CANCELLED, AGAIN)
        wish = Wish(
            row.alias, row.intent, row.dataset, row.settings, cause="erasure", author=row.author
        )
        # The person goes whatever waits; a trigger, or somebody, asks again.
        with contextlib.suppress(TooManyOpen):
            record.ask(wish)


def clear(trainer: job.Trainer, directories: JobDirectories, identity: str) -> None:
    """Leave nothing of a job's directory.

    Raises ``JobError`` while a process works there: what it has learned it would write into
    whatever lies there next.
    """
    path = directories.path(identity)
    if not path.exists():
        return
    trainer.cancel(path)
    if trainer.alive(path):
        raise job.JobError(f"the training {identity} has not ended yet")
    try:
        directories.remove(identity)
    except OSError as error:
        raise job.JobError(f"{identity} cannot be removed: {error.strerror}") from error


def tidy(trainer: job.Trainer, directories: JobDirectories, kept: Collection[str]) -> None:
    """Leave of what ended only what is shown, and no process that works on it."""
    for identity in directories.leftovers(kept):
        path = directories.path(identity)
        if trainer.alive(path):
            # Whoever cancelled it died before its trainer heard of it.
            trainer.cancel(path)
        directories.discard(identity)
    directories.forget(kept)


def is_written(row: Distillation, path: Path) -> bool:
    """Whether the job that lies there can be read, and is on this very dataset: not on one that
    was erased.
    """
    try:
        return job.read_job(path).dataset == row.dataset
    except job.JobError:
        return False
