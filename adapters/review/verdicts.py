"""What reviewers say of one exchange, and what it comes to. Pure."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from adapters.review.gold import Provenance

_MANY: Final = 3
"""Verdicts among which a majority decides; fewer have to be of one mind."""


class Verdict(StrEnum):
    """What one reviewer says."""

    ACCEPT = "accept"
    """An answer that is there is right: the one that was given, or another candidate."""
    EDIT = "edit"
    """Another answer is right, which the reviewer wrote."""
    REJECT = "reject"
    """Nothing is to be learnt from this exchange."""
    ESCALATE = "escalate"
    """Somebody else has to say."""


class Outcome(StrEnum):
    """What verdicts come to."""

    GOLD = "gold"
    PERMITTED = "permitted"
    """Of a review before any answer: the request may be answered. Nothing to learn from."""
    REJECTED = "rejected"
    UNANSWERED = "unanswered"
    """Somebody asked for another verdict, and none came in time. Nothing to learn from."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One reviewer's verdict that stands."""

    reviewer: str
    verdict: Verdict
    answer: str
    """Accepted or written; empty where there is none."""
    at: float
    source: str = ""
    """Who gave the accepted answer: a target, ``demonstration``, ``reviewer``."""

    @property
    def value(self) -> str | None:
        """What it is compared by; None where it says nothing about the answer."""
        if self.verdict is Verdict.ESCALATE:
            return None
        return "" if self.verdict is Verdict.REJECT else "=" + folded(self.answer)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the verdicts on one exchange come to for now."""

    outcome: Outcome | None = None
    """None: it is not settled."""
    answer: str = ""
    provenance: Provenance | None = None
    reviewers: tuple[str, ...] = ()
    """Whose verdicts carry the outcome."""
    source: str = ""
    """Who gave the gold answer, where a person did not write it."""
    disputed: bool = False
    """Enough verdicts, and they differ."""
    escalated: bool = False
    """Somebody asked for another one, who has not come yet."""


def folded(answer: str) -> str:
    """Equal for answers that differ in case, spaces or Unicode form only."""
    return " ".join(unicodedata.normalize("NFKC", answer).casefold().split())


def standing(judgements: Iterable[Judgement], per_item: int) -> Standing:
    """What these verdicts come to, each of another reviewer.

    So many of one mind settle it; of verdicts that differ, more than half, when there are at least
    three. Who escalates says nothing of the answer, but asks for one more verdict after his own.
    """
    ordered = sorted(judgements, key=lambda each: each.at)
    voices = [each for each in ordered if each.value is not None]
    asked = [each.at for each in ordered if each.verdict is Verdict.ESCALATE]
    escalated = bool(asked) and not any(each.at > asked[-1] for each in voices)
    counted = Counter(each.value for each in voices)
    disputed = len(counted) > 1 and len(voices) >= min(per_item, 2)
    if escalated or len(voices) < per_item or not counted:
        return Standing(escalated=escalated, disputed=disputed)
    value, votes = counted.most_common(1)[0]
    if len(counted) > 1 and (len(voices) < _MANY or votes * 2 <= len(voices)):
        return Standing(disputed=True)
    return _settled([each for each in voices if each.value == value])


def _settled(carrying: Sequence[Judgement]) -> Standing:
    reviewers = tuple(each.reviewer for each in carrying)
    first = carrying[0]
    if first.verdict is Verdict.REJECT:
        return Standing(Outcome.REJECTED, reviewers=reviewers)
    answer = Counter(each.answer for each in carrying).most_common(1)[0][0]
    if not answer.strip():
        return Standing(Outcome.PERMITTED, reviewers=reviewers)
    sources = [each.source for each in carrying if each.source]
    provenance: Provenance = "teacher" if sources and _is_target(sources[0]) else "human"
    if len(carrying) > 1:
        provenance = "verified"
    return Standing(
        Outcome.GOLD, answer, provenance, reviewers, source=sources[0] if sources else ""
    )


DEMONSTRATION: Final = "demonstration"
REVIEWER: Final = "reviewer"


def _is_target(source: str) -> bool:
    return source not in {DEMONSTRATION, REVIEWER}
