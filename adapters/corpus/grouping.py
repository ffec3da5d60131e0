"""Which texts belong together: groups of vectors, and which group goes on with which name. Pure.

Average linkage on cosines, cut at one height. Vectors of sentences all point somewhat the same way,
the more so the closer their domain is, so one height fits every domain only after a centre was
taken off: of the language in general, and of the groups that there are, each once, so that one
topic with much traffic is not torn apart by being its own centre. Height and weights were chosen on
BANKING77, CLINC150 and Bitext; ``benchmarks/clusters.py`` measures them, also on others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Labels = NDArray[np.intp]

ALIKE: Final = 0.38
"""Mean cosine, centred, from which on two groups are one, and a text joins a group."""
_ROUGHLY: Final = 0.38
"""The same for the first look, with the centre of the language alone."""
_GENERAL_WEIGHT: Final = 20
"""How many groups the centre of the language counts as."""
_NOBODY: Final = -2.0
GENERAL: Final = (
    "What is the weather like tomorrow?",
    "How do I reset my password?",
    "Write a short poem about the sea.",
    "Translate this sentence into French.",
    "My parcel has not arrived yet.",
    "Summarise the following text in two lines.",
    "What is the capital of Australia?",
    "I want to cancel my subscription.",
    "Fix the bug in this Python function.",
    "Book a table for four at eight.",
    "How much does the large one cost?",
    "Which side effects does this medicine have?",
    "Play some music for dinner.",
    "Explain how a transformer works.",
    "Can I get a refund for a broken item?",
    "Draft an email to my landlord.",
    "When is my next appointment?",
    "Convert 20 miles to kilometres.",
    "Who won the match last night?",
    "Give me a recipe with lentils.",
    "Is there a train to Hamburg after nine?",
    "My card was charged twice.",
    "Compare these two laptops.",
    "What does this contract clause mean?",
    "Turn off the lights in the kitchen.",
    "How do I file my taxes?",
    "Extract the names and dates as JSON.",
    "The app crashes when I open it.",
    "Tell me a joke.",
    "Add milk to my shopping list.",
    "I would like to speak to a person.",
    "Plan three days in Lisbon.",
)
"""Of everything a little: their mean is where all sentences are."""


def centred(vectors: Floats, centre: Floats) -> Floats:
    """Each vector from the centre, of length 1."""
    moved = vectors.astype(np.float32) - centre
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    found: Floats = moved / np.maximum(lengths, 1e-9)
    return found


def grouped(vectors: Floats, general: Floats) -> tuple[Labels, Floats]:
    """The group of each vector, and the centre that they were seen from.

    Time grows with the square of their number: 4,000 take some seconds of a core.

    Args:
        vectors: of length 1, one row a text.
        general: the mean vector of ``GENERAL``.
    """
    if not len(vectors):
        return np.zeros(0, np.intp), general
    roughly = linked(centred(vectors, general), _ROUGHLY)
    sizes = np.bincount(roughly)
    several = np.flatnonzero(sizes > 1)
    sums = np.zeros((len(sizes), vectors.shape[1]), np.float32)
    np.add.at(sums, roughly, vectors)
    means = sums[several] / sizes[several, np.newaxis]
    centre = (_GENERAL_WEIGHT * general + means.sum(axis=0)) / (_GENERAL_WEIGHT + len(several))
    return linked(centred(vectors, centre), ALIKE), centre.astype(np.float32)


def linked(vectors: Floats, height: float) -> Labels:
    """Groups by average linkage whose mean cosine is ``height`` at least; numbered from 0.

    By chains of nearest neighbours, which gives what the greedy algorithm gives in quadratic time.
    Source: Murtagh and Contreras 2012, "Algorithms for hierarchical clustering: an overview".
    """
    count = len(vectors)
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, _NOBODY)
    size = np.ones(count)
    owner = np.arange(count)
    left = np.ones(count, np.bool_)
    chain: list[int] = []
    while left.any():
        if not chain:
            chain.append(int(left.argmax()))
        last = chain[-1]
        nearest = int(alike[last].argmax())
        if alike[last, nearest] < height:
            # Nobody will ever be nearer: averages only come down from the largest.
            chain.pop()
            left[last] = False
            alike[last] = alike[:, last] = _NOBODY
            continue
        if len(chain) > 1 and alike[last, chain[-2]] >= alike[last, nearest]:
            other = chain[-2]
            del chain[-2:]
            both = (size[last] * alike[last] + size[other] * alike[other]) / (
                size[last] + size[other]
            )
            alike[other] = alike[:, other] = _NOBODY
            both[[last, other]] = _NOBODY
            both[alike[last] <= _NOBODY] = _NOBODY
            alike[last] = alike[:, last] = both
            size[last] += size[other]
            left[other] = False
            owner[other] = last
            continue
        chain.append(nearest)
    labels: Labels = np.unique(_roots(owner), return_inverse=True)[1].astype(np.intp)
    return labels


def _roots(owner: Labels) -> Labels:
    while True:
        above = owner[owner]
        if (above == owner).all():
            return owner
        owner = above


def go_on(before: Sequence[str | None], after: Labels, age: Mapping[str, int]) -> dict[int, str]:
    """Which new group goes on under which old name; the others are new.

    An old name goes where most of its members went. Where several go, the oldest wins.

    Args:
        before: the name that each text had.
        after: the group that it has now.
        age: the rank of each name, the oldest first.
    """
    went: dict[str, dict[int, int]] = {}
    for name, group in zip(before, after.tolist(), strict=True):
        if name is not None:
            there = went.setdefault(name, {})
            there[group] = there.get(group, 0) + 1
    found: dict[int, str] = {}
    for name in sorted(went, key=lambda each: (age.get(each, len(age)), each)):
        most = max(went[name], key=lambda group: (went[name][group], -group))
        found.setdefault(most, name)
    return found
