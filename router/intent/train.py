"""From examples to a head, in seconds; the same examples make the same head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from router.intent.encoder import Encoder
from router.intent.examples import Example, version
from router.intent.head import NearestHead
from router.intent.model import Trained, only_latin


def train(encoder: Encoder, examples: Sequence[Example], threshold: float) -> Trained | None:
    """Return the head for these examples; None when no example has an intent."""
    named = [(example.text, example.intent) for example in examples if example.intent is not None]
    if not named:
        return None
    vectors = np.stack([encoder.encode(text) for text, _ in named])
    head = NearestHead(vectors, [intent for _, intent in named], threshold)
    made = version(encoder.name, f"threshold={threshold}", examples)
    return Trained(encoder, head, made, only_latin(examples))
