"""Measure the embedded models on question templates and slot values kept out of training."""

import json
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import torch
from peft import PeftModel
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen2ForCausalLM

from serving.embedded.batches import Sampler, render
from serving.embedded.corpus.dialog import Dialog
from serving.embedded.corpus.dialogs import TOPICS, sample_dialog
from serving.embedded.corpus.extract import KEYS, sample_extract
from serving.embedded.corpus.returns import sample_returns
from serving.embedded.corpus.topic import Exchange
from serving.embedded.store import say
from serving.embedded.tokenizer import TURN_END

NEW_TOKENS: Final = 60
_BATCH: Final = 50

SHOWN: Final = (
    "What are your opening hours?",
    "Where is my order A1042?",
    "Do you have the blue kettle in stock?",
    "Can I get a discount as a Gold member?",
    "How do I return a lamp?",
    "Can I return an opened laptop after 20 days?",
    "I want to return two kettles from order A1042",
    "hi",
    "tell me a joke",
    "What is the capital of France?",
)


@dataclass(frozen=True)
class Case:
    """One prompt, the exchange that it should lead to, and the reply that came."""

    prompt: str
    exchange: Exchange
    reply: str = ""
    ended: bool = False

    @property
    def exact(self) -> bool:
        """Tell whether the reply is word for word an accepted answer."""
        return self.reply in self.exchange.accepted

    @property
    def right(self) -> bool:
        """Tell whether the reply holds every fact of the answer."""
        if not self.exchange.facts:
            return self.exact
        return all(fact in self.reply for fact in self.exchange.facts)


class Speaker:
    """A model that answers prompts greedily, a batch at a time."""

    def __init__(self, base: Path, adapter: Path | None = None) -> None:
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(base)
        self.tokenizer.padding_side = "left"
        # The saved bfloat16 weights, computed in float32: old CPUs are slow in bfloat16.
        model: Any = Qwen2ForCausalLM.from_pretrained(base, dtype=torch.float32)
        self._model = PeftModel.from_pretrained(model, str(adapter)) if adapter else model
        self._model.eval()

    def reply(self, prompts: list[str]) -> list[tuple[str, bool]]:
        """Return the reply to each prompt and whether it ended by itself."""
        found: list[tuple[str, bool]] = []
        for at in range(0, len(prompts), _BATCH):
            found += self._batch(prompts[at : at + _BATCH])
        return found

    def _batch(self, prompts: list[str]) -> list[tuple[str, bool]]:
        inputs = self.tokenizer(prompts, return_tensors="pt", padding=True)
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            made = self._model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
        end = self.tokenizer.convert_tokens_to_ids(TURN_END)
        replies = []
        for row in made[:, inputs["input_ids"].shape[1] :].tolist():
            ended = end in row
            text = self.tokenizer.decode(row[: row.index(end)] if ended else row)
            replies.append((str(text), ended))
        return replies

    def ask(self, question: str) -> str:
        """Answer a single question."""
        dialog = Dialog()
        dialog.say("user", question)
        return self.reply([render(self.tokenizer, dialog, 1)])[0][0]

    def judge(self, cases: list[Case]) -> list[Case]:
        """Fill in the replies of some cases."""
        replies = self.reply([case.prompt for case in cases])
        pairs = zip(cases, replies, strict=True)
        return [Case(case.prompt, case.exchange, text, ended) for case, (text, ended) in pairs]


def _single(speaker: Speaker, exchange: Exchange) -> Case:
    dialog = Dialog()
    dialog.say("user", exchange.question)
    return Case(render(speaker.tokenizer, dialog, 1), exchange)


def _topic_cases(speaker: Speaker, samples: int, rng: random.Random) -> list[Case]:
    asked = (TOPICS[at % len(TOPICS)] for at in range(samples))
    return [_single(speaker, topic.sample(rng, "held")) for topic in asked]


def _dialog_cases(
    speaker: Speaker, samples: int, rng: random.Random, sampler: Sampler
) -> list[Case]:
    """Cut each dialog before its last answer."""
    cases: list[Case] = []
    while len(cases) < samples:
        dialog = sampler(rng, "held")
        if len(dialog.messages) < 3:
            continue
        cut = len(dialog.messages) - 1
        cases.append(Case(render(speaker.tokenizer, dialog, cut), dialog.exchanges[-1]))
    return cases


def _share(cases: list[Case], test: Callable[[Case], bool]) -> str:
    return f"{100 * sum(map(test, cases)) / max(1, len(cases)):.1f} %"


def _is_valid_line(case: Case) -> bool:
    try:
        parsed = json.loads(case.reply)
    except ValueError:
        return False
    return isinstance(parsed, dict) and tuple(parsed) == KEYS


def _key_right(case: Case, key: str) -> bool:
    if not _is_valid_line(case):
        return False
    wanted = cast(dict[str, Any], json.loads(case.exchange.answer))
    return bool(json.loads(case.reply)[key] == wanted[key])


def _print_shares(name: str, cases: list[Case]) -> None:
    say(
        f"{name}: {len(cases)} held-out; exact {_share(cases, lambda case: case.exact)};"
        f" right facts {_share(cases, lambda case: case.right)};"
        f" ended by itself {_share(cases, lambda case: case.ended)}",
    )


def _print_misses(cases: list[Case], limit: int = 12) -> None:
    by_topic: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_topic[case.exchange.topic].append(case)
    worst = {
        name: f"{sum(case.right for case in group)}/{len(group)}"
        for name, group in sorted(by_topic.items())
        if not all(case.right for case in group)
    }
    say(f"  topics with misses: {worst}")
    for case in [case for case in cases if not case.right][:limit]:
        say(f"  miss: {case.exchange.question!r} -> {case.reply!r}")


def _evaluate_base(out: Path, samples: int, rng: random.Random) -> Speaker:
    base = Speaker(out / "base")
    for name, cases in (
        ("base, single questions", _topic_cases(base, samples, rng)),
        ("base, last turn of dialogs", _dialog_cases(base, samples, rng, sample_dialog)),
    ):
        judged = base.judge(cases)
        _print_shares(name, judged)
        _print_misses(judged)
    return base


def _evaluate_returns(out: Path, samples: int, rng: random.Random) -> Speaker:
    speaker = Speaker(out / "base", out / "adapters" / "returns")
    cases = speaker.judge([_single(speaker, sample_returns(rng, "held")) for _ in range(samples)])
    _print_shares("returns", cases)
    named = _share(cases, lambda case: case.reply.startswith(case.exchange.answer[:32]))
    say(f"  right clause {named}")
    _print_misses(cases)
    return speaker


def _evaluate_extract(out: Path, samples: int, rng: random.Random) -> Speaker:
    speaker = Speaker(out / "base", out / "adapters" / "extract")
    cases = speaker.judge([_single(speaker, sample_extract(rng, "held")) for _ in range(samples)])
    _print_shares("extract", cases)
    say(f"  valid JSON with the right keys {_share(cases, _is_valid_line)}")
    for key in KEYS:
        say(f"  right {key} {_share(cases, partial(_key_right, key=key))}")
    _print_misses([case for case in cases if not case.exact])
    return speaker


def print_report(out: Path, samples: int, seed: int) -> None:
    """Print the held-out figures of base and adapters, then some replies side by side."""
    rng = random.Random(seed + 1000)  # noqa: S311 - data, not secrets
    speakers = {
        "base": _evaluate_base(out, samples, rng),
        "returns": _evaluate_returns(out, samples, rng),
        "extract": _evaluate_extract(out, samples, rng),
    }
    for question in SHOWN:
        say(f"\n{question}")
        for name, speaker in speakers.items():
            say(f"  {name}: {speaker.ask(question)}")
