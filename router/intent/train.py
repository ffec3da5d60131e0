"""From examples to a head, in seconds; the same examples make the same head."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from router.config.auto import AutoConfig
from router.intent.encoder import Encoder
from router.intent.ensemble import Texts
from router.intent.examples import Example, version
from router.intent.few import Examples, FewBeside, FewHead
from router.intent.head import Head
from router.intent.model import Trained, languages_of
from router.intent.trained import TrainedHead, fitted
from router.intent.vectors import VectorCache, encode_all, glance_all

ENOUGH = 8
"""Examples of each of at least two intents that the head for many examples needs."""
MANY = 50
"""Examples of an intent on average from which on that head is better than the one for few."""
_HELD = 5
"""Every fifth example of an intent is held out for calibration."""


def train(
    encoder: Encoder,
    examples: Sequence[Example],
    config: AutoConfig,
    cache: VectorCache | None = None,
    made: Sequence[Example] = (),
) -> Trained | None:
    """Return the head for these examples; None when no example has an intent.

    Args:
        encoder: reads them.
        examples: as they are declared; their vectors may be kept in ``cache``.
        config: how sure a head has to be.
        cache: on disk.
        made: of intents that were made of traffic, which leaves nothing on this disk.
    """
    examples = list(dict.fromkeys(examples))
    known = {example.text for example in examples}
    added = [each for each in dict.fromkeys(made) if each.text not in known]
    everything = [*examples, *added]
    if all(example.intent is None for example in everything):
        return None
    settings = f"few=2 threshold={config.threshold} reject_share={config.reject_share}"
    name = version(encoder.name, settings, everything)
    head = _head(encoder, examples, added, config, cache)
    return Trained(encoder, head, name, languages_of(everything))


def _head(
    encoder: Encoder,
    examples: Sequence[Example],
    added: Sequence[Example],
    config: AutoConfig,
    cache: VectorCache | None,
) -> Head:
    """One that is trained, where there are enough examples; the made intents that have few do not
    take that from the others.
    """
    everything = [*examples, *added]
    counts = Counter(example.intent for example in everything if example.intent is not None)
    declared = {example.intent for example in examples}
    few = {name for name, count in counts.items() if count < ENOUGH and name not in declared}
    enough = [each for each in everything if each.intent not in few]
    if not has_many({name: count for name, count in counts.items() if name not in few}):
        return few_head(encoder, everything, config.threshold)
    lasting = sum(each.intent not in few for each in examples)
    head = trained_head(encoder, enough, config.reject_share, cache=cache, lasting=lasting)
    if not few:
        return head
    told = [each if each.intent in few else Example(each.text, None) for each in everything]
    return FewBeside(few_head(encoder, told, config.threshold), head)


def has_many(counts: Mapping[str, int]) -> bool:
    """Whether there are enough examples for the head that is fitted and calibrated on parts."""
    if len(counts) < 2:
        return False
    mean = sum(counts.values()) / len(counts)
    return min(counts.values()) >= ENOUGH and mean >= MANY


def few_head(
    encoder: Encoder, examples: Sequence[Example], threshold: float | None = None
) -> FewHead:
    """The head for whatever there is, from one example up."""
    inside = [example for example in examples if example.intent is not None]
    names = sorted({str(example.intent) for example in inside})
    owner = np.array([names.index(str(example.intent)) for example in inside], np.intp)
    vectors = encode_all(encoder, [example.text for example in inside])
    outside = encode_all(encoder, [e.text for e in examples if e.intent is None])
    return FewHead(names, Examples(vectors, owner, len(names)), outside, encoder, threshold)


def trained_head(
    encoder: Encoder,
    examples: Sequence[Example],
    reject_share: float,
    *,
    held: NDArray[np.bool_] | None = None,
    cache: VectorCache | None = None,
    lasting: int | None = None,
) -> TrainedHead:
    """Encode and fit; a fifth of each intent's examples is held out unless ``held`` says which.

    Of the examples the vectors of the first ``lasting`` may be kept in ``cache``.
    """
    names = tuple(sorted({e.intent for e in examples if e.intent is not None}))
    texts = [example.text for example in examples]
    kept = 0 if cache is None else len(texts) if lasting is None else lasting
    sentences = encode_all(encoder, texts[kept:])
    if cache is not None:
        sentences = np.concatenate([cache.encode(encoder, texts[:kept]), sentences])
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
