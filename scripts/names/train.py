"""Makes the model of ``router/govern/detect/names`` from made-up sentences.

pip install faker==40.63.0
python -m scripts.names.train [--examples 30000] [--epochs 6] [--seed 1]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as f

from router.govern.detect.names.features import LISTS, MARKS, TABLES, tags_of, words_of
from router.govern.detect.names.tagger import REACHES, TAGS, WEIGHTS
from scripts.names.examples import Labelled, examples

_SIZES: Final = {"word": 32, "start": 16, "end": 24, "shape": 12}
_WIDTH: Final = 96
_BATCH: Final = 64
_FORGOTTEN: Final = 0.35
"""Of names, how many are taken out of the lists, each time anew: most names are in no list."""
_NAME_LISTS: Final = tuple(map(LISTS.index, ("given", "family", "cities", "firms")))
_LEFT_OUT: Final = 0.1
_CAUTION: Final = 0.7


class Net(nn.Module):  # type: ignore[misc]
    """The tagger of ``router``, layer by layer."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleDict(
            {sort: nn.Embedding(size, _SIZES[sort]) for sort, size in TABLES.items()}
        )
        self.enter = nn.Linear(sum(_SIZES.values()) + MARKS, _WIDTH)
        self.layers = nn.ModuleList(nn.Linear(3 * _WIDTH, _WIDTH) for _ in REACHES)
        self.out = nn.Linear(_WIDTH, len(TAGS))
        self.drop = nn.Dropout(0.15)

    def forward(self, ids: torch.Tensor, marks: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(texts, words, tags)."""
        parts = [self.tables[sort](ids[..., place]) for place, sort in enumerate(TABLES)]
        state = gelu(self.enter(torch.cat([*parts, marks], -1))) * real
        for layer, reach in zip(self.layers, REACHES, strict=True):
            padded = f.pad(state, (0, 0, reach, reach))
            around = torch.cat([padded[:, : -2 * reach], state, padded[:, 2 * reach :]], -1)
            state = (state + self.drop(gelu(layer(around)))) * real
        found: torch.Tensor = self.out(state)
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights by the names that the tagger knows them by."""
        found = {sort: self.tables[sort].weight for sort in TABLES}
        found |= {"in.weight": self.enter.weight, "in.bias": self.enter.bias}
        for place, layer in enumerate(self.layers):
            found |= {f"layer{place}.weight": layer.weight, f"layer{place}.bias": layer.bias}
        found |= {"out.weight": self.out.weight, "out.bias": self.out.bias}
        arrays = {
            name: weight.detach().numpy().astype(np.float16) for name, weight in found.items()
        }
        return arrays | {"caution": np.array([_CAUTION], np.float16)}


def gelu(state: torch.Tensor) -> torch.Tensor:
    """As the tagger computes it."""
    return state * torch.sigmoid(1.702 * state)


Read = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def read(one: Labelled) -> Read | None:
    """An example as numbers; None if there is no word in it."""
    text, spans = one
    words = words_of(text)
    if not words.spans:
        return None
    tags = [TAGS.index(tag) for tag in tags_of(words.spans, spans)]
    return torch.from_numpy(words.ids).long(), torch.from_numpy(words.marks), torch.tensor(tags)


def forgotten(ids: torch.Tensor, marks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Without some of what is known of the words."""
    ids, marks = ids.clone(), marks.clone()
    ids[torch.rand(ids.shape) < _LEFT_OUT] = 0
    for place in _NAME_LISTS:
        marks[..., place] *= torch.rand(marks.shape[:-1]) > _FORGOTTEN
    return ids, marks


def train(data: list[Read], epochs: int, seed: int) -> Net:
    """Learn from the examples, in order of length so that little is padded."""
    torch.manual_seed(seed)
    net = Net()
    data.sort(key=lambda one: len(one[2]))
    batches = [data[i : i + _BATCH] for i in range(0, len(data), _BATCH)]
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=epochs * len(batches))
    for epoch in range(epochs):
        total, began = 0.0, time.monotonic()
        for place in torch.randperm(len(batches)).tolist():
            batch = batches[place]
            pad = nn.utils.rnn.pad_sequence
            ids, marks = forgotten(
                pad([one[0] for one in batch], True), pad([one[1] for one in batch], True)
            )
            tags = pad([one[2] for one in batch], True, -100)
            real = (tags >= 0).unsqueeze(-1).float()
            loss = f.cross_entropy(
                net(ids, marks, real).transpose(1, 2), tags, label_smoothing=0.03
            )
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            plan.step()
            total += float(loss.detach())
        took = time.monotonic() - began
        sys.stdout.write(f"epoch {epoch}: loss {total / len(batches):.4f}, {took:.0f} s\n")
        sys.stdout.flush()
    net.eval()
    return net


def main() -> None:
    """Train and write the weights into the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=30_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--to", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = [one for one in map(read, examples(args.examples, args.seed)) if one is not None]
    net = train(data, args.epochs, args.seed)
    save_file(net.arrays(), args.to)


if __name__ == "__main__":
    main()
