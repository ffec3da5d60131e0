"""From examples to a head, in seconds; the same examples make the same head."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from router.config.auto import AutoConfig
from router.intent.encoder import Encoder
from router.intent.ensemble import Texts
from router.intent.examples import Example, version
from router.intent.head import Head, NearestHead
from router.intent.model import Trained, only_latin
from router.intent.trained import TrainedHead, fitted
from router.intent.vectors import VectorCache, encode_all, glance_all

ENOUGH = 8
"""Examples of each of at least two intents from which on a head is trained and calibrated."""
_HELD = 5
"""Every fifth example of an intent is held out for calibration."""


def train(
    encoder: Encoder,
    examples: Sequence[Example],
    config: AutoConfig,
    cache: VectorCache | None = None,
) -> Trained | None:
    """Return the head for these examples; None when no example has an intent."""
    examples = list(dict.fromkeys(examples))
    counts = Counter(example.intent for example in examples if example.intent is not None)
    if not counts:
        return None
    settings = f"threshold={config.threshold} reject_share={config.reject_share}"
    made = version(encoder.name, settings, examples)
    head: Head
    if len(counts) > 1 and min(counts.values()) >= ENOUGH:
        head = trained_head(encoder, examples, config.reject_share, cache=cache)
    else:
        head = _nearest(encoder, examples, config.threshold)
    return Trained(encoder, head, made, only_latin(examples))


def trained_head(
    encoder: Encoder,
    examples: Sequence[Example],
    reject_share: float,
    *,
    held: NDArray[np.bool_] | None = None,
    cache: VectorCache | None = None,
) -> TrainedHead:
    """Encode and fit; a fifth of each intent's examples is held out unless ``held`` says which."""
    names = tuple(sorted({e.intent for e in examples if e.intent is not None}))
    texts = [example.text for example in examples]
    sentences = encode_all(encoder, texts) if cache is None else cache.encode(encoder, texts)
    place = {name: index for index, name in enumerate(names)}
    owner = np.array([-1 if e.intent is None else place[e.intent] for e in examples], np.intp)
    known = Texts(sentences, glance_all(encoder, texts), owner)
    return fitted(names, known, held_out(examples) if held is None else held, reject_share)


def held_out(examples: Sequence[Example]) -> NDArray[np.bool_]:
    """Every fifth example of each intent, in an order that depends on the texts alone."""
    held = np.zeros(len(examples), np.bool_)
    seen: Counter[str | None] = Counter()
    for index in sorted(range(len(examples)), key=lambda i: _shuffled(examples[i].text)):
        held[index] = seen[examples[index].intent] % _HELD == 0
        seen[examples[index].intent] += 1
    return held


def _shuffled(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _nearest(encoder: Encoder, examples: Sequence[Example], threshold: float) -> NearestHead:
    """An out-of-scope example is an intent of its own here; its name is None."""
    vectors = encode_all(encoder, [example.text for example in examples])
    return NearestHead(vectors, [example.intent for example in examples], threshold)
