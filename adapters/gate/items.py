"""Which questions a version is tested with: all that was ever held out for its intents.

A poison that is consistent agrees with its own split; gold that was held out before stays held out,
and speaks against it. Nothing that the version was trained on is among them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.corpus.language import language_of
from adapters.corpus.tools import TOOLS, offered
from adapters.dataset.frozen import Row
from adapters.gate.asking import HeldOut

_SHORT, _LONG = 200, 1000
"""Characters of a question."""


@dataclass(frozen=True, slots=True)
class Question:
    """One held-out row, and every answer that was settled on for it."""

    row: Row
    accepted: tuple[str, ...]
    slices: tuple[str, ...]

    @property
    def id(self) -> str:
        """The row's digest."""
        return self.row.digest

    @property
    def names(self) -> frozenset[str]:
        """Of the tools that it offers."""
        return offered({TOOLS: self.row.tools}).names


BEFORE: Final = "held-out=before"
"""The slice of what was held out before the version's dataset was frozen."""


def questions(
    held_out: HeldOut,
    intents: Iterable[str],
    dataset: str | None,
    most: int,
    consents: Callable[[str], bool] = lambda _tenant: True,
) -> list[Question]:
    """Those of the intents, and of the dataset's own split; the same for the same data.

    Of more than ``most`` what was held out first, then an arbitrary part. Nobody is asked what
    belongs to a tenant that does not consent any more. Blocks.
    """
    intents = tuple(intents)
    older = held_out.held_before(intents, dataset)
    own = held_out.rows_of(dataset) if dataset else ()
    rows = [row for intent in intents for row in held_out.holdout(intent)]
    rows += [row for row in own if row.split == "test" and (row.intent in intents or not intents)]
    trained = {asked(row.messages) for row in own if row.split == "train"}
    by_question: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.at, row.digest)):
        if asked(row.messages) not in trained and consents(row.tenant):
            by_question.setdefault((row.intent, asked([*row.messages, *row.tools])), []).append(row)
    found = [_question(same, older) for same in by_question.values()]
    found.sort(key=lambda each: (BEFORE not in each.slices, each.id))
    return sorted(found[:most], key=lambda each: each.id)


def evidence(questions: Sequence[Question], target: str, settings: Mapping[str, Any]) -> str:
    """A digest of what a verdict rests on."""
    told = [[each.id, *each.accepted] for each in questions]
    raw = json.dumps([told, target, settings], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(raw.encode()).hexdigest()


def asked(messages: Sequence[Mapping[str, Any]]) -> str:
    """A conversation as something to compare."""
    return json.dumps(list(messages), sort_keys=True, ensure_ascii=False, default=str)


def _question(same: Sequence[Row], older: Container[str]) -> Question:
    """The oldest row is asked; answers of later exchanges with the same words are accepted too.

    Not where the first was held out before: what came later does not soften it.
    """
    first = same[0]
    before = first.exchange_id in older
    slices = (
        f"intent={first.intent}",
        f"tenant={first.tenant}",
        f"language={language_of(_said(first.messages))}",
        f"length={_length(first.messages)}",
        BEFORE if before else "held-out=now",
        *(f"reviewer={name}" for name in first.reviewers),
    )
    accepted = [row for row in same if not before or row.exchange_id in older]
    return Question(first, tuple(dict.fromkeys(row.expected for row in accepted)), slices)


def _length(messages: Sequence[Mapping[str, Any]]) -> str:
    size = len(_said(messages))
    return "short" if size < _SHORT else "medium" if size < _LONG else "long"


def _said(messages: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    for each in messages:
        content = each.get("content")
        if each.get("role") == "user" and isinstance(content, str):
            parts.append(content)
    return "\n".join(parts)
