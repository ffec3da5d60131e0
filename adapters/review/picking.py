"""What one reviewer takes next: the most worth, and not the same sort of question all day. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from adapters.review.item import Kind, Review

REMEMBERED = 20
"""Verdicts of a reviewer that say what he has seen enough of."""


def in_order(
    waiting: Sequence[Review], seen: Iterable[str], *, check: bool = False
) -> list[Review]:
    """Items in the order in which a reviewer should take them.

    Args:
        waiting: what is open for him.
        seen: the intents of what he judged lately.
        check: whether an item that measures him goes first, if there is one.
    """
    often = Counter(seen)

    def worth(item: Review) -> tuple[bool, int, float, str]:
        discounted = item.weight / (1 + often[item.intent])
        measures = check and item.kind is Kind.CHECK
        return (not measures, -item.tier, -discounted, item.id)

    return sorted(waiting, key=worth)
