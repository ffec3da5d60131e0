"""Which rows train and which test: by whole groups, the same for the same rows in any order."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from adapters.dataset.frozen import Row
from adapters.dataset.groups import grouped


@dataclass(slots=True)
class _Group:
    rows: list[Row]
    held: bool = False
    """A row that is held out for ever is in it."""
    key: str = ""

    def of(self, intent: str) -> int:
        return sum(row.intent == intent for row in self.rows)


def split(
    rows: Sequence[Row],
    held: Sequence[Row],
    share: float,
    wanted: Mapping[str, str] | None = None,
) -> list[Row]:
    """The rows with their splits, sorted by digest.

    A group with a row of ``held`` is tested on, whatever else is said. Beyond that each intent's
    groups are tested on, in the order of a hash, up to its share; at least one group of an intent
    that has two, and never all of them.

    Args:
        rows: whose ``split`` counts for nothing yet.
        held: what was held out before, of any intent.
        share: of each intent's rows that are tested on; 0: none but what was held out before.
        wanted: by a row's digest the split that whoever brought it demands. A group that is torn
            by it is tested on.
    """
    groups = _groups(rows, held)
    demanded = wanted or {}
    for group in groups:
        splits = {demanded.get(row.digest) for row in group.rows}
        group.held = group.held or "test" in splits
    free = [g for g in groups if not any(row.digest in demanded for row in g.rows)]
    if share > 0:
        for intent in sorted({row.intent for row in rows}):
            _hold_out(intent, groups, free, share)
    chosen = [
        replace(row, split="test" if group.held else "train")
        for group in groups
        for row in group.rows
    ]
    return sorted(chosen, key=lambda row: (row.digest, row.exchange_id))


def replayed(
    candidates: Sequence[Row], rows: Sequence[Row], held: Sequence[Row], share: float
) -> list[Row]:
    """Rows of other intents for training, chosen by a hash: none that is near what is tested on.

    ``share`` is theirs of all that trains.
    """
    training = sum(row.split == "train" for row in rows)
    number = round(training * share / (1 - share))
    forbidden = [*held, *(row for row in rows if row.split == "test")]
    numbers = grouped([*forbidden, *candidates])
    tested = set(numbers[: len(forbidden)])
    free = [
        replace(row, split="train", replay=True)
        for row, group in zip(candidates, numbers[len(forbidden) :], strict=True)
        if group not in tested
    ]
    free.sort(key=lambda row: (_hashed(row.digest), row.exchange_id))
    return free[:number]


def _groups(rows: Sequence[Row], held: Sequence[Row]) -> list[_Group]:
    """Those of ``rows``, in the order of a hash that only their content decides."""
    numbers = grouped([*rows, *held])
    found: dict[int, _Group] = defaultdict(lambda: _Group([]))
    for row, number in zip(rows, numbers, strict=False):
        found[number].rows.append(row)
    for number in numbers[len(rows) :]:
        if number in found:
            found[number].held = True
    groups = list(found.values())
    for group in groups:
        group.key = _hashed(min(row.digest for row in group.rows))
    return sorted(groups, key=lambda group: group.key)


def _hold_out(intent: str, groups: list[_Group], free: list[_Group], share: float) -> None:
    own = [group for group in groups if group.of(intent)]
    count = sum(group.of(intent) for group in own)
    tested = sum(group.of(intent) for group in own if group.held)
    quota = max(1, round(share * count))
    choice = [group for group in free if group.of(intent) and not group.held]
    for group in choice:
        size = group.of(intent)
        if tested + size <= quota and tested + size < count:
            group.held = True
            tested += size
    left = [group for group in choice if not group.held]
    if not tested and len(own) > 1 and left:
        smallest = min(left, key=lambda group: (group.of(intent), group.key))
        smallest.held = True


def _hashed(text: str) -> str:
    return hashlib.sha256(b"split:" + text.encode()).hexdigest()


def counted(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows each intent has."""
    return dict(sorted(Counter(row.intent for row in rows).items()))
