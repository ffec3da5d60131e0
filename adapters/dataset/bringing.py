"""Examples that somebody brings in a file, redacted and answered for, as rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.dataset.datasets import Datasets
from adapters.dataset.errors import NothingReviewed
from adapters.dataset.frozen import Dataset, Row, Split
from adapters.dataset.gold_rows import imported_id, settled, whole
from adapters.dataset.lines import Brought, Format, Rejected, read

Redact = Callable[[Any, Sequence[str]], Awaitable[Any]]
"""All of one example as it may be learned from (law 6), given the names of whose data it is."""
_ERASED = "a person whose data it carries was erased since"
_BREATH = 64
"""Rows between which others on the event loop get their turn."""


@dataclass(frozen=True, slots=True)
class Bringing:
    """Who brings what.

    Attributes:
        importer: counts as the rows' reviewer.
        intent: of all rows; None: each says its own.
    """

    name: str
    importer: str
    tenant: str
    form: Format
    intent: str | None = None
    holdout: float | None = None


@dataclass(slots=True)
class Taken:
    """What became of a file."""

    dataset: Dataset
    rejected: list[Rejected] = field(default_factory=list)


class NothingTaken(NothingReviewed):
    """No line of a file could be taken."""

    def __init__(self, rejected: list[Rejected]) -> None:
        why = f" Line {rejected[0].line}: {rejected[0].reason}." if rejected else ""
        super().__init__(f"There is no example in it.{why}")
        self.rejected = rejected


class Importer:
    """Takes files in. Belongs to the event loop.

    Args:
        datasets: where they are frozen.
        redact: what may be kept of a text; raises when nobody can look.
        hashed: the keyed hash that stands for a person.
    """

    def __init__(self, datasets: Datasets, redact: Redact, hashed: Callable[[str], str]) -> None:
        self._datasets = datasets
        self._redact = redact
        self._hashed = hashed

    async def take(self, raw: bytes, bringing: Bringing) -> Taken:
        """Freeze what is in a file. Raises ``NothingTaken`` and what ``Datasets`` raises."""
        found = await asyncio.to_thread(lambda: list(read(raw, bringing.form)))
        rejected = [each for each in found if isinstance(each, Rejected)]
        rows: list[Row] = []
        at: list[int] = []
        wanted: dict[str, Split] = {}
        for number, each in enumerate(found):
            if isinstance(each, Rejected):
                continue
            try:
                row = await self._row(each, bringing)
            except ValueError as error:
                rejected.append(Rejected(each.line, str(error)))
                continue
            rows.append(row)
            at.append(each.line)
            if each.beside.split is not None and wanted.get(row.digest) != "test":
                wanted[row.digest] = each.beside.split
            if number % _BREATH == 0:
                await asyncio.sleep(0)
        if not rows:
            raise NothingTaken(_in_order(rejected))
        dataset = await asyncio.to_thread(
            self._datasets.take_in,
            bringing.name,
            rows,
            holdout=bringing.holdout,
            wanted=wanted,
            late=lambda place: rejected.append(Rejected(at[place], _ERASED)),
        )
        return Taken(dataset, _in_order(rejected))

    async def _row(self, brought: Brought, bringing: Bringing) -> Row:
        beside = brought.beside
        intent = bringing.intent or beside.intent
        if not intent:
            raise ValueError("it names no intent: give one for all with `intent=`")
        # In one piece: what is a name in the question is one in the answer.
        own = {
            "messages": [dict(each) for each in brought.messages],
            "answer": brought.answer,
            "tools": [dict(each) for each in brought.tools],
            "tool_calls": [dict(each) for each in brought.calls],
        }
        shown = whole(await self._redact(own, beside.named))
        messages, tools = shown["messages"], tuple(shown["tools"])
        return Row(
            digest="",
            messages=tuple(messages),
            answer=settled(shown["answer"], tools),
            intent=intent,
            tenant=beside.tenant or bringing.tenant,
            split="train",
            exchange_id=beside.exchange_id or imported_id(messages, intent, tools),
            provenance=beside.provenance,
            reviewers=(bringing.importer,),
            teacher=beside.teacher,
            at=time.time() if beside.at is None else beside.at,
            subjects=tuple(sorted({*beside.subjects, *map(self._hashed, beside.named)})),
            logprobs=whole(beside.logprobs),
            conversation=beside.conversation,
            replay=beside.replay and beside.split == "train",
            tools=tools,
            calls=tuple(shown["tool_calls"]),
        ).digested()


def _in_order(rejected: list[Rejected]) -> list[Rejected]:
    return sorted(rejected, key=lambda each: each.line)
