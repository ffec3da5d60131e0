"""One training from its directory to a version in ``adapter/``: the table of contents."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from adapters.atomic import sync, sync_tree, without_room
from adapters.distill import checkpoint, package, search
from adapters.distill.batches import endless
from adapters.distill.checkpoint import Arrays, State
from adapters.distill.course import Course, Place, Stop, Stopped
from adapters.distill.encode import Encoder
from adapters.distill.job import (
    ADAPTER_DIR,
    EXAMPLES_FILE,
    Diverged,
    Job,
    JobError,
    Outcome,
    Progress,
    ProgressLog,
    last_progress,
    read_examples,
    write_outcome,
)
from adapters.distill.lessons import Lessons, lessons
from adapters.distill.settings import Plan, Sizes, planned
from adapters.distill.teacher import with_teacher
from adapters.distill.train import OutOfMemory, Student, load_tokenizer, on_gpu
from adapters.errors import AdapterError
from adapters.format.base_model import read_base
from adapters.format.files import canonical_json, reason, sha256_file

_DIGESTS_FILE = "base-digests.json"


def run(directory: Path, job: Job, stop: Stop) -> Outcome | None:
    """Train, or go on; how it ended, or None when it was stopped to be continued.

    Raises ``OSError`` only where not even the outcome can be written.
    """
    checkpoint.sweep(directory)
    try:
        outcome = _trained(directory, job, stop)
    except Stopped:
        if not stop.for_good:
            return None
        outcome = _ended(directory, "cancelled", "asked to")
    except (AdapterError, OutOfMemory) as error:
        outcome = _ended(directory, "failed", str(error))
    except (OSError, SafetensorError, ValueError, RuntimeError, MemoryError) as error:
        outcome = _ended(directory, "failed", f"{type(error).__name__}: {reason(error)}")
    # In this order: who dies in between, or finds no room for it, goes on from the checkpoint.
    write_outcome(directory, outcome)
    checkpoint.drop(directory)
    return outcome


def outlook(directory: Path, job: Job) -> Mapping[str, Any]:
    """What would be trained: rows, tokens, steps, and how long a step takes here.

    Raises ``JobError``.
    """
    try:
        material = _prepared(directory, job)
        material.student.prepare(material.plan, job.start_from)
        seconds = _seconds_of_a_step(material)
    except (AdapterError, OSError, ValueError) as error:
        raise JobError(str(error)) from error
    return {
        "examples": len(material.lessons.train),
        "held_out": len(material.lessons.held_out),
        "tokens": material.lessons.tokens,
        "parameters": material.student.parameters,
        "device": "cuda" if on_gpu() else "cpu",
        "settings": _told(material.plan),
        "seconds_a_step": round(seconds, 4),
        "eta_s": round(seconds * material.steps_in_all, 3),
        "notes": list(material.lessons.notes),
    }


@dataclass(frozen=True, slots=True)
class _Material:
    """Everything that a training works with."""

    student: Student
    tokenizer: Any
    lessons: Lessons
    plan: Plan
    trials: Sequence[Plan]
    fingerprint: str

    @property
    def steps_in_all(self) -> int:
        return self.plan.steps + sum(trial.steps for trial in self.trials)


def _trained(directory: Path, job: Job, stop: Stop) -> Outcome:
    material = _prepared(directory, job)
    log = ProgressLog(directory)
    kept = checkpoint.load(directory, material.fingerprint)
    state, arrays = kept or (State(material.fingerprint), {})
    if stop.asked and not kept:
        raise Stopped
    state = _searched(directory, job, material, log, stop, state)
    plan = search.best(material.plan, state.trials)
    material.student.prepare(plan, job.start_from)
    before = sum(trial.steps for trial in material.trials)
    course = _course(directory, job, material, plan, (log, Place("training", before, 0)), stop)
    state = course.go(state, arrays or None)
    log.add(
        Progress(
            at=time.time(),
            phase="packaging",
            step=before + state.step,
            steps=before + state.step,
            loss=course.loss,
            validation_loss=state.best_loss,
            eta_s=0.0,
        )
    )
    outcome = Outcome(
        state="done",
        steps=before + state.step,
        seconds=round(state.seconds, 3),
        examples=len(material.lessons.train),
        tokens=material.lessons.tokens,
        loss=course.loss,
        validation_loss=state.best_loss,
        first_validation_loss=state.first_loss,
        settings=_told(plan) | {"stopped_at": state.step, "best_at": state.best_step},
        notes=material.lessons.notes,
    )
    return _packaged(directory, job, material, outcome)


def _prepared(directory: Path, job: Job) -> _Material:
    student, tokenizer = Student(job.base, job.limits.gpu_share), load_tokenizer(job.base)
    window = min(job.settings.max_length or student.window, student.window)
    encoder = Encoder(tokenizer, student.ends, window)
    examples = list(read_examples(directory))
    found = lessons(encoder, examples, job.settings.validation, job.settings.seed)
    if job.settings.kl:
        logprobs = {example.digest: example.logprobs for example in examples}
        train, note = with_teacher(found.train, logprobs, tokenizer)
        found = replace(found, train=tuple(train), notes=(*found.notes, note))
    sizes = Sizes(
        parameters=student.parameters,
        window=window,
        examples=len(found.train),
        tokens=found.tokens,
        max_rank=job.max_rank,
        on_gpu=on_gpu(),
    )
    plan = planned(job.settings, sizes)
    trials: Sequence[Plan] = ()
    if job.settings.search and found.held_out:
        trials = search.trials(plan, job.settings.search, job.max_rank)
    elif job.settings.search:
        found = replace(found, notes=(*found.notes, "no search: nothing to judge it by"))
    return _Material(student, tokenizer, found, plan, trials, _fingerprint(directory, job, plan))


def _fingerprint(directory: Path, job: Job, plan: Plan) -> str:
    """Of what decides the course of a training; limits and names do not."""
    said = {
        "job": job.model_dump(mode="json", include={"base", "start_from", "settings"}),
        "plan": asdict(plan),
        "examples": sha256_file(directory / EXAMPLES_FILE),
    }
    return hashlib.sha256(canonical_json(said)).hexdigest()


def _searched(
    directory: Path, job: Job, material: _Material, log: ProgressLog, stop: Stop, state: State
) -> State:
    """Try what was not tried yet; each result is kept, so that a kill costs one trial at most."""
    for number in range(len(state.trials), len(material.trials)):
        trial = material.trials[number]
        done = sum(each.steps for each in material.trials[:number])
        place = Place("searching", done, material.steps_in_all - done - trial.steps)
        material.student.prepare(trial, job.start_from)
        course = _course(directory, job, material, trial, (log, place), stop, keep=False)
        began = State(state.fingerprint, seconds=state.seconds, trials=state.trials)
        try:
            ended = course.go(began)
        except Diverged:
            ended = began
        result = {
            "rate": trial.rate,
            "rank": trial.rank,
            "alpha": trial.alpha,
            "validation_loss": ended.best_loss,
        }
        state = replace(state, seconds=ended.seconds, trials=(*state.trials, result))
        with without_room():
            checkpoint.save(directory, state, {})
    return state


def _course(
    directory: Path,
    job: Job,
    material: _Material,
    plan: Plan,
    watched: tuple[ProgressLog, Place],
    stop: Stop,
    *,
    keep: bool = True,
) -> Course:
    def save(state: State, arrays: Arrays) -> None:
        if keep:
            checkpoint.save(directory, state, arrays)

    return Course(
        material.student, plan, material.lessons, watched, stop, save, job.limits.checkpoint_s
    )


def _packaged(directory: Path, job: Job, material: _Material, outcome: Outcome) -> Outcome:
    """Write ``adapter/`` as a whole, or nothing."""
    base = read_base(job.base, job.base_id, digest_cache=directory / _DIGESTS_FILE)
    draft = directory / f".{ADAPTER_DIR}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        material.student.round_weights(base.dtype)
        marks = package.golden(_scored(material))
        material.student.save(draft, job.base_id, base.dtype)
        manifest = package.complete(draft, job, base, marks)
        outcome = outcome.model_copy(update={"digest": manifest.digest})
        package.describe(draft, manifest, job, outcome, _training(job, outcome))
        package.require_servable(draft, job, base)
        sync_tree(draft)
        shutil.rmtree(directory / ADAPTER_DIR, ignore_errors=True)
        draft.replace(directory / ADAPTER_DIR)
        sync(directory)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return outcome


def _scored(material: _Material) -> list[package.Scored]:
    student, tokenizer = material.student, material.tokenizer
    texts = [_turn(tokenizer, asked, said) for asked, said in package.ASKED]
    # As vLLM tokenizes a prompt that it is asked to score.
    ids = [tokenizer(text)["input_ids"] for text in texts]
    with student.base_alone():
        base = student.scores(ids)
    triples = zip(texts, student.scores(ids), base, strict=True)
    return [package.Scored(text, ours, theirs) for text, ours, theirs in triples]


def _turn(tokenizer: Any, asked: str, said: str) -> str:
    turn = [{"role": "user", "content": asked}]
    return (
        str(tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)) + said
    )


def _training(job: Job, outcome: Outcome) -> dict[str, Any]:
    """What the manifest says of it."""
    kept = {"steps", "seconds", "examples", "tokens", "loss", "validation_loss", "settings"}
    return {
        **outcome.model_dump(mode="json", include=kept | {"first_validation_loss", "notes"}),
        "teachers": list(job.teachers),
        "job": job.id,
    }


def _ended(directory: Path, state: Any, why: str) -> Outcome:
    last = last_progress(directory)
    return Outcome(state=state, reason=why, steps=last.step if last else 0)


def _told(plan: Plan) -> dict[str, Any]:
    told = asdict(plan)
    if not isinstance(plan.target_modules, str):
        told["target_modules"] = list(plan.target_modules)
    return told


def _seconds_of_a_step(material: _Material) -> float:
    """Measured on two steps of which the first warms up; nothing of it is kept."""
    plan = material.plan
    data = endless(material.lessons.train, plan.batch_tokens, plan.seed, packed=plan.packing)
    seconds = 0.0
    for _ in range(2):
        batches = [next(data) for _ in range(plan.accumulation)]
        began = time.monotonic()
        material.student.step(batches, 0.0, plan.kl)
        seconds = time.monotonic() - began
    return seconds
