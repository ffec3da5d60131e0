"""How sure an embedded model is of each recorded answer: SmolLM2-135M-Instruct's probabilities.

GSM8K's file holds the weak model's answers but none of its probabilities. The small model that the
product can serve (``serving.smollm2``) reads problem and answer and says how likely it finds each
token: mean, least and entropy over its five likeliest, the very features by which a router judges
an answer (``router.judge``). One reading a problem, about a quarter of a second of one core; kept
in a file, since it takes minutes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.routing.data import Problem
from serving.smollm2.prepared import ready

_MOST: Final = 256
"""Tokens of an answer that are read."""
_TOP: Final = 5


class NoModel(Exception):
    """The message says what to do."""


def features(problems: Sequence[Problem], kept: Path) -> NDArray[np.float64]:
    """A row a problem: mean and least log-probability, mean entropy. Raises ``NoModel``."""
    told = json.dumps([[each.text, each.answer] for each in problems])
    file = kept / f"smollm2-{hashlib.sha256(told.encode()).hexdigest()[:16]}.npy"
    if not file.is_file():
        model = ready()
        if model is None:
            raise NoModel("it is not here yet; `graftwork serve --base smollm2` fetches it.")
        kept.mkdir(parents=True, exist_ok=True)
        np.save(file, _read(problems, model))
    found: NDArray[np.float64] = np.load(file)
    return found


def _read(problems: Sequence[Problem], directory: Path) -> NDArray[np.float64]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer: Any = AutoTokenizer.from_pretrained(directory)
    model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16)
    model.eval()
    rows = []
    with torch.inference_mode():
        for problem in problems:
            asked = tokenizer.apply_chat_template(
                [{"role": "user", "content": problem.text}],
                tokenize=False,
                add_generation_prompt=True,
            )
            before = tokenizer(asked, add_special_tokens=False).input_ids
            said = tokenizer(problem.answer.strip(), add_special_tokens=False).input_ids[:_MOST]
            said = said or [tokenizer.eos_token_id]
            logits = model(torch.tensor([before + said])).logits[0, len(before) - 1 : -1]
            logs = torch.log_softmax(logits.float(), -1)
            own = logs[torch.arange(len(said)), torch.tensor(said)]
            top = torch.softmax(logs.topk(_TOP).values, -1)
            entropy = -(top * top.log()).sum(-1)
            rows.append([float(own.mean()), float(own.min()), float(entropy.mean())])
    return np.array(rows)
