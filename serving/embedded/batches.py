"""Turn generated dialogs into padded batches whose loss covers assistant tokens only."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import torch
from transformers import PreTrainedTokenizerBase

from serving.embedded.corpus.dialog import Dialog
from serving.embedded.corpus.scene import Split
from serving.embedded.tokenizer import END_OF_TEXT, TURN_END, TURN_START

Sampler = Callable[[random.Random, Split], Dialog]
_POOL: Final = 256


@dataclass(frozen=True)
class Encoded:
    """Token ids of one dialog and, for each, whether the model should learn to write it."""

    ids: list[int]
    learn: list[bool]


def render(tokenizer: PreTrainedTokenizerBase, dialog: Dialog, upto: int | None = None) -> str:
    """Render a dialog, or its first ``upto`` messages as a prompt for the next answer."""
    text = tokenizer.apply_chat_template(
        dialog.messages if upto is None else dialog.messages[:upto],
        tools=dialog.tools or None,
        tokenize=False,
        add_generation_prompt=upto is not None,
    )
    return str(text)


def encode(tokenizer: PreTrainedTokenizerBase, dialog: Dialog) -> Encoded:
    """Tokenize a dialog and mark what lies between an assistant header and its end."""
    ids = list(tokenizer(render(tokenizer, dialog), add_special_tokens=False)["input_ids"])
    header = tokenizer(f"{TURN_START}assistant\n", add_special_tokens=False)["input_ids"]
    end = tokenizer.convert_tokens_to_ids(TURN_END)
    learn, inside = [], False
    for at, token in enumerate(ids):
        learn.append(inside)
        if inside:
            inside = token != end
        elif ids[at + 1 - len(header) : at + 1] == header:
            inside = True
    return Encoded(ids, learn)


def _pad(items: list[Encoded], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(item.ids) for item in items)
    ids = torch.full((len(items), width), pad)
    learn = torch.zeros((len(items), width), dtype=torch.bool)
    for row, item in enumerate(items):
        ids[row, : len(item.ids)] = torch.tensor(item.ids)
        learn[row, : len(item.ids)] = torch.tensor(item.learn)
    return ids, learn


def _by_budget(pool: list[Encoded], tokens: int) -> list[list[Encoded]]:
    groups: list[list[Encoded]] = [[]]
    for item in sorted(pool, key=lambda entry: len(entry.ids)):
        if groups[-1] and len(item.ids) * (len(groups[-1]) + 1) > tokens:
            groups.append([])
        groups[-1].append(item)
    return groups


def batches(
    tokenizer: PreTrainedTokenizerBase, sampler: Sampler, rng: random.Random, tokens: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield ids and loss masks for ever, with dialogs of like length together."""
    pad = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    while True:
        pool = [encode(tokenizer, sampler(rng, "train")) for _ in range(_POOL)]
        groups = _by_budget(pool, tokens)
        rng.shuffle(groups)
        for group in groups:
            yield _pad(group, pad)
