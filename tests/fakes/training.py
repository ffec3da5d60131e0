"""A training's directory on the tiny base, ready for a start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from adapters.corpus.tools import call_of, written
from adapters.distill.job import Example, Job, Limits, write_job
from adapters.distill.settings import TrainingSettings
from serving.embedded import BASE_DIR
from tests.fakes.tiny_base import tiny_base

BASE_ID = "tiny"


_LOOK = {"name": "look", "parameters": {"type": "object"}}


def example(number: int, *, teacher: bool = False) -> Example:
    """A question of its own with an answer that depends on it; with a teacher that is sure.

    Every third one, where no teacher speaks, offers a tool and is answered by a call of it.
    """
    word = ("kettle", "lamp", "sofa", "phone", "coat")[number % 5]
    colour = ("red", "blue", "green", "black", "white", "grey")[number // 5 % 6]
    answer = f"Yes, the {word} may go back."
    calls = number % 3 == 2 and not teacher
    return Example(
        digest=f"{number:064x}",
        messages=({"role": "user", "content": f"May the {colour} {word} go back"},),
        answer=written([call_of("look", {"of": word})]) if calls else answer,
        tools=({"type": "function", "function": _LOOK},) if calls else (),
        intent="returns",
        logprobs={"content": _sure(answer)} if teacher else None,
    )


def _sure(answer: str) -> list[dict[str, Any]]:
    """As the base's own tokenizer cuts it, nearly certain of each token."""
    tokenizer = Tokenizer.from_file(str(BASE_DIR / "tokenizer.json"))
    texts = [tokenizer.decode([i]) for i in tokenizer.encode(answer, add_special_tokens=False).ids]
    return [
        {"token": text, "logprob": -0.1, "top_logprobs": [{"token": text, "logprob": -0.1}]}
        for text in texts
    ]


def training(
    directory: Path,
    *,
    examples: int = 30,
    teacher: bool = False,
    limits: Limits | None = None,
    **settings: Any,
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
    write_job(directory, job, (example(n, teacher=teacher) for n in range(examples)))
    return job
