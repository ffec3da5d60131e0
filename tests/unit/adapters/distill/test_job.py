"""The files by which trainer and loop know of each other."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.dataset.frozen import Row, Split
from adapters.distill.job import (
    MAX_PROGRESS_LINES,
    PROGRESS_FILE,
    Example,
    JobError,
    Outcome,
    Progress,
    ProgressLog,
    last_progress,
    read_examples,
    read_job,
    read_outcome,
    read_progress,
    write_outcome,
)
from adapters.distill.lock import JobLock, Taken, holder
from adapters.distill.settings import TrainingSettings
from tests.fakes.training import training


def _row(split: Split) -> Row:
    return Row(
        digest="1" * 64,
        messages=({"role": "user", "content": "May it go back?"},),
        answer="Yes.",
        intent="returns",
        tenant="shop",
        split=split,
        exchange_id="exc_1",
        provenance="human",
        reviewers=("ann",),
        teacher="frontier:big/one",
        at=1.0,
    )


def _look(step: int, **more: float) -> Progress:
    return Progress(at=1.0, phase="training", step=step, steps=9, **more)


def test_a_held_out_row_cannot_become_an_example() -> None:
    """Law 12's shortest form: what is tested on is not trained on."""
    assert Example.of(_row("train")).answer == "Yes."
    with pytest.raises(JobError, match="held out"):
        Example.of(_row("test"))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Job and rows, in their order."""
    job = training(tmp_path / "job", examples=7)
    assert read_job(tmp_path / "job") == job
    rows = list(read_examples(tmp_path / "job"))
    assert [row.digest[-1] for row in rows] == list("0123456")


def test_a_directory_without_a_job_or_with_a_broken_one(tmp_path: Path) -> None:
    """Says what is wrong, without a path of this machine."""
    with pytest.raises(JobError, match=r"job.json cannot be read: No such file"):
        read_job(tmp_path)
    (tmp_path / "job.json").write_text('{"id": 3}')
    with pytest.raises(JobError, match=r"job.json cannot be read: id"):
        read_job(tmp_path)
    (tmp_path / "train.jsonl").write_text('{"digest": "a"}\n')
    with pytest.raises(JobError, match="line 1: messages"):
        list(read_examples(tmp_path))


def test_progress_is_appended_and_a_torn_line_is_none(tmp_path: Path) -> None:
    """A crash in the middle of a line costs that line only, also when others follow."""
    log = ProgressLog(tmp_path)
    log.add(_look(1))
    with (tmp_path / PROGRESS_FILE).open("ab") as file:
        file.write(b'{"at": 1, "ph')
    assert [look.step for look in read_progress(tmp_path)] == [1]
    ProgressLog(tmp_path).add(_look(2))
    assert [look.step for look in read_progress(tmp_path)] == [1, 2]
    last = last_progress(tmp_path)
    assert last is not None
    assert last.step == 2


def test_a_look_that_finds_no_room_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training does not end for want of a line; what is half there goes again."""
    log = ProgressLog(tmp_path)
    log.add(_look(1))
    write, taken = os.write, list[bytes]()

    def full(handle: int, data: Any) -> int:
        """Takes seven bytes more, as the last block of a disk does."""
        if taken:
            raise OSError(28, "No space left on device")
        taken.append(bytes(data)[:7])
        return write(handle, taken[0])

    monkeypatch.setattr("adapters.atomic.os.write", full)
    log.add(_look(2))
    monkeypatch.undo()
    log.add(_look(3))
    assert [each.step for each in read_progress(tmp_path)] == [1, 3]


def test_progress_is_bounded_and_keeps_the_curve(tmp_path: Path) -> None:
    """However long it takes; looks at the held-out loss stay, since they are what is drawn."""
    log = ProgressLog(tmp_path)
    for step in range(3 * MAX_PROGRESS_LINES):
        log.add(_look(step, **({"validation_loss": 1.0} if step % 100 == 0 else {})))
    looks = read_progress(tmp_path)
    assert len(looks) <= MAX_PROGRESS_LINES
    steps = [look.step for look in looks]
    assert steps == sorted(steps)
    assert steps[-1] == 3 * MAX_PROGRESS_LINES - 1
    measured = [look.step for look in looks if look.validation_loss is not None]
    assert measured == list(range(0, 3 * MAX_PROGRESS_LINES, 100))


def test_an_outcome_is_there_or_not(tmp_path: Path) -> None:
    """Never half of one."""
    assert read_outcome(tmp_path) is None
    write_outcome(tmp_path, Outcome(state="failed", reason="no rows"))
    outcome = read_outcome(tmp_path)
    assert outcome is not None
    assert (outcome.state, outcome.reason) == ("failed", "no rows")
    (tmp_path / "outcome.json").write_text("{")
    with pytest.raises(JobError):
        read_outcome(tmp_path)


def test_an_outcome_that_two_write(tmp_path: Path) -> None:
    """A trainer that ends while it is cancelled: one of the two stands, neither fails."""
    either = [Outcome(state="done", digest="d" * 64), Outcome(state="cancelled", reason="asked to")]
    begin = Barrier(8)

    def write(number: int) -> None:
        begin.wait(60)
        for _ in range(20):
            write_outcome(tmp_path, either[number % 2])

    with ThreadPoolExecutor(8) as writers:
        list(writers.map(write, range(8)))
    assert read_outcome(tmp_path) in either
    assert [path.name for path in tmp_path.iterdir()] == ["outcome.json"]


def test_one_process_holds_a_directory(tmp_path: Path) -> None:
    """The kernel lets go of it with the process; until then a second one is refused."""
    assert holder(tmp_path) is None
    with JobLock(tmp_path):
        assert holder(tmp_path) is not None
        with pytest.raises(Taken):
            JobLock(tmp_path)
    assert holder(tmp_path) is None
    JobLock(tmp_path).close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"rank": 0}, {"rate": 2}, {"rate": float("nan")}, {"epochs": float("inf")}, {"kl": 1.5},
        {"target_modules": "some"}, {"unknown": 1}, {"steps": "many"}, {"validation": 0.9},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    """Before anything starts; the field is named."""
    with pytest.raises(ValidationError) as refused:
        TrainingSettings.model_validate(wrong)
    assert refused.value.errors()[0]["loc"][0] == next(iter(wrong))
