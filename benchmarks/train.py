"""`python -m benchmarks.train`: seconds that 1,000 examples take to train, and what serving feels.

Bases are shapes with random weights: what a step costs does not depend on what it learns. The
trainer is the product's own process with its own limits. With ``--beside URL`` (an endpoint of
OpenAI's API, such as a Graftwork that serves) the gaps between streamed tokens are measured first
quiet and then while the training runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from adapters.distill.job import (
    CANCEL_FILE,
    Example,
    Job,
    Limits,
    last_progress,
    read_outcome,
    write_job,
)
from adapters.distill.settings import TrainingSettings
from benchmarks.processes import ended_by_signals
from serving.embedded import BASE_DIR

SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"hidden": 64, "inner": 128, "layers": 2, "heads": 2, "kv": 1, "vocabulary": 2048},
    "0.1B": {"hidden": 576, "inner": 1536, "layers": 30, "heads": 9, "kv": 3, "vocabulary": 49152},
    "1.5B": {
        "hidden": 1536, "inner": 8960, "layers": 28, "heads": 12, "kv": 2, "vocabulary": 151936,
    },
    "7B": {
        "hidden": 3584, "inner": 18944, "layers": 28, "heads": 28, "kv": 4, "vocabulary": 152064,
    },
}  # fmt: skip
_TOKENIZER = ("chat_template.jinja", "generation_config.json", "tokenizer.json",
              "tokenizer_config.json")  # fmt: skip
_WORDS = ("may", "i", "return", "the", "kettle", "lamp", "sofa", "order", "after", "some", "days")
_STREAMED_TOKENS = 64
_JOB = "job"


@dataclass(frozen=True)
class Measured:
    """One training of one shape."""

    shape: str
    device: str
    parameters: int
    tokens_an_example: float
    tokens_per_s: float
    quiet_ms: Sequence[float] = ()
    beside_ms: Sequence[float] = ()

    @property
    def seconds_per_1000(self) -> float:
        """Of one pass over 1,000 examples, steps alone."""
        return 1000 * self.tokens_an_example / self.tokens_per_s

    def __str__(self) -> str:
        """One row of a Markdown table."""
        return (
            f"| {self.shape} | {self.parameters / 1e6:,.0f} M | {self.device} "
            f"| {self.tokens_an_example:.0f} | {self.tokens_per_s:,.0f} "
            f"| {self.seconds_per_1000:,.1f} | {gaps(self.quiet_ms)} | {gaps(self.beside_ms)} |"
        )


def make_base(directory: Path, shape: str) -> int:
    """Write a base of the shape with random bfloat16 weights; its number of parameters."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    asked = SHAPES[shape]
    config = Qwen2Config(
        vocab_size=asked["vocabulary"],
        hidden_size=asked["hidden"],
        intermediate_size=asked["inner"],
        num_hidden_layers=asked["layers"],
        num_attention_heads=asked["heads"],
        num_key_value_heads=asked["kv"],
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model: Any = Qwen2ForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(directory)
    for name in _TOKENIZER:
        shutil.copyfile(BASE_DIR / name, directory / name)
    return sum(weight.numel() for weight in model.parameters())


def examples(count: int, words: int) -> list[Example]:
    """Rows whose question and answer have about so many words each."""
    chance = random.Random(0)  # noqa: S311 - words, not secrets

    def text() -> str:
        return " ".join(chance.choices(_WORDS, k=chance.randint(words // 2, words * 3 // 2)))

    return [
        Example(digest=f"{n:064x}", messages=({"role": "user", "content": text()},), answer=text())
        for n in range(count)
    ]


def measure(shape: str, scratch: Path, given: argparse.Namespace) -> Measured:
    """Train one shape for some steps; stop it when there is enough to tell."""
    base, directory = scratch / "base", scratch / _JOB
    parameters = make_base(base, shape)
    settings = TrainingSettings(
        steps=given.steps, validation=0, batch_tokens=given.batch_tokens, packing=given.packing
    )
    job = Job(
        id="bench", alias="bench", base=base, base_id=shape, dataset="0" * 64,
        settings=settings, max_rank=64, limits=Limits(threads=given.threads),
    )  # fmt: skip
    rows = examples(given.examples, given.words)
    write_job(directory, job, rows)
    told = _outlook(directory)
    quiet = asyncio.run(_streamed(given)) if given.beside else []
    process = subprocess.Popen([sys.executable, "-m", "serving.distill_job", str(directory)])
    try:
        _until_it_runs(directory, process)
        beside = asyncio.run(_streamed(given)) if given.beside else []
        process.wait(timeout=given.timeout_s)
    finally:
        give_up(scratch)
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
    outcome = read_outcome(directory)
    assert outcome is not None
    if outcome.state != "done":
        raise SystemExit(f"{shape}: {outcome.state}: {outcome.reason}")
    an_example = told["tokens"] / told["examples"]
    passes = outcome.steps / max(1.0, told["tokens"] / told["settings"]["batch_tokens"])
    speed = passes * told["tokens"] / outcome.seconds
    return Measured(shape, told["device"], parameters, an_example, speed, quiet, beside)


def give_up(scratch: Path) -> None:
    """End the training that ``measure`` has there, now or as soon as it begins."""
    (scratch / _JOB).mkdir(parents=True, exist_ok=True)
    (scratch / _JOB / CANCEL_FILE).touch()


def _outlook(directory: Path) -> Any:
    command = [sys.executable, "-m", "serving.distill_job", "--dry-run", str(directory)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _until_it_runs(directory: Path, process: subprocess.Popen[bytes]) -> None:
    while last_progress(directory) is None and process.poll() is None:
        time.sleep(0.1)


async def _streamed(given: argparse.Namespace) -> list[float]:
    """Milliseconds between the tokens of some streams, one after the other."""
    gaps: list[float] = []
    body = {
        "model": given.model, "stream": True, "max_tokens": _STREAMED_TOKENS, "temperature": 0,
        "ignore_eos": True, "messages": [{"role": "user", "content": "May I return the kettle?"}],
    }  # fmt: skip
    headers = {"authorization": f"Bearer {given.key}"} if given.key else {}
    async with httpx.AsyncClient(base_url=given.beside, headers=headers, timeout=60) as client:
        for _ in range(given.streams):
            async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                answer.raise_for_status()
                last = None
                async for line in answer.aiter_lines():
                    if not line.startswith("data: {"):
                        continue
                    now = time.perf_counter()
                    gaps += [] if last is None else [(now - last) * 1000]
                    last = now
    return gaps


def gaps(found: Sequence[float]) -> str:
    """Median and 99th percentile, milliseconds."""
    if len(found) < 2:
        return "-"
    cuts = statistics.quantiles(found, n=100)
    return f"{cuts[49]:.1f} / {cuts[98]:.1f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Print one row a shape."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__)
    parser.add_argument("shapes", nargs="*", default=["0.1B"], metavar="SHAPE",
                        help=f"of {', '.join(SHAPES)}")  # fmt: skip
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--words", type=int, default=40, help="of a question, and of an answer")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-tokens", type=int, default=None)
    parser.add_argument("--packing", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--timeout-s", type=float, default=540.0)
    parser.add_argument("--beside", help="endpoint whose streams are timed, http://host:port")
    parser.add_argument("--model", default="base", help="that the streams ask for")
    parser.add_argument("--key", help="of the endpoint")
    parser.add_argument("--streams", type=int, default=8)
    given = parser.parse_args(argv)
    if unknown := set(given.shapes) - SHAPES.keys():
        parser.error(f"no such shape: {', '.join(sorted(unknown))}")
    print(f"{platform.processor() or platform.machine()}, {time.strftime('%Y-%m-%d')}")
    print("| base | size | on | tokens each | tokens/s | s per 1,000 | quiet ms | beside ms |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for shape in given.shapes:
        with ended_by_signals(), tempfile.TemporaryDirectory(prefix="graftwork-train-") as scratch:
            print(measure(shape, Path(scratch), given), flush=True)


if __name__ == "__main__":
    main()
