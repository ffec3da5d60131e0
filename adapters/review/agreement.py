"""How far reviewers agree: pairwise, and by Krippendorff's alpha for nominal values. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Agreement:
    """Over the items that at least two reviewers judged."""

    items: int
    reviewers: int
    agreement: float | None
    """Share of pairs of verdicts on one item that are equal, each item weighing by its verdicts;
    None without a pair."""
    alpha: float | None
    """1: always agree; 0: as by chance; below: worse. None without a pair; 1 where only one value
    was ever given, which chance alone would explain as well."""


def agreement(units: Iterable[Mapping[str, str]]) -> Agreement:
    """Of what each reviewer said of each item, one mapping an item.

    After Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): items with one value
    pair with nothing and are left out; a missing value is just not there.
    """
    pairable = [unit for unit in units if len(unit) > 1]
    names = {name for unit in pairable for name in unit}
    totals: Counter[str] = Counter()
    alike = 0.0
    for unit in pairable:
        values = Counter(unit.values())
        totals.update(values)
        pairs = sum(count * (count - 1) for count in values.values())
        alike += pairs / (len(unit) - 1)
    n = totals.total()
    if n == 0:
        return Agreement(0, 0, None, None)
    observed = alike / n
    by_chance = sum(count * (count - 1) for count in totals.values()) / (n * (n - 1))
    alpha = 1.0 if by_chance == 1.0 else (observed - by_chance) / (1 - by_chance)
    return Agreement(len(pairable), len(names), observed, alpha)
