"""One training as files in a directory: what is asked, how far it is, what came of it.

The trainer is a process of its own, so what it and the loop know of each other lies here::

    job.json                what to train; written once, before the start
    train.jsonl             the examples; rows of a dataset's test part never come here
    lock                    held (flock) by the process for as long as it lives; holds its pid
    progress.jsonl          a line each few steps; after a resume `step` goes on from the checkpoint
    checkpoint.safetensors  weights, optimiser, random state: where a killed process goes on
    adapter/                the result: a PEFT directory with graftwork.json
    outcome.json            how it ended; absent: it has not, and `start` continues it
    cancel                  its presence asks the process to end for good
    log.txt                 what the process said, bounded

Everything that others read is replaced as a whole, so no reader sees half of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.atomic import without_room, write_all, write_file, writing
from adapters.dataset.frozen import Row
from adapters.distill.settings import TrainingSettings
from adapters.errors import AdapterError
from adapters.flywheel.config import TrainerConfig

JOB_FILE = "job.json"
EXAMPLES_FILE = "train.jsonl"
LOCK_FILE = "lock"
PROGRESS_FILE = "progress.jsonl"
CHECKPOINT_FILE = "checkpoint.safetensors"
ADAPTER_DIR = "adapter"
OUTCOME_FILE = "outcome.json"
CANCEL_FILE = "cancel"
LOG_FILE = "log.txt"

MAX_PROGRESS_LINES = 2000
_MAX_LINE_BYTES = 4 << 20


class JobError(AdapterError):
    """The job's directory cannot be read or written, or holds what cannot be trained on."""

    code = "bad-training-job"


class Diverged(JobError):
    """The loss is no number any more."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(_Frozen):
    """What the process may take from whoever else works on the machine."""

    threads: Annotated[int, Field(ge=1)] | None = None
    """CPU threads; null: all cores but one."""
    nice: Annotated[int, Field(ge=0, le=19)] = 10
    memory_mb: Annotated[int, Field(ge=256)] | None = None
    """Of the process's own data, without what it maps from files; not on GPUs."""
    checkpoint_s: Annotated[float, Field(gt=0)] = 15.0
    """Work that a kill may cost, seconds."""
    gpu_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of a GPU's memory, where an engine has the rest."""

    @classmethod
    def of(cls, config: TrainerConfig) -> Limits:
        """As configured."""
        return cls(
            threads=config.threads,
            nice=config.nice,
            memory_mb=config.memory_mb,
            checkpoint_s=config.checkpoint_s,
            gpu_share=min(1.0, config.gpus or 1.0),
        )


class Job(_Frozen):
    """What to train. Directories are absolute."""

    id: str
    alias: str
    intents: tuple[str, ...] = ()
    base: Path
    """Directory of the base model (Hugging Face files)."""
    base_id: str
    """What clients call it."""
    dataset: str
    """Digest."""
    teachers: tuple[str, ...] = ()
    """Targets whose answers are among the examples."""
    parent: str | None = None
    """Digest of the version that this one succeeds."""
    start_from: Path | None = None
    """PEFT directory of the parent, to go on from its weights; null: from new ones."""
    settings: TrainingSettings = TrainingSettings()
    max_rank: Annotated[int, Field(ge=1)] = 16
    """The most that the engines serve (``engine.max_lora_rank``)."""
    limits: Limits = Limits()
    author: str | None = None
    signing_key: Path | None = None
    """PEM of an ed25519 key; null: the manifest is not signed."""


class Example(_Frozen):
    """One row to train on."""

    digest: str
    messages: tuple[Mapping[str, Any], ...]
    answer: str
    tools: tuple[Mapping[str, Any], ...] = ()
    """Of the request; without them a conversation that uses tools is no prompt of an engine."""
    calls: tuple[Mapping[str, Any], ...] = ()
    """Calls that the answer makes beside what it says."""
    intent: str = ""
    group: str = ""
    """Rows of one group are held out together; empty: by the first question's template."""
    logprobs: Any = None
    """The teacher's top log-probabilities by token, in OpenAI's shape."""

    @classmethod
    def of(cls, row: Row, group: str = "") -> Example:
        """The same row as the trainer gets it. Raises ``JobError`` for one of the test part."""
        if row.split != "train":
            raise JobError(f"row {row.digest[:12]} is held out: it may not be trained on")
        return cls(
            digest=row.digest,
            messages=row.messages,
            answer=row.answer,
            tools=row.tools,
            calls=row.calls,
            intent=row.intent,
            group=group,
            logprobs=row.logprobs,
        )


class Progress(_Frozen):
    """One look at the training."""

    at: float
    phase: Literal["searching", "training", "packaging"]
    step: int
    steps: int
    loss: float | None = None
    """Mean over the last steps, nats per trained token."""
    validation_loss: float | None = None
    """Where this look measured it."""
    tokens_per_s: float | None = None
    eta_s: float | None = None


class Outcome(_Frozen):
    """How a training ended."""

    state: Literal["done", "failed", "cancelled"]
    reason: str = ""
    digest: str | None = None
    """Of the version in ``adapter/``."""
    steps: int = 0
    seconds: float = 0.0
    """At work, over all processes."""
    examples: int = 0
    tokens: int = 0
    """Of one pass."""
    loss: float | None = None
    validation_loss: float | None = None
    """The best, which is that of the weights that were kept."""
    first_validation_loss: float | None = None
    """Before the first step."""
    settings: Mapping[str, Any] = Field(default_factory=dict)
    """As they were completed."""
    notes: tuple[str, ...] = ()
    """What was left out or not done, and why."""


class Trainer(Protocol):
    """What runs trainings. Every call blocks briefly; none waits for a training."""

    def start(self, directory: Path) -> None:
        """Run the job there, or go on where it was killed; nothing if a process already does.

        Raises ``JobError`` when no process could be started.
        """

    def alive(self, directory: Path) -> bool:
        """Whether a process works on it, whoever started that."""

    def cancel(self, directory: Path) -> None:
        """Have it ended for good; idempotent. Afterwards ``outcome.json`` says so."""


def write_job(directory: Path, job: Job, examples: Iterable[Example]) -> int:
    """Make the directory ready for a start; the number of examples. Raises ``JobError``.

    The job comes last: a directory that has one is complete.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        written = _write_lines(directory / EXAMPLES_FILE, examples)
        write_file(directory / JOB_FILE, job.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise JobError(f"{directory.name} cannot be written: {error.strerror}") from error
    return written


def read_job(directory: Path) -> Job:
    """What to train. Raises ``JobError``."""
    try:
        return Job.model_validate_json((directory / JOB_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise JobError(f"{JOB_FILE} cannot be read: {_brief(error)}") from error


def read_examples(directory: Path) -> Iterator[Example]:
    """What to train on, in the order of the file. Raises ``JobError``."""
    with (directory / EXAMPLES_FILE).open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if len(line) > _MAX_LINE_BYTES:
                raise JobError(f"{EXAMPLES_FILE} line {number} is too long")
            try:
                yield Example.model_validate_json(line)
            except ValidationError as error:
                raise JobError(f"{EXAMPLES_FILE} line {number}: {_brief(error)}") from error


def read_progress(directory: Path) -> Sequence[Progress]:
    """Every look, oldest first; a torn last line is not one yet."""
    found = []
    for line in _lines(directory / PROGRESS_FILE):
        try:
            found.append(Progress.model_validate_json(line))
        except ValidationError:
            continue
    return found


def last_progress(directory: Path) -> Progress | None:
    """The latest look, or None before the first."""
    return next(iter(reversed(read_progress(directory))), None)


def read_outcome(directory: Path) -> Outcome | None:
    """How it ended, or None while it has not. Raises ``JobError``."""
    try:
        return Outcome.model_validate_json((directory / OUTCOME_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise JobError(f"{OUTCOME_FILE} cannot be read: {_brief(error)}") from error


def write_outcome(directory: Path, outcome: Outcome) -> None:
    """Say how it ended; the last thing that a process does. Raises ``OSError``."""
    write_file(directory / OUTCOME_FILE, outcome.model_dump_json(indent=2) + "\n")


class ProgressLog:
    """Writes ``progress.jsonl``, thinned out when it grows long."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / PROGRESS_FILE
        whole = _lines(self._path)
        if self._path.exists() and not self._path.read_bytes().endswith(b"\n"):
            # A line that a crash tore would swallow the next one.
            whole = whole[:-1]
            write_file(self._path, "".join(line.decode() + "\n" for line in whole))
        self._lines = len(whole)

    def add(self, progress: Progress) -> None:
        """Append one look; one that a full disk does not take is not told. Raises ``OSError``."""
        with without_room():
            if self._lines >= MAX_PROGRESS_LINES:
                self._thin()
            self._append(progress.model_dump_json(exclude_none=True).encode() + b"\n")

    def _append(self, line: bytes) -> None:
        # One write in append mode: a line is there whole or, after a crash, torn at the end.
        with self._path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                write_all(file.fileno(), line)
            except OSError:
                file.truncate(size)
                raise
        self._lines += 1

    def _thin(self) -> None:
        """Every second look goes, but never one that measured the held-out loss."""
        kept = [
            line
            for number, line in enumerate(_lines(self._path))
            if number % 2 or b'"validation_loss"' in line
        ][-MAX_PROGRESS_LINES + 1 :]
        write_file(self._path, "".join(line.decode() + "\n" for line in kept))
        self._lines = len(kept)


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []


def _write_lines(path: Path, examples: Iterable[Example]) -> int:
    written = 0
    with writing(path) as draft, draft.open("w", encoding="utf-8") as file:
        for example in examples:
            file.write(json.dumps(example.model_dump(mode="json"), ensure_ascii=True) + "\n")
            written += 1
    return written


def _brief(error: Exception) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
    return getattr(error, "strerror", None) or str(error)
