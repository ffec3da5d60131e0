"""`python -m benchmarks.labels`: how right an adapter is by the number of labels it learned from.

The demo's messages (`serving/demo/desk.py`) with the expert's answers, the product's own trainer
with its defaults, and answers as transformers and PEFT give them, greedily. What is asked is worded
as no training message is. Prints a Markdown table and writes a picture.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.dataset.frozen import row_digest
from adapters.distill.job import ADAPTER_DIR, Example, Job, Limits, read_outcome, write_job
from adapters.distill.settings import TrainingSettings
from benchmarks.processes import to_its_end
from serving.console.charts import Line, lines
from serving.demo.desk import Message, messages
from serving.embedded import BASE_DIR, BASE_MODEL_ID

_STYLE = (
    "<style>text{font:11px sans-serif;fill:#444}.end{text-anchor:end}polyline{fill:none;"
    "stroke-width:2}.l1{stroke:#0b6e99}.l2{stroke:#b3541e;stroke-dasharray:6 4}line{stroke:#999}"
    "</style>"
)
_LEGEND = (
    '<text x="300" y="150" style="fill:#0b6e99">adapter, a line each training</text>'
    '<text x="300" y="166" style="fill:#b3541e">the frontier\'s stand-in</text>'
)
_BATCH = 50
_NEW_TOKENS = 10


@dataclass(frozen=True)
class Base:
    """What learns."""

    name: str
    directory: Path


@dataclass(frozen=True)
class Point:
    """One training."""

    seed: int
    labels: int
    steps: int
    seconds: float
    seen: float
    """Right, of new messages in the wordings that it learned from."""
    others: float
    """Right, of messages in other wordings."""


def train(base: Base, seed: int, learned: Sequence[Message], scratch: Path) -> tuple[int, float]:
    """Train with defaults; steps and seconds. The adapter lies in the job's directory."""
    shutil.rmtree(scratch, ignore_errors=True)
    rows = []
    for message in learned:
        asked = ({"role": "user", "content": message.prompt},)
        digest = row_digest(asked, message.gold, "triage")
        rows.append(Example(digest=digest, messages=asked, answer=message.gold))
    job = Job(
        id="labels", alias="triage", base=base.directory, base_id=base.name, dataset="0" * 64,
        settings=TrainingSettings(seed=seed), limits=Limits(threads=1),
    )  # fmt: skip
    write_job(scratch, job, rows)
    to_its_end([sys.executable, "-m", "serving.distill_job", str(scratch)])
    outcome = read_outcome(scratch)
    assert outcome is not None
    if outcome.state != "done":
        raise SystemExit(f"the training ended as {outcome.state}: {outcome.reason}")
    return outcome.steps, outcome.seconds


class Answers:
    """The base with an adapter on it."""

    def __init__(self, base: Path, adapter: Path) -> None:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(1)
        self._tokens: Any = AutoTokenizer.from_pretrained(base, local_files_only=True)
        self._tokens.padding_side = "left"
        model = AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.float32, local_files_only=True
        )
        self._model: Any = PeftModel.from_pretrained(model, adapter).eval()

    def right(self, asked: Sequence[Message]) -> float:
        """The share of messages that are answered as the expert would."""
        good = 0
        for begin in range(0, len(asked), _BATCH):
            batch = asked[begin : begin + _BATCH]
            said = self._said([message.prompt for message in batch])
            good += sum(m.gold == text.strip() for m, text in zip(batch, said, strict=True))
        return good / len(asked)

    def _said(self, prompts: Sequence[str]) -> list[str]:
        texts = [
            self._tokens.apply_chat_template(
                [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
            )
            for prompt in prompts
        ]
        given = self._tokens(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        given.pop("token_type_ids", None)
        made = self._model.generate(**given, max_new_tokens=_NEW_TOKENS, do_sample=False)
        own = made[:, given["input_ids"].shape[1] :]
        found: list[str] = self._tokens.batch_decode(own, skip_special_tokens=True)
        return found


def picture(points: Sequence[Point], teacher: float) -> str:
    """The curve as an SVG file that stands alone."""
    curves = [
        [(float(point.labels), 100 * point.others) for point in points if point.seed == seed]
        for seed in dict.fromkeys(point.seed for point in points)
    ]
    flat = [(labels, 100 * teacher) for labels, _ in (curves[0][0], curves[0][-1])]
    drawn = lines(
        "Right answers to messages in wordings that nobody trained on, by number of labels",
        [*(Line("adapter", 1, curve) for curve in curves), Line("frontier stand-in", 2, flat)],
        "labels",
        "{:.0f} %",
    )
    head = '<svg xmlns="http://www.w3.org/2000/svg" '
    body = str(drawn).replace("<svg ", head, 1)
    start = body.index(">") + 1
    end = body.rindex("</svg>")
    return f"{body[:start]}{_STYLE}{body[start:end]}{_LEGEND}</svg>\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Print one row a number of labels, and write the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels", description=__doc__)
    parser.add_argument("labels", nargs="*", type=int, default=[25, 50, 100, 200, 400])
    parser.add_argument("--base", choices=("embedded", "smollm2"), default="embedded")
    parser.add_argument("--seeds", nargs="*", type=int, default=[7], help="one curve each")
    parser.add_argument("--asked", type=int, default=300, help="messages that are asked")
    parser.add_argument("--picture", type=Path, help="SVG file to write")
    given = parser.parse_args(argv)
    base = Base(BASE_MODEL_ID, BASE_DIR)
    if given.base == "smollm2":
        from serving.smollm2 import MODEL_ID
        from serving.smollm2.prepared import prepare

        base = Base(MODEL_ID, prepare(print))
    learned = messages(max(given.labels), seed=1)
    seen, others = messages(given.asked, seed=3), messages(given.asked, seed=2, others=True)
    seen = [message for message in seen if message not in learned]
    teacher = sum(message.taught == message.gold for message in others) / len(others)
    print(f"The stand-in for a frontier is right in {teacher:.1%} of the other wordings.\n")
    print("| seed | labels | steps | seconds | right, same wordings | right, other wordings |")
    print("| --: | --: | --: | --: | --: | --: |")
    points = []
    with tempfile.TemporaryDirectory(prefix="graftwork-labels-") as name:
        scratch = Path(name) / "job"
        for seed, labels in itertools.product(given.seeds, sorted(given.labels)):
            steps, seconds = train(base, seed, learned[:labels], scratch)
            answers = Answers(base.directory, scratch / ADAPTER_DIR)
            point = Point(seed, labels, steps, seconds, answers.right(seen), answers.right(others))
            points.append(point)
            print(
                f"| {seed} | {labels} | {steps} | {seconds:.0f} | {point.seen:.1%} "
                f"| {point.others:.1%} |",
                flush=True,
            )
    if given.picture:
        given.picture.write_text(picture(points, teacher), encoding="utf-8")
    print(f"\n{time.strftime('%Y-%m-%d')}, base {base.name}, {given.asked} messages asked of each.")


if __name__ == "__main__":
    main()
