"""Fits the heads of ``router.choose.difficulty`` to outcomes: what was asked, of whom, how good.

One ridge logistic regression a target, whose offset is the log-odds of its group (origin and
intent): what intents and levels say is not learned twice, and a group that was picked because its
answers were bad (reviews, negative feedback) moves no level. Outcome-dependent picking changes only
the intercept of a logistic regression (Prentice and Pyke 1979), which is left out of a shift.

The penalty is chosen by cross-validation over texts. A head is used only where it saves log-loss on
texts that it has not seen, by more than one standard error: a target of which nothing can be told
has none, and its requests are as good as each other.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adapters.evaluation import Tally
from router.choose.difficulty import HEADS_KEPT, TRAITS, Difficulty, Head, digest_of
from router.hardness import ANY, family, tally
from router.learn.logistic import fit_offset

FEWEST: Final = 60
"""Outcomes of a target, of which ``EACH`` are good and as many bad, below which it has no head."""
EACH: Final = 10
OF_A_TARGET: Final = 20_000
"""The newest are fitted to; more would cost memory and say little."""
FOLDS: Final = 4
DECAYS: Final = (0.03, 0.1, 0.3, 1.0, 3.0)
_GROUP: Final = 20.0
"""Outcomes that a target's own mean is worth beside those of one group."""
_NEVER: Final = 1e-3
"""A standard deviation below it: the trait does not vary."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer that was judged."""

    text: str
    """What it was read from, or something that is equal for equal texts."""
    vector: Floats | None
    """None: not of a language that the encoder knows."""
    traits: Floats
    target: str
    good: float
    """0 to 1."""
    intent: str = ANY
    origin: str = "import"
    levels: bool = True
    """Whether it was picked at random, so that the share of good ones means something."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What became of one target's outcomes.

    Attributes:
        judged: how many there were.
        good: of them, added up.
        explained: share of the log-loss that the head saves on texts that it has not seen.
        used: whether the target has a head.
        why: for people.
    """

    target: str
    judged: int
    good: float
    explained: float
    used: bool
    why: str


def fitted(
    outcomes: Sequence[Outcome], encoder: str, width: int
) -> tuple[Difficulty, list[Fitted]]:
    """A model of all outcomes, oldest first, and what became of each target. Takes seconds."""
    by_target: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_target[family(outcome.target)].append(outcome)
    often = sorted(by_target, key=lambda name: (-len(by_target[name]), name))[:HEADS_KEPT]
    kept = {name: by_target[name][-OF_A_TARGET:] for name in sorted(often)}
    centre, scale = _standard(kept.values(), width)
    plain = Difficulty(encoder, centre, scale, levels=_levels(kept))
    told, heads = [], []
    for name, own in kept.items():
        said, head = _head(name, own, plain)
        told.append(said)
        if head is not None:
            heads.append(head)
    made = replace(plain, heads=tuple(heads))
    return replace(made, digest=digest_of(made.document())), told


def _standard(groups: Iterable[Sequence[Outcome]], width: int) -> tuple[Floats, Floats]:
    """Centre and scale over distinct texts: directions of the vector keep their relative spread."""
    texts = {each.text: each for own in groups for each in own}
    known = [each.vector for each in texts.values() if each.vector is not None]
    vectors = np.array(known, np.float32) if known else np.zeros((1, width), np.float32)
    own = np.array([each.traits for each in texts.values()] or np.zeros((1, len(TRAITS))))
    middle = vectors.mean(axis=0)
    spread = float((vectors - middle).std())
    wide = own.std(axis=0)
    scale = np.where(wide < _NEVER, 0.0, 1.0 / np.maximum(wide, _NEVER))
    whole = np.full(width, 1.0 / spread if spread > 1e-6 else 0.0)
    return (
        np.concatenate([middle, own.mean(axis=0)]).astype(np.float32),
        np.concatenate([whole, scale]).astype(np.float32),
    )


def _levels(kept: Mapping[str, Sequence[Outcome]]) -> dict[tuple[str, str], Tally]:
    """Shares of good answers by intent, of outcomes whose share means something."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for name, own in kept.items():
        for each in own:
            if each.levels:
                found[name, each.intent].append(each.good)
    return {key: tally(round(sum(good), 3), len(good)) for key, good in found.items()}


def _head(name: str, own: Sequence[Outcome], plain: Difficulty) -> tuple[Fitted, Head | None]:
    good = np.array([each.good for each in own], np.float32)
    total, count = float(good.sum()), len(own)

    def says(why: str, explained: float = 0.0, *, used: bool = False) -> Fitted:
        return Fitted(name, count, round(total, 3), round(explained, 4), used, why)

    if count < FEWEST or min(total, count - total) < EACH:
        return says(f"too few: {FEWEST} are needed, {EACH} of them good and {EACH} bad"), None
    rows = np.stack([plain.standard(each.vector, each.traits) for each in own])
    offset = _offsets(own, good)
    fold = np.array([zlib.crc32(each.text.encode("utf-8", "replace")) % FOLDS for each in own])
    before = _losses(good, offset)
    after = {decay: _unseen(rows, good, offset, fold, decay) for decay in DECAYS}
    decay = min(after, key=lambda each: float(after[each].mean()))
    saved = before - after[decay]
    explained = float(saved.mean() / max(float(before.mean()), 1e-9))
    if saved.mean() <= saved.std() / np.sqrt(count):
        return says("what is asked does not tell how good the answer will be", explained), None
    weights, _ = fit_offset(rows, good, offset, decay=decay)
    used = says("its requests are told apart", explained, used=True)
    return used, Head(name, weights.astype(np.float32), count, used.explained)


def _unseen(
    rows: Floats, good: Floats, offset: Floats, fold: NDArray[np.integer], decay: float
) -> Floats:
    """Log-losses of each outcome by a head that has not seen its text."""
    found = np.zeros(len(good), np.float32)
    for number in range(FOLDS):
        held = fold == number
        if held.all() or not held.any():
            return _losses(good, offset)
        weights, bias = fit_offset(rows[~held], good[~held], offset[~held], decay=decay)
        found[held] = _losses(good[held], offset[held] + rows[held] @ weights + bias)
    return found


def _offsets(own: Sequence[Outcome], good: Floats) -> Floats:
    """The log-odds of each one's group, drawn towards those of the target."""
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, each in enumerate(own):
        places[each.origin, each.intent].append(place)
    mean = float(good.mean())
    found = np.zeros(len(own), np.float32)
    for these in places.values():
        share = (float(good[these].sum()) + _GROUP * mean) / (len(these) + _GROUP)
        found[these] = np.log(share / (1 - share))
    return found


def _losses(good: Floats, logits: Floats) -> Floats:
    losses: Floats = (np.logaddexp(0.0, logits) - good * logits).astype(np.float32)
    return losses
