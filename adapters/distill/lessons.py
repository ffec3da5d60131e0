"""What a training learns from and what it is measured by while it runs: two parts of ``train``.

The test part of the dataset never comes here. Early stopping needs a judge of its own, so a share
of the training rows is held out, whole groups of the same question at a time: of a question that
was trained, other wording of the numbers would be no judge.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.distill.encode import Encoded, Encoder, encode_all
from adapters.distill.job import Example, JobError

_FEWEST_EXAMPLES = 20
_FEWEST_GROUPS = 5
_MOST_HELD_OUT = 256


@dataclass(frozen=True, slots=True)
class Lessons:
    """Encoded rows, split."""

    train: tuple[Encoded, ...]
    held_out: tuple[Encoded, ...]
    notes: tuple[str, ...] = ()
    """What was left out, and why."""

    @property
    def tokens(self) -> int:
        """Of one pass over what is trained."""
        return sum(len(example.ids) for example in self.train)


def lessons(encoder: Encoder, examples: Sequence[Example], share: float, seed: int) -> Lessons:
    """Encode and split. Raises ``JobError`` when nothing is left to train on."""
    refused: Counter[str] = Counter()
    encoded = encode_all(encoder, examples, lambda why: refused.update([why]))
    notes = [f"{count} left out: {why}" for why, count in refused.most_common()]
    if not encoded:
        raise JobError("nothing to train on" + "".join(f"; {note}" for note in notes))
    held_out = _held_out(encoded, share, seed)
    if share > 0 and not held_out:
        notes.append("too few different questions to hold any out: no early stopping")
    train = [example for example in encoded if example.digest not in held_out]
    kept = [example for example in encoded if example.digest in held_out]
    return Lessons(tuple(train), tuple(kept), tuple(notes))


def _held_out(encoded: Sequence[Encoded], share: float, seed: int) -> set[str]:
    """Digests of the rows held out: groups in an order that the seed decides."""
    by_group: dict[str, list[str]] = {}
    for example in encoded:
        by_group.setdefault(example.group, []).append(example.digest)
    if len(encoded) < _FEWEST_EXAMPLES or len(by_group) < _FEWEST_GROUPS:
        return set()
    wanted = min(round(share * len(encoded)), _MOST_HELD_OUT)
    found: set[str] = set()
    for group in sorted(by_group, key=lambda name: _rank(name, seed)):
        if len(found) >= wanted:
            break
        # A group that is half of everything would leave nothing to learn.
        if len(by_group[group]) <= 2 * max(1, wanted):
            found.update(by_group[group])
    return found


def _rank(group: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{group}".encode()).digest()
