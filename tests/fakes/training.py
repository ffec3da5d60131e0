"""A training's directory on the tiny base, ready for a start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapters.distill.job import Example, Job, Limits, write_job
from adapters.distill.settings import TrainingSettings
from tests.fakes.tiny_base import tiny_base

BASE_ID = "tiny"


def example(number: int, **more: Any) -> Example:
    """A question of its own with an answer that depends on it."""
    word = ("kettle", "lamp", "sofa", "phone", "coat")[number % 5]
    colour = ("red", "blue", "green", "black", "white", "grey")[number // 5 % 6]
    return Example(
        digest=f"{number:064x}",
        messages=({"role": "user", "content": f"May the {colour} {word} go back"},),
        answer=f"Yes, the {word} may go back.",
        intent="returns",
        **more,
    )


def training(
    directory: Path, *, examples: int = 30, limits: Limits | None = None, **settings: Any
) -> Job:
    """Write it; the base lies beside it."""
    base = directory.parent / "base"
    if not base.exists():
        tiny_base(base)
    job = Job(
        id="dst_1",
        alias="returns",
        intents=("returns",),
        base=base,
        base_id=BASE_ID,
        dataset="d" * 64,
        teachers=("frontier:big/one",),
        settings=TrainingSettings(**{"steps": 12, "batch_tokens": 128, **settings}),
        limits=limits or Limits(threads=1, nice=0),
    )
    write_job(directory, job, (example(n) for n in range(examples)))
    return job
