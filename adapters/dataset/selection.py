"""Which reviewed answers become rows, and which cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from adapters.dataset.frozen import Row
from adapters.dataset.gold_rows import row_of
from adapters.review.gold import Gold


class GoldSource(Protocol):
    """Where reviewed answers come from."""

    def gold(
        self,
        intents: Sequence[str] | None = None,
        tenants: Sequence[str] | None = None,
        since: float | None = None,
    ) -> list[Gold]:
        """Those of intents and tenants, from exchanges since a time; None: all. Blocks."""
        ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What goes into a dataset; None: no limit, or the configuration's number."""

    name: str
    intents: tuple[str, ...] | None = None
    tenants: tuple[str, ...] | None = None
    since: float | None = None
    holdout: float | None = None
    replay: float | None = None


def learnable(gold: Iterable[Gold]) -> tuple[list[Row], dict[str, int]]:
    """Rows, and how many answers are left out, by reason: those of whose tools something is
    missing, for what is trained would be another prompt than the one that is served.
    """
    rows: list[Row] = []
    left_out: Counter[str] = Counter()
    for each in gold:
        if each.left_out:
            left_out[each.left_out] += 1
        else:
            rows.append(row_of(each))
    return rows, dict(left_out)
