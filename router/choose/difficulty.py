"""How hard one request is for each target, beyond what its intent says.

Quality (``router.choose.quality``) knows intent and target. A head per target adds what the single
request tells: its meaning (the encoder's vector), its lengths, numbers, turns, language and needs.
It says by how much the log-odds of a good answer differ from those of the target's usual request:

    logit P(good | request) = logit P(good | intent, target) + shift(request, target)

Shifts are 0 on average over what a head was fitted to, so that a head moves no target's level: that
stays with priors, gates and judgements. They are bounded by ``MOST``, and 0 for a target without a
head.
Heads are fitted elsewhere (``router.choose.heads``) and come as one document, named by its digest.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from adapters.evaluation import Tally
from router.hardness import Hardness, tally

MOST: Final = 3.0
"""Largest shift, log-odds: 0.8 becomes at least 0.17, at most 0.99."""
TRAITS: Final = (
    "characters", "words", "numbers", "turns", "prompt", "tools", "json_schema", "vision", "foreign"
)  # fmt: skip
"""What is known of a request beside its vector, in this order."""
HEADS_KEPT: Final = 64
_FAR: Final = 4.0
"""Standard deviations beyond which a trait says no more."""
_FORMAT: Final = 1

Floats = NDArray[np.float32]


def traits(
    text: str, *, turns: int, input_tokens: int, needs: frozenset[str], foreign: bool
) -> Floats:
    """``TRAITS`` of a request. ``text`` is what its intent is read from."""
    words = text.split()
    numbers = sum(word.strip("$€£(")[:1].isdigit() for word in words)
    counts = (len(text), len(words), numbers, max(0, turns - 1), input_tokens)
    flags = ("tools" in needs, "json_schema" in needs, "vision" in needs, foreign)
    return np.array([*map(math.log1p, counts), *map(float, flags)], np.float32)


@dataclass(frozen=True, slots=True)
class Head:
    """One target's: how much each direction and trait moves its log-odds."""

    target: str
    """A family of targets."""
    weights: Floats
    """Of the vector, then of the traits; what is standardised is multiplied."""
    judged: int
    """Outcomes that it was fitted to."""
    explained: float
    """Share of the log-loss that it saves on outcomes that it has not seen."""


@dataclass(frozen=True)
class Difficulty:
    """All heads of one fit, for vectors of one encoder. Immutable, swapped whole.

    Attributes:
        encoder: whose vectors it reads.
        centre: of vectors and traits.
        scale: what they are multiplied by; 0 for a trait that never varied.
    """

    encoder: str
    centre: Floats
    scale: Floats
    heads: tuple[Head, ...] = ()
    levels: Mapping[tuple[str, str], Tally] = field(default_factory=dict)
    digest: str = ""

    @cached_property
    def _matrix(self) -> Floats:
        return np.stack([head.weights for head in self.heads])

    def judge(self, vector: Floats | None, known: Floats) -> Hardness:
        """What it says of a request; ``vector`` None: its meaning is not known."""
        if not self.heads:
            return self.says_only_levels
        shifts = self._matrix @ self.standard(vector, known)
        told = {
            head.target: round(max(-MOST, min(MOST, float(shift))), 4)
            for head, shift in zip(self.heads, shifts, strict=True)
        }
        return Hardness(self.digest, told, self.levels)

    @property
    def says_only_levels(self) -> Hardness:
        """What it says where nothing of the request is known."""
        return Hardness(self.digest, {}, self.levels)

    def standard(self, vector: Floats | None, known: Floats) -> Floats:
        """A request as heads multiply it. What is not known is as it usually is."""
        width = len(self.centre) - len(TRAITS)
        found = np.zeros(len(self.centre), np.float32)
        if vector is not None:
            found[:width] = (vector - self.centre[:width]) * self.scale[:width]
        own = (known - self.centre[width:]) * self.scale[width:]
        found[width:] = np.minimum(np.maximum(own, -_FAR), _FAR)
        return found

    def document(self) -> bytes:
        """All of it, as ``read`` takes it; the same for the same model."""
        told = {
            "format": _FORMAT,
            "encoder": self.encoder,
            "centre": _packed(self.centre),
            "scale": _packed(self.scale),
            "heads": [
                {
                    "target": head.target,
                    "weights": _packed(head.weights),
                    "judged": head.judged,
                    "explained": head.explained,
                }
                for head in self.heads
            ],
            "levels": [
                [name, intent, level.good, level.judged]
                for (name, intent), level in sorted(self.levels.items())
            ],
        }
        return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)


def read(raw: bytes) -> Difficulty:
    """A document's model. Raises ``ValueError`` for what is none."""
    try:
        made = _made(orjson.loads(raw), digest_of(raw))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"this is no model of difficulty: {error!r}") from error
    lengths = {len(made.centre), len(made.scale), *(len(each.weights) for each in made.heads)}
    if len(lengths) > 1 or len(made.centre) <= len(TRAITS):
        raise ValueError("this is no model of difficulty: its parts do not fit together")
    return made


def _made(told: Any, digest: str) -> Difficulty:
    if told["format"] != _FORMAT:
        raise ValueError(f"its format is {told['format']!r}, not {_FORMAT}")
    heads = [
        Head(
            str(each["target"]),
            _unpacked(each["weights"]),
            int(each["judged"]),
            float(each["explained"]),
        )
        for each in told["heads"][:HEADS_KEPT]
    ]
    return Difficulty(
        str(told["encoder"]),
        _unpacked(told["centre"]),
        _unpacked(told["scale"]),
        tuple(heads),
        {(str(n), str(i)): tally(good, count) for n, i, good, count in told["levels"]},
        digest,
    )


def digest_of(raw: bytes) -> str:
    """What a document is named by."""
    return hashlib.sha256(raw).hexdigest()


def _packed(values: Floats) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _unpacked(text: str) -> Floats:
    found = np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
    if not np.isfinite(found).all():
        raise ValueError("a number in it is none")
    return found
